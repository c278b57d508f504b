"""Rate and distortion: bits per pixel against PSNR, as tables, sentences and a figure.

Latents are for computing with; standard codecs are for keeping. Both are drawn in one plane, so
that each is seen where it wins.
"""

from __future__ import annotations

import importlib.util
import io
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from plica.errors import MissingExtra
from plica.evaluation.report import Figure, Section, Table
from plica.evaluation.results import Result, Results
from plica.evaluation.storage import LOSSLESS, Match, Point

NOTHING = "–"
ORDER = ("float32", "float16", "bfloat16", "int8")
_MARKS = {"float32": "s", "float16": "o", "bfloat16": "D", "int8": "v"}
_CAPTION = (
    " Computing: what {probe} does with one image of {full}; images of standard codecs must be "
    "decoded first and are looked at in full, latents are looked at as they are."
)
_STANDARD_STYLES = ("-", "--", ":")
_STYLE = {
    "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "grid.color": "#dddddd", "grid.linewidth": 0.6, "legend.frameon": False, "svg.fonttype": "none",
    "pdf.fonttype": 42, "figure.dpi": 100,
}  # fmt: skip


@dataclass(frozen=True)
class Kept:
    """What storage was found for one case under one codec: a result's facts, in fields.

    Args:
        result: Of the case.
        points: The codec's files.
        at_bytes: By standard codec, then by type of number: its file of as many bytes.
        at_psnr: Its file of as many decibels.
    """

    result: Result
    points: tuple[Point, ...]
    at_bytes: Mapping[str, Mapping[str, Match]]
    at_psnr: Mapping[str, Mapping[str, Match]]

    @classmethod
    def of(cls, result: Result) -> Kept:
        """Read back what `record_storage` wrote."""
        facts = result.facts
        return cls(
            result,
            tuple(Point.from_json(point) for point in facts["points"]),
            _read_matches(facts["at_bytes"]),
            _read_matches(facts["at_psnr"]),
        )


def record_storage(
    points: Sequence[Point],
    at_bytes: Mapping[str, Mapping[str, Match]],
    at_psnr: Mapping[str, Mapping[str, Match]],
) -> dict[str, Any]:
    """Facts of a result, JSON-ready."""
    return {
        "points": [point.to_json() for point in points],
        "at_bytes": _write_matches(at_bytes),
        "at_psnr": _write_matches(at_psnr),
    }


@dataclass(frozen=True)
class Computing:
    """What a probe does with images and with latents, for the figure's other half.

    Args:
        probe: Its name.
        full: What full size is: "1024×1024".
        giga: G multiply-adds for an image of full size, which standard codecs' images are too.
        of_codec: For its latents, by codec.
    """

    probe: str
    full: str
    giga: float
    of_codec: Mapping[str, float]


def show_storage(results: Results, computing: Computing | None = None) -> Iterable[Section]:
    """A section for each group: what it takes, beside standard codecs, with a figure.

    Args:
        computing: Draws what computing takes beside what storage takes.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    for group in results.groups:
        kept = [Kept.of(result) for result in results.of(group=group)]
        if not kept:
            continue
        name = group or "all images"
        yield Section(
            f"Storage: {name}",
            (_describe_sources(kept), *describe_winners(kept)),
            (show_bytes(kept, name), show_rates(kept, name)),
            (draw(kept, name, computing),),
        )


# -- numbers -------------------------------------------------------------------------------------


def show_bytes(kept: Sequence[Kept], name: str) -> Table:
    """Means over cases: bytes, bits per pixel and PSNR, beside standard codecs."""
    standards = _standards(kept)
    heads = [h for s in standards for h in (f"{s}, same bytes: dB", f"{s}, same dB: bytes")]
    rows = []
    for codec, setting, points in _by_setting([one for one in kept if one.at_bytes]):
        owners = [one for one in kept if one.result.codec == codec]
        cells = [cell for s in standards for cell in _compare(owners, s, setting)]
        rows.append((
            codec,
            setting,
            str(len(points)),
            f"{statistics.fmean(p.bytes for p in points):,.0f}",
            f"{statistics.fmean(p.bits_per_pixel for p in points):.3f}",
            _say_mean([p.psnr for p in points]),
            *cells,
        ))  # fmt: skip
    return Table(
        f"What files take: {name}",
        ("codec", "kept as", "images", "bytes", "bits per pixel", "PSNR dB", *heads),
        tuple(rows),
        "Means over images, of whole files as written. Same bytes: PSNR of the standard codec's "
        "file of the same size, and how much that is more. Same dB: bytes of its file of the same "
        "PSNR, as a share of the latent's; – where it comes no nearer than its worst or best file. "
        "PSNR against the source.",
    )


def show_rates(kept: Sequence[Kept], name: str) -> Table:
    """Means over cases of standard codecs, by the rate that was asked for."""
    rows = [
        (
            codec,
            setting,
            str(len(points)),
            f"{statistics.fmean(p.bytes for p in points):,.0f}",
            f"{statistics.fmean(p.bits_per_pixel for p in points):.3f}",
            _say_mean([p.psnr for p in points]),
        )
        for codec, setting, points in _by_setting([one for one in kept if not one.at_bytes])
    ]
    return Table(
        f"Standard codecs by rate: {name}",
        ("codec", "asked for", "images", "bytes", "bits per pixel", "PSNR dB"),
        tuple(rows),
        "Means over images. ∞: so many images came back without any loss; they are left out of the "
        "mean of PSNR.",
    )


def _compare(owners: Sequence[Kept], standard: str, setting: str) -> tuple[str, str]:
    pairs = [(_point_of(one, setting), one) for one in owners]
    gains, shares, best, infinite = [], [], [], 0
    for point, one in pairs:
        if point is None:
            continue
        same = one.at_bytes.get(standard, {}).get(setting)
        if same is not None and same.hit and same.point is not None:
            if math.isfinite(same.point.psnr) and math.isfinite(point.psnr):
                gains.append(same.point.psnr - point.psnr)
                best.append(same.point.psnr)
            else:
                infinite += 1
        level = one.at_psnr.get(standard, {}).get(setting)
        if level is not None and level.hit and level.point is not None:
            shares.append(level.point.bytes / point.bytes)
    exact = f"{infinite} without loss" if infinite else ""
    first = f"{statistics.fmean(best):.2f} ({statistics.fmean(gains):+.2f})" if best else ""
    second = f"{100 * statistics.geometric_mean(shares):.3g} %" if shares else NOTHING
    return "; ".join(filter(None, (first, exact))) or NOTHING, second


def describe_winners(kept: Sequence[Kept]) -> tuple[str, ...]:
    """In how many cases latents, and in how many standard codecs, keep more in the same bytes."""
    said = []
    for standard in _standards(kept):
        for codec in dict.fromkeys(one.result.codec for one in kept):
            owners = [one for one in kept if one.result.codec == codec and one.at_bytes]
            lost, n, best = _count_losses(owners, standard)
            if not n:
                continue
            verdict = "storage is not where these latents win" if 2 * lost > n else (
                "in storage too, these latents win")  # fmt: skip
            said.append(
                f"{standard} keeps more than {codec} in the same bytes in {lost} of {n} images, "
                f"each at the type of number that suits the latent best ({best}): {verdict}."
            )
    return tuple(said)


def _count_losses(owners: Sequence[Kept], standard: str) -> tuple[int, int, str]:
    """For each case, at the type of number where the latent comes nearest to the standard."""
    lost, n, chosen = 0, 0, []
    for one in owners:
        gaps = {
            setting: match.point.psnr - point.psnr
            for setting, match in one.at_bytes.get(standard, {}).items()
            if match.hit and match.point and (point := _point_of(one, setting)) is not None
            and math.isfinite(point.psnr)
        }  # fmt: skip
        if gaps:
            best = min(gaps, key=lambda setting: gaps[setting])
            chosen.append(best)
            n, lost = n + 1, lost + (gaps[best] > 0)
    return lost, n, statistics.mode(chosen) if chosen else ""


def _describe_sources(kept: Sequence[Kept]) -> str:
    cases = {one.result.case: one.result.facts for one in kept}.values()
    pixels = statistics.fmean(facts["pixels"] for facts in cases)
    raw = statistics.fmean(facts["raw_bytes"] for facts in cases)
    files = [facts["source_bytes"] for facts in cases if facts["source_bytes"]]
    said = f"{len(cases)} images of {pixels:,.0f} pixels on average: {raw:,.0f} bytes as arrays"
    return f"{said}, {statistics.fmean(files):,.0f} as the files they came in." if files else (
        f"{said}.")  # fmt: skip


def _by_setting(kept: Sequence[Kept]) -> Iterable[tuple[str, str, list[Point]]]:
    """By codec and setting, in order: types of number, then rates that every image was kept at."""
    groups: dict[tuple[str, str], list[Point]] = {}
    for one in kept:
        for point in one.points:
            groups.setdefault((point.codec, point.setting), []).append(point)
    return [(codec, setting, points) for (codec, setting), points in groups.items()]


def _standards(kept: Sequence[Kept]) -> list[str]:
    return list(dict.fromkeys(name for one in kept for name in one.at_bytes))


def _point_of(kept: Kept, setting: str) -> Point | None:
    return next((point for point in kept.points if point.setting == setting), None)


def _say_mean(values: Sequence[float]) -> str:
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return "∞"
    more = f" ({len(values) - len(finite)} ∞)" if len(finite) < len(values) else ""
    return f"{statistics.fmean(finite):.2f}{more}"


def _write_matches(by: Mapping[str, Mapping[str, Match]]) -> dict[str, Any]:
    return {name: {key: match.to_json() for key, match in m.items()} for name, m in by.items()}


def _read_matches(by: Mapping[str, Any]) -> dict[str, dict[str, Match]]:
    return {name: {k: Match.from_json(match) for k, match in m.items()} for name, m in by.items()}


# -- the figure ----------------------------------------------------------------------------------


def require_drawing() -> None:
    """Refuse before any work where there is nothing to draw with.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingExtra("rate–distortion figures", "matplotlib", "eval")


def draw(kept: Sequence[Kept], name: str, computing: Computing | None = None) -> Figure:
    """Bits per pixel against PSNR, and beside it what a probe has to compute against PSNR.

    Means over images at one setting; what was kept without loss has no PSNR and is no point.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    require_drawing()
    import matplotlib as mpl
    from matplotlib.figure import Figure as Page

    series = _list_series(kept)
    with mpl.rc_context(_STYLE):
        page = Page(figsize=(9.2 if computing else 5.6, 4.4), layout="constrained")
        axes = page.subplots(1, 2 if computing else 1, sharey=True, squeeze=False)[0]
        _plot_rates(axes[0], series)
        if computing:
            _plot_computing(axes[1], series, computing)
        page.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
        page.suptitle(name, x=0.01, ha="left", fontsize=10)
        png, pdf = io.BytesIO(), io.BytesIO()
        page.savefig(png, format="png", dpi=160, metadata={"Software": None})
        page.savefig(pdf, format="pdf", metadata={"CreationDate": None})
    n = len({one.result.case for one in kept})
    return Figure(
        name=f"rate-distortion-{'-'.join(name.split())}",
        caption=f"Means over {n} images of {name}. Higher and further left is better. Storage: "
        "lines are standard codecs at rising rates, marks are latents by the type of number they "
        "are kept in (■ float32, ● float16, ◆ bfloat16, ▼ int8)."
        + (_CAPTION.format(**vars(computing)) if computing else ""),
        alt=_describe_plane(kept),
        png=png.getvalue(),
        pdf=pdf.getvalue(),
    )


@dataclass(frozen=True)
class _Series:
    """A codec's points in the plane: setting, bits per pixel, PSNR."""

    codec: str
    colour: str
    style: str
    points: tuple[tuple[str, float, float], ...]

    @property
    def is_latent(self) -> bool:
        return self.points[0][0] in _MARKS


def _list_series(kept: Sequence[Kept]) -> list[_Series]:
    series = []
    styles, colours = iter(_STANDARD_STYLES), (f"C{n}" for n in range(100))
    for codec in dict.fromkeys(one.result.codec for one in kept):
        owners = [one for one in kept if one.result.codec == codec]
        points = ((setting, *_mean(points)) for _, setting, points in _by_setting(owners))
        finite = tuple(point for point in points if math.isfinite(point[2]))
        if not finite:
            continue
        if finite[0][0] in _MARKS:
            series.append(_Series(codec, next(colours), "-", finite))
        else:
            by_rate = tuple(sorted(finite, key=lambda point: point[1]))
            series.append(_Series(codec, "#333333", next(styles, "-"), by_rate))
    return series


def _plot_rates(axes: Any, series: Sequence[_Series]) -> None:
    for one in series:
        xs, ys = [point[1] for point in one.points], [point[2] for point in one.points]
        if one.is_latent:
            for setting, x, y in one.points:
                axes.plot(x, y, _MARKS[setting], color=one.colour, markersize=5)
            axes.plot(xs, ys, color=one.colour, linewidth=1, label=one.codec)
        else:
            axes.plot(xs, ys, one.style, color=one.colour, marker=".", markersize=4, linewidth=1.2,
                      label=one.codec)  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
    axes.set_xlabel("bits per pixel, of the whole file")
    axes.set_ylabel("PSNR against the source, dB")
    axes.set_title("Storage", loc="left", fontsize=9)


def _plot_computing(axes: Any, series: Sequence[_Series], computing: Computing) -> None:
    for one in series:
        giga = computing.of_codec.get(one.codec) if one.is_latent else computing.giga
        if giga is None:
            continue
        for setting, _, y in one.points if one.is_latent else ():
            axes.plot(giga, y, _MARKS[setting], color=one.colour, markersize=5)
        if not one.is_latent:
            ys = [point[2] for point in one.points]
            axes.plot([giga] * len(ys), ys, one.style, color=one.colour, marker=".", markersize=4,
                      linewidth=1.2)  # fmt: skip
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel(f"G multiply-adds of {computing.probe}, for one image of {computing.full}")
    axes.set_title("Computing", loc="left", fontsize=9)


def _mean(points: Sequence[Point]) -> tuple[float, float]:
    """Bits per pixel and PSNR; infinite where any image was kept without loss."""
    return (
        statistics.fmean(point.bits_per_pixel for point in points),
        statistics.fmean(point.psnr for point in points),
    )


def _describe_plane(kept: Sequence[Kept]) -> str:
    said = [
        f"{codec} {setting}: {_mean(points)[0]:.2f} bits per pixel, {_mean(points)[1]:.1f} dB"
        for codec, setting, points in _by_setting(kept)
        if math.isfinite(_mean(points)[1])
    ]
    return "; ".join(said) + "."

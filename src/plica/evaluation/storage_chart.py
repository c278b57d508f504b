"""The plane of storage and the plane of computing: where latents win, and where they do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from plica.evaluation.drawing import INK, QUIET, Looks, add_legend, draw, refuse_nothing
from plica.evaluation.report import Figure

MARKS = {"float32": "s", "float16": "o", "bfloat16": "x", "int8": "v"}
_DASHES = ("-", "--", ":")
_COMPUTING = (
    " Computing: what {probe} does with one image of {full}. Images of standard codecs are decoded "
    "first and looked at in full; latents are looked at as they are, whatever type of number they "
    "are kept in."
)


@dataclass(frozen=True)
class Computing:
    """What a probe does with images and with latents.

    Args:
        probe: Its name.
        full: What full size is: "1024×1024".
        giga: G multiply-adds for an image of full size.
        of_codec: For its latents, by codec.
    """

    probe: str
    full: str
    giga: float
    of_codec: Mapping[str, float]


@dataclass(frozen=True)
class Series:
    """One codec's points.

    Args:
        codec: Its name.
        latent: Whether it makes latents; otherwise it is a standard codec, by rising rate.
        points: Setting, bits per pixel, PSNR in dB.
    """

    codec: str
    latent: bool
    points: tuple[tuple[str, float, float], ...]


def draw_plane(
    series: Sequence[Series], kind: str, n: int, computing: Computing | None = None
) -> Figure:
    """Bits per pixel against PSNR, and beneath it what a probe has to compute against PSNR.

    Args:
        series: Means over images.
        kind: Of the images.
        n: How many there are.
        computing: None leaves the second plane out.

    Raises:
        InputError: There is nothing to draw.
        MissingExtra: matplotlib is not installed.
    """
    refuse_nothing(series, "rates and distortions")
    looks = Looks([one.codec for one in series if one.latent])
    dashes = dict(zip((one.codec for one in series if not one.latent), _DASHES, strict=False))

    def paint(page: Any) -> None:
        panels = page.subplots(2 if computing else 1, 1, sharey=True, squeeze=False)[:, 0].tolist()
        for one in series:
            _draw_rates(panels[0], one, looks, dashes)
            if computing:
                _draw_computing(panels[1], one, computing, looks, dashes)
        if computing:
            _say_savings(panels[1], series, computing)
        _name_axes(panels, kind, n, computing)
        add_legend(page, panels)

    return draw(
        f"rate-distortion-{'-'.join(kind.split())}",
        paint,
        height=7.0 if computing else 4.0,
        caption=f"Means over {n} images of {kind}; higher and further left is better. Storage: "
        "dark lines are standard codecs at rising rates; marks are latents by the type of number "
        "they are kept in." + (_COMPUTING.format(**vars(computing)) if computing else ""),
        alt=_describe(series, computing),
    )


def _draw_rates(panel: Any, one: Series, looks: Looks, dashes: Mapping[str, str]) -> None:
    xs, ys = [x for _, x, _ in one.points], [y for _, _, y in one.points]
    if not one.latent:
        panel.plot(xs, ys, dashes.get(one.codec, "-"), color=INK, marker=".", markersize=4,
                   linewidth=1.2, label=one.codec)  # fmt: skip
        return
    panel.plot(xs, ys, color=looks.colour(one.codec), linewidth=1.6, label=one.codec)
    for setting, x, y in one.points:
        panel.plot(x, y, MARKS[setting], color=looks.colour(one.codec), markersize=6)


def _draw_computing(
    panel: Any, one: Series, computing: Computing, looks: Looks, dashes: Mapping[str, str]
) -> None:
    ys = [y for _, _, y in one.points]
    if not one.latent:
        panel.plot([computing.giga] * len(ys), ys, dashes.get(one.codec, "-"), color=INK,
                   marker=".", markersize=4, linewidth=1.2)  # fmt: skip
    elif one.codec in computing.of_codec:
        giga = computing.of_codec[one.codec]
        panel.plot(giga, ys[0], "s", color=looks.colour(one.codec), markersize=6)


def _say_savings(panel: Any, series: Sequence[Series], computing: Computing) -> None:
    """How many times less a probe has to do, once beside the best of the codecs that save as much.

    Codecs of one size lie above each other, and their labels would, too.
    """
    best: dict[str, tuple[float, float]] = {}
    for one in series:
        if one.latent and one.codec in computing.of_codec:
            giga, y = computing.of_codec[one.codec], one.points[0][2]
            said = f"{computing.giga / giga:.3g}× less"
            best[said] = max(best.get(said, (giga, y)), (giga, y), key=lambda place: place[1])
    for said, place in best.items():
        panel.annotate(said, place, xytext=(7, -3), textcoords="offset points", color=QUIET,
                       fontsize=8)  # fmt: skip


def _name_axes(panels: Sequence[Any], kind: str, n: int, computing: Computing | None) -> None:
    for panel in panels:
        panel.set_ylabel("PSNR against the source, dB")
    rates = panels[0]
    rates.set_title(f"Storage: {kind}, n = {n}")
    rates.set_xscale("log", base=2)
    rates.xaxis.set_major_formatter(lambda value, _: f"{value:.4g}")
    rates.set_xlabel("bits per pixel, of the whole file")
    for setting, mark in MARKS.items():
        rates.plot([], [], mark, color=QUIET, markersize=6, label=f"latent, {setting}")
    if computing:
        panels[1].set_title("Computing")
        panels[1].set_xscale("log")
        panels[1].xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        panels[1].set_xlabel(
            f"G multiply-adds of {computing.probe} for one image of {computing.full}"
        )


def _describe(series: Sequence[Series], computing: Computing | None) -> str:
    said = [
        f"{one.codec} {setting}: {rate:.2f} bits per pixel, {psnr:.1f} dB"
        for one in series
        for setting, rate, psnr in one.points
    ]
    if computing:
        said.append(f"{computing.probe} on {computing.full}: {computing.giga:.1f} G multiply-adds")
        said += [f"on latents of {name}: {g:.1f} G" for name, g in computing.of_codec.items()]
    return "; ".join(said) + "."

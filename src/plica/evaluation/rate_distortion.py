"""Rate and distortion: bits per pixel against PSNR, as tables, sentences and a figure.

Latents are for computing with; standard codecs are for keeping. Both are drawn in one plane, so
that each is seen where it wins.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from plica.evaluation.report import Section, Table
from plica.evaluation.results import Result, Results
from plica.evaluation.storage import Match, Point
from plica.evaluation.storage_chart import Computing, Series, draw_plane

NOTHING = "–"


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
            (_describe_sources(kept), describe_winners(kept)),
            (show_winners(kept, name), show_bytes(kept, name), show_rates(kept, name)),
            (draw_plane(list_series(kept), name, len(_cases(kept)), computing),),
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
        "PSNR, as a share of the latent's; – where it has no file near enough, "
        "(n of m) where it has for some images. "
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
    n = len(owners)
    exact = f"{infinite} without loss" if infinite else ""
    first = f"{statistics.fmean(best):.2f} ({statistics.fmean(gains):+.2f})" if best else ""
    first = "; ".join(filter(None, (first, exact))) or NOTHING
    second = f"{100 * statistics.geometric_mean(shares):.3g} %" if shares else NOTHING
    return first + _say_some(len(best) + infinite, n), second + _say_some(len(shares), n)


def _say_some(n: int, of: int) -> str:
    """Of how many images a mean is, where it is not of all."""
    return f" ({n} of {of})" if 0 < n < of else ""


def describe_winners(kept: Sequence[Kept]) -> str:
    """In how many comparisons standard codecs keep more than latents in the same bytes."""
    lost, n = 0, 0
    for _, _, counts in _list_losses(kept):
        lost, n = lost + sum(count[0] for count in counts), n + sum(count[1] for count in counts)
    if not n:
        return "No standard codec has a file of as many bytes as a latent."
    if lost == n:
        verdict = "storage is not where these latents win"
    elif lost == 0:
        verdict = "these latents win in storage too"
    else:
        verdict = "which keeps more depends on the codec and the image"
    return (
        f"In the same bytes, standard codecs keep more than latents (by PSNR) in {lost} of {n} "
        "comparisons, each latent at the type of number that suits it best: "
        f"{verdict}."
    )


def show_winners(kept: Sequence[Kept], name: str) -> Table:
    """Codec by codec, in how many images a standard codec keeps more in the same bytes."""
    standards = _standards(kept)
    rows = [
        (codec, best, *(f"{lost} of {n}" if n else NOTHING for lost, n in counts))
        for codec, best, counts in _list_losses(kept)
    ]
    return Table(
        f"Who keeps more in the same bytes: {name}",
        ("codec", "best kept as", *(f"{standard} keeps more in" for standard in standards)),
        tuple(rows),
        "Images in which the standard codec has the higher PSNR in the same bytes, or in fewer "
        "where it has no file of as many; a larger file that is worse counts for the latent. Each "
        "latent is taken at the type of number at which it comes nearest; the most frequent one is "
        "named.",
    )


def _list_losses(kept: Sequence[Kept]) -> list[tuple[str, str, list[tuple[int, int]]]]:
    """For each codec: its best type of number, and losses among images by standard codec."""
    listed = []
    for codec in dict.fromkeys(one.result.codec for one in kept if one.at_bytes):
        owners = [one for one in kept if one.result.codec == codec]
        counts = [_count_losses(owners, standard) for standard in _standards(kept)]
        best = next((settings for _, _, settings in counts if settings), NOTHING)
        listed.append((codec, best, [(lost, n) for lost, n, _ in counts]))
    return listed


def _count_losses(owners: Sequence[Kept], standard: str) -> tuple[int, int, str]:
    """For each case, at the type of number where the latent comes nearest to the standard."""
    lost, n, chosen = 0, 0, []
    for one in owners:
        gaps = {
            setting: gap
            for setting, match in one.at_bytes.get(standard, {}).items()
            if (gap := _measure_gap(_point_of(one, setting), match)) is not None
        }
        if gaps:
            best = min(gaps, key=lambda setting: gaps[setting])
            chosen.append(best)
            n, lost = n + 1, lost + (gaps[best] > 0)
    return lost, n, statistics.mode(chosen) if chosen else ""


def _measure_gap(latent: Point | None, match: Match) -> float | None:
    """By how many decibels a standard codec's file keeps more; None where that cannot be said.

    Where it has no file of as many bytes, its nearest one still tells if it is both larger and
    worse, or both smaller and better.
    """
    if latent is None or match.point is None or not math.isfinite(latent.psnr):
        return None
    gap = match.point.psnr - latent.psnr
    worse = gap <= 0 and match.point.bytes >= latent.bytes
    better = gap > 0 and match.point.bytes <= latent.bytes
    return gap if match.hit or worse or better else None


def _describe_sources(kept: Sequence[Kept]) -> str:
    cases = _cases(kept).values()
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


def list_series(kept: Sequence[Kept]) -> list[Series]:
    """Means over images at each setting, codec by codec.

    What was kept without loss, in any image, has no PSNR and is no point.
    """
    series = []
    for codec in dict.fromkeys(one.result.codec for one in kept):
        owners = [one for one in kept if one.result.codec == codec]
        means = (
            (
                setting,
                statistics.fmean(point.bits_per_pixel for point in points),
                statistics.fmean(point.psnr for point in points),
            )
            for _, setting, points in _by_setting(owners)
        )
        if finite := tuple(point for point in means if math.isfinite(point[2])):
            latent = any(one.at_bytes for one in owners)
            order = finite if latent else tuple(sorted(finite, key=lambda point: point[1]))
            series.append(Series(codec, latent, order))
    return series


def _cases(kept: Sequence[Kept]) -> dict[Any, Mapping[str, Any]]:
    """What is known of each image, once."""
    return {one.result.case: one.result.facts for one in kept}

"""Curves: rate and distortion, spectra and wavelet bands, from plain numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.errors import InputError
from plica.evaluation.drawing import (
    DASHES,
    MARKERS,
    QUIET,
    RULE,
    Looks,
    add_legend,
    draw,
    import_matplotlib,
    lay_out,
    refuse_nothing,
)
from plica.evaluation.report import Figure
from plica.evaluation.text import say_number, tame

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class RatePoint:
    """What one codec spends, and what it gets for it.

    Args:
        codec: Its name.
        bits_per_pixel: As stored, header and all.
        quality: Mean over cases.
        low: Lower end of the mean's 95 % interval over patients; NaN where there is none.
        high: Upper end.
        curve: Points of one curve are joined: one codec at several rates.
    """

    codec: str
    bits_per_pixel: float
    quality: float
    low: float = math.nan
    high: float = math.nan
    curve: str = ""


@dataclass(frozen=True, eq=False)
class Spectrum:
    """How well a codec keeps each spatial frequency.

    Args:
        codec: Its name.
        frequency: Of each shell.
        correlation: Fourier shell correlation; NaN where the source has nothing.
        power: Decoded over source; empty where it is not drawn.
    """

    codec: str
    frequency: Numbers
    correlation: Numbers
    power: Numbers


# -- rate and distortion ---------------------------------------------------------------------------


def rate_distortion_chart(
    points: Mapping[str, Sequence[RatePoint]],
    *,
    axis: str = "PSNR (dB) ↑",
    name: str = "rate-distortion",
    caption: str = "",
    alt: str = "",
) -> Figure:
    """Quality against bits per pixel, group by group: up and to the left is better.

    Args:
        points: By group.
        axis: What quality is.

    Raises:
        InputError: There is nothing to draw.
        MissingExtra: matplotlib is not installed.

    Examples:
        >>> points = [RatePoint("linear-4x3-2d", 1.5, 34.0), RatePoint("jpeg2000", 1.5, 36.0)]
        >>> chart = rate_distortion_chart({"chest radiograph": points})
        >>> _ = Path("rates.png").write_bytes(chart.png)
    """
    groups = {group: tuple(filter(_drawable, found)) for group, found in points.items()}
    groups = {group: found for group, found in groups.items() if found}
    refuse_nothing(groups, "rates and distortions")
    every = [point for found in groups.values() for point in found]
    curves = Looks([point.curve for point in every if point.curve])
    codecs = Looks([point.codec for point in every if not point.curve])

    def paint(page: Any) -> None:
        panels = lay_out(page, len(groups), 1)
        for panel, (group, found) in zip(panels, groups.items(), strict=True):
            _draw_curves(panel, [point for point in found if point.curve], curves)
            _draw_points(panel, [point for point in found if not point.curve], codecs)
            _scale_by_doubling(panel, [point.bits_per_pixel for point in found])
            panel.set_title(tame(group))
            panel.set_ylabel(tame(axis))
        panels[-1].set_xlabel("bits per pixel, as stored (each step doubles them)")
        add_legend(page, panels)

    return draw(
        name, paint, height=3.1 * len(groups) + 0.12 * len(curves) + 0.12 * len(codecs) + 0.4,
        caption=caption or f"{axis} against bits per pixel as stored. Joined points are one codec "
        "at several rates; up and to the left is better." + _say_ends(every),
        alt=alt or f"{axis} against bits per pixel. " + _say_rates(groups),
    )  # fmt: skip


def _drawable(point: RatePoint) -> bool:
    return point.bits_per_pixel > 0 and math.isfinite(point.bits_per_pixel + point.quality)


def _draw_curves(panel: Any, found: Sequence[RatePoint], looks: Looks) -> None:
    """What is known well stands behind, in grey: each curve has its own dash and mark."""
    for label in dict.fromkeys(point.curve for point in found):
        own = sorted((p for p in found if p.curve == label), key=lambda p: p.bits_per_pixel)
        x, y = [p.bits_per_pixel for p in own], [p.quality for p in own]
        place = looks.place(label)
        panel.plot(x, y, color=QUIET, linestyle=DASHES[place % len(DASHES)], linewidth=1.3,
                   marker=MARKERS[place % len(MARKERS)], markersize=3.6, markerfacecolor="white",
                   label=tame(label), zorder=2)  # fmt: skip
        _draw_ends(panel, own, QUIET)


def _draw_points(panel: Any, found: Sequence[RatePoint], looks: Looks) -> None:
    for point in found:
        colour = looks.colour(point.codec)
        _draw_ends(panel, [point], colour)
        panel.plot([point.bits_per_pixel], [point.quality], linestyle="none", color=colour,
                   marker=looks.marker(point.codec), markersize=7, markeredgecolor="white",
                   markeredgewidth=0.7, label=tame(point.codec), zorder=4)  # fmt: skip


def _draw_ends(panel: Any, points: Sequence[RatePoint], colour: str) -> None:
    for p in points:
        if math.isfinite(p.low + p.high):
            panel.plot([p.bits_per_pixel] * 2, [p.low, p.high], color=colour, linewidth=1,
                       alpha=0.6, zorder=1)  # fmt: skip


def _say_ends(points: Sequence[RatePoint]) -> str:
    if any(math.isfinite(point.low + point.high) for point in points):
        return " Upright bars are 95 % intervals of the means over patients."
    return ""


def _scale_by_doubling(panel: Any, rates: Sequence[float]) -> None:
    """Powers of two, and at least two of them, however alike the rates."""
    ticker = import_matplotlib().ticker
    low, high = math.floor(math.log2(min(rates))), math.ceil(math.log2(max(rates)))
    panel.set_xscale("log", base=2)
    panel.xaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    panel.xaxis.set_minor_formatter(ticker.NullFormatter())
    panel.set_xlim(2.0 ** (low - 0.25), 2.0 ** (max(high, low + 1) + 0.25))
    panel.margins(y=0.1)


def _say_rates(groups: Mapping[str, Sequence[RatePoint]]) -> str:
    said = [
        f"{group + ', ' if group else ''}{p.codec}: {say_number(p.quality)} at "
        f"{say_number(p.bits_per_pixel, 3)} bits per pixel"
        for group, found in groups.items()
        for p in found
    ]
    return "; ".join(said) + "."


# -- spectra ---------------------------------------------------------------------------------------


def spectrum_chart(
    spectra: Sequence[Spectrum],
    *,
    nyquist: float | None = None,
    unit: str = "cycles/mm",
    thresholds: Sequence[float] = (0.5, 1 / 7),
    name: str = "spectrum",
    caption: str = "",
    alt: str = "",
) -> Figure:
    """Fourier shell correlation against spatial frequency, and the power that is left.

    Args:
        spectra: One for each codec.
        nyquist: The grid's own highest frequency, marked.
        unit: Of the frequencies.
        thresholds: Marked heights of the correlation.

    Raises:
        InputError: There is nothing to draw.
        MissingExtra: matplotlib is not installed.

    Examples:
        >>> cycles = np.linspace(0, 0.6, 20)
        >>> kept = Spectrum("linear-4x1-3d", cycles, np.exp(-5 * cycles), np.array([]))
        >>> _ = Path("spectrum.png").write_bytes(spectrum_chart([kept]).png)
    """
    refuse_nothing(spectra, "a spectrum")
    looks = Looks([spectrum.codec for spectrum in spectra])
    powered = [s for s in spectra if s.power.size]

    def paint(page: Any) -> None:
        panels = lay_out(page, 1 + bool(powered), 1, sharex=True)
        for s in spectra:
            _line(panels[0], s.frequency, s.correlation, looks, s.codec)
        _mark_heights(panels[0], thresholds)
        panels[0].set_ylim(min(0.0, *(_least(s.correlation) for s in spectra)) - 0.03, 1.04)
        panels[0].set_ylabel("shell correlation ↑")
        for s in powered:
            _line(panels[1], s.frequency, s.power, looks, s.codec)
        if powered:
            panels[1].axhline(1.0, color=QUIET, linewidth=0.8)
            panels[1].set_ylabel("power kept → 1")
            panels[1].set_ylim(bottom=0.0)
        for place, panel in enumerate(panels):
            _mark_nyquist(panel, nyquist, said=place == 0)
            panel.set_xlim(left=0.0)
        panels[-1].set_xlabel(f"spatial frequency ({unit})")
        add_legend(page, panels)

    rows = -(-len(spectra) // 2)
    return draw(
        name, paint, height=2.4 * (1 + bool(powered)) + 0.5 + 0.2 * rows,
        caption=caption or "Fourier shell correlation of decoded and source, and the power left, "
        f"by spatial frequency in {unit}.",
        alt=alt or "Fourier shell correlation by spatial frequency. " + _say_spectra(spectra, unit),
    )  # fmt: skip


def _line(panel: Any, x: Numbers, y: Numbers, looks: Looks, codec: str) -> None:
    panel.plot(x, y, color=looks.colour(codec), linestyle=looks.dash(codec), label=tame(codec))


def _mark_heights(panel: Any, heights: Sequence[float]) -> None:
    for height in heights:
        panel.axhline(height, color=RULE, linewidth=0.8, linestyle=(0, (2, 2)))
        panel.annotate(f"{height:.3g}", (1, height), xycoords=("axes fraction", "data"),
                       xytext=(4, 0), textcoords="offset points", va="center", fontsize=7.5,
                       color=QUIET)  # fmt: skip


def _mark_nyquist(panel: Any, nyquist: float | None, *, said: bool) -> None:
    if nyquist is None:
        return
    panel.axvline(nyquist, color=QUIET, linewidth=0.9)
    if said:
        panel.annotate("Nyquist", (nyquist, 1), xycoords=("data", "axes fraction"),
                       xytext=(0, 3), textcoords="offset points", ha="center", fontsize=7.5,
                       color=QUIET)  # fmt: skip


def _least(values: Numbers) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.min()) if finite.size else 0.0


def _say_spectra(spectra: Sequence[Spectrum], unit: str) -> str:
    said = []
    for s in spectra:
        below = s.frequency[s.correlation < 0.5]
        where = f"falls below 0.5 at {say_number(float(below[0]), 3)} {unit}" if below.size else ""
        said.append(f"{s.codec} {where or 'stays above 0.5'}")
    return "; ".join(said) + "."


# -- bands -----------------------------------------------------------------------------------------


def band_chart(
    errors: Mapping[str, Numbers],
    bands: Sequence[str],
    *,
    axis: str = "error energy / source energy ↓",
    name: str = "bands",
    caption: str = "",
    alt: str = "",
) -> Figure:
    """Each codec's error in each wavelet band, on a scale of powers of ten.

    Args:
        errors: For each codec, a number for each band; 1 is as wrong as nothing at all.
        bands: Their names, finest first.

    Raises:
        InputError: There is nothing to draw, or a codec has another number of bands.
        MissingExtra: matplotlib is not installed.

    Examples:
        >>> errors = {"compact-4x3-2d": np.array([0.9, 0.3, 0.001])}
        >>> chart = band_chart(errors, ("1 ij", "2 ij", "low"))
        >>> _ = Path("bands.png").write_bytes(chart.png)
    """
    refuse_nothing(errors, "wavelet bands")
    for codec, column in errors.items():
        if column.shape != (len(bands),):
            raise InputError(
                f"{codec} has errors of the shape {column.shape}, but there are {len(bands)} bands"
            )
    looks = Looks(list(errors))

    def paint(page: Any) -> None:
        (panel,) = lay_out(page, 1, 1)
        places = np.arange(len(bands))
        for codec, column in errors.items():
            shown = np.where(column > 0, column, np.nan)  # no error has no logarithm
            panel.plot(places, shown, marker=looks.marker(codec), markersize=4.5, linewidth=1.1,
                       color=looks.colour(codec), linestyle=looks.dash(codec), label=tame(codec),
                       markeredgecolor="white", markeredgewidth=0.5)  # fmt: skip
        panel.set_yscale("log")
        panel.yaxis.set_major_formatter(import_matplotlib().ticker.FormatStrFormatter("%g"))
        panel.yaxis.set_minor_formatter(import_matplotlib().ticker.NullFormatter())
        panel.axhline(1.0, color=QUIET, linewidth=0.9)
        panel.set_xticks(places, [tame(band) for band in bands],
                         rotation=0 if len(bands) <= 6 else 60)  # fmt: skip
        panel.set_xlabel("wavelet band, finest first")
        panel.set_ylabel(tame(axis))
        add_legend(page, [panel])

    return draw(
        name, paint, height=3.2 + 0.12 * len(errors),
        caption=caption or "Energy of the error over energy of the source in each wavelet band, "
        "finest first. At 1 a band is as wrong as if it were empty.",
        alt=alt or "Error in each wavelet band. " + "; ".join(
            f"{codec}: {say_number(float(column[0]), 3)} in the finest"
            for codec, column in errors.items()
        ) + ".",
    )  # fmt: skip

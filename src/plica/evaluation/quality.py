"""Quality: the figures of a reconstruction report, from results case by case."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.evaluation.charts import distribution_of
from plica.evaluation.curves import (
    RatePoint,
    Spectrum,
    band_chart,
    rate_distortion_chart,
    spectrum_chart,
)
from plica.evaluation.estimates import Estimate
from plica.evaluation.report import Figure
from plica.evaluation.results import Result, Results

DRAWN = ("psnr", "ms-ssim", "lpips-alex", "lpips-vgg")
RATED = "psnr"
"""What is drawn against bits per pixel."""
SHELLS, BANDS = "fsc-resolution", "wavelet-detail"
LOW = "low"
POINTS = 96  # frequencies of a mean spectrum

Numbers = NDArray[np.float64]


def draw_distributions(results: Results) -> tuple[Figure, ...]:
    """Each case's values, for the metrics a reader looks at first."""
    return tuple(
        distribution_of(results, metric, paired=True)
        for metric in DRAWN
        if any(
            np.isfinite(results.of(group=group).column(metric)).any() for group in results.groups
        )
    )


def draw_rates(
    results: Results, estimates: Mapping[tuple[str, str], Estimate]
) -> tuple[Figure, ...]:
    """PSNR against bits per pixel as stored, group by group.

    Args:
        estimates: The mean PSNR with its interval, by group and codec: those of the tables.
    """
    points = {
        group: [
            _rate(results.of(codec=codec, group=group), codec, estimate)
            for codec in results.codecs
            if (estimate := estimates.get((group, codec))) is not None
        ]
        for group in results.groups
    }
    found = {group: some for group, some in points.items() if some}
    return (rate_distortion_chart(found),) if found else ()


def bits_per_pixel(result: Result) -> float:
    """Bits of the latent's file per pixel value of the image."""
    pixels = float(np.prod(result.facts["shape"])) * result.facts["channels"]
    return 8 * float(result.facts["latent_bytes"]) / pixels


def _rate(results: Results, codec: str, estimate: Estimate) -> RatePoint:
    bits = [
        bits_per_pixel(result)
        for result in results
        if (value := result.value(RATED)) is not None and np.isfinite(value.value)
    ]
    return RatePoint(codec, float(np.mean(bits)), estimate.value, estimate.low, estimate.high)


# -- spectra ---------------------------------------------------------------------------------------


def draw_spectra(results: Results) -> tuple[Figure, ...]:
    """Mean Fourier shell correlation of each codec, a figure for each group."""
    return tuple(_draw_spectra(results, group) for group in _groups_with(results, SHELLS))


def _draw_spectra(results: Results, group: str) -> Figure:
    details = {codec: _details(results, codec, group, SHELLS) for codec in results.codecs}
    unit, _ = Counter(str(d["unit"]) for found in details.values() for d in found).most_common(1)[0]
    details = {codec: [d for d in found if d["unit"] == unit] for codec, found in details.items()}
    every = [detail for found in details.values() for detail in found]
    nyquist = float(np.median([detail["smallest_nyquist"] for detail in every]))
    highest = max(max(detail["frequency"], default=0.0) for detail in every)
    frequency = np.linspace(0.0, highest, POINTS)
    spectra = [
        Spectrum(
            codec,
            frequency,
            _mean_curve(found, "correlation", frequency),
            _mean_curve(found, "power", frequency),
        )
        for codec, found in details.items()
        if found
    ]
    title = f"{group}: " if group else ""
    return spectrum_chart(
        spectra,
        nyquist=nyquist,
        unit=unit,
        name=_name("spectrum", group),
        caption=f"{title}mean Fourier shell correlation of decoded and source over the cases, and "
        f"the power left, by spatial frequency in {unit}; the upright line is the median of the "
        "grids' own smallest Nyquist frequency.",
    )


def _mean_curve(details: list[Mapping[str, Any]], name: str, frequency: Numbers) -> Numbers:
    """The mean over cases at common frequencies; NaN where fewer than half of them reach."""
    curves = []
    for detail in details:
        x = np.array(detail["frequency"], dtype=np.float64)
        y = np.array(
            [np.nan if value is None else value for value in detail[name]],
            dtype=np.float64,
        )
        known = np.isfinite(y)
        curve = np.full(frequency.shape, np.nan)
        if known.any():
            curve = np.interp(frequency, x[known], y[known], right=np.nan)
        curves.append(curve)
    stacked = np.array(curves)
    reached = np.isfinite(stacked).sum(axis=0)
    total = np.nansum(stacked, axis=0)
    return np.where(2 * reached >= len(curves), total / np.maximum(reached, 1), np.nan)


# -- bands -----------------------------------------------------------------------------------------


def draw_bands(results: Results) -> tuple[Figure, ...]:
    """Mean error of each wavelet band, a figure for each group."""
    return tuple(_draw_bands(results, group) for group in _groups_with(results, BANDS))


def _draw_bands(results: Results, group: str) -> Figure:
    rows = {
        codec: [_bands_of(detail) for detail in found]
        for codec in results.codecs
        if (found := _details(results, codec, group, BANDS))
    }
    every = dict.fromkeys(name for found in rows.values() for row in found for name in row)
    names = sorted(every, key=lambda name: name.startswith(LOW))
    errors = {codec: _mean_bands(found, names) for codec, found in rows.items()}
    return band_chart(errors, names, name=_name("bands", group))


def _bands_of(detail: Mapping[str, Any]) -> dict[str, float | None]:
    rows: list[dict[str, Any]] = detail["bands"]
    return {f"{row['band']} {row['level']}": row["error"] for row in rows}


def _mean_bands(rows: list[dict[str, float | None]], names: list[str]) -> Numbers:
    columns = ([v for row in rows if (v := row.get(name)) is not None] for name in names)
    return np.array([float(np.mean(c)) if c else np.nan for c in columns])


# -- both ------------------------------------------------------------------------------------------


def _groups_with(results: Results, metric: str) -> Iterator[str]:
    for group in results.groups:
        if any(_details(results, codec, group, metric) for codec in results.codecs):
            yield group


def _details(results: Results, codec: str, group: str, metric: str) -> list[Mapping[str, Any]]:
    found = (result.value(metric) for result in results.of(codec=codec, group=group))
    return [value.detail for value in found if value is not None and value.detail]


def _name(kind: str, group: str) -> str:
    return f"{kind}-{group}" if group else kind

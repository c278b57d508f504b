"""How much of each wavelet band is lost: the error's energy beside the source's.

Haar's transform takes neighbours a and b along an axis to a low (a + b) / √2 and a high
(a − b) / √2; along each axis in turn this makes 2ᵈ bands of half the sides, named by the axes along
which they are high, and the low one is transformed again. In each band β of each level, with c the
coefficients of the source and ĉ those of the decoded image,

    error_β = Σ (ĉ − c)² / Σ c²          energy_β = Σ ĉ² / Σ c²

An error of 0 is a band that came back, of 1 one that is as wrong as nothing at all in its place.
Each band has its own yardstick. A PSNR within a band, by the band's largest value, has none: a
finest band of zeros scores 20 dB there.

S. Mallat: A theory for multiresolution signal decomposition, IEEE PAMI 11(7), 1989.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.metrics.axes import LETTERS, find_axes, say_axes
from plica.metrics.metric import Metric, Score
from plica.metrics.pair import CHUNK_VOXELS, Bools, Pair

Real = NDArray[np.float64]

LEVELS = 3
LOW = "low"
# Below this part of the energy of all bands there is rounding, of a stored float32 or of ours.
NOTHING = 1e-12


@dataclass
class Band:
    """Sums over the coefficients of one band of one level.

    Args:
        source: Σ c².
        decoded: Σ ĉ².
        error: Σ (ĉ − c)².
        n: How many there are.
    """

    source: float = 0.0
    decoded: float = 0.0
    error: float = 0.0
    n: int = 0

    def add(self, c: Real, e: Real, kept: Bools | None) -> None:
        """Count coefficients of the source and of the error, those that are kept."""
        if kept is not None:
            c, e = c[kept], e[kept]
        self.source += float((c * c).sum())
        self.error += float((e * e).sum())
        self.decoded += float(((c + e) ** 2).sum())
        self.n += c.size

    def ratios(self, least: float) -> tuple[float | None, float | None]:
        """Its error and its energy; None where the source has no more than `least` in this band."""
        if self.source <= least:
            return None, None
        return self.error / self.source, self.decoded / self.source


Bands = dict[tuple[int, str], Band]


def find_bands(pair: Pair) -> tuple[Bands, tuple[int, ...]]:
    """The bands of up to three levels, finest first, and the axes they were taken along.

    A volume is transformed in three dimensions where each side has at least eight voxels, else
    slice by slice across its thinnest axis. An odd last voxel is repeated. There are as many levels
    as leave one coefficient to the shortest side; none where it has one voxel.
    """
    sides = pair.source.shape[1:]
    axes = find_axes(sides, 1 << LEVELS)
    levels = min(LEVELS, min(sides[axis] for axis in axes).bit_length() - 1)
    bands: Bands = {}
    for x, e, whole, touched in _slabs(pair, 1 << levels):
        for level in range(1, levels + 1):
            parts = zip(_split(x, axes), _split(e, axes), strict=True)
            whole, touched = _halve(whole, axes, all_of=True), _halve(touched, axes, all_of=False)
            kept = touched if whole is None else whole if touched is None else whole & touched
            for (name, c), (_, error) in parts:
                if name == LOW:
                    x, e = c, error
                if name != LOW or level == levels:
                    bands.setdefault((level, name), Band()).add(c, error, kept)
    return bands, axes


def _slabs(pair: Pair, rows: int) -> Iterator[tuple[Real, Real, Bools | None, Bools | None]]:
    """Source, error, where both are finite and the region, in whole multiples of `rows`."""
    sides = pair.source.shape[1:]
    step = max(1, CHUNK_VOXELS // (rows * sides[1] * sides[2])) * rows
    for channel in range(pair.source.shape[0]):
        for start in range(0, sides[0], step):
            here = slice(start, start + step)
            x = pair.source[channel, here].astype(np.float64)
            e = pair.decoded[channel, here].astype(np.float64)
            finite = None if pair.finite is None else pair.finite[channel, here]
            if finite is not None:
                x[~finite] = e[~finite] = 0
            e -= x
            yield x, e, finite, None if pair.region is None else pair.region[here]


def _split(values: Real, axes: tuple[int, ...]) -> list[tuple[str, Real]]:
    """One level: each band by its name."""
    bands = [("", values)]
    for axis in axes:
        halves = []
        for name, band in bands:
            a, b = _neighbours(band, axis)
            halves += [(name, (a + b) * math.sqrt(0.5))]
            halves += [(name + LETTERS[axis], (a - b) * math.sqrt(0.5))]
        bands = halves
    return [(name or LOW, band) for name, band in bands]


def _neighbours(values: NDArray[Any], axis: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """First and second of each pair along an axis; an odd last one is its own neighbour."""
    if values.shape[axis] % 2:
        last = values.take([-1], axis)
        values = np.concatenate([values, last], axis)
    even, odd = [slice(None)] * 3, [slice(None)] * 3
    even[axis], odd[axis] = slice(0, None, 2), slice(1, None, 2)
    return values[tuple(even)], values[tuple(odd)]


def _halve(mask: Bools | None, axes: tuple[int, ...], *, all_of: bool) -> Bools | None:
    """Where all, or any, of the voxels behind a coefficient are marked."""
    if mask is None:
        return None
    for axis in axes:
        a, b = _neighbours(mask, axis)
        mask = a & b if all_of else a | b
    return mask


def _wavelet_detail(pair: Pair) -> Score:
    bands, axes = find_bands(pair)
    sides = pair.source.shape[1:]
    if not bands:
        return Score(math.nan, f"{sides} voxels have no neighbours: give at least 2×2 voxels")
    levels = max(level for level, _ in bands)
    note = f"Haar {say_axes(axes, sides)}, {levels} of {LEVELS} levels"
    least = NOTHING * sum(band.source for band in bands.values())
    rows = []
    for (level, name), band in sorted(bands.items(), key=lambda item: item[0][0]):
        error, energy = band.ratios(least)
        rows.append({"level": level, "band": name, "error": error, "energy": energy, "n": band.n})
    detail = {"wavelet": "Haar", "bands": rows}
    finest = [band for (level, name), band in bands.items() if level == 1 and name != LOW]
    errors = [error for band in finest if (error := band.ratios(least)[0]) is not None]
    if errors:
        return Score(float(np.mean(errors)), note, detail)
    if any(band.n for band in finest) and not any(band.error for band in finest):
        return Score(0.0, f"{note}; neither image has any detail", detail)
    return Score(
        math.nan, f"{note}; the source has no detail to compare with: give one that is not constant"
    )


WAVELET_DETAIL = Metric(
    name="wavelet-detail",
    unit="1",
    better="lower",
    ranged=False,
    mask_rule=(
        "Coefficients with a value that is not finite behind them are left out; with a region, "
        "those count that have a voxel of it behind them."
    ),
    definition=(
        "Energy of the error over energy of the source in each of the finest detail bands of "
        "Haar's wavelet, then the mean over these bands; 0 is all detail kept, 1 is as wrong as "
        "none. In 3D where each side has at least 8 voxels, else slice by slice across the "
        "thinnest axis; an odd last voxel is repeated. Bands of 3 levels stand in the detail."
    ),
    function=_wavelet_detail,
)

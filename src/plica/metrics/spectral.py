"""Up to which spatial frequency a decoded image follows its source: Fourier shell correlation.

With X and Y the Fourier transforms of source and decoded, each less its mean and under one window,
and S the frequencies of one shell,

    FSC(S) = Re Σ X Ȳ / √(Σ |X|² Σ |Y|²)          power(S) = Σ |Y|² / Σ |X|²

A frequency is where it is in the patient's space: on a grid whose steps are the columns of A, the
component of m cycles per voxel lies at A⁻ᵀ m cycles per mm, so that shells are spheres whatever the
spacing, and ellipsoids in the indices. A shell is complete up to the smallest of the axes' Nyquist
frequencies, 1 / (2 spacing); beyond it, it holds what the finer axes still carry.

M. van Heel, M. Schatz: Fourier shell correlation threshold criteria, J Struct Biol 151(3), 2005.
W. Saxton, W. Baumeister: The correlation averaging of a regularly arranged bacterial cell envelope
protein, J Microsc 127(2), 1982.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.metrics.axes import LETTERS, find_axes, say_axes
from plica.metrics.metric import PER_LENGTH, PER_PIXEL, Metric, Score
from plica.metrics.pair import CHUNK_VOXELS, Pair

Real = NDArray[np.float64]

LEAST_SIDE = 16
TAPERED = 0.25  # of each side, half of it at either end
HALF, ONE_SEVENTH = 0.5, 1 / 7
# Below this part of the mean power per coefficient a transform in single precision holds rounding.
NOTHING = 1e-12


@dataclass(frozen=True, eq=False)
class Shells:
    """What stands in shells of frequency.

    Args:
        frequency: Middle of each shell, in cycles per mm or pixel; the first is 0.
        correlation: FSC of each; NaN where the source has nothing there.
        power: Σ |Y|² / Σ |X|²; NaN likewise.
        n: Coefficients in each.
        nyquist: Of each axis the transform runs along, by its letter.
        axes: Those axes.
    """

    frequency: Real
    correlation: Real
    power: Real
    n: NDArray[np.int64]
    nyquist: dict[str, float]
    axes: tuple[int, ...]

    def resolve(self, threshold: float) -> float:
        """The frequency up to which the correlation is at least `threshold`.

        Where it first falls below it between two shells, linearly between them; the last shell's
        where it never does.
        """
        known = np.flatnonzero(np.isfinite(self.correlation))
        f, c = self.frequency[known], self.correlation[known]
        below = np.flatnonzero(c < threshold)
        if not below.size:
            return float(f[-1])
        s = int(below[0])
        part = (c[s - 1] - threshold) / (c[s - 1] - c[s])
        return float(f[s - 1] + part * (f[s] - f[s - 1]))


def tukey(n: int, tapered: float = TAPERED) -> Real:
    """A window that is flat in the middle and falls to zero at either end as a cosine."""
    place = np.arange(n) / max(n - 1, 1)
    from_end = np.minimum(place, 1 - place)
    inside = np.clip(2 * from_end / tapered, 0, 1)
    return np.asarray(0.5 * (1 - np.cos(np.pi * inside)))


def correlate(pair: Pair) -> Shells:
    """Correlation and power of each shell, over all channels; finite values only.

    A volume is transformed in three dimensions where each side has at least 16 voxels, else slice
    by slice across its thinnest axis, in rings. Shells are as wide as the coarsest step of
    frequency of any axis, and reach to the largest of the axes' Nyquist frequencies.
    """
    sides = pair.source.shape[1:]
    axes = find_axes(sides, LEAST_SIDE)
    spacing = [pair.spacing_mm[axis] for axis in axes]
    nyquist = {LETTERS[axis]: 0.5 / step for axis, step in zip(axes, spacing, strict=True)}
    width = max(1 / (sides[axis] * step) for axis, step in zip(axes, spacing, strict=True))
    last = int(max(nyquist.values()) / width * (1 + 1e-9))
    sums = np.zeros((4, last + 1))
    for channel in range(pair.source.shape[0]):
        parts = (_spectra(side[channel], axes) for side in (pair.source, pair.decoded))
        for X, Y in zip(*parts, strict=True):
            _add(X, Y, sums, (_metric(pair, axes) / width**2, [sides[axis] for axis in axes]))
    cross, source, decoded, n = sums
    least = NOTHING * source[1:].sum() / max(n[1:].sum(), 1) * n
    some = source > least
    correlation, power = np.full(last + 1, np.nan), np.full(last + 1, np.nan)
    power[some] = decoded[some] / source[some]
    correlation[some] = 0.0  # where the decoded image has nothing
    both = some & (decoded > least)
    correlation[both] = cross[both] / np.sqrt(source[both] * decoded[both])
    correlation[0], power[0] = 1.0, np.nan  # the means were taken out
    frequency = np.arange(last + 1) * width
    return Shells(frequency, correlation, power, n.astype(np.int64), nyquist, axes)


def _metric(pair: Pair, axes: tuple[int, ...]) -> Real:
    """(AᵀA)⁻¹, which takes cycles per voxel m to their squared frequency mᵀ (AᵀA)⁻¹ m."""
    A = np.eye(3) if pair.grid is None else pair.grid.affine[:3, :3]
    A = A[:, list(axes)]
    return np.asarray(np.linalg.inv(A.T @ A))


def _spectra(values: NDArray[Any], axes: tuple[int, ...]) -> Iterator[NDArray[Any]]:
    """Transforms of one channel: one of a volume, else several slices at a time, slices first.

    In single precision, which halves what a large volume needs; its rounding is far below the
    quantisation of any stored image.
    """
    mean = float(values.mean(dtype=np.float64))
    if len(axes) == 2:
        (across,) = set(range(3)) - set(axes)
        values = np.moveaxis(values, across, 0)
    else:
        values = values[None]
    windows = [tukey(side).astype(np.float32) for side in values.shape[1:]]
    step = max(1, CHUNK_VOXELS // values[0].size)
    for start in range(0, len(values), step):
        part = values[start : start + step]
        tapered = np.empty(part.shape, np.float32)
        np.subtract(part, mean, out=tapered, casting="unsafe", dtype=np.float64)
        for axis, window in enumerate(windows):
            tapered *= window.reshape([-1, *[1] * (len(windows) - axis - 1)])
        yield np.fft.rfftn(tapered, axes=tuple(range(1, part.ndim)))


def _add(X: NDArray[Any], Y: NDArray[Any], sums: Real, lattice: tuple[Real, list[int]]) -> None:
    """Count coefficients in their shells, a plane of the first frequency axis at a time.

    Args:
        lattice: What takes cycles per voxel to squared shells, and the sides before the transform.
    """
    G, sides = lattice
    m = [np.fft.fftfreq(side) for side in sides[:-1]] + [np.fft.rfftfreq(sides[-1])]
    # A real image's transform holds half of its frequencies; the others mirror them.
    twice = np.full(len(m[-1]), 2.0)
    twice[0] = 1.0
    if sides[-1] % 2 == 0:
        twice[-1] = 1.0
    rest = np.meshgrid(*m[1:], indexing="ij")
    inner = sum(
        G[a, b] * rest[a - 1] * rest[b - 1] for a in range(1, len(m)) for b in range(1, len(m))
    )
    slope = 2 * sum(G[0, a] * rest[a - 1] for a in range(1, len(m)))
    weights = np.broadcast_to(twice, rest[0].shape).ravel()
    for row, first in enumerate(m[0]):
        squared = G[0, 0] * first**2 + first * slope + inner
        shell = np.rint(np.sqrt(np.maximum(squared, 0))).astype(np.int64).ravel()
        keep = shell < sums.shape[1]
        x, y = (side[:, row].reshape(len(side), -1) for side in (X, Y))
        found = (
            (x.real * y.real + x.imag * y.imag).sum(0, dtype=np.float64),
            (x.real**2 + x.imag**2).sum(0, dtype=np.float64),
            (y.real**2 + y.imag**2).sum(0, dtype=np.float64),
            np.full(shell.size, float(len(x))),
        )
        for total, values in zip(sums, found, strict=True):
            total += np.bincount(shell[keep], (values * weights)[keep], len(total))


def _fsc_resolution(pair: Pair) -> Score:
    pair = pair.boxed()
    sides = pair.source.shape[1:]
    unit = PER_LENGTH if pair.calibrated else PER_PIXEL
    axes = find_axes(sides, LEAST_SIDE)
    if min(sides[axis] for axis in axes) < LEAST_SIDE:
        least = f"{LEAST_SIDE}×{LEAST_SIDE}"
        return Score(math.nan, f"{sides} voxels hold too few frequencies: give at least {least}")
    if pair.finite is not None:
        return Score(
            math.nan,
            f"{np.count_nonzero(~pair.finite)} values are not finite, and a spectrum needs all of "
            "them: give images with finite values, or a region whose box holds none of these",
        )
    shells = correlate(pair)
    if not np.isfinite(shells.correlation[1:]).any():
        return Score(
            math.nan, "the source is constant and has no frequencies: give one that varies"
        )
    value = shells.resolve(HALF)
    native = " × ".join(f"{f:.3g}" for f in shells.nyquist.values())
    note = f"{say_axes(axes, sides)}; native Nyquist {native} {unit}"
    if not np.any(shells.correlation < HALF):
        note += "; at least ½ at every frequency there is"
    return Score(value, note, _detail(shells, unit), unit)


def _detail(shells: Shells, unit: str) -> dict[str, Any]:
    def listed(values: Real) -> list[float | None]:
        return [None if math.isnan(value) else round(value, 6) for value in values.tolist()]

    return {
        "unit": unit,
        "frequency": [float(f"{f:.6g}") for f in shells.frequency],
        "correlation": listed(shells.correlation),
        "power": listed(shells.power),
        "n": shells.n.tolist(),
        "nyquist": shells.nyquist,
        "smallest_nyquist": min(shells.nyquist.values()),
        "resolution_at_half": shells.resolve(HALF),
        "resolution_at_one_seventh": shells.resolve(ONE_SEVENTH),
        "window": f"Tukey, {TAPERED:g} of each side tapered",
    }


FSC_RESOLUTION = Metric(
    name="fsc-resolution",
    unit=PER_LENGTH,
    better="higher",
    ranged=False,
    mask_rule=(
        "No value where any is not finite: a spectrum needs all of them. With a region, all of "
        "the smallest box that holds it is compared."
    ),
    definition=(
        "The spatial frequency up to which the Fourier shell correlation of source and decoded is "
        "at least 0.5 (at 1/7 in the detail): shells are spheres in cycles/mm, up to the largest "
        "of the axes' Nyquist frequencies; means taken out, Tukey window over a quarter of each "
        "side. In 3D where each side has at least 16 voxels, else in rings, slice by slice across "
        "the thinnest axis. In cycles/pixel where the pixels' size is not known."
    ),
    function=_fsc_resolution,
)

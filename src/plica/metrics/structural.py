"""Metrics that compare neighbourhoods: SSIM and its multi-scale form, in two and three dimensions.

With μ, σ² and σ_xy the Gaussian-weighted means, variances and covariance in a window of source x
and decoded y, R the data range, C₁ = (0.01 R)² and C₂ = (0.03 R)²:

    l = (2 μ_x μ_y + C₁) / (μ_x² + μ_y² + C₁)        cs = (2 σ_xy + C₂) / (σ_x² + σ_y² + C₂)

    SSIM = mean of l · cs          MS-SSIM = Π_{s<S} mean(cs_s)^w_s · mean(l_S · cs_S)^w_S

The means run over the windows that lie wholly inside the image, and over channels; a negative
mean counts as zero in MS-SSIM; each scale halves the one before by averaging 2×2(×2) voxels, an
odd last one left out. With a region, they run over the windows whose middle lies in it; a voxel of
a coarser scale lies in it where one of its voxels does. This is the definition of the papers' own
code, pytorch-msssim, MONAI and scikit-image (`gaussian_weights=True,
use_sample_covariance=False`); torchmetrics counts windows over a mirrored border as well.

Z. Wang, A. Bovik, H. Sheikh, E. Simoncelli: Image quality assessment, IEEE TIP 13(4), 2004.
Z. Wang, E. Simoncelli, A. Bovik: Multi-scale structural similarity, Asilomar 2003.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.metrics.metric import NO_RANGE, Metric, Score
from plica.metrics.pair import CHUNK_VOXELS, Bools, Pair

Real = NDArray[np.float64]
Anything = NDArray[Any]

TAPS = 11
SIGMA_VOXELS = 1.5
K1, K2 = 0.01, 0.03
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
SMALLEST_WINDOW = 3
MASK_RULE = (
    "Windows that hold a value that is not finite in either image are left out; with a region, "
    "those count whose middle lies in it."
)
BLOCK = 96  # outputs per matrix product: wide enough for BLAS, narrow enough that most is not zeros


@dataclass(frozen=True, eq=False)
class Field:
    """One channel of a pair, its axes put so that the first and the last have windows.

    Args:
        x: Source, three axes.
        y: Decoded.
        finite: Where both are finite; None where they are everywhere.
        axes: The axes windows run along: all three, or the first and the last.
        taps: Voxels a window has along each of them.
        region: Where windows have their middle; None for everywhere.
    """

    x: Anything
    y: Anything
    finite: Bools | None
    axes: tuple[int, ...]
    taps: int
    region: Bools | None = None

    def halved(self) -> Field:
        """The next coarser scale."""
        finite = None if self.finite is None else _halve(self.finite, self.axes, np.logical_and)
        region = None if self.region is None else _halve(self.region, self.axes, np.logical_or)
        x, y = (_halve(side, self.axes, _average) for side in (self.x, self.y))
        return Field(x, y, finite, self.axes, self.taps, region)

    def middles(self, slab: slice) -> Bools | None:
        """Which windows of a slab have their middle in the region."""
        if self.region is None:
            return None
        margin = self.taps // 2
        inner = [slice(None)] * 3
        for axis in self.axes:
            inner[axis] = slice(margin, -margin)
        return self.region[slab][tuple(inner)]


@dataclass
class Sums:
    """Sums of l · cs and of cs over windows, and how many there were."""

    ssim: float = 0.0
    cs: float = 0.0
    n: int = 0


def gaussian(taps: int = TAPS, sigma: float = SIGMA_VOXELS) -> Real:
    """Weights of a window along one axis; their sum is 1."""
    offset = np.arange(taps) - (taps - 1) / 2
    weights = np.exp(-(offset**2) / (2 * sigma**2))
    return np.asarray(weights / weights.sum())


def _ssim(pair: Pair) -> Score:
    fields, note = _arrange(pair)
    if not fields or pair.data_range == 0:
        return _without_windows(pair, note)
    sums = Sums()
    for field in fields:
        _add_windows(field, pair.data_range, sums)
    return Score(sums.ssim / sums.n, note) if sums.n else _nothing_whole(note)


def _ms_ssim(pair: Pair) -> Score:
    fields, note = _arrange(pair)
    if not fields or pair.data_range == 0:
        return _without_windows(pair, note)
    shortest = min(fields[0].x.shape[axis] for axis in fields[0].axes)
    means: list[tuple[float, float]] = []
    for _ in range(_count_scales(shortest)):
        if means:
            fields = [field.halved() for field in fields]
        sums = Sums()
        for field in fields:
            _add_windows(field, pair.data_range, sums)
        if not sums.n:
            break
        means.append((sums.ssim / sums.n, sums.cs / sums.n))
    if not means:
        return _nothing_whole(note)
    weights = np.array(SCALE_WEIGHTS[: len(means)]) / sum(SCALE_WEIGHTS[: len(means)])
    compared = [cs for _, cs in means[:-1]] + [means[-1][0]]
    value = math.prod(max(m, 0.0) ** float(w) for m, w in zip(compared, weights, strict=True))
    said = f"{note}, {len(means)} of {len(SCALE_WEIGHTS)} scales"
    return Score(value, said, detail={"scales": len(means)})


def _count_scales(shortest: int) -> int:
    """As many of the five as leave every side a window's length, at least one."""
    return max(1, sum(shortest >> scale >= TAPS for scale in range(len(SCALE_WEIGHTS))))


def _without_windows(pair: Pair, note: str) -> Score:
    if pair.data_range == 0:
        same = all(not difference.any() for difference in pair.differences())
        if same:
            return Score(1.0, "no value differs")
        return Score(math.nan, NO_RANGE)
    return Score(math.nan, note)


def _nothing_whole(note: str) -> Score:
    return Score(
        math.nan,
        f"{note}; every window holds a value that is not finite, or has its middle outside the "
        "region: give images with finite values, a larger region, or one farther from the edges",
    )


# -- windows -------------------------------------------------------------------------------------


def _arrange(pair: Pair) -> tuple[list[Field], str]:
    """Channels as fields, and in words which windows fit; no fields where none does.

    A volume has windows in three dimensions where a whole one fits along each side; otherwise it
    is taken slice by slice across its thinnest axis, as a radiograph is.
    """
    sides = pair.source.shape[1:]
    thin = min((2, 1, 0), key=lambda axis: sides[axis])
    if sides[thin] >= TAPS:
        axes: tuple[int, ...] = (0, 1, 2)
        taps, note = TAPS, f"windows of {TAPS}×{TAPS}×{TAPS}"
    else:
        axes = (0, 2)
        shorter = min(side for axis, side in enumerate(sides) if axis != thin)
        taps = min(TAPS, shorter - 1 + shorter % 2)
        note = f"windows of {taps}×{taps}" + (" slice by slice" if sides[thin] > 1 else "")
    if taps < SMALLEST_WINDOW:
        least = f"{SMALLEST_WINDOW}×{SMALLEST_WINDOW}"
        return [], f"no window of {least} fits {sides} voxels: give at least {least} voxels"
    fields = []
    for channel in range(pair.source.shape[0]):
        x, y = pair.source[channel], pair.decoded[channel]
        finite = None if pair.finite is None else pair.finite[channel]
        if finite is not None:
            x, y = np.where(finite, x, 0), np.where(finite, y, 0)
        region = pair.region
        if len(axes) == 2:
            x, y = np.moveaxis(x, thin, 1), np.moveaxis(y, thin, 1)
            finite = None if finite is None else np.moveaxis(finite, thin, 1)
            region = None if region is None else np.moveaxis(region, thin, 1)
        fields.append(Field(x, y, finite, axes, taps, region))
    return fields, note


def _add_windows(field: Field, data_range: float, sums: Sums) -> None:
    C1, C2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    weights = gaussian(field.taps)
    for slab in _slabs(field):
        luminance, cs = _compare(field, slab, weights, (C1, C2))
        ssim, middles = luminance * cs, field.middles(slab)
        if field.finite is not None:
            whole = _smooth(~field.finite[slab], weights, field.axes) == 0
            middles = whole if middles is None else whole & middles
        if middles is not None:
            ssim, cs = ssim[middles], cs[middles]
        sums.ssim += float(ssim.sum())
        sums.cs += float(cs.sum())
        sums.n += cs.size


def _slabs(field: Field) -> Iterator[slice]:
    """Parts of the first axis, each overlapping the next by what a window needs."""
    rows, halo = field.x.shape[0], field.taps - 1
    step = max(2 * halo, CHUNK_VOXELS // max(1, field.x[0].size))
    for start in range(0, rows - halo, step):
        yield slice(start, min(start + step + halo, rows))


def _compare(
    field: Field, slab: slice, weights: Real, constants: tuple[float, float]
) -> tuple[Real, Real]:
    """Luminance l and contrast-structure cs of each window of a slab."""
    C1, C2 = constants
    x, y = field.x[slab].astype(np.float64), field.y[slab].astype(np.float64)
    # Variances as a mean of squares minus a squared mean cancel where the values are large and
    # differ little; taken from the slab's own mean they do not.
    m = float(x.mean())
    x -= m
    y -= m
    mu_x, mu_y = _smooth(x, weights, field.axes), _smooth(y, weights, field.axes)
    both = _smooth(x * x + y * y, weights, field.axes) - mu_x**2 - mu_y**2
    across = _smooth(x * y, weights, field.axes) - mu_x * mu_y
    cs = (2 * across + C2) / (both + C2)
    mu_x += m
    mu_y += m
    return (2 * mu_x * mu_y + C1) / (mu_x**2 + mu_y**2 + C1), cs


def _smooth(values: Anything, weights: Real, axes: tuple[int, ...]) -> Real:
    """Weighted means of all windows that lie wholly inside, axis after axis."""
    out = values.astype(np.float64, copy=False)
    for axis in axes:
        out = _smooth_along(out, weights, axis)
    return out


def _smooth_along(values: Real, weights: Real, axis: int) -> Real:
    """One axis of `_smooth`, as products with a banded matrix.

    Exists because BLAS on a matrix that is mostly zeros is several times faster than eleven
    passes of numpy over memory.
    """
    n = values.shape[axis] - len(weights) + 1
    shape = list(values.shape)
    shape[axis] = n
    out = np.empty(shape)
    for start in range(0, n, BLOCK):
        stop = min(start + BLOCK, n)
        band = _band(weights, stop - start)
        source = [slice(None)] * 3
        target = [slice(None)] * 3
        source[axis] = slice(start, stop + len(weights) - 1)
        target[axis] = slice(start, stop)
        part = values[tuple(source)]
        if axis == 2:
            flat = part.reshape(-1, part.shape[2]) @ band.T
            out[tuple(target)] = flat.reshape(*part.shape[:2], -1)
        else:
            # One large product: many small ones would keep BLAS waiting for its own threads.
            front = np.moveaxis(part, axis, 0)
            product = band @ front.reshape(front.shape[0], -1)
            out[tuple(target)] = np.moveaxis(product.reshape(-1, *front.shape[1:]), 0, axis)
    return out


def _band(weights: Real, outputs: int) -> Real:
    band = np.zeros((outputs, outputs + len(weights) - 1))
    for tap, w in enumerate(weights):
        np.fill_diagonal(band[:, tap:], w)
    return band


# -- scales --------------------------------------------------------------------------------------


def _average(a: Anything, b: Anything) -> Real:
    return np.add(a, b, dtype=np.float64) / 2


def _halve(values: Anything, axes: tuple[int, ...], combine: Any) -> Anything:
    for axis in axes:
        pairs = values.shape[axis] // 2
        first = values.take(range(0, 2 * pairs, 2), axis)
        values = combine(first, values.take(range(1, 2 * pairs, 2), axis))
    return values


SSIM = Metric(
    name="ssim",
    unit="1",
    better="higher",
    ranged=True,
    mask_rule=MASK_RULE,
    definition=(
        "Mean over whole windows of the structural similarity index (Wang 2004): Gaussian of 11 "
        "voxels and σ 1.5, K1 0.01, K2 0.03, population covariance. Windows are 3D where a whole "
        "one fits along each side, otherwise 2D, slice by slice across the thinnest axis; smaller "
        "than 11 where the image is."
    ),
    function=_ssim,
)

MS_SSIM = Metric(
    name="ms-ssim",
    unit="1",
    better="higher",
    ranged=True,
    mask_rule=MASK_RULE,
    definition=(
        "Multi-scale structural similarity (Wang 2003): windows as for ssim, weights 0.0448, "
        "0.2856, 0.3001, 0.2363, 0.1333, scales by averaging 2×2(×2) voxels; a scale to which the "
        "shortest side leaves less than 11 voxels, or the masks no window, is left out and the "
        "other weights are scaled to sum 1. The definition of MONAI and pytorch-msssim, not of "
        "torchmetrics."
    ),
    function=_ms_ssim,
)

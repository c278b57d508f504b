"""Where air ends: thresholds that would rather take noise in than cut anatomy off."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_SAMPLE = 2**21
_SPREADS = 4.0
"""Background noise reaches this many robust standard deviations above its median: for the Rayleigh
noise of magnitude MR images one voxel in a thousand lies higher."""


def find_isodata(values: NDArray[np.float64]) -> float:
    """The threshold midway between the means of the two classes it makes.

    The iterative selection of Ridler and Calvard (1978), on sorted values so that each turn costs
    one search. Two turns never disagree for long: the classes are finitely many.
    """
    ordered = np.sort(values)
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    threshold = float(sums[-1] / len(ordered))
    for _ in range(len(ordered)):
        below = int(np.searchsorted(ordered, threshold, side="right"))
        if below in (0, len(ordered)):
            return threshold
        dark = sums[below] / below
        bright = (sums[-1] - sums[below]) / (len(ordered) - below)
        moved = float(dark + bright) / 2
        if abs(moved - threshold) <= 1e-6 * (ordered[-1] - ordered[0]):
            return moved
        threshold = moved
    return threshold


def find_air_ceiling(pixels: NDArray[Any]) -> float:
    """A value at or below which voxels (i, j, k) may be air, whatever the scale of the image.

    The lower of two estimates, each the median and spread of voxels that look like air: those
    below the isodata threshold of the logarithm (on a linear scale, one hot voxel or bright fat
    would draw the threshold up into the dark tissues), and those in the darkest corner.
    """
    axes = sum(side > 1 for side in pixels.shape)
    step = max(1, round((pixels.size / _SAMPLE) ** (1 / max(axes, 1))))
    sample = pixels[::step, ::step, ::step].ravel().astype(np.float64)
    above = sample - sample.min()
    typical = np.percentile(above, 99.5) or above.max() or 1.0
    logarithms = np.log1p(above * (1000 / typical))
    dark = sample[logarithms <= find_isodata(logarithms)]
    darkest = min(_corners(pixels), key=lambda corner: float(np.median(corner)))
    return min(_noise_ceiling(dark), _noise_ceiling(darkest))


def _noise_ceiling(values: NDArray[np.float64]) -> float:
    middle = float(np.median(values))
    spread = 1.4826 * float(np.median(np.abs(values - middle)))
    return min(middle + _SPREADS * spread, float(values.max()))


def _corners(pixels: NDArray[Any]) -> list[NDArray[np.float64]]:
    near = [slice(0, max(1, side // 8)) for side in pixels.shape]
    far = [slice(side - max(1, side // 8), side) for side in pixels.shape]
    return [
        pixels[i, j, k].ravel().astype(np.float64)
        for i in (near[0], far[0])
        for j in (near[1], far[1])
        for k in (near[2], far[2])
    ]

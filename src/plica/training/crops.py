"""Crops: squares and cubes out of prepared arrays, resized and varied by chance that is given.

A resized crop is read from the whole array at real places: voxel j of the crop lies at

    s + (j + ½) r − ½                  s: start, r = side / crop, both in the array's voxels

and takes the mean of its neighbours under Keys' cubic kernel (1981, a = −½), made wider by r where
r > 1, so that nothing aliases. The array's own voxels beyond the crop's border take part; what
overshoots the values around is clipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.training.recipe import Augmentation

Array = NDArray[Any]
Float32 = NDArray[np.float32]
_REACH = 2.0  # of Keys' kernel, in voxels of the coarser of array and crop


def least_side(crop: int, augmentation: Augmentation) -> int:
    """Sides an array needs at least, so that a crop can be taken from it."""
    smallest = crop * augmentation.scale[0] if augmentation.resized > 0 else crop
    if augmentation.resized < 1:
        smallest = max(smallest, crop)
    return int(np.ceil(smallest - 1e-6))


def draw_side(
    rng: np.random.Generator, crop: int, augmentation: Augmentation, shortest: int
) -> float:
    """How many voxels of an array a crop takes along each axis.

    The logarithm is drawn evenly, so that twice and half are as likely.

    Args:
        shortest: Side of the array.

    Examples:
        >>> from plica.training.recipe import Augmentation
        >>> half_to_twice = Augmentation(scale=(0.5, 2.0))
        >>> 32 <= draw_side(np.random.default_rng(0), 64, half_to_twice, 512) <= 128
        True
    """
    resized = rng.random() < augmentation.resized
    low, high = augmentation.scale
    high = min(high, shortest / crop)
    drawn = float(np.exp(rng.uniform(np.log(low), np.log(max(low, high)))))
    return crop * drawn if resized else float(crop)


def draw_start(
    rng: np.random.Generator, side: float, length: int, held: int | None = None
) -> float:
    """Where along an axis a crop begins; whole where its side is.

    Args:
        length: Of the array along the axis.
        held: A voxel that must lie in the crop.

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> 0 <= draw_start(rng, 64.0, 512) <= 512 - 64
        True
    """
    first, last = 0.0, max(0.0, length - side)
    if held is not None:
        first, last = max(first, held + 1 - side), min(last, float(held))
    if float(side).is_integer():
        return float(rng.integers(int(np.ceil(first)), int(np.floor(last)) + 1))
    return float(rng.uniform(first, last))


def cut(array: Array, starts: Sequence[float], side: float, crop: int) -> Float32:
    """The crop (channel, *space) of `side` voxels along each axis, resized to `crop`."""
    if side == crop and all(float(start).is_integer() for start in starts):
        whole = tuple(slice(int(start), int(start) + crop) for start in starts)
        return np.array(array[(slice(None), *whole)], np.float32, order="C")
    ratio = side / crop
    axes = [_weigh(start, ratio, crop, n) for start, n in zip(starts, array.shape[1:], strict=True)]
    near = tuple(slice(int(taken.min()), int(taken.max()) + 1) for taken, _ in axes)
    values = np.asarray(array[(slice(None), *near)], np.float32)
    low, high = values.min(), values.max()
    for axis, (taken, weights) in enumerate(axes, start=1):
        values = _mix(values, axis, taken - taken.min(), weights)
    return np.ascontiguousarray(np.clip(values, low, high))


def _weigh(start: float, ratio: float, crop: int, length: int) -> tuple[NDArray[np.int64], Float32]:
    """The voxels that give to each of the crop's, and how much: both (tap, crop)."""
    width = max(ratio, 1.0)
    places = start + (np.arange(crop) + 0.5) * ratio - 0.5
    taps = np.arange(int(np.ceil(2 * _REACH * width)) + 1)[:, None]
    taken = np.floor(places - _REACH * width).astype(np.int64) + taps
    inside = (taken >= 0) & (taken < length)
    weights = _cubic((taken - places) / width) * inside
    shares = (weights / weights.sum(axis=0)).astype(np.float32)
    return np.clip(taken, 0, length - 1), shares


def _mix(values: Float32, axis: int, taken: NDArray[np.int64], weights: Float32) -> Float32:
    """Weighted sums along an axis.

    Exists because a product of matrices would start BLAS' threads, which the training's own then
    wait for: a batch took twenty times as long on two cores.
    """
    wide = [1] * values.ndim
    wide[axis] = taken.shape[1]
    mixed = np.zeros([*values.shape[:axis], taken.shape[1], *values.shape[axis + 1 :]], np.float32)
    for one, weight in zip(taken, weights, strict=True):
        mixed += np.take(values, one, axis=axis) * weight.reshape(wide)
    return mixed


def _cubic(d: NDArray[np.float64]) -> NDArray[np.float64]:
    d = np.abs(d)
    near = (1.5 * d - 2.5) * d * d + 1
    far = ((-0.5 * d + 2.5) * d - 4) * d + 2
    return np.where(d < 1, near, np.where(d < 2, far, 0.0))


# -- variation -----------------------------------------------------------------------------------


def vary(rng: np.random.Generator, x: Float32, augmentation: Augmentation) -> Float32:
    """Mirror, turn, and change contrast and brightness, as far as the augmentation allows.

    Values stay in [−1, 1], or in the range they had where that was wider.
    """
    for axis in augmentation.flips:
        if rng.random() < 0.5:
            x = np.flip(x, axis + 1)
    if augmentation.quarter_turns:
        x = np.rot90(x, int(rng.integers(4)), axes=(1, 2))
    return np.ascontiguousarray(_jitter(rng, x, augmentation))


def _jitter(rng: np.random.Generator, x: Float32, augmentation: Augmentation) -> Float32:
    gain, offset, gamma = (
        float(rng.uniform(-most, most))
        for most in (augmentation.gain, augmentation.offset, augmentation.gamma)
    )
    if not (gain or offset or gamma):
        return x
    low, high = min(-1.0, float(x.min())), max(1.0, float(x.max()))
    if gamma:
        shares = (x - np.float32(low)) / np.float32(high - low)
        x = np.power(shares, np.float32(2.0**gamma)) * np.float32(high - low) + np.float32(low)
    return np.clip(x * np.float32(1 + gain) + np.float32(offset), low, high)

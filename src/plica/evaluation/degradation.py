"""The degradation a codec's factor declares: cells of voxels, and what their means cannot carry.

For a factor f along an axis, with cells of f voxels (the last one filled with its last voxel):

    A x     the mean of every cell                     what codes of one number a cell can carry
    A⁺ y    each mean at all voxels of its cell        A A⁺ = 1
    P x     A⁺ A x                                     the part of x that A sees
    N x     x − A⁺ A x                                 the part it does not: its null space
    K x     antialiased bicubic resampling there and back (Keys 1981, a = −½), as the codecs
            "bicubic-…" do it: what plain interpolation leaves of x

P and N are orthogonal where the factor divides the sides.
"""

from __future__ import annotations

import numpy as np

from plica.evaluation.fields import Real, Triple

KEYS_A = -0.5


def average_cells(values: Real, cell: Triple) -> Real:
    """A: the mean of every cell."""
    padded = fill_cells(values, cell)
    parts = [n for side, step in zip(padded.shape, cell, strict=True) for n in (side // step, step)]
    return np.asarray(padded.reshape(parts).mean(axis=(1, 3, 5)))


def spread_cells(means: Real, cell: Triple, shape: tuple[int, ...]) -> Real:
    """A⁺: each mean at all voxels of its cell, on a grid of `shape`."""
    for axis, step in enumerate(cell):
        means = np.repeat(means, step, axis=axis)
    return means[tuple(slice(side) for side in shape)]


def project_null(values: Real, factor: Triple) -> Real:
    """N: what the cells' means do not say of an image."""
    return values - spread_cells(average_cells(values, factor), factor, values.shape)


def interpolate_bicubic(values: Real, factor: Triple) -> Real:
    """K: antialiased bicubic resampling to 1/factor along each axis and back."""
    for axis, step in enumerate(factor):
        if step > 1 and values.shape[axis] > 1:
            there_and_back = _bicubic_matrix(values.shape[axis], step)
            values = np.moveaxis(np.tensordot(there_and_back, values, (1, axis)), 0, axis)
    return values


def fill_cells(values: Real, cell: Triple) -> Real:
    """The image with its last voxels repeated until whole cells are filled."""
    missing = [(0, -side % step) for side, step in zip(values.shape, cell, strict=True)]
    return np.pad(values, missing, mode="edge")


def _bicubic_matrix(side: int, factor: int) -> Real:
    """K along one axis, as a matrix of voxels by voxels."""
    cells = -(-side // factor)
    voxels = (np.arange(cells * factor) + 0.5) / factor
    weights = _keys(voxels[None, :] - (np.arange(cells) + 0.5)[:, None])
    there = weights / weights.sum(axis=1, keepdims=True)
    back = (weights / weights.sum(axis=0, keepdims=True)).T
    last = there[:, side:].sum(axis=1)  # of voxels beyond the image, which repeat its last one
    there = there[:, :side].copy()
    there[:, -1] += last
    return (back @ there)[:side]


def _keys(d: Real) -> Real:
    a, d = KEYS_A, np.abs(d)
    near = (a + 2) * d**3 - (a + 3) * d**2 + 1
    far = a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
    return np.where(d < 1, near, np.where(d < 2, far, 0.0))

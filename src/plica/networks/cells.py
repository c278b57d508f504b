"""Cells: the voxels of a small cube as channels of one coarser voxel, and back; nothing is lost.

Seen through cosines (DCT-II), the channels of a cell of medical images are nearly uncorrelated, and
how strong each is follows a power law of its frequency: over the images the packaged codecs are
fitted to, within a factor of 1.5 in two dimensions and 2.5 in three. Networks learn faster from
channels that are as strong as one another.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Float64 = NDArray[np.float64]

# The packaged codecs were trained with these numbers, which do not stand among their weights: other
# ones would change every image they decode.
#
# Deviation of a cell's mean, in images in [−1, 1].
MEAN_DEVIATION = 0.3
# That of the orthonormal coefficient of frequency k, in half waves per cell, is
# _SLOPE · (side / |k|) ** (dims − 1), or that of noise where it is larger.
_SLOPE, _NOISE = 0.033, 0.02
# That of what a mean differs from those around it, per dims − 1.
_DIFFERENCE = 0.05


def unshuffle(x: Tensor, side: int) -> Tensor:
    """(batch, c, *space) to (batch, c · side ** dims, *space / side), channels last in memory."""
    if side == 1:
        return x
    batch, channels, *space = x.shape
    dims = len(space)
    cells = [length // side for length in space]
    split = x.reshape(batch, channels, *(n for cell in cells for n in (cell, side)))
    order = [0, *range(2, 2 + 2 * dims, 2), 1, *range(3, 3 + 2 * dims, 2)]
    last = split.permute(order).reshape(batch, *cells, channels * side**dims)
    return last.movedim(-1, 1)


def shuffle(h: Tensor, side: int) -> Tensor:
    """The way back: (batch, c · side ** dims, *cells) to (batch, c, *cells · side)."""
    if side == 1:
        return h
    batch, channels, *cells = h.shape
    dims = len(cells)
    split = h.movedim(1, -1).reshape(batch, *cells, channels // side**dims, *[side] * dims)
    order = [0, 1 + dims]
    for axis in range(dims):
        order += [1 + axis, 2 + dims + axis]
    space = [cell * side for cell in cells]
    return split.permute(order).reshape(batch, channels // side**dims, *space)


def make_cosines(side: int, dims: int) -> Float64:
    """The orthonormal transform (frequency, voxel) of a cell, the mean's row first.

    Examples:
        >>> make_cosines(2, 2)[0]
        array([0.5, 0.5, 0.5, 0.5])
    """
    k, n = np.arange(side)[:, None], np.arange(side)[None]
    line = np.cos(np.pi * k * (n + 0.5) / side) * np.sqrt(np.where(k, 2, 1) / side)
    cosines = line
    for _ in range(dims - 1):
        cosines = np.kron(cosines, line)
    return cosines


def expect_deviations(side: int, dims: int) -> Float64:
    """How strong each row of `make_cosines` is in medical images."""
    k = np.array(list(product(range(side), repeat=dims))[1:]).reshape(-1, dims)
    falling = _SLOPE * (side / np.linalg.norm(k, axis=1)) ** (dims - 1)
    return np.array([MEAN_DEVIATION * side ** (dims / 2), *np.maximum(falling, _NOISE)])


def expect_difference(dims: int) -> float:
    """How strongly a cell's mean differs from the mean of those around it."""
    return _DIFFERENCE * (dims - 1)

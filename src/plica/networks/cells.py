"""Cells: voxels of a small cube as channels of one coarser voxel, and back; nothing is lost."""

from __future__ import annotations

from torch import Tensor


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

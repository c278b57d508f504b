"""Pieces of an image: exact tiles for networks that see a finite neighbourhood, else windows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float32]
Place = tuple[slice, ...]
# Is told, after each piece, how many voxels of the input it took care of.
Advance = Callable[[float], None]
OVERLAP = Fraction(1, 4)


# -- tiles: exact ------------------------------------------------------------------------------


def run_in_tiles(
    network: Callable[[Tensor], Tensor],
    x: Array,
    *,
    tile: tuple[int, ...],
    halo: int,
    factor: float,
    advance: Advance = lambda voxels: None,
) -> Array:
    """The network's result on x, computed tile by tile: the very result, to rounding.

    Each tile is cut out with a halo as wide as the network sees, but never beyond the image: at
    the image's own border the network fills up in every layer, which no halo could imitate.

    Args:
        network: (batch, channel, *space) → (batch, code, *space / factor), on any device.
        x: The whole input.
        tile: Sides of a tile without its halo, in voxels of x; rounded down to multiples of the
            factor, but never to zero.
        halo: How far the network sees beyond a tile, in voxels of x; a multiple of the factor.
        factor: Voxels of x per voxel of the result; below one where the network enlarges.
        advance: Is told after each tile how many voxels of x it held.
    """
    ratio = Fraction(factor).limit_denominator(1024)
    whole: Array | None = None
    for core in _cores(x.shape[2:], tile, ratio.numerator):
        place = tuple(
            slice(max(0, span.start - halo), min(side, span.stop + halo))
            for span, side in zip(core, x.shape[2:], strict=True)
        )
        part = network(torch.from_numpy(np.array(x[:, :, *place], np.float32)))
        if whole is None:
            sides = [_scaled(side, ratio) for side in x.shape[2:]]
            whole = np.empty((*part.shape[:2], *sides), np.float32)
        inner = tuple(
            slice(_scaled(one.start - of.start, ratio), _scaled(one.stop - of.start, ratio))
            for one, of in zip(core, place, strict=True)
        )
        target = tuple(slice(_scaled(o.start, ratio), _scaled(o.stop, ratio)) for o in core)
        whole[:, :, *target] = part[:, :, *inner].float().cpu().numpy()
        advance(math.prod(span.stop - span.start for span in core) * math.prod(x.shape[:2]))
    assert whole is not None  # an image has a voxel, and so at least one tile
    return whole


def plan_tiles(
    sides: tuple[int, ...], *, halo: int, stride: int, most_voxels: float
) -> tuple[int, ...]:
    """Sides of tiles, the larger the better, that hold at most so many voxels with their halo.

    The side whose cutting helps most is cut into one more part until they do, or until tiles are
    one stride wide.

    Args:
        sides: Of the whole.
        halo: Around each tile.
        stride: Sides are multiples of it.
        most_voxels: Of a tile with its halo.

    Example:
        >>> plan_tiles((512, 512, 200), halo=16, stride=4, most_voxels=20e6)
        (256, 256, 200)
    """
    tile = tuple(sides)
    while _hold(tile, sides, halo) > most_voxels:
        cuts = [_cut(tile, sides, axis, stride) for axis in range(len(sides))]
        cuts = [cut for cut in cuts if cut != tile]
        if not cuts:
            break
        # Where a halo fills the image, no single cut helps: the longest side then goes first.
        tile = min(cuts, key=lambda cut: (_hold(cut, sides, halo), max(cut), sum(cut)))
    return tile


def _hold(tile: tuple[int, ...], sides: tuple[int, ...], halo: int) -> int:
    """Voxels of the largest tile with its halo, which ends where the image does."""
    held = 1
    for length, side in zip(tile, sides, strict=True):
        neighbours = min(2, -(-side // length) - 1)
        held *= min(side, length + neighbours * halo)
    return held


def _cut(tile: tuple[int, ...], sides: tuple[int, ...], axis: int, stride: int) -> tuple[int, ...]:
    """The tile with one side cut into the next larger number of parts that makes it shorter."""
    parts = -(-sides[axis] // tile[axis])
    length = tile[axis]
    while length >= tile[axis] > stride:
        parts += 1
        length = -(-sides[axis] // (parts * stride)) * stride
    return (*tile[:axis], length, *tile[axis + 1 :])


def _cores(sides: tuple[int, ...], tile: tuple[int, ...], stride: int) -> Iterator[Place]:
    """Boxes that cover a box, each voxel once, and start on multiples of `stride`."""
    spans = []
    for side, asked in zip(sides, tile, strict=True):
        length = max(stride, asked // stride * stride)
        spans.append([slice(at, min(at + length, side)) for at in range(0, side, length)])
    yield from itertools.product(*spans)


# -- windows: blended --------------------------------------------------------------------------


def run_in_windows(
    network: Callable[[Tensor], Tensor],
    x: Tensor,
    *,
    window: int,
    factor: float,
    advance: Advance = lambda voxels: None,
) -> Tensor:
    """The network's result on x, whole or blended from windows.

    MedVAE (Varma et al., 2025) evaluates volumes in windows of at most 160³ that overlap by a
    quarter and are blended with a Gaussian. Its released code starts them at voxels that are no
    multiple of the stride, which shifts latents by up to six voxels; here every window starts and
    ends on one.

    Args:
        network: (batch, channel, *space) → (batch, code, *space / factor).
        x: The whole input.
        window: Longest side of a window, in voxels of x; 0 runs x whole.
        factor: Voxels of x per voxel of the result; below one where the network enlarges.
        advance: Is told after each window its share of the voxels of x.
    """
    sides = x.shape[2:]
    if window == 0 or max(sides) <= window:
        result = network(x)
        advance(x.numel())
        return result
    ratio = Fraction(factor).limit_denominator(1024)
    stride = ratio.numerator  # starts are multiples of it, so they fall on voxels of the result
    total: Tensor | None = None
    weights = torch.zeros([_scaled(side, ratio) for side in sides])
    places = list(_places(sides, window, stride))
    for place in places:
        part = network(x[:, :, *place])
        target = tuple(
            slice(_scaled(span.start, ratio), _scaled(span.stop, ratio)) for span in place
        )
        bump = _gaussian(part.shape[2:])
        if total is None:
            total = torch.zeros(*part.shape[:2], *weights.shape)
        total[:, :, *target] += part.cpu() * bump
        weights[target] += bump
        advance(x.numel() / len(places))
    assert total is not None  # a volume larger than a window has at least one place
    return (total / weights).to(x.device)


def _places(sides: torch.Size, window: int, stride: int) -> Iterator[Place]:
    """Windows that cover a box, overlap by a quarter and start on multiples of `stride`."""
    spans = []
    for side in sides:
        length = min(side, max(stride, window // stride * stride))
        step = max(stride, math.floor(length * (1 - OVERLAP)) // stride * stride)
        starts = [*range(0, side - length, step), side - length]
        spans.append([slice(start, start + length) for start in starts])
    yield from itertools.product(*spans)


def _scaled(voxels: int, ratio: Fraction) -> int:
    scaled = voxels / ratio
    if scaled.denominator != 1:
        raise ValueError(f"{voxels} voxels are no multiple of the factor {ratio}")
    return scaled.numerator


def _gaussian(sides: torch.Size) -> Tensor:
    """Weights of a window: a Gaussian of an eighth of each side, never quite zero at its rim."""
    weights = torch.ones(())
    for side in sides:
        place = torch.arange(side, dtype=torch.float32) - (side - 1) / 2
        bump = torch.exp(-0.5 * (place / (side / 8)) ** 2)
        weights = weights[..., None] * bump
    return weights.clamp_min(1e-3)

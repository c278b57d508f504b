"""Pieces of an image: exact tiles for networks that see a finite neighbourhood, else windows.

A tile cannot be seen in the result. A window can: what a network makes of it depends on where it
ends, so neighbours overlap and are blended.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plica.networks.autoencoder import Pass

Array = NDArray[np.float32]
Place = tuple[slice, ...]
# Is told, after each piece, how many voxels of the input it took care of.
Advance = Callable[[float], None]
_EVERY = (slice(None), slice(None))


# -- tiles: exact ------------------------------------------------------------------------------


def run_in_tiles(
    one: Pass,
    x: Any,
    *,
    tile: tuple[int, ...],
    out: Any = None,
    within: Place | None = None,
    advance: Advance = lambda voxels: None,
) -> Any:
    """The network's result on x, computed tile by tile: the very result, to rounding.

    Each tile is cut out with a halo as wide as the network sees, but never beyond x: at the image's
    own border the network fills up in every layer, which no halo could imitate.

    Args:
        one: The network and how far it sees; its reach is a multiple of its factor.
        x: The whole input (batch, channel, *space): an array, or what reads boxes of one.
        tile: Sides of a tile without its halo, in voxels of x; rounded down to multiples of the
            factor, but never to zero.
        out: Where the result is laid, box by box; None makes an array.
        within: The part of x whose result is wanted, all of it where left out. It starts at
            multiples of the factor, and the result's first voxel is its own.
        advance: Is told after each tile how many voxels of x it held.

    Returns:
        `out`, or the array that was made.

    Examples:
        >>> blur = nn.Conv2d(1, 1, 3, padding=1).requires_grad_(False)
        >>> x = np.random.default_rng(0).normal(size=(1, 1, 64, 64)).astype(np.float32)
        >>> tiled = run_in_tiles(Pass(blur, 4, 1, 2), x, tile=(16, 16))
        >>> bool(np.allclose(tiled, blur(torch.from_numpy(x)), atol=1e-6))
        True
    """
    ratio = Fraction(one.factor).limit_denominator(1024)
    region = within or tuple(slice(0, side) for side in x.shape[2:])
    for core in _cores(region, tile, ratio.numerator):
        place = _widen(core, one.reach, x.shape[2:])
        part = one.function(torch.from_numpy(np.array(x[(*_EVERY, *place)], np.float32)))
        if out is None:
            sides = [_scaled(span.stop - span.start, ratio) for span in region]
            out = np.empty((*part.shape[:2], *sides), np.float32)
        inner = _relate(core, place, ratio)
        out[(*_EVERY, *_relate(core, region, ratio))] = _to_array(part[(*_EVERY, *inner)])
        del part  # the next tile needs the room
        advance(count(core) * math.prod(x.shape[:2]))
    return out


def run_in_blocks(
    passes: tuple[Pass, Pass],
    x: Any,
    *,
    block: tuple[int, ...],
    tiles: tuple[tuple[int, ...], tuple[int, ...]],
    out: Any = None,
    advance: Advance = lambda voxels: None,
) -> Any:
    """Two passes, one after the other, over blocks of x: what lies between never exists whole.

    Args:
        passes: Of which the first gives what the second takes, on the grid of x.
        x: The whole input (batch, channel, *space).
        block: Sides of what the second pass takes at a time, without what it sees around.
        tiles: Sides of either pass's tiles.
        out: Where the result is laid, box by box; None makes an array.
        advance: Is told after each tile its share of the voxels of x.

    Examples:
        >>> blur = Pass(nn.AvgPool2d(3, stride=1, padding=1), 2, 1, 2)
        >>> x = np.ones((1, 1, 64, 64), np.float32)
        >>> run_in_blocks((blur, blur), x, block=(32, 32), tiles=((16, 16), (16, 16))).shape
        (1, 1, 64, 64)
    """
    first, second = passes
    ratio = Fraction(second.factor).limit_denominator(1024)
    region = tuple(slice(0, side) for side in x.shape[2:])
    channels = math.prod(x.shape[:2])
    for core in _cores(region, block, 1):
        place = _widen(core, second.reach, x.shape[2:])
        told = _weigh(advance, first.share * count(core) / count(place))
        begun = run_in_tiles(first, x, tile=tiles[0], within=place, advance=told)
        told = _weigh(advance, second.share * channels / math.prod(begun.shape[:2]))
        finished = _Shifted(out, _relate(core, region, ratio)) if out is not None else None
        inner = _relate(core, place, Fraction(1))
        part = run_in_tiles(second, begun, tile=tiles[1], within=inner, out=finished, advance=told)
        if finished is None:
            if core == region:
                return part
            sides = [_scaled(span.stop, ratio) for span in region]
            out = np.empty((*part.shape[:2], *sides), np.float32)
            out[(*_EVERY, *_relate(core, region, ratio))] = part
    return out


def run_passes(
    passes: tuple[Pass, ...],
    x: Any,
    *,
    tiles: tuple[tuple[int, ...], ...],
    out: Any = None,
    advance: Advance = lambda voxels: None,
) -> Any:
    """Passes one after another, each over all that the one before it gave.

    Args:
        passes: A whole one has a tile of its input's sides.
        x: The input of the first (batch, channel, *space).
        tiles: Sides of each pass's tiles.
        out: Where the last one's result is laid, box by box; None makes an array.
        advance: Is told after each tile its share of the voxels of x.

    Examples:
        >>> halve = Pass(nn.AvgPool2d(2), 0, 2, 2)
        >>> x = np.ones((1, 1, 64, 64), np.float32)
        >>> run_passes((halve, halve), x, tiles=((32, 32), (16, 16))).shape
        (1, 1, 16, 16)
    """
    voxels, given = math.prod(x.shape), x
    for number, (one, tile) in enumerate(zip(passes, tiles, strict=True)):
        told = _weigh(advance, one.share * voxels / math.prod(given.shape))
        last = number == len(passes) - 1
        given = run_in_tiles(one, given, tile=tile, out=out if last else None, advance=told)
    return given


def _weigh(advance: Advance, weight: float) -> Advance:
    return lambda voxels: advance(voxels * weight)


class _Shifted:
    """Writes into a part of something larger."""

    def __init__(self, whole: Any, place: Place) -> None:
        self._whole, self._place = whole, place

    def __setitem__(self, box: Any, values: Array) -> None:
        shifted = (
            slice(span.start + by.start, span.stop + by.start)
            for span, by in zip(box[2:], self._place, strict=True)
        )
        self._whole[(*_EVERY, *shifted)] = values


def _widen(core: Place, halo: int, sides: tuple[int, ...]) -> Place:
    return tuple(
        slice(max(0, span.start - halo), min(side, span.stop + halo))
        for span, side in zip(core, sides, strict=True)
    )


def _relate(core: Place, of: Place, ratio: Fraction) -> Place:
    """Where a core lies in another place, in voxels of the result."""
    return tuple(
        slice(_scaled(one.start - by.start, ratio), _scaled(one.stop - by.start, ratio))
        for one, by in zip(core, of, strict=True)
    )


def count(place: Place) -> int:
    """How many cells a place holds."""
    return math.prod(span.stop - span.start for span in place)


def _to_array(part: Tensor) -> Array:
    return part.float().cpu().numpy()


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

    Examples:
        >>> plan_tiles((512, 512, 200), halo=16, stride=4, most_voxels=20e6)
        (256, 256, 200)
    """
    tile = tuple(sides)
    while hold(tile, sides, halo) > most_voxels:
        cuts = [_cut(tile, sides, axis, stride) for axis in range(len(sides))]
        cuts = [cut for cut in cuts if cut != tile]
        if not cuts:
            break
        # Where a halo fills the image, no single cut helps: the longest side then goes first.
        tile = min(cuts, key=lambda cut: (hold(cut, sides, halo), max(cut), sum(cut)))
    return tile


def hold(tile: tuple[int, ...], sides: tuple[int, ...], halo: int) -> int:
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


def _cores(region: Place, tile: tuple[int, ...], stride: int) -> Iterator[Place]:
    """Boxes that cover a box, each voxel once, and start on multiples of `stride` from its own."""
    spans = []
    for span, asked in zip(region, tile, strict=True):
        length = max(stride, asked // stride * stride)
        starts = range(span.start, span.stop, length)
        spans.append([slice(at, min(at + length, span.stop)) for at in starts])
    yield from itertools.product(*spans)


def count_tiles(sides: tuple[int, ...], tile: tuple[int, ...]) -> int:
    """How many tiles cover so many voxels."""
    return math.prod(-(-side // max(1, one)) for side, one in zip(sides, tile, strict=True))


# -- windows: blended --------------------------------------------------------------------------


def choose_window(side: int, limit: int, stride: int) -> int:
    """Length of the windows along a side, as MedVAE's program chooses them, on the stride.

    A side is halved until it is below the limit, so that windows are alike; here the half is then
    rounded up to a multiple of the stride.

    Examples:
        >>> [choose_window(side, limit=160, stride=4) for side in (152, 160, 336, 512)]
        [152, 80, 84, 128]
    """
    length = side
    while length >= limit and length > stride:
        length //= 2
    return min(side, -(-length // stride) * stride)


def place_windows(side: int, length: int, stride: int) -> list[slice]:
    """Windows that cover a side, overlap by a quarter, and start and end on the stride.

    The step is three quarters of a window, rounded down to the stride; the last window ends where
    the side does.

    Args:
        side: A multiple of the stride.
        length: Of a window, a multiple of the stride.
        stride: Voxels per voxel of the result.

    Examples:
        >>> place_windows(200, 80, 4)
        [slice(0, 80, None), slice(60, 140, None), slice(120, 200, None)]
    """
    step = max(stride, length * 3 // 4 // stride * stride)
    starts = [*range(0, side - length, step), side - length]
    return [slice(start, start + length) for start in starts]


def run_in_windows(
    network: Callable[[Tensor], Tensor],
    x: Any,
    *,
    window: tuple[int, ...],
    factor: float,
    out: Any = None,
    advance: Advance = lambda voxels: None,
) -> Any:
    """The network's result on x, blended from windows.

    MedVAE's program runs volumes in windows that overlap by a quarter, and weighs each by a
    Gaussian; its paper does not speak of them. It starts them at three quarters of a window,
    rounded down to whole voxels and then, in the latent, to whole codes, which shifts half of the
    latent by up to six voxels for most sizes. Here every window starts and ends on the stride.

    Of the result, as much is held as one row of windows along the last axis takes.

    Args:
        network: (batch, channel, *space) → (batch, code, *space / factor).
        x: The whole input: an array, or what reads boxes of one.
        window: Sides of a window in voxels of x, multiples of the factor.
        factor: Voxels of x per voxel of the result; below one where the network enlarges.
        out: Where the result is laid, box by box; None makes an array.
        advance: Is told after each window its share of the voxels of x.

    Returns:
        `out`, or the array that was made.

    Examples:
        >>> x = np.ones((1, 1, 64, 64), np.float32)
        >>> codes = run_in_windows(nn.AvgPool2d(4), x, window=(32, 32), factor=4)
        >>> codes.shape, bool(np.allclose(codes, 1))
        ((1, 1, 16, 16), True)
    """
    sides = x.shape[2:]
    ratio = Fraction(factor).limit_denominator(1024)
    stride = ratio.numerator
    *across, along = (
        place_windows(side, length, stride) for side, length in zip(sides, window, strict=True)
    )
    share = math.prod(x.shape) / (len(along) * math.prod(len(spans) for spans in across))
    row: _Row | None = None
    for span in along:
        for rest in itertools.product(*across):
            place = (*rest, span)
            part = _to_array(network(torch.from_numpy(np.array(x[(*_EVERY, *place)], np.float32))))
            target = _relate(place, tuple(slice(0, side) for side in sides), ratio)
            if row is None:
                whole = tuple(_scaled(side, ratio) for side in sides)
                out = np.empty((*part.shape[:2], *whole), np.float32) if out is None else out
                row = _Row(out, part.shape[:2], whole, depth=part.shape[-1])
            row.add(part, target)
            del part
            advance(share)
    assert row is not None  # a side has at least one window
    row.finish()
    return out


class _Row:
    """The sum of the windows at one place along the last axis; what is done is handed on."""

    def __init__(
        self, out: Any, channels: tuple[int, ...], sides: tuple[int, ...], *, depth: int
    ) -> None:
        self._out = out
        self._sides = sides
        self._start, self._depth = 0, min(depth, sides[-1])
        self._total = np.zeros((*channels, *sides[:-1], self._depth), np.float32)
        self._weights = np.zeros(self._total.shape[2:], np.float32)

    def add(self, part: Array, target: Place) -> None:
        """Add a window; they come in order along the last axis."""
        self._hand_on(target[-1].start)
        here = (*target[:-1], slice(0, part.shape[-1]))
        bump = _gaussian(part.shape[2:])
        self._total[(*_EVERY, *here)] += part * bump
        self._weights[here] += bump

    def finish(self) -> None:
        """Hand on what is left."""
        self._hand_on(self._sides[-1])

    def _hand_on(self, start: int) -> None:
        done = start - self._start
        if done == 0:
            return
        box = (*(slice(0, side) for side in self._sides[:-1]), slice(self._start, start))
        self._out[(*_EVERY, *box)] = self._total[..., :done] / self._weights[..., :done]
        for array in (self._total, self._weights):
            array[..., : self._depth - done] = array[..., done:].copy()
            array[..., self._depth - done :] = 0
        self._start = start


def _scaled(voxels: int, ratio: Fraction) -> int:
    scaled = voxels / ratio
    if scaled.denominator != 1:
        raise ValueError(f"{voxels} voxels are no multiple of the factor {ratio}")
    return scaled.numerator


def _gaussian(sides: tuple[int, ...]) -> Array:
    """Weights of a window: a Gaussian of an eighth of each side, never quite zero at its rim."""
    weights = np.ones((), np.float32)
    for side in sides:
        place = np.arange(side, dtype=np.float32) - (side - 1) / 2
        bump = np.exp(-0.5 * (place / (side / 8)) ** 2).astype(np.float32)
        weights = weights[..., None] * bump
    return np.maximum(weights, np.float32(1e-3))

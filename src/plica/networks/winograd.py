"""Convolutions of side 3 with fewer multiplications (Lavin and Gray, 2016; Winograd, 1980).

Along an axis, m results of a kernel of three taps are made from n = m + 2 values with n products
instead of 3 m. With points a₀ … a₍ₙ₋₂₎ and infinity (Cook and Toom), Nᵢ = Π₍ⱼ≠ᵢ₎ (aᵢ − aⱼ):

    y = Aᵀ [(G k) ⊙ (Bᵀ x)]      Aᵀ  aᵢ to the power of the row
                                 G   aᵢ to the power of the column, over Nᵢ
                                 Bᵀ  coefficients of Π₍ⱼ≠ᵢ₎ (t − aⱼ)

F(4 × 4) needs 2.25 products per result and channel in place of 9, F(2 × 4 × 4) 4.5 in place of 27.
Over the channels the products are matrix products, one per point. Boxes of tiles are gone through
so that what is between stays in the cache; kernels are transformed anew for each map, which is
cheap and can never be out of date.

In three dimensions the first axis has m = 2, whose transforms are a few sums; over the other two
both transforms are one product with a matrix of Kronecker.

The error against float64 is about 2e-6 of the result's deviation, three times that of the direct
sum. In half precision it would be too large.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

# Values of a part while it is transformed: 2 MiB in float32, which stay in cores' own caches.
PART = 2**19
# Values of a box, of which all parts are multiplied at once: kernels are read once for each box.
WORK = 2**21
_FEWEST_TILES = 256  # of a box, if there are so many: fewer would wait for the kernel's memory
_POINTS = (0, 1, -1, 2, -2)
_TILE = 4  # results along each of the last two axes
_SPAN = _TILE + 2
_PLANE = _SPAN * _SPAN
_FEWEST_CHANNELS = 128
_FEWEST_CELLS = 2**11
_MOST_WASTE = 1.3


@dataclass(frozen=True)
class _Slice:
    """One point of F(2) along the first axis.

    Args:
        layers: Which of a tile's layers make its input, and with which sign.
        kernel: Factors of the kernel's three layers.
        even: Factor of what it adds to results 0, 2, … of the axis.
        odd: The same for results 1, 3, …
    """

    layers: tuple[tuple[int, int], ...]
    kernel: tuple[float, ...]
    even: int
    odd: int


_DEEP = (
    _Slice(((0, 1), (2, -1)), (1.0, 0.0, 0.0), 1, 0),
    _Slice(((1, 1), (2, 1)), (0.5, 0.5, 0.5), 1, 1),
    _Slice(((2, 1), (1, -1)), (0.5, -0.5, 0.5), 1, -1),
    _Slice(((3, 1), (1, -1)), (0.0, 0.0, 1.0), 0, 1),
)
_FLAT = (_Slice(((0, 1),), (1.0,), 1, 0),)
Box = tuple[range, range, range]
"""Tiles along each axis."""


def pays(x: Tensor, weight: Tensor) -> bool:
    """Whether `convolve` with padding is measured to be faster than the direct sum.

    Args:
        x: (batch, channel, *space).
        weight: (result, channel, 3, 3) or (result, channel, 3, 3, 3).

    Examples:
        >>> pays(torch.zeros(1, 2, 8, 8), torch.zeros(2, 2, 3, 3))
        False
    """
    if x.device.type != "cpu" or x.dtype != torch.float32 or weight.dtype != torch.float32:
        return False
    sides = x.shape[2:]
    # Tiles that are cut off at the far ends are computed in full.
    waste = math.prod(-(-side // _TILE) * _TILE / side for side in sides[-2:])
    return (
        min(weight.shape[:2]) >= _FEWEST_CHANNELS
        and math.prod(sides) >= _FEWEST_CELLS
        and waste <= _MOST_WASTE
    )


def workspace(weight: Tensor, sides: tuple[int, ...]) -> int:
    """Bytes that `convolve` takes beside its input and its result.

    Args:
        weight: Of the convolution.
        sides: Of the result.

    Examples:
        >>> workspace(torch.zeros(128, 96, 3, 3), (40, 40)) > 0
        True
    """
    plan = _Plan.make(weight, sides)
    results, channels = weight.shape[:2]
    values = math.prod(plan.step) * _PLANE * (channels + results)
    part = math.prod(plan.part) * (2 * _PLANE * channels + 2 * _TILE**2 * results)
    # A slab is at most as large as the tiles that are cut from it.
    return 4 * (values + part + (_PLANE + 2 * 9) * results * channels)


@torch.no_grad()
def convolve(x: Tensor, weight: Tensor, bias: Tensor | None = None, padding: int = 1) -> Tensor:
    """A convolution of side 3 and stride 1, channels last; no gradient flows through it.

    Args:
        x: (batch, channel, *space) of two or three axes of space.
        weight: (result, channel, 3, 3) or (result, channel, 3, 3, 3).
        bias: (result,).
        padding: Of zeros, on every side: 1 or 0.

    Examples:
        >>> x, weight = torch.randn(1, 96, 40, 40), torch.randn(128, 96, 3, 3)
        >>> convolve(x, weight).shape
        torch.Size([1, 128, 40, 40])
    """
    flat = x.ndim == 4
    if flat:  # a plane is a volume of one layer
        x, weight = x.unsqueeze(2), weight.unsqueeze(2)
    pads = (0 if flat else padding, padding, padding)
    sides = tuple(
        side + 2 * pad - (k - 1)
        for side, pad, k in zip(x.shape[2:], pads, weight.shape[2:], strict=True)
    )
    y = x.new_empty((len(x), *sides, len(weight)))
    plan = _Plan.make(weight, sides)
    bench = _Bench(plan, pads, y.new_zeros(len(weight)) if bias is None else bias)
    for point in plan.points:
        kernel = _transform_kernel(weight, point)
        for one, result in zip(x.movedim(1, -1), y, strict=True):
            for box in plan.boxes():
                bench.run(one, result, point=point, kernel=kernel, box=box)
    y = y.movedim(-1, 1)
    return y.squeeze(2) if flat else y


@dataclass(frozen=True)
class _Plan:
    """Which boxes of tiles are gone through.

    Args:
        points: Of the transform along the first axis.
        tiles: Per axis.
        step: Tiles of a box, per axis.
        part: Tiles of a part of it, per axis.
    """

    points: tuple[_Slice, ...]
    tiles: tuple[int, int, int]
    step: tuple[int, int, int]
    part: tuple[int, int, int]

    @staticmethod
    def make(weight: Tensor, sides: tuple[int, ...]) -> _Plan:
        """For a kernel and a result's sides."""
        points = _DEEP if weight.ndim == 5 and weight.shape[2] == 3 else _FLAT
        depth, height, width = sides if len(sides) == 3 else (1, *sides)
        deep = 2 if points is _DEEP else 1
        tiles = (-(-depth // deep), -(-height // _TILE), -(-width // _TILE))
        size = _PLANE * max(weight.shape[:2])
        step = _fill(tiles, max(_FEWEST_TILES, WORK // size))
        return _Plan(points, tiles, step, _fill(step, max(1, PART // size)))

    @property
    def deep(self) -> int:
        """Results per tile along the first axis."""
        return 2 if self.points is _DEEP else 1

    def boxes(self) -> Iterator[Box]:
        """All of them; the last ones of a row may be smaller."""
        first, second, third = (range(number) for number in self.tiles)
        return _cut_up((first, second, third), self.step)

    def split(self, box: Box) -> Iterator[Box]:
        """A box's parts."""
        return _cut_up(box, self.part)


def count(box: Box) -> int:
    """Tiles of a box."""
    return math.prod(len(part) for part in box)


def _fill(tiles: tuple[int, int, int], most: int) -> tuple[int, int, int]:
    """Of so many tiles as many as there may be, whole rows first."""
    third = min(tiles[2], most)
    second = min(tiles[1], max(1, most // third))
    return min(tiles[0], max(1, most // (third * second))), second, third


def _cut_up(box: Box, steps: tuple[int, int, int]) -> Iterator[Box]:
    parts = (
        [whole[at : at + step] for at in range(0, len(whole), step)]
        for whole, step in zip(box, steps, strict=True)
    )
    yield from itertools.product(*parts)


class _Bench:
    """Matrices, and memory that is used again from box to box."""

    def __init__(self, plan: _Plan, pads: tuple[int, int, int], bias: Tensor) -> None:
        self.plan = plan
        self.pads = pads
        self.bias = bias
        self.before, _, self.after = _matrices()
        self.kept: dict[tuple[str, int], Tensor] = {}

    def run(self, x: Tensor, y: Tensor, *, point: _Slice, kernel: Tensor, box: Box) -> None:
        """Add what one point of the first axis makes of x to a box of y, both (*space, channel)."""
        tiles, channels, made = count(box), x.shape[-1], y.shape[-1]
        values = self._keep("values", _PLANE, tiles, channels)
        products = self._keep("products", _PLANE, tiles, made)
        parts = list(self.plan.split(box))
        flat, at = values.view(_PLANE, -1), 0
        for part in parts:
            patches = self._cut(self._gather(x, point, part), tuple(map(len, part)))
            size = count(part) * channels
            torch.mm(self.before, patches.view(_PLANE, size), out=flat[:, at : at + size])
            at += size
        torch.bmm(values, kernel, out=products)
        flat, at = products.view(_PLANE, -1), 0
        for part in parts:
            size = count(part) * made
            results = self._keep("results", _TILE**2, size)
            torch.mm(self.after, flat[:, at : at + size], out=results)
            self._lay(results, y, point, part)
            at += size

    def _keep(self, name: str, *shape: int) -> Tensor:
        size = math.prod(shape)
        kept = self.kept.get((name, size))
        if kept is None:
            kept = self.kept[name, size] = torch.empty(size)
        return kept.view(shape)

    def _gather(self, x: Tensor, point: _Slice, box: Box) -> Tensor:
        """What a box sees, with zeros around the map: (first axis's tiles, *cells, channel)."""
        spans = [
            (part.start * _TILE - pad, part.stop * _TILE + 2 - pad)
            for part, pad in zip(box[1:], self.pads[1:], strict=True)
        ]
        slab = self._keep("slab", len(box[0]), *(b - a for a, b in spans), x.shape[-1])
        own, seen = [], []
        for axis, ((start, stop), side) in enumerate(zip(spans, x.shape[1:3], strict=True), 1):
            before, after = max(-start, 0), max(stop - side, 0)
            slab.narrow(axis, 0, before).zero_()
            slab.narrow(axis, stop - start - after, after).zero_()
            own.append(slice(before, stop - start - after))
            seen.append(slice(start + before, stop - after))
        self._combine(x[:, seen[0], seen[1]], slab[:, own[0], own[1]], point, box[0])
        return slab

    def _combine(self, x: Tensor, out: Tensor, point: _Slice, tiles: range) -> None:
        """The transform along the first axis, of which layers beyond the map are zero."""
        deep = self.plan.deep
        for number, (layer, sign) in enumerate(point.layers):
            first = tiles.start * deep + layer - self.pads[0]
            skipped = -(first // deep) if first < 0 else 0
            there = min(len(tiles), -(-(len(x) - first) // deep))
            source = x[first + skipped * deep : first + there * deep : deep]
            part = out[skipped:there]
            if number:
                part.add_(source, alpha=sign)
                continue
            part.copy_(source)
            out[:skipped].zero_()
            out[there:].zero_()

    def _cut(self, slab: Tensor, numbers: tuple[int, ...]) -> Tensor:
        """Overlapping tiles of the last two axes: (6, 6, *tiles, channel)."""
        layer, row, column, _ = slab.stride()
        seen = slab.as_strided(
            (_SPAN, _SPAN, *numbers, slab.shape[-1]),
            (row, column, layer, row * _TILE, column * _TILE, 1),
        )
        return self._keep("patches", *seen.shape).copy_(seen)

    def _lay(self, results: Tensor, y: Tensor, point: _Slice, box: Box) -> None:
        """Add tiles to y, which may end within the last ones."""
        layers, rows, columns = (len(part) for part in box)
        tiled = results.view(_TILE, _TILE, layers, rows, columns, y.shape[-1])
        tiled = tiled.permute(2, 3, 0, 4, 1, 5)  # layer, row, in row, column, in column, channel
        down, right = (slice(part.start * _TILE, part.stop * _TILE) for part in box[1:])
        fits = y.shape[1] >= down.stop and y.shape[2] >= right.stop
        if not fits:
            tiled = tiled.reshape(layers, rows * _TILE, columns * _TILE, -1)
        deep, shown = self.plan.deep, tuple(tiled.shape[1:])
        for offset, sign in enumerate((point.even, point.odd)[:deep]):
            target = y[box[0].start * deep + offset : box[0].stop * deep : deep, down, right]
            if sign == 0:
                continue
            if fits:
                source, target = tiled[: len(target)], target.view(len(target), *shown)
            else:
                source = tiled[: len(target), : target.shape[1], : target.shape[2]]
            begins = point is self.plan.points[offset]
            if begins:
                torch.add(source, self.bias, out=target)
            else:
                target.add_(source, alpha=sign)


def _transform_kernel(weight: Tensor, point: _Slice) -> Tensor:
    """G k along all axes, of one point of the first: (point, channel, result)."""
    layers = [weight[:, :, number] * factor for number, factor in enumerate(point.kernel) if factor]
    k = layers[0]
    for layer in layers[1:]:
        k += layer
    k = k.permute(2, 3, 1, 0).reshape(9, -1)
    return torch.mm(_matrices()[1], k).view(_PLANE, weight.shape[1], weight.shape[0])


@cache
def _matrices() -> tuple[Tensor, Tensor, Tensor]:
    """Bᵀ, G and Aᵀ of F(4 × 4), in float32."""
    before, kernel, after = (torch.tensor(rows, dtype=torch.float64) for rows in _cook_toom())
    with torch.inference_mode(False):  # kept, and met by later calls outside it too
        before, kernel, after = (torch.kron(one, one).float() for one in (before, kernel, after))
    return before, kernel, after


def _cook_toom() -> tuple[list[list[float]], list[list[float]], list[list[float]]]:
    """Bᵀ, G and Aᵀ for `_TILE` results of three taps."""
    others = [[b for b in _POINTS if b != a] for a in _POINTS]
    scales = [math.prod(a - b for b in rest) for a, rest in zip(_POINTS, others, strict=True)]
    before = [[*_expand(rest), 0.0] for rest in others] + [_expand(list(_POINTS))]
    kernel = [[a**p / n for p in range(3)] for a, n in zip(_POINTS, scales, strict=True)]
    after = [[float(a**p) for a in _POINTS] + [float(p == _TILE - 1)] for p in range(_TILE)]
    return before, [*kernel, [0.0, 0.0, 1.0]], after


def _expand(roots: list[int]) -> list[float]:
    """Coefficients of Π (t − root), that of 1 first."""
    coefficients = [1.0]
    for root in roots:
        moved = [0.0, *coefficients]
        coefficients = [*(-root * one for one in coefficients), 0.0]
        coefficients = [a + b for a, b in zip(coefficients, moved, strict=True)]
    return coefficients

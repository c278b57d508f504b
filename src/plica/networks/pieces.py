"""Pieces of a map: boxes that cover it once, and the largest that a budget allows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

Box = tuple[slice, ...]
Sides = tuple[int, ...]
LEAST_SIDE = 4
"""Tiles are cut no shorter: with its halo, such a tile already holds three times what it yields."""


def cut(sides: Sides, tile: Sides) -> Iterator[Box]:
    """Boxes of at most `tile` that cover `sides` once, the last axis running fastest."""
    spans = [
        [slice(at, min(at + length, side)) for at in range(0, side, length)]
        for side, length in zip(sides, tile, strict=True)
    ]
    return itertools.product(*spans)


def count_boxes(sides: Sides, tile: Sides) -> int:
    """How many boxes `cut` gives."""
    return math.prod(-(-side // length) for side, length in zip(sides, tile, strict=True))


def whole(sides: Sides) -> Box:
    """The box that holds all."""
    return tuple(slice(0, side) for side in sides)


def grow(box: Box, halo: int, sides: Sides) -> Box:
    """The box with so many cells more all around, but none beyond the map."""
    return tuple(
        slice(max(0, span.start - halo), min(side, span.stop + halo))
        for span, side in zip(box, sides, strict=True)
    )


def scale(box: Box, factor: int) -> Box:
    """The same place on a map whose sides are `factor` times as long."""
    return tuple(slice(span.start * factor, span.stop * factor) for span in box)


def seen_from(box: Box, origin: Sides) -> Box:
    """The same place, counted from another origin."""
    return tuple(
        slice(span.start - at, span.stop - at) for span, at in zip(box, origin, strict=True)
    )


def starts(box: Box) -> Sides:
    """Where a box begins."""
    return tuple(span.start for span in box)


def lengths(box: Box) -> Sides:
    """Sides of a box."""
    return tuple(span.stop - span.start for span in box)


def count(box: Box) -> int:
    """Cells of a box."""
    return math.prod(lengths(box))


def hold(tile: Sides, sides: Sides, halo: int) -> int:
    """Cells of the largest tile with its halo, which ends where the map does."""
    return math.prod(
        min(side, length + halo * min(2, -(-side // length) - 1))
        for length, side in zip(tile, sides, strict=True)
    )


def choose_tile(sides: Sides, need: Callable[[Sides], float], allowed: float) -> Sides | None:
    """A large tile that needs no more than allowed, or None.

    The longest side is cut into one more part until it does; sides of `LEAST_SIDE` stay.

    Args:
        sides: Of the map.
        need: What a tile needs; less for smaller ones.
        allowed: In the same unit.

    Examples:
        >>> choose_tile((512, 512, 200), lambda tile: tile[0] * tile[1] * tile[2], 1e7)
        (171, 256, 200)
    """
    tile = tuple(sides)
    while need(tile) > allowed:
        axis = max(range(len(tile)), key=lambda axis: tile[axis])
        if tile[axis] <= LEAST_SIDE:
            return None
        tile = (*tile[:axis], _shorter(sides[axis], tile[axis]), *tile[axis + 1 :])
    return tile


def _shorter(side: int, length: int) -> int:
    """The next shorter length that cuts a side into parts of about equal length."""
    parts = -(-side // length)
    shorter = length
    while shorter >= length:
        parts += 1
        shorter = -(-side // parts)
    return max(LEAST_SIDE, shorter)

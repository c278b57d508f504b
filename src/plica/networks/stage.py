"""A stage of a schedule: one layer, done to a map box by box; what it makes and what it needs."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

from plica.networks.bench import Bench
from plica.networks.moments import PIECE
from plica.networks.pieces import Box, Sides, count, hold

# Allocators keep freed pieces of up to so many bytes (of glibc's, the most), and may not find them
# of use for the next one; after each box all are given back.
KEPT = 2**25


@dataclass(frozen=True)
class Made:
    """A map that a stage makes.

    Args:
        name: Its letter.
        channels: Of each cell.
        sides: Cells along each axis.
    """

    name: str
    channels: int
    sides: Sides

    @property
    def values(self) -> int:
        """How many numbers it holds."""
        return self.channels * math.prod(self.sides)


@dataclass(frozen=True)
class Stage(ABC):
    """What is done to every box of a map.

    Args:
        sides: Of the map whose boxes are walked over.
        itemsize: Bytes of a value.
        watched: Whether moments of what it makes are wanted.
    """

    sides: Sides
    itemsize: int
    watched: bool = field(kw_only=True, default=False)
    halo: ClassVar[int] = 0
    most_cells: ClassVar[int] = 2**62
    drops: ClassVar[tuple[str, ...]] = ()

    @property
    def makes(self) -> tuple[Made, ...]:
        """The maps it begins."""
        return ()

    @property
    @abstractmethod
    def operations(self) -> int:
        """Multiply-adds of all boxes."""

    @property
    @abstractmethod
    def traffic(self) -> int:
        """Values that are read from maps or written to them."""

    @abstractmethod
    def need(self, tile: Sides) -> float:
        """Bytes that a tile takes beside the maps."""

    @abstractmethod
    def run(self, bench: Bench, box: Box) -> None:
        """Do one box."""

    def finish(self, bench: Bench) -> None:  # noqa: B027  # most stages have nothing to add
        """What follows the last box."""

    def tell(self, bench: Bench, box: Box) -> None:
        """Say that a box is done."""
        bench.advance(self.operations * count(box) / math.prod(self.sides))

    def _cells(self, tile: Sides) -> tuple[int, int]:
        """Of a tile, and of it with its halo."""
        return math.prod(tile), hold(tile, self.sides, self.halo)

    def _seen(self, tile: Sides) -> Sides:
        """Sides of a tile with its halo."""
        return tuple(
            min(side, one + 2 * self.halo) for side, one in zip(self.sides, tile, strict=True)
        )

    @staticmethod
    def _with_kept(live: float, *freed: float) -> float:
        """Bytes in use, and those of freed pieces that may still be there."""
        return live + sum(min(size, KEPT) for size in freed)

    def _looking(self, cells: int, channels: int) -> int:
        """Bytes that looking at moments takes."""
        return 3 * 4 * (min(cells * channels, PIECE) + channels * -(-cells * channels // PIECE) * 8)

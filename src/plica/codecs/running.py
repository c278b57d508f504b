"""Running: how a network is led over an image: in which pieces, and who is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from plica.errors import SettingsError

Progress = Callable[[int, int], None]
"""Is told how much is done, and of how much, in a unit of its own."""

# What the feature maps of a tile may take: a laptop has it to spare beside the image.
WORKING_BYTES = 2**30
SMALLEST_TILE = 8


@dataclass(frozen=True)
class Running:
    """Choices that change neither latents nor images, but memory, time and what is told.

    Args:
        tile: Side of a tile in voxels, without what it must see around; 0 takes as large ones as
            `WORKING_BYTES` allow. Only networks with a finite receptive field have tiles.
        progress: Is called after each piece.
    """

    tile: int = 0
    progress: Progress | None = None

    @classmethod
    def from_options(cls, tile: Any = None, progress: Any = None) -> Running:
        """Check what came from a command line or a caller without types.

        Raises:
            SettingsError: The tile is no whole number of voxels, or progress cannot be called.
        """
        if tile is None:
            tile = 0
        elif isinstance(tile, bool) or not isinstance(tile, int) or tile < SMALLEST_TILE:
            raise SettingsError(
                f"tile is the side of a tile, a whole number of at least {SMALLEST_TILE} voxels, "
                f"but got {tile!r}"
            )
        if progress is not None and not callable(progress):
            raise SettingsError(
                f"progress is a function of what is done and of how much, but got {progress!r}"
            )
        return cls(tile, progress)


@dataclass
class Meter:
    """Adds up what pieces take care of, for `Running.progress`."""

    total: int
    progress: Progress | None = None
    _done: float = field(default=0.0)

    def part(self, weight: float) -> Callable[[float], None]:
        """An `advance` for what counts `weight` each."""
        return lambda voxels: self.advance(voxels * weight)

    def advance(self, voxels: float) -> None:
        """So many voxels more are done."""
        self._done += voxels
        if self.progress is not None:
            self.progress(min(self.total, round(self._done)), self.total)

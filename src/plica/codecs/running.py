"""Running: how a network is led over an image: in how much memory, in which pieces, who is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from plica.codecs.budget import parse_memory
from plica.errors import SettingsError

Progress = Callable[[int, int], None]
"""Is told how much is done, and of how much, in a unit of its own."""
Tiling = Literal["auto", "exact", "window", "blend", "whole"]

SMALLEST_TILE = 8


@dataclass(frozen=True)
class Running:
    """How a network is run.

    `exact` changes neither latents nor images, only memory and time; so does `whole`. `window` and
    `blend` compute something else: what a network sees ends where its window does.

    Args:
        tile: Side of a tile in voxels, without what it must see around, or of a window that is
            blended; 0 takes as large ones as the memory allows.
        progress: Is called after each piece.
        memory: Bytes the process may hold; None takes half of the machine's.
        device_memory: Bytes of the device that feature maps may take; None takes what is free.
        tiling: "exact": tiles with a halo where the network has such, else its layers one after
            another in pieces that share their statistics. "window": the windows the network's
            authors run it in, on its stride. "blend": windows where the authors have none.
            "whole": one piece. "auto": windows where the card names them; else exact tiles where
            the network has such; else whole if it fits the memory and exact if not.
    """

    tile: int = 0
    progress: Progress | None = None
    memory: int | None = None
    device_memory: int | None = None
    tiling: Tiling = "auto"

    @classmethod
    def from_options(
        cls,
        tile: Any = None,
        progress: Any = None,
        memory: Any = None,
        device_memory: Any = None,
        tiling: Any = None,
    ) -> Running:
        """Check what came from a command line or a caller without types.

        Raises:
            SettingsError: A tile is no whole number of voxels, memory no amount, tiling no way, or
                progress cannot be called.
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
        if tiling is not None and tiling not in get_args(Tiling):
            raise SettingsError(
                f"tiling is one of {', '.join(get_args(Tiling))}, but got {tiling!r}"
            )
        return cls(
            tile,
            progress,
            parse_memory(memory),
            parse_memory(device_memory, "device_memory"),
            tiling or "auto",
        )


@dataclass
class Meter:
    """Adds up what pieces take care of, for `Running.progress`."""

    total: int
    progress: Progress | None = None
    _done: float = field(default=0.0)

    def advance(self, voxels: float) -> None:
        """So many voxels more are done."""
        self._done += voxels
        if self.progress is not None:
            self.progress(min(self.total, round(self._done)), self.total)

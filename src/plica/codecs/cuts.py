"""Cuts: the tiles in which a network's passes could be run, and what that takes."""

from __future__ import annotations

from dataclasses import dataclass

from plica.codecs.tiling import hold
from plica.networks.autoencoder import Pass

# What allocators and the workspaces of convolutions take beside the maps of a tile. Measured.
_OVERHEAD, _ENLARGING_OVERHEAD = 1.2, 1.5


@dataclass(frozen=True)
class Course:
    """How the passes of a network could follow one another.

    Args:
        tiles: Of each pass.
        pieces: How many they are, of each pass.
        batch: Inputs at a time.
        bytes: What the dearest pass takes, with what it is given and what it gives.
    """

    tiles: tuple[tuple[int, ...], ...]
    pieces: tuple[int, ...]
    batch: int
    bytes: int


@dataclass(frozen=True)
class Cut:
    """How a local network's input could be cut.

    Args:
        tiles: Of each pass.
        block: What lives between two passes is computed for so much of the input at a time.
        batch: Inputs at a time.
        bytes: What all that takes.
    """

    tiles: tuple[tuple[int, ...], ...]
    block: tuple[int, ...]
    batch: int
    bytes: int

    @classmethod
    def of(
        cls,
        passes: tuple[Pass, ...],
        tiles: tuple[tuple[int, ...], ...],
        block: tuple[int, ...],
        sides: tuple[int, ...],
        batch: int,
    ) -> Cut:
        """A cut and what it takes."""
        pieces = (
            cost(one, batch) * hold(tile, sides, one.reach)
            for one, tile in zip(passes, tiles, strict=True)
        )
        between = 4 * batch * count_between(passes) * hold(block, sides, passes[-1].reach)
        return cls(tiles, block, batch, int(max(pieces) + between))


def count_between(passes: tuple[Pass, ...]) -> int:
    """Numbers per cell that live between two passes."""
    return passes[0].channels if len(passes) > 1 else 0


def cost(one: Pass, batch: int) -> float:
    """Bytes per cell of a tile with its halo."""
    overhead = _ENLARGING_OVERHEAD if one.factor < 1 else _OVERHEAD
    return 4 * batch * one.floats * overhead

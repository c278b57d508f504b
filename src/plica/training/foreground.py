"""Foreground: in which cells of an image there is more than background."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.preparation.threshold import find_isodata

CELL = 8
"""Voxels along each axis of a cell."""

_ENOUGH = 1 / 8
"""Share of a cell's voxels above the ceiling, from which it counts: noise seldom comes so far."""

_SAMPLE = 2**18
_BRIGHT = 99.5
"""Percentile that brighter voxels are brought to, so that a few do not draw the ceiling up."""


@dataclass(frozen=True)
class Foreground:
    """What is known of an image's foreground.

    Args:
        cells: Which cells of `CELL` voxels a side hold some, (i, j, k).
        ceiling: Voxels above it are foreground.
    """

    cells: NDArray[np.bool_]
    ceiling: float

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready record; `from_json` gives an equal one."""
        packed = base64.b64encode(np.packbits(self.cells).tobytes()).decode()
        return {"shape": list(self.cells.shape), "cells": packed, "ceiling": self.ceiling}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Foreground:
        """Read back what `to_json` made.

        Raises:
            ValueError: The record is not one of a foreground.
        """
        try:
            shape = tuple(int(side) for side in record["shape"])
            bits = np.frombuffer(base64.b64decode(record["cells"], validate=True), np.uint8)
            ceiling = float(record["ceiling"])
        except (KeyError, TypeError, binascii.Error) as error:
            raise ValueError(f"not the record of a foreground: {error!r}") from error
        count = int(np.prod(shape))
        if len(bits) != -(-count // 8):
            raise ValueError(f"not the record of a foreground: {len(bits)} bytes for {shape} cells")
        return cls(np.unpackbits(bits, count=count).reshape(shape).astype(np.bool_), ceiling)


def find_foreground(pixels: NDArray[Any]) -> Foreground:
    """The foreground of pixels (channel, i, j, k); a voxel belongs to it by its brightest channel.

    It is what is nearer to the mean of the bright than to that of the dark (Ridler and Calvard,
    1978). Of an even image, all counts.
    """
    brightest = pixels.max(axis=0)
    sample = brightest.ravel()[:: max(1, brightest.size // _SAMPLE) | 1].astype(np.float64)
    ceiling = find_isodata(np.minimum(sample, np.percentile(sample, _BRIGHT)))
    above = brightest > ceiling
    for axis in range(3):
        starts = np.arange(0, above.shape[axis], CELL)
        above = np.add.reduceat(above, starts, axis=axis, dtype=np.int32)
    sides = [np.diff([*range(0, n, CELL), n]) for n in brightest.shape]
    voxels = sides[0][:, None, None] * sides[1][:, None] * sides[2]
    cells = above >= np.maximum(voxels * _ENOUGH, 1)
    if not cells.any():
        return Foreground(np.ones_like(cells), float(brightest.min()) - 1)
    return Foreground(cells, float(ceiling))


def draw_voxel(
    rng: np.random.Generator, pixels: NDArray[Any], foreground: Foreground
) -> tuple[int, int, int]:
    """A voxel of the foreground: a cell by chance, and one of its voxels above the ceiling."""
    cells = np.flatnonzero(foreground.cells)
    cell = np.unravel_index(int(cells[rng.integers(len(cells))]), foreground.cells.shape)
    start = [int(n) * CELL for n in cell]
    block = pixels[(slice(None), *(slice(n, n + CELL) for n in start))].max(axis=0)
    above = np.flatnonzero(block > foreground.ceiling)
    if not len(above):  # what was just above it may not be so in half precision
        above = np.arange(block.size)
    inside = np.unravel_index(int(above[rng.integers(len(above))]), block.shape)
    i, j, k = (first + int(n) for first, n in zip(start, inside, strict=True))
    return i, j, k

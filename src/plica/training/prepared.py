"""Prepared images: what a network is shown of one case, on disk, and how it may be cut."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.codecs.directory import PREPARATIONS
from plica.codecs.preparing import Preparing
from plica.image import Image
from plica.preparation.planes import ORIENTATIONS, plane_across
from plica.preparation.reorient import find_turn
from plica.preparation.trail import prepare
from plica.training.cache import Entry, open_pixels, read_facts
from plica.training.foreground import CELL, Foreground, draw_voxel, find_foreground
from plica.training.recipe import Preparation

Array = NDArray[Any]
Turn = tuple[list[int], list[bool]]
STRAIGHT: Turn = ([0, 1, 2], [False, False, False])

_REMEMBERED = 1024
"""Images whose foreground is in memory: a million of them would not fit."""

VERSION = 2
"""Of what is done to an image before it is kept; entries of another version are made anew."""


def see(image: Image, preparation: Preparation, *, sliced: bool) -> tuple[Array, dict[str, Any]]:
    """What a codec with this preparation shows its network, without padding, and facts about it.

    Grey stored as several equal channels is one channel, as it is to every codec.

    Args:
        sliced: Whether the network sees slices along k.

    Raises:
        UnusablePixels: Values are not finite.

    Examples:
        >>> x, facts = see(radiograph, "full_range", sliced=True)
        >>> x.shape, round(float(x.min()), 1), round(float(x.max()), 1)
        ((1, 96, 96, 1), -0.7, 0.4)
    """
    steps = Preparing().steps(
        image,
        intensity=PREPARATIONS.get_thing(preparation),
        in_channels=1,
        sliced=sliced,
    )
    prepared = prepare(image, steps)[0]
    pixels = prepared.pixels
    facts = {
        "shape": list(pixels.shape),
        "orientation": prepared.grid.orientation,
        "foreground": find_foreground(pixels).to_json(),
    }
    return pixels, facts


@dataclass(frozen=True)
class Shape:
    """What a network is given.

    Args:
        dims: Axes of space.
        factor: Its codes are coarser by, per axis.
        in_channels: Image channels.
    """

    dims: int
    factor: int
    in_channels: int

    @classmethod
    def of(cls, network: Any) -> Shape:
        """Of an Autoencoder."""
        return cls(int(network.dims), int(network.factor), int(network.in_channels))


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """One case as networks see it; what is large of it stays on disk.

    Args:
        name: Of the case, for tables and messages.
        path: Of its pixels in the cache.
        shape: Of them: (channel, i, j, k).
        orientation: Directions of growing i, j, k, such as "LPS".
    """

    name: str
    path: Path
    shape: tuple[int, int, int, int]
    orientation: str

    @classmethod
    def from_entry(cls, name: str, entry: Entry) -> PreparedImage:
        """From what the cache knows.

        Raises:
            ValueError: It knows something else.
        """
        facts: Mapping[str, Any] = entry.facts
        try:
            channels, i, j, k = (int(side) for side in facts["shape"])
            return cls(name, entry.path, (channels, i, j, k), sys.intern(facts["orientation"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"not the facts of a prepared image: {error!r}") from error

    def open(self) -> Array:
        """Its pixels (channel, i, j, k), memory-mapped and read-only.

        Raises:
            InputError: They were removed or damaged since they were found.
        """
        return open_pixels(self.path)

    @property
    def foreground(self) -> Foreground:
        """Where there is more than background."""
        return _read_foreground(self.path)

    @property
    def channels(self) -> int:
        """Image channels: 1 for grey."""
        return self.shape[0]

    @property
    def is_volume(self) -> bool:
        """Whether there is more than one voxel along k."""
        return self.shape[3] > 1

    def turn_to(self, across: int) -> Turn:
        """Order and flips of the axes that bring slices across an axis to k, the right way up."""
        if not self.is_volume or across == 2:
            return STRAIGHT
        wanted = ORIENTATIONS[plane_across(self.orientation[across])]
        return find_turn(self.orientation, wanted)

    def plane_shape(self, across: int) -> tuple[int, int]:
        """Rows and columns of a slice across an axis."""
        order, _ = self.turn_to(across)
        return self.shape[1 + order[1]], self.shape[1 + order[0]]

    def slices(self, across: int) -> NDArray[np.int64]:
        """The slices across an axis, counted after the turn, that hold some foreground."""
        return _find_slices(self, across) if self.is_volume else np.zeros(1, np.int64)

    def draw_voxel(self, rng: np.random.Generator, pixels: Array, turned: Turn) -> Sequence[int]:
        """A voxel of the foreground, in the turned axes."""
        voxel = draw_voxel(rng, pixels, self.foreground)
        order, flipped = turned
        return [
            self.shape[1 + axis] - 1 - voxel[axis] if flip else voxel[axis]
            for axis, flip in zip(order, flipped, strict=True)
        ]


@lru_cache(maxsize=_REMEMBERED)
def _read_foreground(path: Path) -> Foreground:
    return Foreground.from_json(read_facts(path)["foreground"])


@lru_cache(maxsize=_REMEMBERED)
def _find_slices(image: PreparedImage, across: int) -> NDArray[np.int64]:
    order, flipped = image.turn_to(across)
    cells = turn(image.foreground.cells[None], (order, flipped))[0]
    length = image.shape[1 + order[2]]
    held = np.repeat(cells.any(axis=(0, 1)), CELL)
    # The last cell may be cut short; after a flip it comes first.
    held = held[len(held) - length :] if flipped[2] else held[:length]
    return np.flatnonzero(held)


def turn(pixels: Array, by: Turn) -> Array:
    """Pixels (channel, i, j, k) with their axes in another order, some reversed: a view."""
    order, flipped = by
    steps = tuple(slice(None, None, -1 if flip else 1) for flip in flipped)
    return pixels.transpose(0, *(axis + 1 for axis in order))[(slice(None), *steps)]


def spread_channels(pixels: Array, wanted: int, group: int) -> Array:
    """The channels a network is given: grey as often as it wants, or one group of several."""
    if pixels.shape[0] == 1:
        return np.broadcast_to(pixels, (wanted, *pixels.shape[1:]))
    return pixels[group * wanted : (group + 1) * wanted]

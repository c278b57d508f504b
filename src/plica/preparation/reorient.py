"""Reorient: axes taken in another order or reversed; no value changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from plica.errors import SettingsError
from plica.grid import AXIS_NAMES, Grid
from plica.image import Image
from plica.latent import Record
from plica.preparation.step import apply_whole
from plica.preparation.undo import Undo
from plica.preparation.view import Turned, View

_WORLD_AXIS = {letter: world for world, pair in enumerate(AXIS_NAMES) for letter in pair}


@dataclass(frozen=True)
class Reorient:
    """Turn the axes to the anatomical directions nearest to the wanted ones; never resamples.

    An oblique or sheared grid stays oblique or sheared: its axes are only renamed.

    Args:
        to: Directions of growing i, j, k, such as "RAS" or "LPS".
    """

    to: str = "RAS"

    def __post_init__(self) -> None:
        if sorted(_WORLD_AXIS.get(letter, -1) for letter in self.to) != [0, 1, 2]:
            raise SettingsError(
                f"an orientation names each of L/R, P/A and I/S once, such as RAS, "
                f"but got '{self.to}'"
            )

    def apply(self, image: Image) -> tuple[Image, Record]:
        """Turn the axes; the pixels stay a view of the same memory."""
        return apply_whole(self, image)

    def foresee(self, view: View) -> tuple[View, Record]:
        """What `apply` would give."""
        source = view.grid.orientation
        order, flipped = find_turn(source, self.to)
        turned = turn(view, order, flipped).after(f"axes turned from {source} to {self.to}")
        return turned, Record("reorient", turn_undo(view.grid, order, flipped))

    @staticmethod
    def revert(image: Image, record: Record) -> Image:
        """Turn the axes back."""
        return Reorient.recall(View.of(image), record).collect()

    @staticmethod
    def recall(view: View, record: Record) -> View:
        """What `revert` would give."""
        return turn_back(view, Undo(record))

    @staticmethod
    def recalls(record: Record) -> bool:
        """All that `revert` does."""
        return True


def find_turn(source: str, wanted: str) -> tuple[list[int], list[bool]]:
    """Order and flips, as `Grid.reaxed` takes them, from one orientation to another."""
    worlds = [_WORLD_AXIS[letter] for letter in source]
    order = [worlds.index(_WORLD_AXIS[letter]) for letter in wanted]
    flipped = [source[axis] != letter for axis, letter in zip(order, wanted, strict=True)]
    return order, flipped


def turn(view: View, order: Sequence[int], flipped: Sequence[bool]) -> View:
    """The axes taken in `order`, then those marked `flipped` reversed."""
    pixels = Turned(view.pixels, tuple(order), tuple(flipped))
    return replace(view, pixels=pixels, grid=view.grid.reaxed(order, flipped))


def turn_undo(grid: Grid, order: Sequence[int], flipped: Sequence[bool]) -> dict[str, object]:
    """What `turn_back` needs."""
    return {"order": list(order), "flipped": list(flipped), "grid": grid.to_json()}


def turn_back(view: View, undo: Undo) -> View:
    """Undo `turn`."""
    order, flipped = undo.triple("order", 0, 2), undo.flags("flipped")
    if sorted(order) != [0, 1, 2]:
        raise undo.damage(f"'order' is {list(order)}, which is no order of three axes")
    back = [int(axis) for axis in np.argsort(order)]
    return turn(view, back, [flipped[axis] for axis in back])

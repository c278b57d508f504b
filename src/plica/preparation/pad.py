"""Pad: sides a network can halve, by voxels added at the far ends."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from plica.boxes import find_extremes
from plica.errors import SettingsError
from plica.image import Image, Unit
from plica.latent import Record
from plica.preparation.step import apply_whole
from plica.preparation.undo import Undo
from plica.preparation.view import Cropped, Padded, View

MODES = ("background", "edge", "reflect")


@dataclass(frozen=True)
class Pad:
    """Make every side a multiple of a number; voxel (0, 0, 0) keeps its place.

    Args:
        multiple: What the sides along i, j, k become multiples of.
        mode: "background" (−1 in a network's range, else the image's smallest value), "edge"
            (the last voxel again) or "reflect" (the image mirrored at its last voxel).
        least: How many times its number a side is at least.
    """

    multiple: tuple[int, int, int] = (4, 4, 4)
    mode: str = "background"
    least: int = 1

    def __post_init__(self) -> None:
        if len(self.multiple) != 3 or not all(1 <= one <= 4096 for one in self.multiple):
            raise SettingsError(
                f"padding needs three multiples of 1 to 4096, but got {self.multiple}"
            )
        if self.mode not in MODES:
            raise SettingsError(f"padding is one of {', '.join(MODES)}, but got '{self.mode}'")
        if not 1 <= self.least <= 64:
            raise SettingsError(f"padding makes 1 to 64 multiples at least, but got {self.least}")

    def apply(self, image: Image) -> tuple[Image, Record]:
        """Add what is missing; an image that fits is passed on as it is."""
        return apply_whole(self, image)

    def foresee(self, view: View) -> tuple[View, Record]:
        """What `apply` would give."""
        record = Record("pad", {"grid": view.grid.to_json()})
        missing = [
            max(-side % n, self.least * n - side)
            for side, n in zip(view.grid.shape, self.multiple, strict=True)
        ]
        if not any(missing):
            return view, record
        grid = view.grid.window(
            (0, 0, 0), [side + one for side, one in zip(view.grid.shape, missing, strict=True)]
        )
        mode = "constant" if self.mode == "background" else self.mode
        pixels = Padded(view.pixels, grid.shape, mode, self._find_background(view))
        padded = replace(view, pixels=pixels, grid=grid)
        return padded.after(f"padded by {tuple(missing)} voxels ({self.mode})"), record

    def _find_background(self, view: View) -> Any:
        if self.mode != "background":
            return 0
        return -1 if view.unit is Unit.NORMALISED else find_extremes(view.pixels)[0]

    @staticmethod
    def revert(image: Image, record: Record) -> Image:
        """Cut off what was added."""
        return Pad.recall(View.of(image), record).collect()

    @staticmethod
    def recall(view: View, record: Record) -> View:
        """What `revert` would give."""
        undo = Undo(record)
        shape = undo.grid().shape
        if any(side > of for side, of in zip(shape, view.grid.shape, strict=True)):
            raise undo.damage(f"it cuts {shape} voxels out of an image that has {view.grid.shape}")
        return replace(
            view, pixels=Cropped(view.pixels, shape), grid=view.grid.window((0, 0, 0), shape)
        )

    @staticmethod
    def recalls(record: Record) -> bool:
        """All that `revert` does."""
        return True

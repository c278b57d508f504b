"""Pad: sides a network can halve, by voxels added at the far ends."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from plica.errors import SettingsError
from plica.image import Image, Unit
from plica.latent import Record
from plica.preparation.undo import Undo

MODES = ("background", "edge", "reflect")


@dataclass(frozen=True)
class Pad:
    """Make every side a multiple of a number; voxel (0, 0, 0) keeps its place.

    Args:
        multiple: What the sides along i, j, k become multiples of.
        mode: "background" (−1 in a network's range, else the image's smallest value), "edge"
            (the last voxel again) or "reflect" (the image mirrored at its last voxel).
    """

    multiple: tuple[int, int, int] = (4, 4, 4)
    mode: str = "background"

    def __post_init__(self) -> None:
        if len(self.multiple) != 3 or not all(1 <= one <= 4096 for one in self.multiple):
            raise SettingsError(
                f"padding needs three multiples of 1 to 4096, but got {self.multiple}"
            )
        if self.mode not in MODES:
            raise SettingsError(f"padding is one of {', '.join(MODES)}, but got '{self.mode}'")

    def apply(self, image: Image) -> tuple[Image, Record]:
        """Add what is missing; an image that fits is passed on as it is."""
        record = Record("pad", {"grid": image.grid.to_json()})
        missing = [-side % n for side, n in zip(image.grid.shape, self.multiple, strict=True)]
        if not any(missing):
            return image, record
        widths = [(0, 0), *((0, one) for one in missing)]
        shape = [side + one for side, one in zip(image.grid.shape, missing, strict=True)]
        padded = replace(
            image,
            pixels=self._pad(image, widths),
            grid=image.grid.window((0, 0, 0), shape),
            provenance=image.provenance.after(f"padded by {tuple(missing)} voxels ({self.mode})"),
        )
        return padded, record

    def _pad(self, image: Image, widths: list[tuple[int, int]]) -> np.ndarray:
        if self.mode == "edge":
            return np.pad(image.pixels, widths, mode="edge")
        if self.mode == "reflect":
            return np.pad(image.pixels, widths, mode="reflect")
        background = -1 if image.unit is Unit.NORMALISED else image.pixels.min()
        return np.pad(image.pixels, widths, constant_values=background)

    @staticmethod
    def revert(image: Image, record: Record) -> Image:
        """Cut off what was added."""
        undo = Undo(record)
        i, j, k = shape = undo.grid().shape
        if any(side > of for side, of in zip(shape, image.grid.shape, strict=True)):
            raise undo.damage(f"it cuts {shape} voxels out of an image that has {image.grid.shape}")
        return replace(
            image, pixels=image.pixels[:, :i, :j, :k], grid=image.grid.window((0, 0, 0), shape)
        )

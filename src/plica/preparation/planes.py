"""Planes: the slicing axis last, and each slice as a reader expects to see it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plica.errors import SettingsError
from plica.grid import Grid
from plica.image import Image
from plica.latent import Record
from plica.preparation.reorient import find_turn, turn, turn_back, turn_undo
from plica.preparation.step import apply_whole
from plica.preparation.undo import Undo
from plica.preparation.view import View

ORIENTATIONS = {"axial": "LPS", "coronal": "LIP", "sagittal": "PIR"}
"""i to the right of the screen, j down it, k through the slices; all right-handed."""

CLEARLY_LARGER = 1.2
_PLANE_ACROSS = {"L": "sagittal", "R": "sagittal", "P": "coronal", "A": "coronal"}


@dataclass(frozen=True)
class Planes:
    """Turn the axes so that slices at k are planes of the body, for networks that see slices.

    A radiograph, one voxel along k, is its own plane and stays as it is.

    Args:
        axis: "axial", "coronal", "sagittal"; or "acquired": across the axis with one voxel or
            clearly (1.2×) the largest spacing, axial where there is none.
    """

    axis: str = "acquired"

    def __post_init__(self) -> None:
        if self.axis not in ("acquired", *ORIENTATIONS):
            raise SettingsError(
                f"planes are 'acquired', 'axial', 'coronal' or 'sagittal', but got '{self.axis}'"
            )

    def apply(self, image: Image) -> tuple[Image, Record]:
        """Turn the axes; the pixels stay a view of the same memory."""
        return apply_whole(self, image)

    def foresee(self, view: View) -> tuple[View, Record]:
        """What `apply` would give."""
        order, flipped, line = [0, 1, 2], [False] * 3, "slices left as they are"
        if view.is_volume:
            plane = find_plane(view.grid) if self.axis == "acquired" else self.axis
            order, flipped = find_turn(view.grid.orientation, ORIENTATIONS[plane])
            line = f"slices taken {plane} ({ORIENTATIONS[plane]})"
        turned = turn(view, order, flipped).after(line)
        return turned, Record("planes", turn_undo(view.grid, order, flipped))

    @staticmethod
    def revert(image: Image, record: Record) -> Image:
        """Turn the axes back."""
        return Planes.recall(View.of(image), record).collect()

    @staticmethod
    def recall(view: View, record: Record) -> View:
        """What `revert` would give."""
        return turn_back(view, Undo(record))

    @staticmethod
    def recalls(record: Record) -> bool:
        """All that `revert` does."""
        return True


def find_plane(grid: Grid) -> str:
    """The plane a volume was acquired in, as its spacing tells."""
    single = [axis for axis, side in enumerate(grid.shape) if side == 1]
    spacing = np.array(grid.spacing_mm)
    largest = int(np.argmax(spacing))
    if len(single) == 1:
        slicing = single[0]
    elif spacing[largest] > CLEARLY_LARGER * np.delete(spacing, largest).max():
        slicing = largest
    else:
        return "axial"
    return plane_across(grid.orientation[slicing])


def plane_across(direction: str) -> str:
    """The plane that slices across an axis lie in, by the direction the axis grows in: "S"."""
    return _PLANE_ACROSS.get(direction, "axial")

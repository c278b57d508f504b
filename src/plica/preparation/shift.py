"""Shift: an image moved by whole voxels within the cells of a codec, for cycle spinning."""

from __future__ import annotations

from dataclasses import dataclass, replace

from plica.errors import SettingsError
from plica.image import Image
from plica.latent import Record
from plica.preparation.step import apply_whole
from plica.preparation.undo import Undo
from plica.preparation.view import Inner, Prolonged, View

LARGEST_SHIFT = 4096


@dataclass(frozen=True)
class Shift:
    """Let the image begin elsewhere in the cells that codes stand for, its near border repeated.

    Where a cell begins is an accident of the grid; the mean over several beginnings knows no cells
    (Coifman and Donoho, 1995, "Translation-invariant de-noising").

    Args:
        before: Voxels that are put before the first, along i, j, k.
    """

    before: tuple[int, int, int]

    def __post_init__(self) -> None:
        if len(self.before) != 3 or not all(0 <= one <= LARGEST_SHIFT for one in self.before):
            raise SettingsError(
                f"a shift is three numbers of voxels from 0 to {LARGEST_SHIFT}, but got "
                f"{self.before}"
            )

    def apply(self, image: Image) -> tuple[Image, Record]:
        """Repeat the near border."""
        return apply_whole(self, image)

    def foresee(self, view: View) -> tuple[View, Record]:
        """What `apply` would give."""
        record = Record("shift", {"grid": view.grid.to_json(), "before": list(self.before)})
        if not any(self.before):
            return view, record
        sides = tuple(side + one for side, one in zip(view.grid.shape, self.before, strict=True))
        grid = view.grid.window([-one for one in self.before], sides)
        shifted = replace(view, pixels=Prolonged(view.pixels, self.before, sides), grid=grid)
        return shifted.after(f"shifted by {self.before} voxels"), record

    @staticmethod
    def revert(image: Image, record: Record) -> Image:
        """Take out the voxels there were."""
        return Shift.recall(View.of(image), record).collect()

    @staticmethod
    def recall(view: View, record: Record) -> View:
        """What `revert` would give."""
        undo = Undo(record)
        grid, before = undo.grid(), undo.triple("before", 0, LARGEST_SHIFT)
        ends = (one + side for one, side in zip(before, grid.shape, strict=True))
        if any(end > side for end, side in zip(ends, view.grid.shape, strict=True)):
            raise undo.damage(f"it takes {grid.shape} voxels out of {view.grid.shape}")
        undo.refuse_elsewhere(grid, before, view.grid)
        return replace(view, pixels=Inner(view.pixels, before, grid.shape), grid=grid)

    @staticmethod
    def recalls(record: Record) -> bool:
        """All that `revert` does."""
        return True

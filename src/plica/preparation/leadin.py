"""LeadIn: as many slices as a codec of sequences folds, the first and the last of them repeated."""

from __future__ import annotations

from dataclasses import dataclass, replace

from plica.errors import SettingsError
from plica.image import Image
from plica.latent import Record
from plica.preparation.step import apply_whole
from plica.preparation.undo import Undo
from plica.preparation.view import Inner, Prolonged, View

LONGEST_PERIOD = 64


@dataclass(frozen=True)
class LeadIn:
    """Prolong a volume along k, so that every code slice stands for `period` slices.

    A causal network gives the first slice a code of its own and every `period` slices after it one.
    With period − 1 copies of the first slice before it, all codes stand for as many slices, and the
    latent's grid is a regular one. The network is not shown those copies.

    Args:
        period: Slices per code slice.
        causal: Whether the first slice has a code of its own.
    """

    period: int
    causal: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.period <= LONGEST_PERIOD:
            raise SettingsError(
                f"a code slice stands for 1 to {LONGEST_PERIOD} slices, but got {self.period}"
            )

    @property
    def before(self) -> int:
        """Slices before the first."""
        return self.period - 1 if self.causal else 0

    def apply(self, image: Image) -> tuple[Image, Record]:
        """Repeat the first slice and the last."""
        return apply_whole(self, image)

    def foresee(self, view: View) -> tuple[View, Record]:
        """What `apply` would give."""
        record = Record("leadin", {"grid": view.grid.to_json(), "before": self.before})
        i, j, k = view.grid.shape
        sides = (i, j, k + self.before + -(k + self.before) % self.period)
        if sides[2] == k:
            return view, record
        longer = replace(
            view,
            pixels=Prolonged(view.pixels, (0, 0, self.before), sides),
            grid=view.grid.window((0, 0, -self.before), sides),
        )
        after = sides[2] - k - self.before
        return longer.after(f"{self.before} slices before and {after} behind (edge)"), record

    @staticmethod
    def revert(image: Image, record: Record) -> Image:
        """Take out the slices there were."""
        return LeadIn.recall(View.of(image), record).collect()

    @staticmethod
    def recall(view: View, record: Record) -> View:
        """What `revert` would give."""
        undo = Undo(record)
        grid, before = undo.grid(), undo.whole("before", 0, LONGEST_PERIOD)
        i, j, k = grid.shape
        if (i, j) != view.grid.shape[:2] or k + before > view.grid.shape[2]:
            raise undo.damage(f"it takes {grid.shape} voxels out of {view.grid.shape}")
        undo.refuse_elsewhere(grid, (0, 0, before), view.grid)
        return replace(view, pixels=Inner(view.pixels, (0, 0, before), grid.shape), grid=grid)

    @staticmethod
    def recalls(record: Record) -> bool:
        """All that `revert` does."""
        return True

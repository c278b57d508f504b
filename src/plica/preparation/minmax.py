"""MinMax: the image's own range to [−1, 1]; nothing is clipped."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from plica.image import Image, Unit
from plica.latent import Record
from plica.preparation.scaling import (
    count_rounding,
    intensity_undo,
    measure_range,
    recall_linear,
    scale,
)
from plica.preparation.step import apply_whole
from plica.preparation.undo import Undo
from plica.preparation.view import View


@dataclass(frozen=True)
class MinMax:
    """Smallest … largest value of the image → [−1, 1]; a constant image becomes all zero."""

    def apply(self, image: Image) -> tuple[Image, Record]:
        """Scale.

        Raises:
            UnusablePixels: A value is not finite.
        """
        return apply_whole(self, image)

    def foresee(self, view: View) -> tuple[View, Record]:
        """What `apply` would give."""
        low, high = measure_range(view.pixels, "scaling to the image's range")
        scaled = view.map(lambda values: scale(values, low, high, clip=False), np.float32)
        line = f"range {low:g} … {high:g} to −1 … 1"
        loss = count_rounding(view.pixels.dtype, low, high)
        prepared = replace(scaled, unit=Unit.NORMALISED).after(line)
        return prepared, Record("minmax", intensity_undo(view, low, high), loss)

    @staticmethod
    def revert(image: Image, record: Record) -> Image:
        """Scale back; a decoded value beyond the range is brought to its edge."""
        return MinMax.recall(View.of(image), record).collect()

    @staticmethod
    def recall(view: View, record: Record) -> View:
        """What `revert` would give."""
        return recall_linear(view, Undo(record), clip=True)

    @staticmethod
    def recalls(record: Record) -> bool:
        """All that `revert` does."""
        return True

"""Percentiles: a scale for MR that one hot voxel cannot squeeze."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from plica.errors import SettingsError
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
from plica.preparation.window import count_clipped


@dataclass(frozen=True)
class Percentiles:
    """The values at two percentiles → −1 and 1.

    Values beyond them leave [−1, 1] and come back exactly, or are clipped and counted. Where both
    percentiles fall on one value, the image's whole range is taken instead.

    Args:
        lower: Percentile that becomes −1.
        upper: Percentile that becomes 1.
        clip: Clip what lies beyond.
    """

    lower: float = 0.0
    upper: float = 99.5
    clip: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.lower < self.upper <= 100:
            raise SettingsError(
                f"percentiles go up from 0 to 100, but got {self.lower:g} and {self.upper:g}"
            )

    def apply(self, image: Image) -> tuple[Image, Record]:
        """Scale.

        Raises:
            UnusablePixels: A value is not finite.
        """
        return apply_whole(self, image)

    def foresee(self, view: View) -> tuple[View, Record]:
        """What `apply` would give; all values are sorted once, in a copy."""
        least, most = measure_range(view.pixels, "scaling by percentiles")
        values = np.array(view.collect().pixels).ravel()
        values = values if values.dtype.kind != "b" else values.view(np.uint8)
        ends = np.percentile(values, (self.lower, self.upper), overwrite_input=True)
        del values
        low, high = (float(one) for one in ends)
        if low >= high:
            low, high = least, most
        clip = self.clip
        scaled = view.map(lambda values: scale(values, low, high, clip=clip), np.float32)
        line = f"percentiles {self.lower:g} … {self.upper:g} ({low:g} … {high:g}) to −1 … 1"
        loss = count_rounding(view.pixels.dtype, low, high)
        if clip:
            loss |= count_clipped(view.pixels, low, high)
        undo = intensity_undo(view, low, high) | {"clip": clip}
        prepared = replace(scaled, unit=Unit.NORMALISED).after(line)
        return prepared, Record("percentiles", undo, loss)

    @staticmethod
    def revert(image: Image, record: Record) -> Image:
        """Scale back."""
        return Percentiles.recall(View.of(image), record).collect()

    @staticmethod
    def recall(view: View, record: Record) -> View:
        """What `revert` would give."""
        undo = Undo(record)
        return recall_linear(view, undo, clip=undo.flag("clip"))

    @staticmethod
    def recalls(record: Record) -> bool:
        """All that `revert` does."""
        return True

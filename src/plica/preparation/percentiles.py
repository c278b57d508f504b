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
    revert_linear,
    scale,
    to_type,
)
from plica.preparation.undo import Undo
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
        least, most = measure_range(image, "scaling by percentiles")
        values = image.pixels if image.pixels.dtype.kind != "b" else image.pixels.view(np.uint8)
        low, high = (float(one) for one in np.percentile(values, (self.lower, self.upper)))
        if low >= high:
            low, high = least, most
        line = f"percentiles {self.lower:g} … {self.upper:g} ({low:g} … {high:g}) to −1 … 1"
        prepared = replace(
            image,
            pixels=scale(image.pixels, low, high, clip=self.clip),
            unit=Unit.NORMALISED,
            provenance=image.provenance.after(line),
        )
        loss = count_rounding(image.pixels.dtype, low, high)
        if self.clip:
            loss |= count_clipped(image.pixels, low, high)
        undo = intensity_undo(image, low, high) | {"clip": self.clip}
        return prepared, Record("percentiles", undo, loss)

    @staticmethod
    def revert(image: Image, record: Record) -> Image:
        """Scale back."""
        undo = Undo(record)
        values = revert_linear(image, undo, clip=undo.flag("clip"))
        return image.with_pixels(to_type(values, undo.pixel_type()), unit=undo.unit())

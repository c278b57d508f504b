"""MinMax: the image's own range to [−1, 1]; nothing is clipped."""

from __future__ import annotations

from dataclasses import dataclass, replace

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


@dataclass(frozen=True)
class MinMax:
    """Smallest … largest value of the image → [−1, 1]; a constant image becomes all zero."""

    def apply(self, image: Image) -> tuple[Image, Record]:
        """Scale.

        Raises:
            UnusablePixels: A value is not finite.
        """
        low, high = measure_range(image, "scaling to the image's range")
        line = f"range {low:g} … {high:g} to −1 … 1"
        prepared = replace(
            image,
            pixels=scale(image.pixels, low, high, clip=False),
            unit=Unit.NORMALISED,
            provenance=image.provenance.after(line),
        )
        loss = count_rounding(image.pixels.dtype, low, high)
        return prepared, Record("minmax", intensity_undo(image, low, high), loss)

    @staticmethod
    def revert(image: Image, record: Record) -> Image:
        """Scale back; a decoded value beyond the range is brought to its edge."""
        undo = Undo(record)
        pixels = to_type(revert_linear(image, undo, clip=True), undo.pixel_type())
        return image.with_pixels(pixels, unit=undo.unit())

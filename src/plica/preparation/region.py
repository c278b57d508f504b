"""Region: a radiograph cut to what was exposed."""

from __future__ import annotations

from dataclasses import dataclass

from plica.errors import SettingsError
from plica.image import Image
from plica.latent import Record
from plica.preparation.box import crop, find_box, put_back
from plica.preparation.scaling import measure_range
from plica.preparation.threshold import find_air_ceiling

LEAST_PART = 0.01


@dataclass(frozen=True)
class Region:
    """Crop to the region of interest, found by iterative thresholding.

    MedVAE's precursor (diagnostically lossless compression, anonymous, 2023, A.1) names
    "iterative binary thresholding" and no more. Read here as: Ridler and Calvard's threshold
    on the logarithm, lowered to the end of the background's noise so that thin skin stays; the box
    of every part of at least 1 % of the largest, so that the second hand stays and a burnt-in
    letter goes; and a margin. MONOCHROME1 images, where air is bright, are looked at inverted.

    Args:
        margin_mm: Left around the region; in pixels where the pixel size is unknown.
        keep_border: Keep what lies outside in the record, packed; otherwise it comes back as
            background, and what of it was not background is counted.
    """

    margin_mm: float = 5.0
    keep_border: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.margin_mm <= 1e6:
            raise SettingsError(f"the region's margin is 0 mm or more, but got {self.margin_mm:g}")

    def apply(self, image: Image) -> tuple[Image, Record]:
        """Find the region, and crop to it; an image without background is passed on as it is.

        Raises:
            UnusablePixels: A value is not finite.
        """
        _, most = measure_range(image.pixels, "finding the region of interest")
        brightest = image.pixels[0] if image.channels == 1 else image.pixels.max(axis=0)
        if image.display.inverted:
            brightest = most - brightest.astype("float32")
        marked = brightest > find_air_ceiling(brightest)
        box = find_box(
            marked, image.grid, margin_mm=self.margin_mm, multiple=1, least_part=LEAST_PART
        )
        return crop(image, box, "region", marked, keep_border=self.keep_border)

    @staticmethod
    def revert(image: Image, record: Record) -> Image:
        """Put the box back into the full grid."""
        return put_back(image, record)

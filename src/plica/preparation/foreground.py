"""Foreground: a volume cut to the body, which it must not cut."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plica.errors import SettingsError
from plica.image import Image, Unit
from plica.latent import Record
from plica.preparation.box import crop, find_box, put_back
from plica.preparation.scaling import measure_range
from plica.preparation.threshold import find_air_ceiling

AIR_HU = -500.0
LEAST_PART = 0.001


@dataclass(frozen=True)
class Foreground:
    """Crop to everything that is not air, with a margin.

    MedVAE crops after scaling to what is above zero: above 0 HU, or half of the maximum of an MR,
    and so cuts fat, lungs, or all but one hot voxel. Here air is −500 HU and less, or what looks
    like the noise of the darkest corner; every part of at least 0.1 % of the largest is kept. What
    stands outside comes back as background, and what of it was not background is counted.

    Args:
        margin_mm: Left around the body.
        threshold: "air", or the value above which voxels belong to the body.
        multiple: The box's sides become multiples of it, where the image is large enough.
    """

    margin_mm: float = 10.0
    threshold: str | float = "air"
    multiple: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.margin_mm <= 1e6 or not 1 <= self.multiple <= 4096:
            raise SettingsError(
                f"the foreground needs a margin of 0 mm or more and a multiple of 1 to 4096, but "
                f"got {self.margin_mm:g} and {self.multiple}"
            )
        if isinstance(self.threshold, str) and self.threshold != "air":
            raise SettingsError(
                f"the foreground's threshold is 'air' or a number, but got '{self.threshold}'"
            )

    def apply(self, image: Image) -> tuple[Image, Record]:
        """Find the body, and crop to it; an image without background is passed on as it is.

        Raises:
            UnusablePixels: A value is not finite.
        """
        measure_range(image.pixels, "finding the foreground")
        brightest = image.pixels[0] if image.channels == 1 else image.pixels.max(axis=0)
        marked = brightest > self._ceiling(image, brightest)
        box = find_box(
            marked,
            image.grid,
            margin_mm=self.margin_mm,
            multiple=self.multiple,
            least_part=LEAST_PART,
        )
        return crop(image, box, "foreground", marked, keep_border=False)

    def _ceiling(self, image: Image, brightest: np.ndarray) -> float:
        if not isinstance(self.threshold, str):
            return self.threshold
        return AIR_HU if image.unit is Unit.HU else find_air_ceiling(brightest)

    @staticmethod
    def revert(image: Image, record: Record) -> Image:
        """Put the box back into the full grid."""
        return put_back(image, record)

"""Channels: one grey channel three times, for networks that expect colour."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from plica.errors import SettingsError
from plica.image import Image
from plica.latent import Record
from plica.preparation.scaling import name_type, to_type
from plica.preparation.undo import Undo

LARGEST_COUNT = 64


@dataclass(frozen=True)
class Channels:
    """Repeat a single channel; reverted as the mean of the copies.

    An image of several channels is left as it is: the codec encodes them one by one.

    Args:
        wanted: How many channels the network takes.
    """

    wanted: int

    def __post_init__(self) -> None:
        if not 1 <= self.wanted <= LARGEST_COUNT:
            raise SettingsError(
                f"a network takes 1 to {LARGEST_COUNT} channels, but got {self.wanted}"
            )

    def apply(self, image: Image) -> tuple[Image, Record]:
        """Repeat the channel, as a view of the same memory."""
        undo = {"repeated": 1, "dtype": name_type(image.pixels.dtype)}
        if image.channels != 1 or self.wanted == 1:
            return image, Record("channels", undo)
        pixels = np.broadcast_to(image.pixels, (self.wanted, *image.grid.shape))
        provenance = image.provenance.after(f"one channel repeated {self.wanted} times")
        repeated = replace(image, pixels=pixels, provenance=provenance)
        return repeated, Record("channels", undo | {"repeated": self.wanted})

    @staticmethod
    def revert(image: Image, record: Record) -> Image:
        """Take the mean of the copies."""
        undo = Undo(record)
        repeated = undo.whole("repeated", 1, LARGEST_COUNT)
        if repeated == 1:
            return image
        if image.channels != repeated:
            raise undo.damage(f"it repeated {repeated} channels, but {image.channels} came back")
        work = np.float64 if image.pixels.dtype.itemsize > 4 else np.float32
        mean = image.pixels.mean(axis=0, keepdims=True, dtype=work)
        dtype = image.pixels.dtype if image.pixels.dtype.kind == "f" else undo.pixel_type()
        return image.with_pixels(to_type(mean, dtype))

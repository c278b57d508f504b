"""Window: a fixed range of values to [−1, 1]; what lies outside is clipped and counted, or kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.errors import SettingsError
from plica.image import Image, Pixels, Unit
from plica.latent import Record
from plica.preparation.runs import pack_runs, unpack_runs
from plica.preparation.scaling import (
    count_rounding,
    intensity_undo,
    measure_range,
    revert_linear,
    scale,
    to_type,
)
from plica.preparation.undo import LARGEST_VALUE, Undo


@dataclass(frozen=True)
class Window:
    """Linear from low … high to [−1, 1], the rest clipped.

    Args:
        low: The value that becomes −1, in the image's unit.
        high: The value that becomes 1.
        keep_outside: Keep the voxels outside with their values in the record, so that `revert`
            puts them back exactly: for metal and padding beyond a CT window.
    """

    low: float
    high: float
    keep_outside: bool = False

    def __post_init__(self) -> None:
        if not -LARGEST_VALUE <= self.low < self.high <= LARGEST_VALUE:
            raise SettingsError(
                f"a window needs a low below its high, but got {self.low:g} and {self.high:g}"
            )

    def apply(self, image: Image) -> tuple[Image, Record]:
        """Scale and clip.

        Raises:
            UnusablePixels: A value is not finite.
        """
        least, most = measure_range(image, "a window")
        pixels = scale(image.pixels, self.low, self.high, clip=True)
        undo = intensity_undo(image, self.low, self.high)
        loss, arrays = count_rounding(image.pixels.dtype, self.low, self.high), {}
        outside = least < self.low or most > self.high
        if outside and self.keep_outside:
            arrays = _keep(image.pixels, self.low, self.high)
        elif outside:
            loss |= count_clipped(image.pixels, self.low, self.high)
            loss |= {"source_min": least, "source_max": most}
        undo["kept"] = bool(arrays)
        line = f"window {self.low:g} … {self.high:g} to −1 … 1"
        provenance = image.provenance.after(line)
        prepared = replace(image, pixels=pixels, unit=Unit.NORMALISED, provenance=provenance)
        return prepared, Record("window", undo, loss, arrays)

    @staticmethod
    def revert(image: Image, record: Record) -> Image:
        """Scale back; a decoded value beyond the window is brought to its edge."""
        undo = Undo(record)
        dtype = undo.pixel_type()
        pixels = to_type(revert_linear(image, undo, clip=True), dtype)
        if undo.flag("kept"):
            pixels = _put_back(pixels, undo)
        return image.with_pixels(pixels, unit=undo.unit())


def count_clipped(pixels: Pixels, low: float, high: float) -> dict[str, float]:
    """How many voxels a window cuts off below and above; empty where none."""
    below = int(np.count_nonzero(pixels < low))
    above = int(np.count_nonzero(pixels > high))
    if below + above == 0:
        return {}
    return {
        "clipped_fraction": (below + above) / pixels.size,
        "voxels_below": below,
        "voxels_above": above,
    }


def _keep(pixels: Pixels, low: float, high: float) -> dict[str, NDArray[Any]]:
    outside = (pixels < low) | (pixels > high)
    values = pixels[outside]
    return {**pack_runs(outside), "values": values.astype(values.dtype.newbyteorder("="))}


def _put_back(pixels: Pixels, undo: Undo) -> Pixels:
    marked, lengths = unpack_runs(undo, pixels.size)
    values = undo.array("values", pixels.dtype.kind)
    if values.dtype != pixels.dtype or len(values) != int(lengths.sum()):
        raise undo.damage("the values kept outside the window do not fit their places")
    restored = np.array(pixels, order="C")
    restored.reshape(-1)[marked] = values
    return restored

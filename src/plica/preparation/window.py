"""Window: a fixed range of values to [−1, 1]; what lies outside is clipped and counted, or kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.boxes import Readable, read_slabs
from plica.errors import SettingsError
from plica.image import Image, Pixels, Unit
from plica.latent import Record
from plica.preparation.runs import pack_runs, unpack_runs
from plica.preparation.scaling import (
    count_rounding,
    intensity_undo,
    measure_range,
    recall_linear,
    scale,
)
from plica.preparation.step import apply_whole
from plica.preparation.undo import LARGEST_VALUE, Undo
from plica.preparation.view import View


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
        return apply_whole(self, image)

    def foresee(self, view: View) -> tuple[View, Record]:
        """What `apply` would give; the voxels to be kept are found at once."""
        low, high, pixels = self.low, self.high, view.pixels
        least, most = measure_range(pixels, "a window")
        undo = intensity_undo(view, low, high)
        loss, arrays = count_rounding(pixels.dtype, low, high), {}
        outside = least < low or most > high
        if outside and self.keep_outside:
            arrays = _keep(view.collect().pixels, low, high)
        elif outside:
            loss |= count_clipped(pixels, low, high)
            loss |= {"source_min": least, "source_max": most}
        undo["kept"] = bool(arrays)
        scaled = view.map(lambda values: scale(values, low, high, clip=True), np.float32)
        line = f"window {low:g} … {high:g} to −1 … 1"
        prepared = replace(scaled, unit=Unit.NORMALISED).after(line)
        return prepared, Record("window", undo, loss, arrays)

    @staticmethod
    def revert(image: Image, record: Record) -> Image:
        """Scale back; a decoded value beyond the window is brought to its edge."""
        undo = Undo(record)
        back = Window.recall(View.of(image), record).collect()
        return back.with_pixels(_put_back(back.pixels, undo)) if undo.flag("kept") else back

    @staticmethod
    def recall(view: View, record: Record) -> View:
        """What `revert` would give where no voxels were kept."""
        return recall_linear(view, Undo(record), clip=True)

    @staticmethod
    def recalls(record: Record) -> bool:
        """Whether no voxels were kept."""
        return not Undo(record).flag("kept")


def count_clipped(pixels: Readable, low: float, high: float) -> dict[str, float]:
    """How many voxels a window cuts off below and above; empty where none."""
    below = above = size = 0
    for slab in read_slabs(pixels):
        below += int(np.count_nonzero(slab < low))
        above += int(np.count_nonzero(slab > high))
        size += slab.size
    if below + above == 0:
        return {}
    return {
        "clipped_fraction": (below + above) / size,
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

"""Cast: float32 for computing, and the source's own type on the way back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from plica.boxes import Readable, find_extremes, read_slabs
from plica.errors import UnusablePixels
from plica.image import Image, Pixels
from plica.latent import Record
from plica.preparation.scaling import Float32, name_type, to_type
from plica.preparation.step import apply_whole
from plica.preparation.undo import Undo
from plica.preparation.view import View

EXACT_WHOLE = 2**24
"""float32 holds every whole number up to here."""


@dataclass(frozen=True)
class Cast:
    """To float32; back to the source's type by rounding and clipping, never by cutting off.

    What float32 cannot hold (whole numbers beyond 2^24, the last digits of float64) is counted.
    """

    def apply(self, image: Image) -> tuple[Image, Record]:
        """Make the pixels float32.

        Raises:
            UnusablePixels: A finite value is beyond float32's range.
        """
        return apply_whole(self, image)

    def foresee(self, view: View) -> tuple[View, Record]:
        """What `apply` would give."""
        dtype = view.pixels.dtype
        record = Record("cast", {"dtype": name_type(dtype)}, _count_inexact(view.pixels))
        cast = view if dtype == np.float32 else view.map(_to_float32, np.float32)
        return cast.after(f"cast from {dtype.name} to float32"), record

    @staticmethod
    def revert(image: Image, record: Record) -> Image:
        """Return to the source's type."""
        return Cast.recall(View.of(image), record).collect()

    @staticmethod
    def recall(view: View, record: Record) -> View:
        """What `revert` would give."""
        dtype = Undo(record).pixel_type()
        return view.map(lambda values: to_type(values, dtype), dtype)

    @staticmethod
    def recalls(record: Record) -> bool:
        """All that `revert` does."""
        return True


def _to_float32(values: Pixels) -> Float32:
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def _count_inexact(source: Readable) -> dict[str, Any]:
    dtype = source.dtype
    if dtype.kind == "b" or dtype.itemsize <= 2 or dtype == np.float32:
        return {}
    if dtype.kind != "f":
        low, high = find_extremes(source)
        if max(-int(low), int(high)) <= EXACT_WHOLE:
            return {}
    found = [_compare(slab) for slab in read_slabs(source)]
    if beyond := sum(one[2] for one in found):
        raise UnusablePixels(
            f"{beyond} values are beyond ±{np.finfo(np.float32).max:.3g}, "
            "which float32 cannot hold: rescale the image first"
        )
    count = sum(one[0] for one in found)
    largest = max(one[1] for one in found)
    return {"inexact_voxels": count, "largest_error": largest} if count else {}


def _compare(source: Pixels) -> tuple[int, float, int]:
    """How many values float32 changes, the largest change, and how many it cannot hold at all."""
    cast = _to_float32(source)
    if source.dtype.kind != "f":
        apart = np.abs(cast.astype(np.float64) - source.astype(np.float64))
        return int(np.count_nonzero(apart)), float(apart.max()), 0
    finite = np.isfinite(source)
    beyond = int(np.count_nonzero(np.isinf(cast) & finite))
    if beyond:
        return 0, 0.0, beyond
    apart = np.abs(np.subtract(cast, source, where=finite, out=np.zeros(source.shape)))
    return int(np.count_nonzero(apart)), float(apart.max()), 0

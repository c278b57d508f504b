"""Cast: float32 for computing, and the source's own type on the way back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from plica.errors import UnusablePixels
from plica.image import Image, Pixels
from plica.latent import Record
from plica.preparation.scaling import Float32, name_type, to_type
from plica.preparation.undo import Undo

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
        dtype = image.pixels.dtype
        with np.errstate(over="ignore"):
            pixels = image.pixels.astype(np.float32, copy=False)
        loss = _count_inexact(image.pixels, pixels)
        provenance = image.provenance.after(f"cast from {dtype.name} to float32")
        record = Record("cast", {"dtype": name_type(dtype)}, loss)
        return replace(image, pixels=pixels, provenance=provenance), record

    @staticmethod
    def revert(image: Image, record: Record) -> Image:
        """Return to the source's type."""
        return image.with_pixels(to_type(image.pixels, Undo(record).pixel_type()))


def _count_inexact(source: Pixels, cast: Float32) -> dict[str, Any]:
    if source.dtype.kind == "b" or source.dtype.itemsize <= 2 or source.dtype == np.float32:
        return {}
    if source.dtype.kind != "f":
        if max(-int(source.min()), int(source.max())) <= EXACT_WHOLE:
            return {}
        apart = np.abs(cast.astype(np.float64) - source.astype(np.float64))
    else:
        overflowing = np.isinf(cast) & np.isfinite(source)
        if overflowing.any():
            raise UnusablePixels(
                f"{int(overflowing.sum())} values are beyond ±{np.finfo(np.float32).max:.3g}, "
                "which float32 cannot hold: rescale the image first"
            )
        finite = np.isfinite(source)
        apart = np.abs(np.subtract(cast, source, where=finite, out=np.zeros(source.shape)))
    count = int(np.count_nonzero(apart))
    return {"inexact_voxels": count, "largest_error": float(apart.max())} if count else {}

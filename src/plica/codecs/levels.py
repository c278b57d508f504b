"""Levels: pixels of any type as whole numbers of at most sixteen bits, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.errors import UnusablePixels

Array = NDArray[Any]
MOST = 65535


@dataclass(frozen=True)
class Levels:
    """value = offset + step × level, for levels 0 … 65535.

    Args:
        dtype: The pixels' own type.
        offset: Their lowest value, in their own type (float64 for real numbers).
        step: 1 where levels are exact.
    """

    dtype: np.dtype[Any]
    offset: int | float
    step: float

    @classmethod
    def exact(cls, pixels: Array) -> Levels:
        """One level for each whole number.

        Raises:
            UnusablePixels: The pixels are no whole numbers, or span more than sixteen bits.
        """
        if pixels.dtype.kind == "f":
            raise UnusablePixels(
                f"pixels of type {pixels.dtype} have no exact form in sixteen bits: "
                "give a rate, or use the codec 'identity'"
            )
        low, high = int(pixels.min()), int(pixels.max())
        if high - low > MOST:
            raise UnusablePixels(
                f"pixels from {low} to {high} span more than sixteen bits, which is what can be "
                "kept without loss: give a rate, or use the codec 'identity'"
            )
        return cls(pixels.dtype, low, 1.0)

    @classmethod
    def spread(cls, pixels: Array) -> Levels:
        """The whole range of the pixels on all 65536 levels.

        Raises:
            UnusablePixels: The pixels are not finite, or their range is not a number of their type.
        """
        whole = pixels.dtype.kind != "f"
        low = int(pixels.min()) if whole else float(pixels.min())
        high = int(pixels.max()) if whole else float(pixels.max())
        extent = float(high - low)
        if not np.isfinite([extent, low]).all():
            raise UnusablePixels(
                "the pixels hold NaN, infinities or a range beyond their type: "
                "replace those values before storing the image"
            )
        if whole and extent > 2**53:
            raise UnusablePixels(
                f"pixels from {low} to {high} span more than 53 bits: use the codec 'identity'"
            )
        # A range so small that its step is not a number of float64 is one level.
        return cls(pixels.dtype, low, extent / MOST or 1.0)

    def count(self, pixels: Array) -> NDArray[np.uint16]:
        """The levels of pixels."""
        if self.dtype.kind == "f":
            above = pixels.astype(np.float64) - self.offset
        else:
            above = self._from_unsigned_offset(pixels)
        if self.step != 1.0:
            above = np.rint(above / self.step)
        return np.clip(above, 0, MOST).astype(np.uint16)

    def values(self, levels: NDArray[np.uint16]) -> Array:
        """The pixels of levels."""
        if self.dtype.kind == "f":
            return (levels * np.float64(self.step) + self.offset).astype(self.dtype)
        above = np.rint(levels * np.float64(self.step)).astype(np.uint64)
        # Modulo 2^64 the sum is right for signed and unsigned types alike.
        wide = above + np.uint64(int(self.offset) % 2**64)
        return wide.view(np.int64 if self.dtype.kind == "i" else np.uint64).astype(self.dtype)

    def _from_unsigned_offset(self, pixels: Array) -> Array:
        wide = pixels.astype(np.int64 if self.dtype.kind == "i" else np.uint64).view(np.uint64)
        return wide - np.uint64(int(self.offset) % 2**64)

"""Choose stored values, slope and intercept for an image that goes into 16 bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.valuerep import format_number_as_ds

from plica.errors import OutputError
from plica.image import Image

KEPT = (np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.int16))
TOP = 65535


@dataclass(frozen=True, eq=False)
class Stored:
    """Pixels (channel, i, j, k) as they go into a file: value = slope · pixel + intercept."""

    pixels: NDArray[Any]
    slope: float
    intercept: float


def ds(number: float) -> str:
    """A number as a decimal string of DICOM, which has at most 16 characters."""
    return str(format_number_as_ds(float(number)))


def to_stored(image: Image) -> Stored:
    """Stored values of an image: exact where whole numbers fit 16 bits, else rounded.

    Raises:
        OutputError: It has NaN or infinite values, or another number of channels than DICOM has.
    """
    pixels = image.pixels
    if image.channels == 3 and pixels.dtype == np.uint8:
        return Stored(pixels, 1.0, 0.0)
    if image.channels != 1:
        raise OutputError(
            f"DICOM takes one channel, or three of uint8, but the image has {image.channels} of "
            f"{pixels.dtype}: write NIfTI or convert it"
        )
    lost = image.count_nonfinite()
    if lost:
        raise OutputError(f"{lost} values are NaN or infinite, which DICOM cannot store")
    if pixels.dtype in KEPT:
        return Stored(pixels, 1.0, 0.0)
    if pixels.dtype == np.bool_:
        return Stored(pixels.astype(np.uint8), 1.0, 0.0)
    if pixels.dtype == np.float16:
        pixels = pixels.astype(np.float32)  # float16 cannot say how far all its numbers are apart
    low, high = float(pixels.min()), float(pixels.max())
    whole = pixels.dtype.kind in "iu" or bool(np.array_equal(pixels, np.rint(pixels)))
    if whole and low >= -32768 and high <= 32767:
        return Stored(pixels.astype(np.int16), 1.0, 0.0)
    if whole and high - low <= TOP:
        return Stored((pixels - pixels.dtype.type(low)).astype(np.uint16), 1.0, low)
    return _spread(pixels, low, high)


def _spread(pixels: NDArray[Any], low: float, high: float) -> Stored:
    """Real numbers over all of 16 bits, by a slope and intercept as the file can write them."""
    intercept = float(ds(low))
    slope = float(ds((high - intercept) / TOP)) if high > low else 1.0
    if slope == 0.0:
        raise OutputError(f"values from {low} to {high} are too close together for DICOM")
    stored = np.empty(pixels.shape, np.uint16)
    for k in range(pixels.shape[3]):
        scaled = np.rint((pixels[..., k].astype(np.float64) - intercept) / slope)
        stored[..., k] = np.clip(scaled, 0, TOP)
    return Stored(stored, slope, intercept)

"""Pixel values to [−1, 1] and back, and into the type they came in."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.boxes import Readable, count_nonfinite, find_extremes
from plica.errors import UnusablePixels
from plica.image import Image, Pixels
from plica.preparation.undo import LARGEST_VALUE, PIXEL_TYPES, Undo
from plica.preparation.view import View

Float32 = NDArray[np.float32]


def measure_range(pixels: Readable, purpose: str) -> tuple[float, float]:
    """Smallest and largest value.

    Args:
        pixels: All of the image's.
        purpose: Who asks, as the subject of the error's sentence.

    Raises:
        UnusablePixels: A value is not finite, or too large to compute with.

    Examples:
        >>> measure_range(np.array([[[[-1024, 3071]]]], np.int16), "the window")
        (-1024.0, 3071.0)
    """
    low, high = (float(end) for end in find_extremes(pixels))
    if not np.isfinite([low, high]).all():
        raise UnusablePixels(
            f"{purpose} needs finite values, but {count_nonfinite(pixels)} voxels are NaN or "
            "infinite: put the step 'finite' before it (--fill-nonfinite on the command line)"
        )
    if max(-low, high) > LARGEST_VALUE:
        raise UnusablePixels(
            f"{purpose} computes with values up to ±{LARGEST_VALUE:g}, but the image reaches from "
            f"{low:g} to {high:g}: rescale it first"
        )
    return low, high


def scale(pixels: Pixels, low: float, high: float, *, clip: bool) -> Float32:
    """The range low … high → −1 … 1, as a new float32 array; all zero where low equals high."""
    if high <= low:
        return np.zeros(pixels.shape, np.float32)
    work = _working_type(pixels.dtype, low, high)
    middle, half = low + (high - low) / 2, (high - low) / 2
    values = np.subtract(pixels, work(middle), dtype=work)
    values *= work(1 / half)
    if clip:
        np.clip(values, -1, 1, out=values)
    return values.astype(np.float32, copy=False)


def unscale(values: Pixels, low: float, high: float, *, clip: bool) -> NDArray[Any]:
    """The range −1 … 1 → low … high, as a new array of real numbers.

    Args:
        values: What a network decoded: close to [−1, 1].
        low: What −1 means.
        high: What 1 means.
        clip: Bring values beyond [−1, 1] back first: right where the source had none.

    Examples:
        >>> unscale(np.array([-1.0, 0, 1.2], np.float32), -1000, 1000, clip=True)
        array([-1000.,     0.,  1000.], dtype=float32)
    """
    work = _working_type(values.dtype, low, high)
    back = np.clip(values, -1, 1) if clip else values
    scaled: NDArray[Any] = np.multiply(back, work((high - low) / 2), dtype=work)
    scaled += work(low + (high - low) / 2)
    return scaled


def to_type(values: Pixels, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The values in another type: rounded to the nearest whole number and kept in its range.

    Raises:
        UnusablePixels: NaN where a whole number is needed.
    """
    if values.dtype == dtype:
        return values
    if dtype.kind == "f":
        return _to_float(values, dtype)
    if values.dtype.kind == "f" and np.isnan(values.min()):
        raise UnusablePixels(
            f"the decoded image holds {int(np.isnan(values).sum())} values that are NaN, which "
            f"cannot be written as {dtype.name}: the codec failed on this image"
        )
    if dtype.kind == "b":
        return values >= 0.5
    # float32 counts in steps beyond 2^24, so that wider types are rounded in float64
    work = np.float32 if dtype.itemsize <= 2 and values.dtype == np.float32 else np.float64
    low, high = (_inside(bound, work) for bound in (np.iinfo(dtype).min, np.iinfo(dtype).max))
    whole = np.rint(values, dtype=work) if values.dtype.kind == "f" else values.astype(work)
    np.clip(whole, low, high, out=whole)
    return whole.astype(dtype)


def name_type(dtype: np.dtype[Any]) -> str:
    """The name of a pixel type for the record, without byte order; wider floats are float64."""
    return dtype.name if dtype.name in PIXEL_TYPES else "float64"


def intensity_undo(view: View | Image, low: float, high: float) -> dict[str, Any]:
    """What every step that scales linearly needs for its undo."""
    return {
        "low": low,
        "high": high,
        "unit": view.unit.value,
        "dtype": name_type(view.pixels.dtype),
    }


def recall_linear(view: View, undo: Undo, *, clip: bool) -> View:
    """Undo `scale` as `intensity_undo` says: values in the type and unit they had before."""
    limits, dtype = _read_range(undo), undo.pixel_type()
    restore = partial(_restore, limits=limits, clip=clip, dtype=dtype)
    return replace(view.map(restore, dtype), unit=undo.unit())


def _restore(
    values: Pixels, *, limits: tuple[float, float], clip: bool, dtype: np.dtype[Any]
) -> NDArray[Any]:
    return to_type(unscale(values, *limits, clip=clip), dtype)


def revert_linear(values: Pixels, undo: Undo, *, clip: bool) -> NDArray[Any]:
    """Undo `scale` as `intensity_undo` says, as a new array of real numbers."""
    low, high = _read_range(undo)
    return unscale(values, low, high, clip=clip)


def _read_range(undo: Undo) -> tuple[float, float]:
    low, high = undo.number("low"), undo.number("high")
    if low > high:
        raise undo.damage(f"its low {low:g} is above its high {high:g}")
    return low, high


def count_rounding(dtype: np.dtype[Any], low: float, high: float) -> dict[str, float]:
    """What whole numbers lose because float32 has 2^24 steps in [−1, 1]; empty where nothing."""
    coarsest = (high - low) / 2**25
    return {"rounded_to": coarsest * 2} if dtype.kind in "iu" and coarsest >= 0.25 else {}


def _working_type(dtype: np.dtype[Any], low: float, high: float) -> Any:
    """float32 where it is enough: a wide type or a narrow range far from zero needs float64."""
    exact = dtype.kind == "b" or dtype.itemsize <= 2 or dtype == np.float32
    width = high - low
    near_zero = max(abs(low), abs(high)) <= 64 * width
    return np.float32 if exact and near_zero and width > 1e-30 else np.float64


def _to_float(values: Pixels, dtype: np.dtype[Any]) -> NDArray[Any]:
    narrower = values.dtype.kind != "f" or dtype.itemsize < values.dtype.itemsize
    if not narrower:
        return values.astype(dtype)
    limit = np.finfo(dtype).max
    wide = values if values.dtype.kind == "f" else values.astype(np.float64)
    return np.clip(wide, -limit, limit).astype(dtype)


def _inside(bound: int, work: Any) -> Any:
    """The nearest number of the working type that is still in the range."""
    near = work(bound)
    return np.nextafter(near, work(0)) if abs(int(near)) > abs(bound) else near

"""Stored values to real ones, and back, in the smallest type that keeps them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.boxes import find_extremes, release
from plica.errors import OutputError, UnsupportedFormat
from plica.image import Pixels

_WHOLE = tuple(np.dtype(kind) for kind in ("int16", "uint16", "int32", "uint32", "int64"))
_FLOAT32_MAX = float(np.finfo(np.float32).max)


def rescale(stored: Pixels, slope: float, intercept: float, *, overwrite: bool = False) -> Pixels:
    """`slope · stored + intercept`, whole numbers where slope and intercept are whole.

    Whole results come in the first of int16, uint16, int32, uint32, int64 that holds them; others
    in float32, or in float64 where the stored numbers have more than 24 bits or the result does
    not fit. A slope of 0 or one that is no number means: not scaled (the NIfTI standard).

    Args:
        stored: What is scaled; may be mapped from a file.
        slope: By which it is multiplied.
        intercept: What is added.
        overwrite: Whether the result may take the room of `stored`, where that suffices.

    Examples:
        >>> rescale(np.array([0, 1024, 4095], np.uint16).reshape(1, 3, 1, 1), 1, -1024).ravel()
        array([-1024,     0,  3071], dtype=int16)
    """
    stored = stored.astype(stored.dtype.newbyteorder("="), copy=False)
    if slope == 0 or not np.isfinite([slope, intercept]).all() or (slope, intercept) == (1, 0):
        return stored
    if stored.dtype.kind in "iub" and slope == int(slope) and intercept == int(intercept):
        whole = _rescale_whole(stored, int(slope), int(intercept), overwrite)
        if whole is not None:
            return whole
    wide: np.dtype[Any] = np.dtype(np.float64)
    if stored.dtype.itemsize < 4 or stored.dtype == np.float32:
        wide = _float_for(stored, slope, intercept)
    out = np.empty_like(stored, dtype=wide)
    for at in range(stored.shape[-1]):  # slice by slice: a float64 copy of a CT is gigabytes
        out[..., at] = stored[..., at].astype(np.float64) * slope + intercept
        release(stored)
    return out


def _float_for(stored: Pixels, slope: float, intercept: float) -> np.dtype[Any]:
    """float32, unless the largest result is past it."""
    finite = stored[np.isfinite(stored)] if stored.dtype.kind == "f" else stored
    if not finite.size:
        return np.dtype(np.float32)
    ends = [float(finite.min()) * slope + intercept, float(finite.max()) * slope + intercept]
    return np.dtype(np.float32 if max(map(abs, ends)) <= _FLOAT32_MAX else np.float64)


def _rescale_whole(stored: Pixels, slope: int, intercept: int, overwrite: bool) -> Pixels | None:
    """The exact whole result, or None where no type holds it."""
    ends = [int(end) * slope + intercept for end in find_extremes(stored)]
    if max(abs(slope), abs(intercept)) >= 1 << 62:
        return None  # numpy would refuse the factor itself
    for kind in _WHOLE:
        limits = np.iinfo(kind)
        if limits.min <= min(ends) and max(ends) <= limits.max:
            alike = overwrite and stored.flags.writeable and stored.itemsize == kind.itemsize
            out = stored.view(kind) if alike else np.empty_like(stored, dtype=kind)
            for at in range(stored.shape[-1]):
                # A product may pass int64 and wrap; the sum, which fits, wraps it back.
                out[..., at] = stored[..., at].astype(np.int64) * slope + intercept
                release(stored)
            return out
    return None


def cast_for_writing(pixels: Pixels, dtype: str | None, allowed: tuple[str, ...]) -> Pixels:
    """Pixels in the type they are written in: whole numbers stay, reals become float32.

    Args:
        pixels: Any numbers.
        dtype: A type asked for; None takes the rule above. Reals asked to be whole are rounded,
            never truncated.
        allowed: Types the format has.

    Raises:
        OutputError: The values do not fit the type, or the format has no such type.

    Examples:
        >>> cast_for_writing(np.array([0.4, 1.6]), "int16", ("int16", "float32"))
        array([0, 2], dtype=int16)
    """
    wanted = dtype or choose_type(pixels.dtype, allowed).name
    if wanted not in allowed:
        raise OutputError(
            f"pixels cannot be written as {wanted} in this format; choose one of "
            f"{', '.join(allowed)} with dtype="
        )
    target = np.dtype(wanted)
    if pixels.dtype == target:
        return pixels
    rounded = np.rint(pixels) if target.kind in "iu" and pixels.dtype.kind == "f" else pixels
    _check_fits(rounded, target)
    return rounded.astype(target)


def choose_type(dtype: np.dtype[Any], allowed: tuple[str, ...]) -> np.dtype[Any]:
    """The type values are written in where nobody chose: whole numbers stay, reals are float32."""
    if dtype.kind == "b":
        return np.dtype("bool" if "bool" in allowed else "uint8")
    return np.dtype(np.float32) if dtype.kind == "f" else dtype


def _check_fits(values: Pixels, target: np.dtype[Any]) -> None:
    if target.kind == "b":
        _check_only_bits(values)
        return
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    if target.kind in "iu" and finite.size != values.size:
        raise OutputError(
            f"{values.size - finite.size} values are NaN or infinite, which {target} cannot hold; "
            "write dtype='float32' or replace them first"
        )
    if not finite.size:
        return
    low, high = finite.min(), finite.max()
    limits = np.iinfo(target) if target.kind in "iu" else np.finfo(target)
    if int(low) < int(limits.min) or int(high) > int(limits.max):
        raise OutputError(
            f"values from {low} to {high} do not fit {target}; choose a wider type with dtype="
        )


def _check_only_bits(values: Pixels) -> None:
    others = int(np.count_nonzero((values != 0) & (values != 1)))
    if others:
        raise OutputError(
            f"{others} values are neither 0 nor 1, and bool holds nothing else; choose another "
            "type with dtype="
        )


def to_uint16(pixels: Pixels) -> tuple[NDArray[np.uint16], float, float]:
    """Pixels as uint16 with the slope and intercept that give them back.

    Whole numbers spanning at most 65535 are exact (slope 1); others are spread over the range and
    rounded, at most half a slope off.

    Raises:
        OutputError: A value is NaN or infinite.
    """
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise OutputError(
            "the image holds NaN or infinite values, which a 16-bit picture cannot keep; "
            "replace them first or write NIfTI"
        )
    if pixels.dtype.kind in "iub":
        least, most = int(pixels.min()), int(pixels.max())
        if most - least <= 65535:
            intercept = 0 if least >= 0 and most <= 65535 else least
            return (pixels.astype(np.int64) - intercept).astype(np.uint16), 1.0, float(intercept)
    low, high = float(pixels.min()), float(pixels.max())
    slope = (high - low) / 65535 or 1.0
    scaled = np.rint((pixels.astype(np.float64) - low) / slope)
    return np.clip(scaled, 0, 65535).astype(np.uint16), slope, low


def check_pixel_type(dtype: np.dtype[Any], name: str) -> None:
    """Refuse types an image cannot have: complex numbers, long doubles, records, text.

    Raises:
        UnsupportedFormat: It is one of them.
    """
    if dtype.kind not in "iufb" or dtype.itemsize > 8:
        raise UnsupportedFormat(
            f"{name} holds values of type {dtype}, and plica reads whole and real numbers of up "
            "to 64 bits; convert it first (a complex image: to its magnitude)"
        )

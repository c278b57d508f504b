"""Codes in fewer bits, and back: float16, bfloat16, int8 with a scale per channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from plica.errors import LatentError, OutputError

StorageType = Literal["float32", "float16", "bfloat16", "int8"]
STORAGE_TYPES: tuple[StorageType, ...] = ("float32", "float16", "bfloat16", "int8")
Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Packed:
    """Codes as they stand in a file.

    Args:
        dtype: safetensors' name of the type.
        array: The numbers.
        scale: For int8: one factor per code channel.
    """

    dtype: str
    array: NDArray[Any]
    scale: Float32 | None = None


def pack(codes: Float32, dtype: StorageType) -> Packed:
    """Codes (channel, i, j, k) in a storage type, rounded to the nearest.

    Raises:
        OutputError: A code is too large for the type, or not finite where it must be.
    """
    if dtype == "float32":
        return Packed("F32", codes)
    if dtype == "int8":
        return _pack_int8(codes)
    if dtype == "bfloat16":
        bits = to_bfloat16(codes)
        _check_overflow(codes, from_bfloat16(bits), dtype)
        return Packed("BF16", bits)
    with np.errstate(over="ignore"):
        halves = codes.astype(np.float16)
    _check_overflow(codes, halves, dtype)
    return Packed("F16", halves)


def unpack(packed: Packed, name: str) -> Float32:
    """Float32 codes of what stands in a file.

    Raises:
        LatentError: A type codes are not kept in, or int8 without its scales.
    """
    if packed.dtype == "BF16":
        return from_bfloat16(packed.array)
    if packed.dtype == "I8":
        if packed.scale is None or packed.scale.shape != packed.array.shape[:1]:
            raise LatentError(f"{name} keeps int8 codes without a scale for each channel; damaged")
        if not np.isfinite(packed.scale).all():
            raise LatentError(f"{name} has scales that are not finite; it is damaged")
        return packed.array.astype(np.float32) * packed.scale[:, None, None, None]
    if packed.dtype in {"F16", "F32"}:
        return packed.array.astype(np.float32)
    raise LatentError(f"{name} keeps its codes as {packed.dtype}; F32, F16, BF16 or I8 is expected")


def to_bfloat16(values: Float32) -> NDArray[np.uint16]:
    """The upper halves of the bits, rounded to nearest, ties to even; NaN stays NaN."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> 16) & np.uint32(1))) >> 16
    # Rounding up could carry a NaN's last bits into infinity, or round the sum past 32 bits.
    kept = np.where(np.isnan(values), (bits >> 16) | np.uint32(0x40), rounded)
    return kept.astype(np.uint16)


def from_bfloat16(bits: NDArray[np.uint16]) -> Float32:
    """The float32 whose upper half these bits are."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def _pack_int8(codes: Float32) -> Packed:
    """Symmetric around zero: 127 is the channel's largest magnitude."""
    if not np.isfinite(codes).all():
        raise OutputError(
            "the codes hold NaN or infinite values, which int8 cannot keep; store them as float32"
        )
    largest = np.abs(codes).max(axis=(1, 2, 3)) if codes.size else np.zeros(len(codes), np.float32)
    least = np.finfo(np.float32).tiny
    scale = np.maximum(largest / np.float32(127), least).astype(np.float32)
    whole = np.rint(codes / scale[:, None, None, None])
    return Packed("I8", np.clip(whole, -127, 127).astype(np.int8), scale)


def _check_overflow(codes: Float32, packed: NDArray[Any], dtype: str) -> None:
    lost = np.isfinite(codes) & ~np.isfinite(packed)
    if lost.any():
        raise OutputError(
            f"{int(lost.sum())} codes are too large for {dtype} (up to "
            f"{float(np.abs(codes[lost]).max()):g}); store them as float32"
        )


def measure_loss(codes: Float32, restored: Float32) -> dict[str, float]:
    """What storing cost: root mean square, the same relative to the codes', and the largest."""
    finite = np.isfinite(codes)
    true = codes[finite].astype(np.float64)
    error = restored[finite].astype(np.float64) - true
    if not error.size:
        return {"rms_error": 0.0, "relative_rms_error": 0.0, "max_error": 0.0}
    rms, power = (float(np.sqrt(np.mean(part**2))) for part in (error, true))
    return {
        "rms_error": rms,
        "relative_rms_error": rms / power if power else 0.0,
        "max_error": float(np.abs(error).max()),
    }

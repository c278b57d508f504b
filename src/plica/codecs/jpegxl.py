"""JPEG XL (ISO/IEC 18181) of single planes, by libjxl."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.errors import LatentError, MissingExtra, UnusablePixels

Plane = NDArray[np.uint16]
# libjxl takes a distance between what is seen, not a rate; 25 is its largest.
DISTANCES = (0.01, 25.0)
TOLERANCE = 0.03
_EFFORT = 5
_HEAD_BYTES = 96
_BARE = b"\xff\x0a"
# Widths that a codestream writes as a ratio to the height, by its three bits.
_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}


def encode_planes(planes: Sequence[Plane], rate: float | None) -> list[bytes]:
    """One bare codestream for each plane, all of one quality.

    Args:
        planes: Each (row, column).
        rate: Bits per pixel over all planes, met within 3 % by searching for the distance, or
            undercut where even the smallest distance needs less; None keeps every level. Up to
            96 bytes a plane are never held to be too many: a head alone is half of that.

    Raises:
        UnusablePixels: The planes cannot be made as small as that.
        MissingExtra: imagecodecs is not installed.

    Examples:
        >>> plane = radiograph.pixels[0, :, :, 0].astype(np.uint16)
        >>> stream, = encode_planes([plane], rate=1.0)
        >>> len(stream) * 8 / plane.size < 1.1
        True
    """
    if rate is None:
        return [_encode(plane, lossless=True) for plane in planes]
    target = max(rate * sum(plane.size for plane in planes) / 8, _HEAD_BYTES * len(planes))
    near, far = (_try(planes, distance) for distance in DISTANCES)
    if _size(near) <= target:
        return near
    if _size(far) > target * (1 + TOLERANCE):
        least = _size(far) * 8 / sum(plane.size for plane in planes)
        raise UnusablePixels(
            f"JPEG XL cannot make this image smaller than {least:.3f} bits per pixel, and "
            f"{rate} were asked for: ask for more, or use jpeg2000"
        )
    return _search(planes, target, near, far)


def _search(
    planes: Sequence[Plane], target: float, near: list[bytes], far: list[bytes]
) -> list[bytes]:
    """Narrow the interval of log distance until the size fits; the nearest size if none does.

    The logarithm of the size falls about evenly with that of the distance, so the next try stands
    where a line between the ends meets the target, but well inside, as the fall is not quite even.
    """
    ends = [(math.log(DISTANCES[0]), near), (math.log(DISTANCES[1]), far)]
    best = far
    for _ in range(14):
        (low, above), (high, below) = ends
        fall = math.log(_size(above) / _size(below))
        share = math.log(_size(above) / target) / fall if fall > 0 else 0.5
        middle = low + (high - low) * min(max(share, 0.15), 0.85)
        streams = _try(planes, math.exp(middle))
        if abs(_size(streams) - target) < abs(_size(best) - target):
            best = streams
        if abs(_size(streams) / target - 1) <= TOLERANCE:
            return streams
        ends[0 if _size(streams) > target else 1] = (middle, streams)
    return best


def _try(planes: Sequence[Plane], distance: float) -> list[bytes]:
    return [_encode(plane, distance=distance) for plane in planes]


def _size(streams: Sequence[bytes]) -> int:
    return sum(map(len, streams))


def _encode(plane: Plane, **settings: Any) -> bytes:
    stream = _imagecodecs().jpegxl_encode(
        np.ascontiguousarray(plane), effort=_EFFORT, numthreads=1, usecontainer=False, **settings
    )
    return stream if stream.startswith(_BARE) else _unbox(stream)


def decode_plane(stream: bytes, shape: tuple[int, int]) -> Plane:
    """The plane (row, column) of a codestream.

    Raises:
        LatentError: The codestream is damaged, or says another size; that is checked before
            memory is taken for it.
        MissingExtra: imagecodecs is not installed.
    """
    if not stream.startswith(_BARE) or len(stream) < 12 or _read_size(stream) != shape:
        raise LatentError(
            f"a JPEG XL plane of the latent is not one of {shape} pixels: the latent is damaged"
        )
    imagecodecs = _imagecodecs()
    plane = np.empty(shape, np.uint16)
    try:
        imagecodecs.jpegxl_decode(stream, numthreads=1, out=plane)
    except (imagecodecs.JpegxlError, RuntimeError, ValueError, TypeError) as error:
        raise LatentError(f"a JPEG XL plane of the latent is damaged: {error}") from error
    return plane


def _unbox(stream: bytes) -> bytes:
    """The codestream in a file of boxes, which libjxl makes where it writes a level."""
    place = 0
    while place + 8 <= len(stream):
        length, kind = struct.unpack_from(">I4s", stream, place)
        end = place + length if length else len(stream)
        if kind == b"jxlc":
            return stream[place + 8 : end]
        place = max(end, place + 8)
    raise LatentError("JPEG XL's encoder made a file without a codestream: update imagecodecs")


def _read_size(stream: bytes) -> tuple[int, int]:
    """Rows and columns as the codestream's head says: ISO/IEC 18181-1, SizeHeader.

    Bits are read from the least significant on.
    """
    bits = int.from_bytes(stream[2:12], "little")

    def take(count: int) -> int:
        nonlocal bits
        value, bits = bits & ((1 << count) - 1), bits >> count
        return value

    small = take(1)

    def take_side() -> int:
        if small:
            return (take(5) + 1) * 8
        return take((9, 13, 18, 30)[take(2)]) + 1

    rows = take_side()
    ratio = take(3)
    if ratio == 0:
        return rows, take_side()
    numerator, denominator = _RATIOS[ratio]
    return rows, rows * numerator // denominator


def _imagecodecs() -> Any:
    try:
        import imagecodecs
    except ImportError as error:
        raise MissingExtra("the codec jpegxl", "imagecodecs", "codecs") from error
    return imagecodecs

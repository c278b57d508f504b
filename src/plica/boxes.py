"""Boxes: pixels that are read and written a box at a time, so that no copy of all need exist.

Anything with a shape, a type and slicing is such pixels: an array in memory, an array mapped from a
file, or a view that computes each box when it is asked for. A box is one slice per axis, each with
a start and a stop.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Box = tuple[slice, ...]
SLAB_BYTES = 2**25
"""How much of the pixels is looked at in one go where all of them are looked at."""


@runtime_checkable
class Readable(Protocol):
    """Pixels (channel, i, j, k) of which boxes are read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels, and sides along i, j, k."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        ...

    def __getitem__(self, box: Any, /) -> NDArray[Any]:
        """The values of a box."""
        ...


def all_of(pixels: Readable) -> Box:
    """The box that holds everything."""
    return tuple(slice(0, side) for side in pixels.shape)


def find_slowest_axis(pixels: Readable) -> int:
    """The axis of space along which neighbours lie farthest apart in memory or in the file."""
    told = getattr(pixels, "slowest_axis", None)
    if told is not None:
        return int(told)
    if isinstance(pixels, np.ndarray):
        return 1 + int(np.argmax(np.abs(pixels.strides[1:])))
    return len(pixels.shape) - 1


def cut_slabs(pixels: Readable, most_bytes: int = SLAB_BYTES) -> Iterator[Box]:
    """Boxes that cover everything once, each at most so large, or one layer thick."""
    axis = find_slowest_axis(pixels)
    shape = pixels.shape
    layer = math.prod(shape) // shape[axis] * pixels.dtype.itemsize
    thick = max(1, int(most_bytes // max(1, layer)))
    for at in range(0, shape[axis], thick):
        box = list(all_of(pixels))
        box[axis] = slice(at, min(at + thick, shape[axis]))
        yield tuple(box)


def read_slabs(pixels: Readable, most_bytes: int = SLAB_BYTES) -> Iterator[NDArray[Any]]:
    """The values, slab after slab; what was mapped from a file is given back after each."""
    for box in cut_slabs(pixels, most_bytes):
        yield pixels[box]
        release(pixels)


def gather(pixels: Readable, box: Box, dtype: Any = None) -> NDArray[Any]:
    """A copy of a box, in C order; no more of a file's map than a slab is resident meanwhile.

    Args:
        pixels: What is read.
        box: One slice per axis.
        dtype: Of the copy; None keeps the pixels' own.

    Examples:
        >>> gather(np.arange(24).reshape(4, 6), (slice(1, 3), slice(0, 2)), np.float32)
        array([[ 6.,  7.],
               [12., 13.]], dtype=float32)
    """
    kind = pixels.dtype if dtype is None else np.dtype(dtype)
    out = np.empty([span.stop - span.start for span in box], kind)
    axis = find_slowest_axis(pixels)
    span = box[axis]
    thick = span.stop - span.start
    if _find_map(pixels) is not None:
        layer = math.prod(pixels.shape) // pixels.shape[axis] * pixels.dtype.itemsize
        thick = max(1, SLAB_BYTES // max(1, layer))
    for at in range(span.start, span.stop, max(1, thick)):
        part, place = list(box), [slice(None)] * len(box)
        part[axis] = slice(at, min(at + thick, span.stop))
        place[axis] = slice(at - span.start, part[axis].stop - span.start)
        out[tuple(place)] = pixels[tuple(part)]
        release(pixels)
    return out


def find_extremes(pixels: Readable) -> tuple[Any, Any]:
    """Smallest and largest value; NaN where there is one."""
    ends = [(slab.min(), slab.max()) for slab in read_slabs(pixels)]
    return np.min([low for low, _ in ends]), np.max([high for _, high in ends])


def count_nonfinite(pixels: Readable) -> int:
    """How many values are NaN or infinite."""
    if pixels.dtype.kind != "f":
        return 0
    return sum(int(slab.size - np.count_nonzero(np.isfinite(slab))) for slab in read_slabs(pixels))


def release(pixels: Readable) -> None:
    """Let pages that were mapped from a file go; they are read again when needed.

    Does nothing to arrays in memory, nor to maps whose changes live in memory alone.
    """
    for part in getattr(pixels, "parts", ()):
        release(part)
    mapped = _find_map(pixels)
    if mapped is not None and hasattr(mapped, "madvise"):  # Windows has none, and trims by itself
        mapped.madvise(mmap.MADV_DONTNEED)


def count_held(pixels: Readable) -> int:
    """Bytes of memory the pixels take, 0 where they are mapped from a file."""
    innermost = getattr(pixels, "innermost", pixels)
    if not isinstance(innermost, np.ndarray) or _find_map(innermost) is not None:
        return 0
    repeated = [side for side, step in zip(innermost.shape, innermost.strides, strict=True) if step]
    return math.prod(repeated) * innermost.itemsize


def stands_on(pixels: Readable, base: Readable) -> bool:
    """Whether pixels are those, or are computed from them box by box."""
    return getattr(pixels, "innermost", pixels) is base


def _find_map(pixels: Readable) -> mmap.mmap | None:
    """The map of a file that the pixels lie in; None also where its changes stay in memory."""
    held: Any = getattr(pixels, "innermost", pixels)
    shared = False
    while held is not None:
        shared = shared or (isinstance(held, np.memmap) and held.mode != "c")
        if isinstance(held, mmap.mmap):
            return held if shared else None
        held = getattr(held, "base", None)
    return None

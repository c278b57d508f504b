"""Deep TIFF pages: 16, 32 and 64 bits, signed and real, which Pillow reads wrongly in silence.

Measured with Pillow 13: compressed big-endian float32 and int32 come with their bytes swapped,
big-endian int16 as uint16, 16-bit colour cut to 8 bits. Pillow finds the directory; the strips or
tiles are read here (TIFF 6.0, and its first supplement for the predictor of reals).
"""

from __future__ import annotations

import io
import math
import zlib
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from plica.errors import UnreadableFile, UnsupportedFormat
from plica.formats.streams import read_bytes
from plica.image import Pixels

_NONE, _DEFLATE, _OLD_DEFLATE = 1, 8, 32946
_KINDS = {1: "u", 2: "i", 3: "f"}
_DIFFERENCE, _FLOAT_DIFFERENCE = 2, 3
LZW = 5


@dataclass(frozen=True)
class DeepPage:
    """How one page keeps its samples.

    Args:
        rows, columns, samples: Its size.
        stored: Type of a sample, in the file's byte order.
        compression, predictor: TIFF's numbers.
        block: Rows and columns of one strip or tile.
        offsets, counts: Where the blocks are.
        white_is_zero: Whether 0 is white.
    """

    rows: int
    columns: int
    samples: int
    stored: np.dtype[Any]
    compression: int
    predictor: int
    block: tuple[int, int]
    offsets: tuple[int, ...]
    counts: tuple[int, ...]
    white_is_zero: bool


def is_deep(tags: Any) -> bool:
    """Whether the page has samples other than unsigned ones of up to 8 bits."""
    return max(_numbers(tags, 258, 1)) > 8 or set(_numbers(tags, 339, 1)) - {1, 4} != set()


def describe_page(tags: Any, order: Literal["<", ">"], name: str) -> DeepPage:
    """Read a directory's tags.

    Raises:
        UnsupportedFormat: Planes apart, packed bits, or a compression plica does not read.
        UnreadableFile: The tags contradict each other.
    """
    bits, formats = set(_numbers(tags, 258, 1)), set(_numbers(tags, 339, 1))
    samples, compression = _numbers(tags, 277, 1)[0], _numbers(tags, 259, 1)[0]
    kind = _KINDS.get(formats.pop(), "") if len(formats) == 1 else ""
    width = bits.pop() if len(bits) == 1 else 0
    if not kind or width not in (8, 16, 32, 64) or samples not in (1, 3, 4):
        raise UnsupportedFormat(
            f"{name} has {samples} samples of {width or 'several'} bits, and plica reads grey and "
            "RGB of 8, 16, 32 and 64; convert it first"
        )
    if _numbers(tags, 284, 1)[0] != 1 and samples > 1:
        raise UnsupportedFormat(f"{name} keeps its colours in planes apart; save them together")
    if compression not in (_NONE, _DEFLATE, _OLD_DEFLATE, LZW):
        raise UnsupportedFormat(
            f"{name} is packed by TIFF compression {compression} at {width} bits; save it "
            "uncompressed or deflated"
        )
    rows, columns = _numbers(tags, 257, 0)[0], _numbers(tags, 256, 0)[0]
    tiled = 324 in tags
    block = (_numbers(tags, 323, 0)[0], _numbers(tags, 322, 0)[0]) if tiled else (
        min(_numbers(tags, 278, rows)[0], rows), columns)  # fmt: skip
    if min(rows, columns, *block) < 1:
        raise UnreadableFile(f"{name} declares {columns} × {rows} pixels in blocks of {block}")
    offsets, counts = (
        _numbers(tags, 324 if tiled else 273, 0),
        _numbers(tags, 325 if tiled else 279, 0),
    )
    expected = math.ceil(rows / block[0]) * math.ceil(columns / block[1])
    if not len(offsets) == len(counts) == expected:
        raise UnreadableFile(f"{name} needs {expected} strips or tiles and lists {len(offsets)}")
    return DeepPage(
        rows, columns, samples, np.dtype(f"{kind}{width // 8}").newbyteorder(order), compression,
        _numbers(tags, 317, 1)[0], block, offsets, counts, _numbers(tags, 262, 1)[0] == 0,
    )  # fmt: skip


def read_deep(file: io.BufferedIOBase, page: DeepPage, name: str) -> Pixels:
    """The page as (row, column, sample).

    Raises:
        UnreadableFile: Damaged or truncated.
        UnsupportedFormat: LZW, or a predictor that does not belong to the type.
    """
    if page.compression == LZW:
        raise UnsupportedFormat(
            f"{name} packs {page.stored.name} by LZW, which plica reads for 16-bit grey only; save "
            "it uncompressed or deflated"
        )
    high, wide = page.block
    out = np.empty((page.rows, page.columns, page.samples), page.stored.newbyteorder("="))
    across = math.ceil(page.columns / wide)
    for at, (offset, count) in enumerate(zip(page.offsets, page.counts, strict=True)):
        top, left = (at // across) * high, (at % across) * wide
        # The last strip is short; tiles are always whole.
        rows = min(high, page.rows - top) if wide == page.columns and across == 1 else high
        block = _read_block(file, page, (offset, count), (rows, wide), name)
        kept = block[: page.rows - top, : page.columns - left]
        out[top : top + kept.shape[0], left : left + kept.shape[1]] = kept
    return out


def _read_block(
    file: io.BufferedIOBase,
    page: DeepPage,
    place: tuple[int, int],
    size: tuple[int, int],
    name: str,
) -> Pixels:
    rows, columns = size
    needed = rows * columns * page.samples * page.stored.itemsize
    file.seek(place[0])
    if page.compression == _NONE:
        data = read_bytes(file, needed, name)
    else:
        packed = file.read(place[1])
        unpacked = zlib.decompressobj().decompress(packed, needed)
        if len(unpacked) < needed:
            raise UnreadableFile(f"{name} is truncated: a strip or tile ends early")
        data = np.frombuffer(unpacked, np.uint8)
    shape = (rows, columns, page.samples)
    if page.predictor == _FLOAT_DIFFERENCE and page.stored.kind == "f":
        return _undo_float_difference(data, shape, page.stored)
    block = data.view(page.stored).reshape(shape).astype(page.stored.newbyteorder("="))
    if page.predictor == _DIFFERENCE and page.stored.kind in "iu":
        return np.cumsum(block, axis=1, dtype=block.dtype)  # modulo the type, as is defined
    if page.predictor == 1:
        return block
    raise UnsupportedFormat(f"{name} uses TIFF predictor {page.predictor} on {page.stored.name}")


def _undo_float_difference(
    data: Pixels, shape: tuple[int, int, int], stored: np.dtype[Any]
) -> Pixels:
    """Bytes were sorted by significance within a row, highest first, then differenced."""
    rows, columns, samples = shape
    lines = data.reshape(rows, stored.itemsize * columns, samples)
    summed = np.cumsum(lines, axis=1, dtype=np.uint8).reshape(rows, stored.itemsize, -1)
    big = np.ascontiguousarray(summed.transpose(0, 2, 1)).view(stored.newbyteorder(">"))
    return big.reshape(shape).astype(stored.newbyteorder("="))


def _numbers(tags: Any, tag: int, default: int) -> tuple[int, ...]:
    value = tags.get(tag, default)
    several = value if isinstance(value, tuple) else (value,)
    return tuple(int(number) for number in several) or (default,)

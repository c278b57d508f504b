"""Read the headers of compressed frames, to know their true size before a decoder allocates it."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from plica.errors import UnreadableFile

# Start-of-frame markers of ITU-T T.81 table B.1 (without DHT C4, JPG C8, DAC CC), and JPEG-LS's.
START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})
JP2_SIGNATURE = b"\x00\x00\x00\x0cjP  "
END = b"\xff\xd9"
PADDING_ALLOWED = 16  # bytes after the end marker: some writers pad more than to even length
TILES_ALLOWED = 65535  # ISO/IEC 15444-1, A.4.2: the tile index has 16 bits


@dataclass(frozen=True)
class StreamSize:
    """What a codestream says of itself."""

    rows: int
    columns: int
    samples: int
    precision: int


def measure_jpeg(stream: bytes) -> StreamSize:
    """Size in the start-of-frame segment of JPEG or JPEG-LS.

    Raises:
        UnreadableFile: There is none, or the stream has no end.
    """
    if stream[:2] != b"\xff\xd8":
        raise UnreadableFile("a JPEG frame does not begin with the JPEG mark")
    at = 2
    while at + 9 < len(stream):
        if stream[at] != 0xFF:
            raise UnreadableFile("a JPEG frame has no marker where one belongs")
        marker = stream[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in STANDALONE:
            at += 2
        elif marker in START_OF_FRAME:
            precision, rows, columns, samples = struct.unpack(">BHHB", stream[at + 4 : at + 10])
            _require_end(stream)
            return StreamSize(rows, columns, samples, precision)
        else:
            at += 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
    raise UnreadableFile("a JPEG frame ends before it says its size")


def measure_jpeg2000(stream: bytes) -> StreamSize:
    """Size in the SIZ segment of JPEG 2000 or HTJ2K, wrapped as JP2 or bare.

    Raises:
        UnreadableFile: There is none, its tiles are absurd, or the stream has no end.
    """
    at = _skip_boxes(stream)
    if stream[at : at + 4] != b"\xff\x4f\xff\x51" or len(stream) < at + 43:
        raise UnreadableFile("a JPEG 2000 frame has no size segment at its beginning")
    x1, y1, x0, y0, tile_x, tile_y, _, _ = struct.unpack(">8I", stream[at + 8 : at + 40])
    samples, precision = struct.unpack(">HB", stream[at + 40 : at + 43])
    rows, columns = y1 - y0, x1 - x0
    if rows < 1 or columns < 1 or tile_x < 1 or tile_y < 1:
        raise UnreadableFile(f"a JPEG 2000 frame says it is {columns}×{rows} pixels")
    if -(-columns // tile_x) * -(-rows // tile_y) > TILES_ALLOWED:
        raise UnreadableFile(
            f"a JPEG 2000 frame says it is {columns}×{rows} pixels in tiles of {tile_x}×{tile_y}"
        )
    _require_end(stream)
    return StreamSize(rows, columns, samples, (precision & 0x7F) + 1)


def _skip_boxes(stream: bytes) -> int:
    """Where the codestream begins behind the boxes of a JP2 wrapper, if there is one.

    pydicom walks the same boxes and never ends at one of no length: such are refused here.
    """
    if not stream.startswith(JP2_SIGNATURE):
        return 0
    at = len(JP2_SIGNATURE) + 4
    while at + 8 <= len(stream):
        length = int.from_bytes(stream[at : at + 4], "big")
        if stream[at + 4 : at + 8] == b"jp2c":
            return at + 8
        if length < 8:
            break
        at += length
    raise UnreadableFile("a JPEG 2000 frame has a wrapper that leads to no codestream")


def _require_end(stream: bytes) -> None:
    """A stream cut short is decoded to grey by most decoders; better to refuse it."""
    if END not in stream[-PADDING_ALLOWED:]:
        raise UnreadableFile("a compressed frame is truncated: it has no end marker")

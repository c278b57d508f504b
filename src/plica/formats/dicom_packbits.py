"""Unpack run-length coded frames of one bit a pixel (DICOM PS3.5 annex G)."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.errors import UnreadableFile


def unpack_one_bit_frame(stream: bytes, rows: int, columns: int) -> NDArray[Any]:
    """The 0s and 1s of a frame whose packed bits were run-length coded as one segment.

    Raises:
        UnreadableFile: The stream is not of one segment, or ends before the frame is full.
    """
    if len(stream) < 64 or struct.unpack("<I", stream[:4])[0] != 1:
        raise UnreadableFile("a run-length coded frame has no header of one segment")
    (begin,) = struct.unpack("<I", stream[4:8])
    needed = -(-rows * columns // 8)
    packed = unpack_runs(stream[begin:], needed)
    bits = np.unpackbits(np.frombuffer(packed, np.uint8), bitorder="little")
    return bits[: rows * columns].reshape(rows, columns)


def unpack_runs(coded: bytes, needed: int) -> bytes:
    """`needed` bytes from runs: n < 128 copies n + 1 bytes, n > 128 repeats one 257 − n times."""
    out = bytearray()
    at = 0
    while len(out) < needed and at + 1 < len(coded):
        count = coded[at]
        if count < 128:
            out += coded[at + 1 : at + 2 + count]
            at += count + 2
        elif count > 128:
            out += coded[at + 1 : at + 2] * (257 - count)
            at += 2
        else:
            at += 1
    if len(out) < needed:
        raise UnreadableFile(
            f"a run-length coded frame is truncated: {len(out)} of {needed} bytes are there"
        )
    return bytes(out[:needed])

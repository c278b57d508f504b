"""Bytes nobody honest would send: headers that claim too much, streams that unpack to too much.

For the sweep (`robustness.strangers`) and for the tests of formats.
"""

from __future__ import annotations

import gzip
import json
import struct
import zlib
from collections.abc import Sequence

import numpy as np

from plica.formats.nifti_header import layout

ZEROS = bytes(16 << 20)  # 64 of them are a gibibyte


def nifti_head(sides: Sequence[int]) -> bytes:
    """A header of NIfTI that claims these sides, of int16, and nothing behind it."""
    record = np.zeros((), layout(1, "<"))
    record["sizeof_hdr"], record["magic"], record["vox_offset"] = 348, b"n+1\0", 352
    record["datatype"], record["sform_code"], record["srow"] = 4, 1, np.eye(4)[:3]
    record["dim"] = [len(sides), *sides, *[1] * (7 - len(sides))]
    return record.tobytes() + bytes(4)


def packed_zeros(gibibytes: int) -> bytes:
    """So many zeros as gzip, in members that cost nothing to make."""
    return gzip.compress(ZEROS, 9) * (gibibytes << 6)


def deflated(gibibytes: int) -> bytes:
    """So many zeros as zlib; one flushed block again and again, and no checksum."""
    packer = zlib.compressobj(9)
    head = packer.compress(b"") + packer.flush(zlib.Z_FULL_FLUSH)
    return head + (packer.compress(ZEROS) + packer.flush(zlib.Z_FULL_FLUSH)) * (gibibytes << 6)


def png(sides: tuple[int, int], body: bytes) -> bytes:
    """A picture that claims these sides, of 16 bit."""
    head = b"IHDR" + struct.pack(">IIBBBBB", *sides, 16, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part))
        for part in (head, b"IDAT" + body, b"IEND")
    )


def nrrd(sizes: str, encoding: str, body: bytes) -> bytes:
    """A header of NRRD as it is given, and a body."""
    text = (
        f"NRRD0004\ntype: short\ndimension: 3\nsizes: {sizes}\nendian: little\n"
        f"encoding: {encoding}\nspacings: 1 1 1\n\n"
    )
    return text.encode() + body


def tensors(header: bytes, claimed: int | None = None) -> bytes:
    """A file of safetensors, as latents and weights are, that claims how long its header is."""
    return struct.pack("<Q", len(header) if claimed is None else claimed) + header


def tensor_of(shape: Sequence[int]) -> bytes:
    """A latent whose codes claim this shape, and are 64 bytes."""
    end = 4 * int(np.prod(shape, dtype=object))
    record = {
        "codes": {"dtype": "F32", "shape": list(shape), "data_offsets": [0, end]},
        "__metadata__": {"plica": "{}"},
    }
    return tensors(json.dumps(record).encode()) + bytes(64)

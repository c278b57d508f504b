"""The NIfTI-1 and NIfTI-2 headers, as fields we trust no more than their file's size allows.

Layouts: nifti1.h (R. Cox, 2007) and nifti2.h (2011), NIH, which fix every byte offset.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from plica.errors import UnreadableFile, UnsupportedFormat
from plica.formats.affines import compose, quaternion_to_rotation
from plica.formats.streams import read_bytes
from plica.grid import Float64

ByteOrder = Literal["<", ">"]
LABEL_INTENT = 1002
SIZES = {348: 1, 540: 2}
_MAX_EXTENSIONS = 16 << 20

# In the order of the bytes: name, type, how many.
_LAYOUT_1 = [
    ("sizeof_hdr", "i4"), ("unused_1", "V35"), ("dim_info", "u1"), ("dim", "i2", 8),
    ("intent_p", "f4", 3), ("intent_code", "i2"), ("datatype", "i2"), ("bitpix", "i2"),
    ("slice_start", "i2"), ("pixdim", "f4", 8), ("vox_offset", "f4"), ("scl_slope", "f4"),
    ("scl_inter", "f4"), ("slice_end", "i2"), ("slice_code", "u1"), ("xyzt_units", "u1"),
    ("cal_max", "f4"), ("cal_min", "f4"), ("slice_duration", "f4"), ("toffset", "f4"),
    ("unused_2", "V8"), ("descrip", "V80"), ("aux_file", "V24"), ("qform_code", "i2"),
    ("sform_code", "i2"), ("quatern", "f4", 3), ("qoffset", "f4", 3), ("srow", "f4", (3, 4)),
    ("intent_name", "V16"), ("magic", "V4"),
]  # fmt: skip
_LAYOUT_2 = [
    ("sizeof_hdr", "i4"), ("magic", "V8"), ("datatype", "i2"), ("bitpix", "i2"), ("dim", "i8", 8),
    ("intent_p", "f8", 3), ("pixdim", "f8", 8), ("vox_offset", "i8"), ("scl_slope", "f8"),
    ("scl_inter", "f8"), ("cal_max", "f8"), ("cal_min", "f8"), ("slice_duration", "f8"),
    ("toffset", "f8"), ("slice_start", "i8"), ("slice_end", "i8"), ("descrip", "V80"),
    ("aux_file", "V24"), ("qform_code", "i4"), ("sform_code", "i4"), ("quatern", "f8", 3),
    ("qoffset", "f8", 3), ("srow", "f8", (3, 4)), ("slice_code", "i4"), ("xyzt_units", "i4"),
    ("intent_code", "i4"), ("intent_name", "V16"), ("dim_info", "u1"), ("unused_1", "V15"),
]  # fmt: skip

DATATYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8",
    1280: "u8",
}  # fmt: skip
COLOURS = {128: 3, 2304: 4}
_REFUSED = {
    0: "an unknown type", 1: "single bits", 32: "complex numbers", 1536: "128-bit reals",
    1792: "complex numbers", 2048: "complex numbers",
}  # fmt: skip
_SPACE_UNITS = {1: (1000.0, "metres"), 2: (1.0, "millimetres"), 3: (0.001, "micrometres")}


def layout(version: int, order: ByteOrder) -> np.dtype[np.void]:
    """The header's record type in byte order "<" or ">"."""
    fields = _LAYOUT_1 if version == 1 else _LAYOUT_2
    return np.dtype(fields).newbyteorder(order)


@dataclass(frozen=True)
class Header:
    """What the reader needs of a header.

    Args:
        version: 1 or 2.
        order: Byte order, "<" or ">".
        sides: All sides, without trailing ones; at least three.
        stored: Type of the stored values.
        colours: 3 or 4 for RGB and RGBA, else 0.
        slope, intercept: Real value = slope · stored + intercept; slope 0 means as stored.
        offset: Where pixels begin.
        paired: Whether they stand in a file of their own (.img).
        intent: Intent code.
        pixdim: Spacings as written.
        sform_code, qform_code: 0 where the transform is absent.
        sform, qform: The transforms as written.
        space_code: Lowest three bits of xyzt_units.
    """

    version: int
    order: ByteOrder
    sides: tuple[int, ...]
    stored: np.dtype[Any]
    colours: int
    slope: float
    intercept: float
    offset: int
    paired: bool
    intent: int
    pixdim: Float64
    sform_code: int
    qform_code: int
    sform: Float64
    qform: Float64
    space_code: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """The three sides in space."""
        i, j, k = self.sides[:3]
        return i, j, k

    @property
    def to_mm(self) -> float:
        """Factor from the file's unit of length to millimetres."""
        return _SPACE_UNITS.get(self.space_code, (1.0, ""))[0]

    def describe_unit(self) -> str:
        """A note on the unit of length; empty for millimetres."""
        if self.space_code == 2:
            return ""
        if self.space_code in _SPACE_UNITS:
            return f"Lengths were in {_SPACE_UNITS[self.space_code][1]} and became millimetres."
        return "The file names no unit of length: millimetres were assumed."


def read_header(stream: io.BufferedIOBase, name: str) -> tuple[Header, list[str]]:
    """The header and the comments behind it.

    Raises:
        UnreadableFile: It is none, or contradicts itself.
        UnsupportedFormat: Analyze, or a pixel type plica does not read.
    """
    start = read_bytes(stream, 4, name).tobytes()
    version, order = _version_and_order(start, name)
    record_type = layout(version, order)
    rest = read_bytes(stream, record_type.itemsize - 4, name).tobytes()
    record = np.frombuffer(start + rest, record_type)[0]
    paired = _is_paired(bytes(record["magic"]), version, name)
    header = _interpret(record, version, order, paired, name)
    comments = _read_comments(stream, header, record_type.itemsize, name)
    return header, comments


def _version_and_order(start: bytes, name: str) -> tuple[int, ByteOrder]:
    orders: tuple[ByteOrder, ...] = ("<", ">")
    for order in orders:
        size = int(np.frombuffer(start, f"{order}i4")[0])
        if size in SIZES:
            return SIZES[size], order
    raise UnreadableFile(
        f"{name} does not begin as NIfTI does (348 or 540, in four bytes); it is damaged or "
        "another kind of file"
    )


def _is_paired(magic: bytes, version: int, name: str) -> bool:
    expected = {1: (b"n+1\0", b"ni1\0"), 2: (b"n+2\0\r\n\x1a\n", b"ni2\0\r\n\x1a\n")}[version]
    if magic in expected:
        return magic == expected[1]
    if version == 1 and not any(magic):
        raise UnsupportedFormat(
            f"{name} is an Analyze 7.5 file, which does not say which side is left; convert it to "
            "NIfTI with the tool that knows"
        )
    raise UnreadableFile(f"{name} has no NIfTI magic but {magic!r}; it is damaged")


def _interpret(record: np.void, version: int, order: ByteOrder, paired: bool, name: str) -> Header:
    code = int(record["datatype"])
    if code not in DATATYPES and code not in COLOURS:
        raise UnsupportedFormat(
            f"{name} holds {_REFUSED.get(code, 'an unknown type')} (NIfTI datatype {code}), and "
            "plica reads whole and real numbers of 8 to 64 bits and RGB; convert it first"
        )
    offset = float(record["vox_offset"])
    if not 0 <= offset < 2**40 or offset != int(offset):
        raise UnreadableFile(f"{name} puts its pixels at byte {offset:g}; its header is damaged")
    stored = np.dtype(DATATYPES.get(code, "u1")).newbyteorder(order)
    pixdim = record["pixdim"].astype(np.float64)
    sform = np.eye(4)
    sform[:3] = record["srow"]
    return Header(
        version=version,
        order=order,
        sides=_sides(record["dim"].tolist(), name),
        stored=stored,
        colours=COLOURS.get(code, 0),
        slope=float(record["scl_slope"]),
        intercept=float(record["scl_inter"]),
        offset=int(offset),
        paired=paired,
        intent=int(record["intent_code"]),
        pixdim=pixdim,
        sform_code=int(record["sform_code"]),
        qform_code=int(record["qform_code"]),
        sform=sform,
        qform=_qform(record, pixdim),
        space_code=int(record["xyzt_units"]) & 7,
    )


def _sides(dim: list[int], name: str) -> tuple[int, ...]:
    axes = dim[0]
    if not 1 <= axes <= 7:
        raise UnreadableFile(
            f"{name} says it has {axes} axes, and NIfTI has 1 to 7; its header is damaged"
        )
    sides = dim[1 : axes + 1]
    if min(sides) < 1:
        raise UnreadableFile(f"{name} declares sides of {sides}: it is empty or damaged")
    while len(sides) > 3 and sides[-1] == 1:
        sides.pop()
    return tuple(sides + [1] * (3 - len(sides)))


def _qform(record: np.void, pixdim: Float64) -> Float64:
    """Method 2: a rotation, spacings, and qfac, which turns the third axis."""
    parts = record["quatern"].astype(np.float64)
    if not np.isfinite(parts).all():
        return np.full((4, 4), np.nan)
    turn = -1.0 if pixdim[0] < 0 else 1.0
    spacing = np.abs(pixdim[1:4]) * [1.0, 1.0, turn]
    return compose(quaternion_to_rotation(*parts.tolist()), spacing, record["qoffset"])


def _read_comments(stream: io.BufferedIOBase, header: Header, at: int, name: str) -> list[str]:
    """Texts of the extensions of kind "comment" (6) between header and pixels."""
    room = header.offset - at if not header.paired else _MAX_EXTENSIONS
    flag = stream.read(4) if room >= 4 else b""
    if len(flag) < 4 or not flag[0]:
        return []
    comments = []
    room = min(room - 4, _MAX_EXTENSIONS)
    while room >= 16:
        head = stream.read(8)
        if len(head) < 8:
            break
        size, code = np.frombuffer(head, f"{header.order}i4").tolist()
        if not 8 <= size <= room:
            break
        text = read_bytes(stream, size - 8, name).tobytes()
        if code == 6:
            comments.append(text.decode("utf-8", "replace"))
        room -= size
    return comments

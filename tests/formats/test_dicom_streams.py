"""What a compressed frame says of its size is known before a decoder believes it."""

import struct

import pytest

from plica.errors import UnreadableFile
from plica.formats.dicom_streams import JP2_SIGNATURE, StreamSize, measure_jpeg, measure_jpeg2000

FRAME = b"\xff\xc0\x00\x0b\x08" + struct.pack(">HH", 6, 5) + b"\x01"
JPEG = b"\xff\xd8" + FRAME + b"\x00\x11\x00" + b"\xff\xd9"
SIZE = StreamSize(rows=6, columns=5, samples=1, precision=8)


def codestream(columns: int = 5, rows: int = 6, tile: int = 8) -> bytes:
    """The beginning of JPEG 2000 of eight bits, and its end."""
    sides = struct.pack(">8I", columns, rows, 0, 0, tile, tile, 0, 0)
    return b"\xff\x4f\xff\x51\x00\x29\x00\x00" + sides + b"\x00\x01\x07" + b"\0" * 8 + b"\xff\xd9"


def boxed(*boxes: bytes) -> bytes:
    return JP2_SIGNATURE + b"\r\n\x87\n" + b"".join(boxes)


@pytest.mark.parametrize("before", [b"", b"\xff", b"\xff\x01", b"\xff\xfe\x00\x04hi"])
def test_what_may_stand_before_the_size_of_a_jpeg_is_passed_over(before: bytes) -> None:
    """Fill bytes, markers that stand alone, and segments."""
    assert measure_jpeg(JPEG[:2] + before + JPEG[2:]) == SIZE


@pytest.mark.parametrize(
    ("stream", "said"),
    [
        (JPEG[2:], "does not begin with the JPEG mark"),
        (JPEG[:2] + b"\x00" + JPEG[2:], "no marker where one belongs"),
        (JPEG[:2] + b"\xff\xfe\x00\x20" + b"\0" * 16, "ends before it says its size"),
        (JPEG[:-2] + b"\0" * 20, "has no end marker"),
    ],
)
def test_a_jpeg_that_does_not_say_its_size_is_refused(stream: bytes, said: str) -> None:
    with pytest.raises(UnreadableFile, match=said):
        measure_jpeg(stream)


def test_jpeg_2000_says_its_size_bare_and_in_boxes() -> None:
    other = struct.pack(">I4s", 10, b"jp2h") + b"\0\0"
    wrapped = boxed(other, struct.pack(">I4s", 0, b"jp2c") + codestream())
    assert measure_jpeg2000(codestream()) == measure_jpeg2000(wrapped) == SIZE


@pytest.mark.parametrize(
    ("stream", "said"),
    [
        (b"\xff\xd8" + b"\0" * 60, "no size segment"),
        (codestream()[:40], "no size segment"),
        (codestream(columns=0), "says it is 0×6 pixels"),
        (codestream(tile=0), "says it is 5×6 pixels"),
        (codestream(columns=1 << 20, rows=1 << 20, tile=1), "in tiles of 1×1"),
        (boxed(struct.pack(">I4s", 0, b"jp2h") + b"\0" * 60), "leads to no codestream"),
        (boxed(struct.pack(">I4s", 10, b"jp2h") + b"\0\0"), "leads to no codestream"),
    ],
)
def test_jpeg_2000_of_no_or_an_absurd_size_is_refused(stream: bytes, said: str) -> None:
    with pytest.raises(UnreadableFile, match=said):
        measure_jpeg2000(stream)

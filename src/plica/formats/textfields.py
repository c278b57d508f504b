"""Small readers for headers written as lines of text, and for the pixel files they point to."""

from __future__ import annotations

import bz2
import gzip
import io
import zlib
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from plica.errors import UnreadableFile
from plica.formats.limits import describe_bytes
from plica.formats.streams import MAX_DEFLATE_RATIO, is_plain, read_bytes, skip_bytes

MAX_HEADER = 1 << 20
MAX_SIDE = 1 << 31


def read_line(stream: io.BufferedIOBase, name: str) -> str:
    """One header line without its end; empty at the end of the file.

    Raises:
        UnreadableFile: The line is longer than a header may be.
    """
    line = stream.readline(MAX_HEADER + 1)
    if len(line) > MAX_HEADER:
        raise UnreadableFile(f"{name} has a header line of more than {MAX_HEADER} bytes; damaged")
    return line.decode("utf-8", "replace").rstrip("\r\n")


def parse_numbers(text: str, count: int, what: str) -> NDArray[np.float64]:
    """That many numbers parted by blanks or commas.

    Raises:
        UnreadableFile: They are not.
    """
    try:
        numbers = np.array([float(part) for part in text.replace(",", " ").split()])
    except ValueError as error:
        raise UnreadableFile(f"{what} should be {count} numbers, but is {text[:60]!r}") from error
    if numbers.size != count:
        raise UnreadableFile(f"{what} should be {count} numbers, but is {text[:60]!r}")
    return numbers


def parse_sides(text: str, what: str) -> tuple[int, ...]:
    """Whole sides of at least one voxel.

    Raises:
        UnreadableFile: They are not.
    """
    parts = text.split()
    if not parts or not all(part.isdecimal() and 0 < int(part[:12]) < MAX_SIDE for part in parts):
        raise UnreadableFile(f"{what} should be whole numbers above zero, but is {text[:60]!r}")
    return tuple(int(part) for part in parts)


def parse_skip(word: str, what: str) -> int:
    """How many bytes or lines are passed over; -1 for all that the pixels do not need.

    Raises:
        UnreadableFile: It is no such number.
    """
    if not word.removeprefix("-").isdecimal() or len(word) > 12 or int(word) < -1:
        raise UnreadableFile(f"{what} is {word[:20]!r}, but a whole number was expected")
    return int(word)


def find_pixel_file(header: Path, named: str) -> Path:
    """The file a detached header points to, which must stand beside or below it.

    Raises:
        UnreadableFile: The name leads elsewhere, or nothing is there.
    """
    relative = PurePosixPath(named.replace("\\", "/"))
    if relative.is_absolute() or ".." in relative.parts or ":" in named or not relative.parts:
        raise UnreadableFile(
            f"{header.name} points to '{named[:80]}' for its pixels, and only files beside or "
            "below a header are read; move it there"
        )
    path = header.parent / relative
    if not path.is_file() or not path.resolve().is_relative_to(header.parent.resolve()):
        raise UnreadableFile(
            f"{header.name} points to '{named[:80]}' for its pixels, which is not there"
        )
    return path


def read_packed(
    stream: io.BufferedIOBase, encoding: str, count: int, name: str
) -> NDArray[np.uint8]:
    """Exactly `count` pixel bytes, unpacked on the way.

    Args:
        stream: Stands at the first pixel byte.
        encoding: "raw", "gzip", "zlib" or "bzip2".
        count: Bytes after unpacking.
        name: The file, for messages.

    Raises:
        UnreadableFile: Damaged, or ends before.

    Examples:
        >>> import io, zlib
        >>> read_packed(io.BytesIO(zlib.compress(b"abc")), "zlib", 3, "made.mha")
        array([97, 98, 99], dtype=uint8)
    """
    if encoding == "raw":
        return read_bytes(stream, count, name)
    if encoding == "zlib":
        return _inflate(stream, count, name)
    try:
        if encoding == "gzip":
            # its mode is said, since that of a gzipped file is a number, which gzip does not take
            with gzip.GzipFile(fileobj=stream, mode="rb") as unpacked:
                return _read_and_verify(unpacked, count, name)
        with bz2.BZ2File(stream) as unpacked:
            return _read_and_verify(unpacked, count, name)
    except (OSError, EOFError, zlib.error) as error:
        raise UnreadableFile(
            f"{name} cannot be unpacked ({error}); it is damaged or truncated"
        ) from error


def _read_and_verify(unpacked: io.BufferedIOBase, count: int, name: str) -> NDArray[np.uint8]:
    data = read_bytes(unpacked, count, name)
    unpacked.read(1)  # the checksum is compared when the end is met
    return data


def _inflate(stream: io.BufferedIOBase, count: int, name: str) -> NDArray[np.uint8]:
    inflater = _Inflater(stream)
    unpacked = io.BufferedReader(inflater)
    data = read_bytes(unpacked, count, name)
    if not unpacked.read(1) and not inflater.is_whole:  # its checksum is the last it holds
        raise UnreadableFile(f"{name} ends before its pixels' checksum; it is truncated")
    return data


class _Inflater(io.RawIOBase):
    """A zlib stream as a file that never unfolds more than is asked for."""

    def __init__(self, packed: io.BufferedIOBase) -> None:
        self._packed = packed
        self._inflate = zlib.decompressobj()
        self._waiting = b""

    @property
    def is_whole(self) -> bool:
        """Whether the stream's end was met, and its checksum compared."""
        return self._inflate.eof

    def readable(self) -> bool:
        return True

    def readinto(self, target: object) -> int:
        view = memoryview(target).cast("B")  # type: ignore[arg-type]  # RawIOBase promises a buffer
        while not self._inflate.eof:
            self._waiting = self._waiting or self._packed.read(1 << 16)
            if not self._waiting:
                return 0
            try:
                out = self._inflate.decompress(self._waiting, len(view))
            except zlib.error as error:
                raise UnreadableFile(f"the zlib stream is damaged ({error})") from error
            self._waiting = self._inflate.unconsumed_tail
            if out:
                view[: len(out)] = out
                return len(out)
        return 0


def read_ascii(
    stream: io.BufferedIOBase, count: int, kind: np.dtype[np.generic], name: str
) -> NDArray[np.generic]:
    """That many numbers written as text.

    Raises:
        UnreadableFile: There are fewer, or they are not numbers of that type.
    """
    # 32 characters hold any 64-bit number and the blank behind it.
    text = stream.read(min(count * 32 + MAX_HEADER, 1 << 32))
    parts = text.split()
    if len(parts) < count:
        raise UnreadableFile(
            f"{name} is truncated: {len(parts)} of {count} values are there as text"
        )
    try:
        if kind.kind == "f":
            return np.array([float(part) for part in parts[:count]], kind)
        return np.array([int(part) for part in parts[:count]], kind)
    except (ValueError, OverflowError) as error:
        raise UnreadableFile(
            f"{name} holds text among its values that is no {kind.name} ({error})"
        ) from error


def skip_header(stream: io.BufferedIOBase, *, lines: int, count: int, name: str) -> None:
    """Pass over lines, then bytes, before the pixels of a detached file.

    Raises:
        UnreadableFile: The file ends before.
    """
    for _ in range(lines):
        if not stream.readline(MAX_HEADER):
            raise UnreadableFile(f"{name} is truncated: it ends before its pixels")
    skip_bytes(stream, count, name)


def check_file_holds(
    stream: io.BufferedIOBase, size: int, needed: int, encoding: str, name: str
) -> None:
    """Compare declared pixels with what so few bytes can hold, before memory is taken.

    Args:
        stream: What the pixels are read from.
        size: Bytes of its file, which may be gzipped as a whole.
        needed: Bytes of the pixels.
        encoding: How they are kept.
        name: The file, for messages.

    Raises:
        UnreadableFile: They cannot.
    """
    ratio = {"raw": 1, "gzip": 1032, "zlib": 1032, "bzip2": 1 << 20, "ascii": 4}[encoding]
    if not is_plain(stream):
        ratio = max(ratio, MAX_DEFLATE_RATIO)
    if needed > size * ratio:
        raise UnreadableFile(
            f"{name} declares {describe_bytes(needed)} of pixels, and its {describe_bytes(size)} "
            "cannot hold them; it is truncated or its header is damaged"
        )

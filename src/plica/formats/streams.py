"""Reading bytes of files nobody vouches for: packed or not, never more than asked for."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.errors import UnreadableFile
from plica.formats.limits import DEFAULT_MAX_BYTES, describe_bytes

GZIP_MAGIC = b"\x1f\x8b"
MAX_DEFLATE_RATIO = 1032
"""Deflate's best: 258 bytes for two bits."""

_CHUNK = 1 << 20


@contextmanager
def open_bytes(path: Path, *, to_end: bool = True) -> Iterator[io.BufferedIOBase]:
    """A file opened for reading, unpacked on the way if it is gzipped.

    A gzipped file's checksum stands at its end, so what was not asked for is unpacked too: one
    turned bit in a header would else move the patient, and nobody would know.

    Args:
        path: The file.
        to_end: False where the same file is read again, to its end.

    Raises:
        UnreadableFile: It is absent, no file, or its gzip stream is damaged or cut off.

    Examples:
        >>> with open_bytes(Path("ct.nii.gz")) as stream:
        ...     int.from_bytes(stream.read(4), "little")
        348
    """
    if not path.is_file():
        raise UnreadableFile(f"{path.name}: there is no such file; check the path")
    try:
        with path.open("rb") as file, _unpack(file, to_end=to_end) as stream:
            yield stream
    except (OSError, EOFError, zlib.error) as error:
        raise UnreadableFile(
            f"{path.name} cannot be read to its end ({error}); it is damaged or truncated, "
            "get it again"
        ) from error


@contextmanager
def _unpack(file: io.BufferedReader, *, to_end: bool) -> Iterator[io.BufferedIOBase]:
    packed = file.read(2) == GZIP_MAGIC
    file.seek(0)
    if not packed:
        yield file
        return
    with gzip.GzipFile(fileobj=file) as unpacked:
        yield unpacked
        if to_end:
            _meet_end(unpacked)


def _meet_end(unpacked: gzip.GzipFile) -> None:
    """Read on until the checksum is compared; the end of a bomb is not waited for."""
    left = DEFAULT_MAX_BYTES
    while left > 0 and (got := len(unpacked.read(_CHUNK))):
        left -= got


def is_gzipped(path: Path) -> bool:
    """Whether the file begins as gzip does."""
    with path.open("rb") as file:
        return file.read(2) == GZIP_MAGIC


def could_hold(path: Path, needed: int) -> bool:
    """Whether a file of this size can hold `needed` bytes, unpacked."""
    size = path.stat().st_size
    return needed <= (size * MAX_DEFLATE_RATIO if is_gzipped(path) else size)


def read_bytes(stream: io.BufferedIOBase, count: int, name: str) -> NDArray[np.uint8]:
    """Exactly `count` bytes.

    Raises:
        UnreadableFile: The stream ends before.
    """
    out = np.empty(count, np.uint8)
    view = out.data
    done = 0
    while done < count:
        got = stream.readinto(view[done : done + _CHUNK])
        if not got:
            raise UnreadableFile(
                f"{name} is truncated: {describe_bytes(done)} of {describe_bytes(count)} are "
                "there; get it again"
            )
        done += got
    return out


def map_values(stream: io.BufferedIOBase, kind: np.dtype[Any], count: int) -> NDArray[Any] | None:
    """The next values of a file, mapped and not read; None for what is packed, and no plain file.

    Args:
        stream: Standing at the first value.
        kind: Of the values.
        count: How many; the file must be known to hold them.

    Examples:
        >>> _ = Path("pixels.raw").write_bytes(np.arange(4, dtype="<i2").tobytes())
        >>> with open_bytes(Path("pixels.raw")) as stream:
        ...     print(map_values(stream, np.dtype("<i2"), 4))
        [0 1 2 3]
    """
    if not isinstance(stream, io.BufferedReader) or count == 0:
        return None
    return np.memmap(stream.name, kind, "r", offset=stream.tell(), shape=(count,))


def is_plain(stream: io.BufferedIOBase) -> bool:
    """Whether the bytes come as they stand in a file, not unpacked on the way."""
    return isinstance(stream, io.BufferedReader)


def check_rest(stream: io.BufferedIOBase, size: int, needed: int, name: str) -> None:
    """Refuse a plain file that ends before its values do: what is mapped must be there.

    Raises:
        UnreadableFile: It does.
    """
    left = size - stream.tell()
    if is_plain(stream) and left < needed:
        raise UnreadableFile(
            f"{name} is truncated: {describe_bytes(max(0, left))} of {describe_bytes(needed)} are "
            "there; get it again"
        )


def skip_bytes(stream: io.BufferedIOBase, count: int, name: str) -> None:
    """Pass over `count` bytes without keeping them.

    Raises:
        UnreadableFile: The stream ends before.
    """
    while count > 0:
        got = len(stream.read(min(count, _CHUNK)))
        if not got:
            raise UnreadableFile(f"{name} is truncated: it ends before its pixels; get it again")
        count -= got

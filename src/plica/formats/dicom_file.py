"""Open one DICOM file, however odd, and answer questions about it in checked types."""

from __future__ import annotations

import io
import math
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pydicom
from pydicom.config import IGNORE
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.multival import MultiValue
from pydicom.uid import UID

from plica.errors import PlicaError, TooLarge, UnreadableFile

DEFLATED = ("1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205")
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
LONGEST_TEXT = 64
"""Of what DICOM keeps in one value that is not prose (LO, UI: PS3.5, 6.2)."""
PIXEL_KEYWORDS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")

# What pydicom and the decoders were seen to raise on damaged bytes. Kept as names, not as
# Exception, and used only around their calls, so that a fault of ours is not called the file's.
DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    BytesLengthException,
    EOFError,
    InvalidDicomError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


@contextmanager
def guarded(name: str, doing: str) -> Iterator[None]:
    """Keep pydicom's warnings in, and let out only our own errors.

    Args:
        name: The file's name, for the message.
        doing: What is being attempted, to follow "while".

    Raises:
        UnreadableFile: pydicom or a decoder gave up.

    Examples:
        >>> with guarded("slice.dcm", "reading its header"):
        ...     raise ValueError("no header")
        Traceback (most recent call last):
            ...
        plica.errors.UnreadableFile: slice.dcm is damaged: reading its header failed ...
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except PlicaError:
            raise
        except DAMAGE as error:
            reason = _without_quotes(" ".join(str(error).split()))[:200] or type(error).__name__
            raise UnreadableFile(
                f"{name} is damaged: {doing} failed ({reason}); fetch the file again"
            ) from error


def _without_quotes(reason: str) -> str:
    """A library's words without the values it quotes: a message may end in a report."""
    return re.sub(r"'[^']*'|\"[^\"]*\"", "'…'", reason)


def shorten(text: str) -> str:
    """A file's own words, fit for a message: of a damaged file they can be pages of bytes."""
    cut = text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"
    return "".join(letter if letter.isprintable() else "?" for letter in cut)


class Header:
    """The attributes of one file or sequence item, asked for by keyword.

    An absent or empty attribute is None (or an empty list); one that is not of its kind is an
    UnreadableFile that names it.
    """

    def __init__(self, dataset: Any, name: str, path: Path) -> None:
        self.dataset = dataset
        self.name = name
        self.path = path

    def __contains__(self, keyword: str) -> bool:
        return keyword in self.dataset

    def _value(self, keyword: str) -> Any:
        with guarded(self.name, f"reading {keyword}"):
            return self.dataset.get(keyword)

    def _values(self, keyword: str) -> list[Any]:
        value = self._value(keyword)
        if value is None or value == "" or value == b"":
            return []
        return list(value) if isinstance(value, (MultiValue, list, tuple)) else [value]

    def text(self, keyword: str) -> str:
        """The first value as text, "" where there is none; cut off where it is no identifier."""
        values = self._values(keyword)
        stated = str(values[0]).strip("\0 ") if values else ""
        return stated if keyword.endswith("UID") else shorten(stated)

    def texts(self, keyword: str) -> list[str]:
        """All values as text."""
        return [str(value).strip("\0 ") for value in self._values(keyword)]

    def numbers(self, keyword: str, count: int | None = None) -> list[float]:
        """All values as finite numbers; if there are any, `count` of them."""
        values = self._values(keyword)
        try:
            numbers = [float(value) for value in values if value is not None and value != ""]
        except (TypeError, ValueError, OverflowError) as error:
            raise UnreadableFile(f"{self.name}: {keyword} is not a number") from error
        if not all(math.isfinite(number) for number in numbers):
            raise UnreadableFile(f"{self.name}: {keyword} is {numbers}, which is not finite")
        if count is not None and numbers and len(numbers) != count:
            raise UnreadableFile(
                f"{self.name}: {keyword} has {len(numbers)} values where {count} belong"
            )
        return numbers

    def number(self, keyword: str) -> float | None:
        """The first value as a number."""
        numbers = self.numbers(keyword)
        return numbers[0] if numbers else None

    def whole(self, keyword: str) -> int | None:
        """The first value as a whole number."""
        number = self.number(keyword)
        if number is None:
            return None
        if number != int(number):
            raise UnreadableFile(f"{self.name}: {keyword} is {number}, not a whole number")
        return int(number)

    def items(self, keyword: str) -> list[Header]:
        """The items of a sequence."""
        with guarded(self.name, f"reading {keyword}"):
            sequence = self.dataset.get(keyword)
            if sequence is None or isinstance(sequence, (str, bytes)):
                return []
            return [Header(item, self.name, self.path) for item in sequence]

    def item(self, keyword: str) -> Header | None:
        """The first item of a sequence."""
        items = self.items(keyword)
        return items[0] if items else None

    @property
    def transfer_syntax(self) -> str:
        """The transfer syntax UID; where none is stated, the encoding the dataset was read with."""
        with guarded(self.name, "reading its transfer syntax"):
            meta = getattr(self.dataset, "file_meta", None)
            stated = str(meta.get("TransferSyntaxUID", "") or "") if meta is not None else ""
            if stated:
                return stated
            implicit, little = self.dataset.original_encoding
        if implicit or implicit is None:
            return IMPLICIT_LITTLE
        return EXPLICIT_LITTLE if little else EXPLICIT_BIG

    @property
    def kind(self) -> str:
        """The name of its SOP class, such as "CT Image Storage"."""
        stated = self.text("SOPClassUID")
        if not stated:
            return "DICOM file of no stated class"
        name = UID(stated, validation_mode=IGNORE).name
        return shorten(name) if name != stated else "DICOM file of a class not in the standard"


def is_dicom(path: Path) -> bool:
    """Whether the file looks like DICOM: by its preamble, or by its first element.

    Examples:
        >>> is_dicom(Path("README.md"))
        False
    """
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return looks_like_dicom(file.read(144))
    except OSError:
        return False


def looks_like_dicom(start: bytes) -> bool:
    """The same for the first 144 bytes of a file."""
    if start[128:132] == b"DICM":
        return True
    if len(start) < 8:
        return False
    little = struct.unpack("<HH", start[:4])
    big = struct.unpack(">HH", start[:4])
    representation = start[4:6]
    if representation.isalpha() and representation.isupper():
        return any(
            group in (0x0002, 0x0008) and element <= 0x0100 for group, element in (little, big)
        )
    (length,) = struct.unpack("<I", start[4:8])
    return little[0] in (0x0002, 0x0008) and little[1] <= 0x0100 and 0 < length <= 256


def open_header(path: Path) -> Header:
    """Everything before the pixels.

    Raises:
        UnreadableFile: The file is missing, empty, damaged or not DICOM.
    """
    return _open(path, stop_before_pixels=True, max_bytes=1 << 32)


def open_whole(path: Path, max_bytes: int) -> Header:
    """Everything, pixels too.

    Raises:
        UnreadableFile: The file is missing, empty, damaged or not DICOM.
        TooLarge: The file, or what it inflates to, is larger than `max_bytes`.
    """
    return _open(path, stop_before_pixels=False, max_bytes=max_bytes)


def _open(path: Path, *, stop_before_pixels: bool, max_bytes: int) -> Header:
    start = _start(path)
    if not stop_before_pixels and path.stat().st_size > max_bytes + (1 << 26):
        raise TooLarge(
            f"{path.name} is {path.stat().st_size / 1e6:.0f} MB, over the limit of "
            f"{max_bytes / 1e6:.0f} MB: raise max_bytes if it is meant"
        )
    source: Any = path
    with guarded(path.name, "reading its attributes"):
        if any(uid.encode() in start for uid in DEFLATED):
            source = _inflated(path, max_bytes)
        dataset = pydicom.dcmread(source, force=True, stop_before_pixels=stop_before_pixels)
        if len(dataset) == 0 and not getattr(dataset, "file_meta", None):
            raise UnreadableFile(f"{path.name} holds no DICOM attributes")
    return Header(dataset, path.name, path)


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            start = file.read(4096)
    except OSError as error:
        raise UnreadableFile(
            f"{path.name} cannot be opened: {error.strerror or type(error).__name__}"
        ) from error
    if not start:
        raise UnreadableFile(f"{path.name} is empty")
    if not looks_like_dicom(start[:144]):
        raise UnreadableFile(
            f"{path.name} is not a DICOM file: it has neither the DICM mark nor a first attribute"
        )
    return start


def _inflated(path: Path, max_bytes: int) -> Any:
    """A deflated file as an explicit little endian one, in memory.

    Exists because pydicom inflates without a bound: four megabytes may become four gigabytes.
    """
    meta = pydicom.filereader.read_file_meta_info(path)
    if str(meta.get("TransferSyntaxUID", "")) != DEFLATED[0]:
        return path
    content = path.read_bytes()
    # File meta group length counts from after itself: preamble 128, mark 4, its element 12.
    begin = 144 + int(meta.FileMetaInformationGroupLength)
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    limit = max_bytes + (1 << 20)
    inflated = engine.decompress(content[begin:], limit)
    if engine.unconsumed_tail:
        raise TooLarge(f"{path.name} inflates to more than the limit of {limit / 1e6:.0f} MB")
    if not engine.eof:
        raise UnreadableFile(f"{path.name} is truncated: its deflated data has no end")
    meta.TransferSyntaxUID = UID(EXPLICIT_LITTLE)
    target = io.BytesIO()
    target.write(content[:128] + b"DICM")
    pydicom.filewriter.write_file_meta_info(target, meta, enforce_standard=False)
    target.write(inflated)
    target.seek(0)
    return target

"""Zips of series and DICOMDIR: which files they hold, without trusting what they say."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from plica.errors import PlicaError, TooLarge, UnreadableFile
from plica.formats.dicom_file import Header, looks_like_dicom, open_header
from plica.formats.limits import check_expansion

MEMBERS_ALLOWED = 50_000
LONGEST_NAME = 255
"""Of a member's name that is said: its end."""
ZIP_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError)


def is_zip(path: Path) -> bool:
    """Whether the file begins as a zip does."""
    try:
        with path.open("rb") as file:
            return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")
    except OSError:
        return False


@contextmanager
def files_inside(path: Path, max_bytes: int) -> Iterator[list[Path] | None]:
    """The files of a folder, zip or DICOMDIR; None for a lone file."""
    if path.is_dir():
        yield [file for file in path.rglob("*") if file.is_file()]
    elif is_zip(path):
        with unpacked(path, max_bytes) as members:
            yield members
    else:
        header = open_header(path)
        yield listed_files(header) if is_directory_file(header) else None


@contextmanager
def unpacked(path: Path, max_bytes: int) -> Iterator[list[Path]]:
    """The DICOM files of a zip, in a temporary folder that is gone afterwards.

    Members are written under names of ours, so that none can leave the folder; errors within call
    them as the zip does.

    Raises:
        UnreadableFile: The zip is damaged or encrypted.
        TooLarge: It has too many members, or unfolds to more than `max_bytes`.
    """
    with tempfile.TemporaryDirectory(prefix="plica-") as folder:
        try:
            with zipfile.ZipFile(path) as archive:
                files = _unpack(archive, path, Path(folder), max_bytes)
        except ZIP_DAMAGE as error:
            raise UnreadableFile(
                f"{path.name} is a damaged or encrypted zip ({error}): pack it again"
            ) from error
        try:
            yield files
        except PlicaError as error:
            error.args = (call_members(str(error), files, member_names(path)), *error.args[1:])
            raise


def _unpack(archive: zipfile.ZipFile, path: Path, folder: Path, max_bytes: int) -> list[Path]:
    members = [member for member in archive.infolist() if not member.is_dir()]
    if len(members) > MEMBERS_ALLOWED:
        raise TooLarge(
            f"{path.name} has {len(members)} files; at most {MEMBERS_ALLOWED} are read from a zip"
        )
    declared = sum(member.file_size for member in members)
    check_expansion(path.name, path.stat().st_size, declared, max_bytes)
    files = []
    for number, member in enumerate(members):
        target = folder / f"{number:06d}_{_plain_name(member.filename)}"
        if _copy_if_dicom(archive, member, target):
            files.append(target)
    return files


def _plain_name(name: str) -> str:
    """The last part of a member's name, of harmless letters only."""
    last = PurePosixPath(name.replace("\\", "/")).name
    return "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in last)[-60:]


def _copy_if_dicom(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> bool:
    """Unpack a member if it begins as DICOM does; zipfile stops at the size it declares."""
    with archive.open(member) as source:
        start = source.read(144)
        if not looks_like_dicom(start):
            return False
        with target.open("wb") as file:
            file.write(start)
            shutil.copyfileobj(source, file, 1 << 20)
    return True


def member_names(path: Path) -> dict[int, str]:
    """The files of a zip by the numbers `unpacked` gives them: names that stay below the zip.

    Examples:
        >>> len(member_names(Path("export.zip")))
        5
    """
    with zipfile.ZipFile(path) as archive:
        members = [member.filename for member in archive.infolist() if not member.is_dir()]
    return {number: _name_below(name) for number, name in enumerate(members)}


def number_member(file: Path) -> int:
    """Which file of its zip an unpacked one is.

    Examples:
        >>> number_member(Path("plica-x/000023_24.dcm"))
        23
    """
    return int(file.name.partition("_")[0])


def call_members(message: str, files: Sequence[Path], names: Mapping[int, str]) -> str:
    """A sentence on unpacked files, with the names they have in their zip.

    Args:
        message: What it says.
        files: Those that were unpacked.
        names: What `member_names` gives.

    Examples:
        >>> call_members("000002_c.dcm is empty", [Path("x/000002_c.dcm")], {2: "ct/c.dcm"})
        'ct/c.dcm is empty'
    """
    for file in files:
        message = message.replace(file.name, names[number_member(file)])
    return message


def _name_below(name: str) -> str:
    """A member's name without a way out of its zip, and nothing a terminal would obey."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    below = "/".join(part for part in parts if part.strip("/") not in {"", ".."}) or "unnamed"
    return "".join(letter if letter.isprintable() else "?" for letter in below)[-LONGEST_NAME:]


def is_directory_file(header: Header) -> bool:
    """Whether it is a DICOMDIR."""
    return "DirectoryRecordSequence" in header


def listed_files(header: Header) -> list[Path]:
    """The files a DICOMDIR lists, which lie beside or below it.

    Raises:
        UnreadableFile: A name leads out of its folder, or files are missing.
    """
    root = header.path.parent
    listed: list[Path] = []
    missing: list[Path] = []
    for record in header.items("DirectoryRecordSequence"):
        parts = record.texts("ReferencedFileID")
        if not parts or not parts[0]:
            continue
        if any(part in {"", ".", ".."} or "/" in part or "\\" in part for part in parts):
            raise UnreadableFile(f"{header.name} lists a file outside of its folder: {parts}")
        found = _find(root, parts)
        (missing if found is None else listed).append(found or root.joinpath(*parts))
    if missing:
        raise UnreadableFile(
            f"{header.name} lists {len(listed) + len(missing)} files, but {len(missing)} are not "
            f"there, such as {missing[0].relative_to(root)}: copy the whole medium"
        )
    return list(dict.fromkeys(listed))


def _find(root: Path, parts: list[str]) -> Path | None:
    """The file, in the letters written or in small ones, as some systems copy discs."""
    for spelling in (parts, [part.lower() for part in parts]):
        path = root.joinpath(*spelling)
        if path.is_file():
            return path
    return None

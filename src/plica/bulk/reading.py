"""Reading a series as it was discovered, and noticing that it is no longer that."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from plica.bulk.task import Item
from plica.errors import UnreadableFile
from plica.formats.dicom import read_folder, read_series
from plica.formats.doors import read
from plica.formats.sources import list_parts
from plica.image import Image


def read_item(archive: Path, item: Item, *, max_bytes: int) -> Image:
    """The image of a series, from its own files: folders below are other series.

    Raises:
        InputError: It cannot be read.
    """
    path = archive / item.path
    if item.files:
        return read_series([path / name for name in item.files], max_bytes=max_bytes)
    if path.is_dir():
        return read_folder(path, series=item.series, max_bytes=max_bytes)
    return read(path, series=item.series, max_bytes=max_bytes)


def sign(path: Path, files: Sequence[str] = ()) -> str:
    """The signature of a source's files as they are now; of a folder: of those, or all its own.

    Raises:
        UnreadableFile: They are gone.
    """
    return digest(list_files(path, files))


def list_files(path: Path, files: Sequence[str] = ()) -> list[tuple[str, int, int]]:
    """Name, bytes and time of change of a source's files.

    Raises:
        UnreadableFile: They are gone.
    """
    try:
        kept = [path / name for name in files] or _find_files(path)
        facts = [(file.name, file.stat()) for file in kept]
    except FileNotFoundError as error:
        raise UnreadableFile(f"{path.name} is gone since it was discovered") from error
    except OSError as error:
        raise UnreadableFile(f"{path.name} cannot be read: {error.strerror or error}") from error
    return [(name, one.st_size, one.st_mtime_ns) for name, one in facts]


def _find_files(path: Path) -> list[Path]:
    if not path.is_dir():
        return list_parts(path)
    return sorted(one for one in path.iterdir() if one.name[0] != "." and one.is_file())


def digest(files: Sequence[tuple[str, int, int]]) -> str:
    """Changes when a file comes, goes, or is written."""
    text = "\n".join(f"{name}\0{size}\0{changed}" for name, size, changed in files)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]

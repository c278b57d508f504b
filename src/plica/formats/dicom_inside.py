"""What a folder, zip or DICOMDIR holds: its series, and what else lies there under its own name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from plica.formats.dicom_archive import (
    call_members,
    files_inside,
    is_zip,
    member_names,
    number_member,
)
from plica.formats.dicom_file import is_dicom
from plica.formats.dicom_series import Scan, scan
from plica.formats.limits import DEFAULT_MAX_BYTES


class Inside(NamedTuple):
    """What lies in one place.

    Args:
        scan: The series and the rest; files of a zip are there only within `opened`.
        objects: The names of those without pixels, below the place.
        foreign: The names of files that are not DICOM, below the place.
    """

    scan: Scan
    objects: tuple[str, ...]
    foreign: tuple[str, ...]


@contextmanager
def opened(path: Path, max_bytes: int) -> Iterator[Inside]:
    """The same as `look_inside`, while a zip is unpacked."""
    with files_inside(path, max_bytes) as files:
        looked = sorted([path] if files is None else files)
        found = scan(looked)
        if files is not None and is_zip(path):
            names = member_names(path)
            damaged = [(file, call_members(why, looked, names)) for file, why in found.damaged]
            found = replace(found, damaged=tuple(damaged))
            by_file = {file: names.pop(number_member(file)) for file in looked}
            foreign = tuple(names.values())
        else:
            root = path if path.is_dir() else path.parent
            by_file = {file: file.relative_to(root).as_posix() for file in looked}
            foreign = tuple(name for file, name in by_file.items() if not is_dicom(file))
        yield Inside(found, tuple(by_file[file] for file in found.others), foreign)


def look_inside(path: Path, *, max_bytes: int = DEFAULT_MAX_BYTES) -> Inside:
    """What a folder, zip or DICOMDIR holds; a lone file has one series. No pixels are read.

    Args:
        path: Where it is.
        max_bytes: Limit of what a zip may unfold to.

    Raises:
        InputError: The zip or DICOMDIR is damaged, or its files are missing.

    Examples:
        >>> [one.description for one in look_inside(Path("export.zip")).scan.series]
        ['CT, 5 files, 16×16, axial']
    """
    with opened(path, max_bytes) as inside:
        return inside

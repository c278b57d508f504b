"""DICOM ⇄ Image: files, folders, zips and DICOMDIR in; a derived series out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from plica.errors import NotAnImage, UnreadableFile
from plica.formats.dicom_archive import files_inside
from plica.formats.dicom_assembly import assemble
from plica.formats.dicom_file import is_dicom, open_header
from plica.formats.dicom_inside import Inside, look_inside
from plica.formats.dicom_series import DicomSeries, Scan, choose_series, find_series, scan
from plica.formats.dicom_writing import write
from plica.formats.limits import DEFAULT_MAX_BYTES
from plica.image import Image

__all__ = [
    "DicomSeries",
    "Inside",
    "Scan",
    "find_series",
    "is_dicom",
    "look_inside",
    "read",
    "read_folder",
    "read_series",
    "scan",
    "write",
]


def read(
    path: Path,
    *,
    series: str | None = None,
    volume: int | None = None,
    identity: bool = False,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> Image:
    """One image from a file, a folder with all below it, a zip of files, or a DICOMDIR.

    Args:
        path: Where it is.
        series: Which series, where there are several: its 1-based number, or the beginning of
            its mark, as the error that asks for it lists them.
        volume: Which volume of the series, from 0, where there are several.
        identity: Keep patient, study and series attributes in the provenance.
        max_bytes: Limit of the decoded pixels.

    Raises:
        AmbiguousSource: Several images, and none was chosen.
        NotAnImage: No pixels, such as in a report.
        NotAVolume: The slices do not stack.
        TooLarge: More than `max_bytes`.
        UnreadableFile: Damaged, truncated, or not DICOM.
        UnsupportedFormat: No decoder for its transfer syntax.

    Examples:
        >>> read(Path("study/ct")).grid.shape
        (16, 16, 5)
    """
    source = path.name or path.resolve().name
    with files_inside(path, max_bytes) as files:
        if files is not None:
            return _read_one(files, source, series, volume, identity, max_bytes)
    image = assemble(
        [open_header(path)], volume=volume, identity=identity, max_bytes=max_bytes, source=source
    )
    if series is not None:
        lone = DicomSeries((path,), image.provenance.series, image.provenance.modality)
        choose_series([lone], series, path.name)
    return image


def _read_one(
    files: Sequence[Path],
    source: str,
    series: str | None,
    volume: int | None,
    identity: bool,
    max_bytes: int,
) -> Image:
    found = scan(files)
    if found.damaged:
        raise UnreadableFile(
            f"{source} has {len(found.damaged)} damaged files, which may be slices of the series: "
            f"{found.damaged[0][1]}; fetch them again or take them out"
        )
    if not found.series and found.others:
        kinds = sorted({open_header(other).kind for other in found.others})
        raise NotAnImage(f"{source} holds no DICOM images, only: {', '.join(kinds[:5])}")
    chosen = choose_series(found.series, series, source)
    return read_series(chosen, volume=volume, identity=identity, max_bytes=max_bytes)


def read_folder(
    folder: Path, *, series: str | None = None, max_bytes: int = DEFAULT_MAX_BYTES
) -> Image:
    """One image from a folder's own files; unlike `read`, not from those in folders below it.

    Raises:
        InputError: As `read` says.

    Examples:
        >>> read_folder(Path("study/ct")).grid.shape
        (16, 16, 5)
    """
    try:
        files = [one for one in folder.iterdir() if one.is_file() and one.name[0] != "."]
    except OSError as error:
        raise UnreadableFile(f"{folder.name} cannot be listed: {error.strerror}") from error
    return _read_one(files, folder.name, series, None, False, max_bytes)


def read_series(
    series: DicomSeries | Sequence[Path],
    *,
    volume: int | None = None,
    identity: bool = False,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> Image:
    """One image from all of the given files, in whatever order they are.

    Args:
        series: What `find_series` gave, or files that belong together.
        volume: Which volume of the series, from 0, where there are several.
        identity: Keep patient, study and series attributes in the provenance.
        max_bytes: Limit of the decoded pixels.

    Raises:
        InputError: As `read` says.

    Examples:
        >>> [read_series(one).unit for one in find_series([*Path("study/ct").iterdir()])]
        [<Unit.HU: 'HU'>]
    """
    files = series.files if isinstance(series, DicomSeries) else tuple(series)
    if not files:
        raise NotAnImage("a series of no files holds no image")
    source = series.description if isinstance(series, DicomSeries) else files[0].parent.name
    headers = [open_header(file) for file in files]
    return assemble(
        headers,
        volume=volume,
        identity=identity,
        max_bytes=max_bytes,
        source=f"the series ({source})",
    )

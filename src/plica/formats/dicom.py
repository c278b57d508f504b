"""DICOM ⇄ Image: files, folders, zips and DICOMDIR in; a derived series out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from plica.errors import NotAnImage, UnreadableFile
from plica.formats.dicom_archive import is_directory_file, is_zip, listed_files, unpacked
from plica.formats.dicom_assembly import assemble
from plica.formats.dicom_file import is_dicom, open_header
from plica.formats.dicom_series import DicomSeries, Scan, choose_series, find_series, scan
from plica.formats.dicom_writing import write
from plica.formats.limits import DEFAULT_MAX_BYTES
from plica.image import Image

__all__ = [
    "DicomSeries",
    "Scan",
    "find_series",
    "is_dicom",
    "list_series",
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
            its hash, as the error that asks for it lists them.
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

    Example:
        >>> image = read(Path("study/ct"), series="2")  # doctest: +SKIP
    """
    source = path.name or path.resolve().name
    with _files_inside(path, max_bytes) as files:
        if files is not None:
            return _read_one(files, source, series, volume, identity, max_bytes)
    image = assemble(
        [open_header(path)], volume=volume, identity=identity, max_bytes=max_bytes, source=source
    )
    if series is not None:
        lone = DicomSeries((path,), image.provenance.series, image.provenance.modality)
        choose_series([lone], series, path.name)
    return image


def list_series(path: Path, *, max_bytes: int = DEFAULT_MAX_BYTES) -> list[str]:
    """The marks of the series in a folder, zip or DICOMDIR, each of which `read` takes as `series`.

    Args:
        path: Where they are; a lone file has one series.
        max_bytes: Limit of what a zip may unfold to.

    Raises:
        InputError: The zip or DICOMDIR is damaged, or its files are missing.

    Example:
        >>> list_series(Path("export.zip"))  # doctest: +SKIP
        ['a65d8a24dd056de8', '6574c2cb0909cae9']
    """
    with _files_inside(path, max_bytes) as files:
        return [one.series for one in scan([path] if files is None else files).series]


@contextmanager
def _files_inside(path: Path, max_bytes: int) -> Iterator[list[Path] | None]:
    """The files of a folder, zip or DICOMDIR; None for a lone file."""
    if path.is_dir():
        yield [file for file in path.rglob("*") if file.is_file()]
    elif is_zip(path):
        with unpacked(path, max_bytes) as members:
            yield members
    else:
        header = open_header(path)
        yield listed_files(header) if is_directory_file(header) else None


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

    Example:
        >>> image = read_folder(Path("study/ct"))  # doctest: +SKIP
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

    Example:
        >>> images = [read_series(one) for one in find_series([])]
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

"""What lies in a folder, zip or DICOMDIR, series by series, without decoding a pixel."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from plica.errors import AmbiguousSource, NotAVolume, PlicaError
from plica.formats.dicom_assembly import find_modality
from plica.formats.dicom_file import Header, open_header
from plica.formats.dicom_inside import opened
from plica.formats.dicom_named import list_kinds
from plica.formats.dicom_pixels import read_layout
from plica.formats.dicom_placing import list_all_frames, place, place_series
from plica.formats.dicom_series import DicomSeries
from plica.formats.limits import DEFAULT_MAX_BYTES
from plica.formats.naming import order_kinds

NOTES: tuple[tuple[type[PlicaError], str], ...] = (
    (AmbiguousSource, "it holds several volumes, of which one is chosen when it is read"),
    (NotAVolume, "its slices do not stack to one volume"),
    (PlicaError, "an attribute that is needed is damaged"),
)
"""Why a series has no one grid, in words of ours: those of an error may quote the file."""


@dataclass(frozen=True)
class Listed:
    """One series, without who it is of.

    Args:
        number: From 1, as `plica.read` takes it for `series`.
        mark: A one-way hash of its UID.
        modality: As stated, if DICOM knows it, or else as its kind of object says.
        shape: Voxels along i, j, k; of the first slice, where they do not stack.
        spacing_mm: Of the voxels; None where it is not known.
        kind: "original", "derived" or "localizer"; "" where ImageType does not say.
        files: How many.
        note: Why its slices are not one volume; "" where they are.
        description: SeriesDescription, where it was asked for.
        patient: A letter for whose it is: A for the first patient there, B for the next.
        plane: "axial", "sagittal", "coronal" or "oblique"; "" where slices have no place.
        identity: Which kinds of it are filled, as `naming.KINDS` calls them; never values.
    """

    number: int
    mark: str
    modality: str
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float] | None
    kind: str
    files: int
    note: str = ""
    description: str = ""
    patient: str = ""
    plane: str = ""
    identity: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready record; no description where there is none."""
        record = asdict(self)
        return {key: value for key, value in record.items() if value or key != "description"}


@dataclass(frozen=True)
class Survey:
    """What there is.

    Args:
        series: Those with images.
        objects: How many DICOM objects without pixels there are of each kind.
        damaged: DICOM files that cannot be read, each with the reason, which names the file; in
            the record there is only their number.
        foreign: How many files are not DICOM.
        patients: How many there are.
        others: The files that are not DICOM, below the place; not in the record, since their names
            are free.
        people: A one-way hash for each of the patients, in the order of their letters; not in the
            record.
    """

    series: tuple[Listed, ...]
    objects: dict[str, int]
    damaged: tuple[str, ...]
    foreign: int
    patients: int
    others: tuple[str, ...] = ()
    people: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready record."""
        series = [one.to_json() for one in self.series]
        record = {**asdict(self), "series": series, "damaged": len(self.damaged)}
        return {key: value for key, value in record.items() if key not in {"others", "people"}}


def survey(path: Path, *, descriptions: bool = False, max_bytes: int = DEFAULT_MAX_BYTES) -> Survey:
    """List the series of a folder, zip, DICOMDIR or file.

    Args:
        path: Where they are.
        descriptions: Whether to say SeriesDescription, which is free text and may name people.
        max_bytes: Limit of what a zip may unfold to.

    Raises:
        InputError: It is damaged, or files of a DICOMDIR are missing.

    Examples:
        >>> [one.modality for one in survey(Path("export.zip")).series]
        ['CT']
    """
    with opened(path, max_bytes) as inside:
        found = inside.scan
        people = list(dict.fromkeys(one.patient for one in found.series))
        series = tuple(
            _list(one, number, descriptions, name_patient(people.index(one.patient)))
            for number, one in enumerate(found.series, start=1)
        )
    return Survey(
        series,
        dict(Counter(found.kinds)),
        tuple(reason for _, reason in found.damaged),
        len(inside.foreign),
        len(people),
        inside.foreign,
        tuple(people),
    )


def name_patient(number: int) -> str:
    """A, B, … Z, AA, AB, …: what a spreadsheet calls its columns, from 0.

    Examples:
        >>> name_patient(0), name_patient(26)
        ('A', 'AA')
    """
    letters = ""
    while number >= 0:
        number, letter = divmod(number, 26)
        letters, number = chr(ord("A") + letter) + letters, number - 1
    return letters


def _list(series: DicomSeries, number: int, descriptions: bool, patient: str) -> Listed:
    headers = [open_header(file) for file in series.files]
    shape, spacing, note = _measure(headers, series)
    return Listed(
        number=number,
        mark=series.series,
        modality=find_modality(headers[0]),
        shape=shape,
        spacing_mm=spacing,
        kind=series.kind,
        files=len(series.files),
        note=note,
        description=headers[0].text("SeriesDescription") if descriptions else "",
        patient=patient,
        plane=_find_plane(headers),
        identity=order_kinds(kind for one in headers for kind in list_kinds(one)),
    )


def _measure(
    headers: list[Header], series: DicomSeries
) -> tuple[tuple[int, int, int], tuple[float, float, float] | None, str]:
    """Voxels, spacing and a note; of the first slice, or of its layout, where more fails."""
    try:
        grid, note = place_series(headers, None, series.description).grid, ""
    except PlicaError as error:
        note = next(words for kind, words in NOTES if isinstance(error, kind))
        try:
            frames, _ = list_all_frames(headers[:1])
            grid = place(frames[:1], None, series.description).grid
        except PlicaError:
            layout = read_layout(headers[0])
            return (layout.columns, layout.rows, 1), None, note
    return grid.shape, grid.spacing_mm if grid.calibrated else None, note


def _find_plane(headers: list[Header]) -> str:
    try:
        frames, _ = list_all_frames(headers[:1])
    except PlicaError:
        return ""
    plane = frames[0].plane
    return "" if plane is None else plane.name

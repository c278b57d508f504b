"""From the files of one series to one Image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from plica.errors import UnreadableFile
from plica.formats.dicom_display import read_display
from plica.formats.dicom_file import Header, guarded, open_whole
from plica.formats.dicom_frames import Frame
from plica.formats.dicom_pixels import decode_frames
from plica.formats.dicom_placing import Placed, place_series
from plica.formats.dicom_segments import label_values, segment_number
from plica.formats.dicom_series import pseudonym
from plica.formats.dicom_tiles import read_tiles
from plica.formats.dicom_values import CT_CLASSES, apply_transforms, find_unit
from plica.formats.limits import check_size
from plica.formats.terms import BURNED_IN, known_modality
from plica.image import Display, Image, Provenance, Unit, fingerprint_pixels

READER = f"dicom (pydicom {pydicom.__version__})"
MR_CLASSES = tuple(f"1.2.840.10008.5.1.4.1.1.4{end}" for end in ("", ".1", ".4"))
LOSSY_BEFORE = "The file's pixels went through lossy compression before."
_ODD_MODALITY = "Its modality is none of DICOM's: that of its SOP class is taken, or none."
IDENTITY = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "StudyInstanceUID",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "StudyDescription",
    "AccessionNumber",
    "ReferringPhysicianName",
    "InstitutionName",
    "SeriesInstanceUID",
    "SeriesNumber",
    "SeriesDate",
    "SeriesDescription",
    "BodyPartExamined",
    "FrameOfReferenceUID",
)


def assemble(
    headers: Sequence[Header], *, volume: int | None, identity: bool, max_bytes: int, source: str
) -> Image:
    """One image of all files of a series.

    Args:
        headers: The files, opened without pixels.
        volume: Which one, from 0, where there are several.
        identity: Whether the provenance may name the patient.
        max_bytes: Limit of the decoded pixels.
        source: Name of the series, for messages.

    Examples:
        >>> from plica.formats.dicom_file import open_header
        >>> headers = [open_header(file) for file in sorted(Path("study/ct").iterdir())]
        >>> asked = {"volume": None, "identity": False, "max_bytes": 2**30}
        >>> assemble(headers, **asked, source="ct").grid.shape
        (16, 16, 5)
    """
    placed = place_series(headers, volume, source)
    first, picture = placed.frames[0], placed.picture
    if picture is None:
        stored, segment = _stored(placed.frames, max_bytes), segment_number(first)
    else:
        stored, segment = read_tiles(first, picture, max_bytes=max_bytes), picture.name
    return _image(placed, stored, segment=segment, identity=identity)


def _stored(frames: Sequence[Frame], max_bytes: int) -> NDArray[Any]:
    """Stored values (n, rows, columns, samples), file by file."""
    layout = frames[0].layout
    check_size(frames[0].header.name, layout.decoded_bytes(len(frames)), max_bytes)
    by_file: dict[Path, list[tuple[int, Frame]]] = {}
    for k, frame in enumerate(frames):
        by_file.setdefault(frame.header.path, []).append((k, frame))
    volume: NDArray[Any] | None = None
    for path, members in by_file.items():
        whole = open_whole(path, max_bytes)
        numbers = [frame.number for _, frame in members]
        decoded = decode_frames(whole, members[0][1].layout, numbers, max_bytes=max_bytes)
        for (k, _), pixels in zip(members, decoded, strict=True):
            volume = _room_for(volume, pixels, len(frames))
            volume[k] = pixels
    if volume is None:
        raise UnreadableFile("no frames to read")
    return volume


def _room_for(volume: NDArray[Any] | None, pixels: NDArray[Any], frames: int) -> NDArray[Any]:
    """The array, in a type that holds the new frame's values too: slices may differ in sign."""
    if volume is None:
        return np.empty((frames, *pixels.shape), pixels.dtype)
    if volume.dtype == pixels.dtype:
        return volume
    return volume.astype(np.promote_types(volume.dtype, pixels.dtype))


def _image(placed: Placed, stored: NDArray[Any], *, segment: str, identity: bool) -> Image:
    frames = placed.frames
    header = frames[0].header
    middle = frames[len(frames) // 2]
    if header.text("Modality") == "SEG":
        values, unit, more = label_values(header, stored, segment)
        display = Display()
    else:
        values, unit, more = _real_values(frames, stored)
        signed = values.dtype.kind != "u" and bool(values.min() < 0)
        display, said = read_display(
            middle.voi, photometric=middle.layout.photometric, values_signed=signed
        )
        more += said
    pixels = values.transpose(3, 2, 1, 0)
    content = fingerprint_pixels(pixels)
    provenance = Provenance(
        reader=READER,
        modality=find_modality(header),
        series=_series(header, content),
        content=content,
        notes=tuple(dict.fromkeys([*placed.notes, *more, *_kept_notes(middle)])),
        identity=_identity(header) if identity else {},
    )
    return Image(pixels, placed.grid, unit, provenance, display)


def _real_values(
    frames: Sequence[Frame], stored: NDArray[Any]
) -> tuple[NDArray[Any], Unit, list[str]]:
    first = frames[0]
    if first.layout.is_colour:
        return stored, Unit.DISPLAY, []
    transforms = [frame.transform for frame in frames]
    unit, notes = find_unit(first.header, first.transform)
    if len({transform.kind.upper() for transform in transforms}) > 1:
        raise UnreadableFile(
            f"{first.name} and others of its series differ in RescaleType: their values have no "
            "common unit"
        )
    return apply_transforms(stored, transforms), unit, notes


def find_modality(header: Header) -> str:
    """The modality, by SOP class where it is not stated, or not one of DICOM's."""
    stated = known_modality(header.text("Modality"))
    if stated:
        return stated
    uid = header.text("SOPClassUID")
    return "CT" if uid in CT_CLASSES else "MR" if uid in MR_CLASSES else ""


def _is_modality_odd(header: Header) -> bool:
    stated = header.text("Modality")
    return bool(stated) and not known_modality(stated)


def _series(header: Header, content: str) -> str:
    uid = header.text("SeriesInstanceUID")
    return pseudonym(uid or content)


def _kept_notes(frame: Frame) -> list[str]:
    """What the file has, and is not in the image as it stands there."""
    header = frame.header
    notes = [_ODD_MODALITY] if _is_modality_odd(header) else []
    padding = header.texts("PixelPaddingValue")
    if padding and padding[0].removeprefix("-").isdecimal():
        notes.append(
            f"Stored values of {padding[0]} mark padding, and are read and folded like all others."
        )
    with guarded(header.name, "reading its overlays"):
        if any(0x6000 <= tag.group <= 0x60FF for tag in header.dataset.keys()):  # noqa: SIM118
            notes.append("Overlay graphics are left out.")
    grey = frame.layout.samples == 1 and frame.layout.photometric != "PALETTE COLOR"
    if grey and "RedPaletteColorLookupTableDescriptor" in header:
        notes.append("A supplemental palette is left out: values are grey.")
    if header.text("LossyImageCompression") == "01":
        notes.append(LOSSY_BEFORE)
    if header.text("BurnedInAnnotation").upper() == "YES":
        notes.append(BURNED_IN)
    return notes


def _identity(header: Header) -> dict[str, str]:
    found = {keyword: "\\".join(header.texts(keyword)) for keyword in IDENTITY}
    return {keyword: text for keyword, text in found.items() if text}

"""Group the files of a folder into series that can each be one image."""

from __future__ import annotations

import filecmp
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from plica.errors import AmbiguousSource, NotAnImage, UnreadableFile
from plica.formats.dicom_file import Header, is_dicom, open_header
from plica.formats.dicom_frames import dataset_planes
from plica.formats.dicom_pixels import Layout, read_layout
from plica.formats.dicom_planes import Plane
from plica.formats.terms import known_modality

HASH_DIGITS = 16
STACKED_MODALITIES = frozenset({"CT", "MR", "PT", ""})
DIRECTION_TOLERANCE = 1e-2
OBJECTS = {
    "SR": "structured report",
    "PR": "presentation state",
    "KO": "key object selection",
    "RTSTRUCT": "structure set",
    "RTPLAN": "radiotherapy plan",
    "REG": "registration",
    "DOC": "document",
    "ECG": "electrocardiogram",
}
"""Objects without pixels by Modality; others are called by their SOP class."""
LOCALIZERS = frozenset({"LOCALIZER", "SCOUT", "TOPOGRAM"})


@dataclass(frozen=True)
class DicomSeries:
    """Files that make up one image, or one image in several volumes.

    Args:
        files: In the order of their names.
        series: A one-way hash of SeriesInstanceUID; with ".2" and so on where one series holds
            what cannot be one image, such as a localizer.
        description: For people, without the patient's identity: "CT, 120 files, 512×512, axial".
        instances: A one-way hash of the UIDs of its images, which is equal for copies and for
            nothing else; empty where the series or an image has no UID.
        kind: "original", "derived" or "localizer", as its ImageType says; "" where it does not.
        patient: A one-way hash of whose it is, to count patients by; not kept anywhere.
    """

    files: tuple[Path, ...]
    series: str
    description: str
    instances: str = ""
    kind: str = ""
    patient: str = ""


@dataclass(frozen=True)
class Scan:
    """What a number of files turned out to be.

    Args:
        series: Those with images.
        others: DICOM files without pixels: reports, plans, directories, …
        damaged: DICOM files that cannot be read, each with the reason.
        foreign: How many files were not DICOM.
        kinds: What each of the others is, in words: "structured report (SR)".
    """

    series: tuple[DicomSeries, ...]
    others: tuple[Path, ...]
    damaged: tuple[tuple[Path, str], ...]
    foreign: int
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class _Entry:
    header: Header
    layout: Layout
    plane: Plane | None


def pseudonym(uid: str) -> str:
    """A one-way hash of a series' UID, the same wherever the series is read.

    Examples:
        >>> pseudonym("1.2.3")
        '723206a90037c524'
    """
    digest = hashlib.sha256(f"plica series {uid}".encode()).hexdigest()
    return digest[:HASH_DIGITS]


def find_series(paths: Sequence[Path]) -> list[DicomSeries]:
    """The series among files: by SeriesInstanceUID, then by what cannot be one image.

    Files that are not DICOM, hold no pixels or are damaged are left out; `scan` counts them.

    Examples:
        >>> [len(one.files) for one in find_series([*Path("study/ct").iterdir()])]
        [5]
    """
    return list(scan(paths).series)


def scan(paths: Sequence[Path]) -> Scan:
    """Look at every file's header and group the images."""
    entries: list[_Entry] = []
    others: list[Path] = []
    damaged: list[tuple[Path, str]] = []
    foreign = 0
    for path in sorted(paths):
        if not is_dicom(path):
            foreign += 1
            continue
        try:
            entries.append(_entry(path))
        except NotAnImage:
            others.append(path)
        except UnreadableFile as error:
            damaged.append((path, str(error)))
    kinds = tuple(name_kind(open_header(path)) for path in others)
    return Scan(tuple(_group(entries)), tuple(others), tuple(damaged), foreign, kinds)


def name_kind(header: Header) -> str:
    """What an object without pixels is, for people: "structured report (SR)"."""
    modality = header.text("Modality")
    words = OBJECTS.get(modality, header.kind)
    return f"{words} ({modality})" if modality in OBJECTS else words


def _entry(path: Path) -> _Entry:
    header = open_header(path)
    layout = read_layout(header)
    plane = dataset_planes(header, 1)[0] if layout.frames == 1 else None
    return _Entry(header, layout, plane)


def _group(entries: Sequence[_Entry]) -> list[DicomSeries]:
    by_uid: dict[str, list[_Entry]] = {}
    for entry in entries:
        by_uid.setdefault(entry.header.text("SeriesInstanceUID"), []).append(entry)
    found = []
    for uid, members in by_uid.items():
        parts = _parts(members)
        for number, part in enumerate(parts, start=1):
            suffix = f".{number}" if len(parts) > 1 else ""
            files = tuple(entry.header.path for entry in part)
            whose = part[0].header.text("PatientID"), part[0].header.text("PatientName")
            found.append(
                DicomSeries(
                    files,
                    pseudonym(uid) + suffix,
                    _describe(part),
                    _sum_up(uid, part),
                    find_kind(part[0].header),
                    pseudonym(repr(whose)),
                )
            )
    return sorted(found, key=lambda series: series.files[0])


def find_kind(header: Header) -> str:
    """Original, derived or localizer, as ImageType says (PS3.3 C.7.6.1.1.2); "" if it does not."""
    stated = [word.upper() for word in header.texts("ImageType")]
    if LOCALIZERS & set(stated):
        return "localizer"
    first = stated[0].lower() if stated else ""
    return first if first in {"original", "derived"} else ""


def _parts(members: Sequence[_Entry]) -> list[list[_Entry]]:
    """Members that can be one image, together, the largest part first."""
    parts: list[list[_Entry]] = []
    for entry in members:
        for part in parts:
            if _belong_together(part[0], entry):
                part.append(entry)
                break
        else:
            parts.append([entry])
    return sorted(parts, key=len, reverse=True)


def _belong_together(one: _Entry, other: _Entry) -> bool:
    if max(one.layout.frames, other.layout.frames) > 1:
        uid = one.header.text("ConcatenationUID")
        return bool(uid) and uid == other.header.text("ConcatenationUID")
    sizes = [(e.layout.rows, e.layout.columns, e.layout.samples) for e in (one, other)]
    if sizes[0] != sizes[1] or one.header.text("SOPClassUID") != other.header.text("SOPClassUID"):
        return False
    if one.plane is None or other.plane is None:
        alike = (one.plane is None) == (other.plane is None)
        return alike and one.header.text("Modality") in STACKED_MODALITIES
    return one.plane.points_like(other.plane, DIRECTION_TOLERANCE)


def _sum_up(uid: str, part: Sequence[_Entry]) -> str:
    instances = sorted({entry.header.text("SOPInstanceUID") for entry in part})
    return pseudonym(" ".join(instances)) if uid and all(instances) else ""


def _describe(part: Sequence[_Entry]) -> str:
    first = part[0]
    words = [
        known_modality(first.header.text("Modality")) or "modality not stated",
        f"{len(part)} file{'s' if len(part) > 1 else ''}",
        f"{first.layout.columns}×{first.layout.rows}",
    ]
    if first.layout.frames > 1:
        words.append(f"{first.layout.frames} frames")
    if first.plane is not None:
        words.append(first.plane.name)
    return ", ".join(words)


def choose_series(found: Sequence[DicomSeries], wanted: str | None, source: str) -> DicomSeries:
    """The one series there is, or the one asked for by hash or 1-based number.

    What has fewer than five letters, all of them digits, is a number.

    Raises:
        NotAnImage: There is none at all.
        AmbiguousSource: There are several and none was asked for, or none or several fit.
    """
    if not found:
        raise NotAnImage(f"{source} holds no DICOM images: give a folder, zip or file with some")
    if wanted is None:
        if len(found) == 1:
            return found[0]
        raise AmbiguousSource(
            f"{source} holds {len(found)} series: {_listed(found)}; choose one by its number or "
            "the beginning of its mark, such as series=1"
        )
    if wanted.isdecimal() and len(wanted) < 5:  # a number, even where some mark begins so
        fitting = list(found[int(wanted) - 1 : int(wanted)]) if int(wanted) else []
    else:
        same = [series for series in found if series.series == wanted]
        fitting = same or [one for one in found if wanted and one.series.startswith(wanted)]
    if len(fitting) == 1:
        return fitting[0]
    what = "several series whose mark begins with" if fitting else "no series"
    raise AmbiguousSource(f"{source} has {what} '{wanted}'; it has: {_listed(found)}")


def _listed(found: Sequence[DicomSeries]) -> str:
    lines = [f"{n} = {series.series} ({series.description})" for n, series in enumerate(found, 1)]
    more = [f"and {len(lines) - 12} more"] if len(lines) > 12 else []
    return "; ".join(lines[:12] + more)


def without_copies(headers: Sequence[Header]) -> tuple[list[Header], list[str]]:
    """The same files without those that are byte for byte another one, and a note on them."""
    kept: list[Header] = []
    by_uid: dict[str, Path] = {}
    for header in headers:
        uid = header.text("SOPInstanceUID")
        twin = by_uid.get(uid) if uid else None
        if twin is not None and filecmp.cmp(twin, header.path, shallow=False):
            continue
        by_uid.setdefault(uid, header.path)
        kept.append(header)
    copies = len(headers) - len(kept)
    return kept, [f"Identical copies of files were left out: {copies}."] if copies else []

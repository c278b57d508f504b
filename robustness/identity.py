"""Whether anything of a patient is in what is written: every output byte is searched for it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pydicom
from pydicom.errors import InvalidDicomError

from robustness import outcomes
from robustness.forking import run_forked
from robustness.markers import all_markers, find_markers
from robustness.writers import WRITERS, Writer

Record = dict[str, Any]
ASKED = (
    Writer(
        "decode --like",
        (
            "decode",
            "{base}/latents/l/study.latent",
            "-o",
            "{out}/d.dcm",
            "--like",
            "{base}/study",
            "-q",
        ),
        ("d.dcm/*",),
    ),
    Writer(
        "reconstruct --like",
        (
            "reconstruct",
            "{base}/study",
            "-o",
            "{out}/d.dcm",
            "--like",
            "{base}/study",
            "-c",
            "linear-4x3-2d",
            "-q",
        ),
        ("d.dcm/*",),
    ),
)
"""Where identity is asked for, so that it is seen that the search would find it."""

SHORTEST = 7  # letters; shorter values stand among pixels by chance: 49, 50, … is "123456"
SHORTEST_NAME = 6  # letters of a part of a person's name: five stand in texts and codes by chance
# Within: nobody's name, and words of ours and of pages ("modality", "stroke").
NOBODY = ("anonym", "patient", "physician", "unknown", "nobody", "sample", "modality", "stroke")
DISTINCT = 3  # fewer letters or digits, as in 000000000, stand in many numbers
NO_PERSONS = ("InstitutionName", "StationName")
PERSONAL = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "AccessionNumber",
    "StudyID",
    "InstitutionName",
    "InstitutionAddress",
    "ReferringPhysicianName",
    "PerformingPhysicianName",
    "OperatorsName",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "FrameOfReferenceUID",
    "StudyDate",
    "StudyDescription",
    "SeriesDescription",
    "DeviceSerialNumber",
    "StationName",
)


def all_records(base: Path, folder: Path, *, every: int = 1) -> Iterator[Record]:
    """Every command on sources full of markers, and the markers found in what it wrote or said."""
    markers = all_markers()
    for writer in (*WRITERS[::every], *ASKED):
        room = folder / f"identity-{writer.command}".replace(" ", "-")
        room.mkdir()
        words = (*(word for word in writer.line(base) if word != "-q"),)
        seen = run_forked(words, room, limit_s=300)
        found: dict[str, list[str]] = {}
        searched = 0
        for path in [*room.rglob("*"), *room.with_name(f"{room.name}.kept").glob("std*")]:
            if path.is_file():
                data = path.read_bytes()
                searched += len(data)
                named = str(path.relative_to(folder)).encode()
                for name in find_markers(data, markers) | find_markers(named, markers):
                    found.setdefault(name, []).append(path.name)
        asked = writer in ASKED
        kind, why = _judge(seen.code, found, asked=asked)
        yield {
            "table": "identity",
            "command": writer.command,
            "kind": "asked" if asked else "not asked",
            "about": f"{len(found)} of {len(markers)} markers in {searched} bytes",
            "words": list(words),
            "class": kind,
            "why": why,
            "code": seen.code,
            "seconds": round(seen.seconds, 3),
            "peak_bytes": seen.peak,
            "said": seen.stderr[-300:],
            "digest": "",
            "markers": {name: sorted(set(places))[:5] for name, places in found.items()},
            "searched": searched,
        }


def _judge(code: int | None, found: dict[str, list[str]], *, asked: bool) -> tuple[str, str]:
    if code != 0:
        return outcomes.SILENT, f"did not run: ended with {code}"
    if asked:
        return (
            (outcomes.DONE, "") if found else (outcomes.SILENT, "what was asked for is not there")
        )
    if found:
        return outcomes.SILENT, "; ".join(
            f"{name} in {', '.join(sorted(set(places))[:3])}" for name, places in found.items()
        )
    return outcomes.DONE, ""


def values_of(path: Path) -> dict[str, str]:
    """What a real DICOM file says of its patient and study, where it is long enough to be told."""
    warnings.simplefilter("ignore")  # what is odd about the file is not judged here
    try:
        file = pydicom.dcmread(path, stop_before_pixels=True, force=True)
    except (InvalidDicomError, OSError, ValueError, EOFError, AttributeError):
        return {}
    found: dict[str, str] = {}
    for name in PERSONAL:
        try:
            value = str(file.get(name, "") or "").strip()
        except (ValueError, TypeError, AttributeError, UnicodeError):
            continue
        found |= _parts(name, value)
    return found


def values_of_all(paths: Iterable[Path]) -> dict[str, str]:
    """What real DICOM files say, each value once; what stands in a file's own path is no secret."""
    found: dict[str, str] = {}
    told = set[str]()
    for path in paths:
        own = str(path).lower()
        for name, value in values_of(path).items():
            if value not in told and value.lower() not in own:
                told.add(value)
                found[f"{name} of {path.name}"] = value
    return found


def _parts(name: str, value: str) -> dict[str, str]:
    """A value; of a person's also each part of the name: 1st alphabet, then others."""
    if not name.endswith("Name") or name in NO_PERSONS:
        telling = len(value) >= SHORTEST and len(set(value)) >= DISTINCT
        return {name: value} if telling else {}
    parts = [part for part in re.split(r"[\^= ]+", value) if len(part) >= SHORTEST_NAME]
    return {
        f"{name} ({number})": part
        for number, part in enumerate(parts, 1)
        if not any(word in part.lower() for word in NOBODY)
    }

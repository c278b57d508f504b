"""Which kinds of identity a DICOM file has, in words that tell none of it."""

from __future__ import annotations

from collections.abc import Iterable

PATIENT = {"PatientName": "name", "PatientID": "ID", "PatientBirthDate": "birth date"}
KINDS = {
    **PATIENT,
    "PatientSex": "sex",
    "PatientAge": "age",
    "AccessionNumber": "accession number",
    "StudyID": "study's ID",
    "StudyDate": "dates",
    "StudyTime": "dates",
    "SeriesDate": "dates",
    "ReferringPhysicianName": "physician",
    "InstitutionName": "institution",
    "StudyDescription": "descriptions",
    "SeriesDescription": "descriptions",
    "StudyInstanceUID": "UIDs",
    "SeriesInstanceUID": "UIDs",
    "FrameOfReferenceUID": "UIDs",
}
"""What each attribute that may tell who a patient is, is called."""


def list_named(keywords: Iterable[str]) -> tuple[str, ...]:
    """The kinds of identity among attributes that are filled, each once.

    Examples:
        >>> list_named(["StudyDate", "PatientName", "StudyTime"])
        ('name', 'dates')
    """
    return order_kinds(KINDS[keyword] for keyword in keywords)


def order_kinds(kinds: Iterable[str]) -> tuple[str, ...]:
    """Kinds of several files, each once, in the order that `list_named` has.

    Examples:
        >>> order_kinds(["dates", "ID", "dates"])
        ('ID', 'dates')
    """
    found = set(kinds)
    return tuple(kind for kind in dict.fromkeys(KINDS.values()) if kind in found)


def say_named(named: Iterable[str], what: str = "the file names") -> str:
    """Those kinds as a sentence.

    Args:
        named: As `list_named` gives them.
        what: Begins it.

    Examples:
        >>> say_named(("name", "dates"))
        'the file names a patient (name, dates)'
        >>> say_named(("dates",))
        'no name, ID or birth date, but dates'
    """
    kinds = list(named)
    if set(kinds) & set(PATIENT.values()):
        return f"{what} a patient ({', '.join(kinds)})"
    return "no name, ID or birth date" + (f", but {', '.join(kinds)}" if kinds else "")

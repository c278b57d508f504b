"""Which kinds of identity a file has, in words that tell none of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

PATIENT = ("name", "ID", "birth date", "address")
FREE_TEXTS, PRIVATE = "free texts", "private or unknown elements"
FACTS = "facts about the patient"
KINDS = (
    *PATIENT,
    "sex",
    "age",
    FACTS,
    "accession number",
    "study's ID",
    "numbers of visits and requests",
    "dates",
    "physicians or staff",
    "institution",
    "device",
    "UIDs",
    "icons or overlays",
    FREE_TEXTS,
    PRIVATE,
)
"""What is called so, in this order; `dicom_named` says which attributes are of each kind."""

TEXTS = {
    "nifti": "descrip, aux_file, intent_name, db_name and header extensions",
    "nrrd": "content, comments and keys of its maker's",
    "metaimage": "Comment and keys of its maker's",
    "mgh": "the tags after its voxels",
    "minc": "its attributes",
    "picture": "text chunks, comments and EXIF",
}
"""Where files that are not DICOM keep words, by the first word of their reader's name."""


def order_kinds(kinds: Iterable[str]) -> tuple[str, ...]:
    """Kinds of one file or several, each once, in the order of `KINDS`.

    Examples:
        >>> order_kinds(["dates", "ID", "dates"])
        ('ID', 'dates')
    """
    found = set(kinds)
    return tuple(kind for kind in KINDS if kind in found)


def say_named(named: Iterable[str], what: str = "the file names") -> str:
    """Those kinds as a sentence, which says as well what nobody looked at.

    Args:
        named: As `order_kinds` gives them.
        what: Begins it.

    Examples:
        >>> say_named(("name", "dates"))
        'the file names a patient (name, dates); what pixels say is not looked at'
        >>> say_named(("dates",)).partition(";")[0]
        'no name, ID, birth date or address of a patient found, but dates'
    """
    kinds = list(named)
    said = {*kinds, *([FREE_TEXTS] if FACTS in kinds else [])}  # such as comments on the patient
    unread = ["pixels", *(kind for kind in (FREE_TEXTS, PRIVATE) if kind in said)]
    rest = f"; what {_join(unread, 'and')} say is not looked at"
    if set(kinds) & set(PATIENT):
        return f"{what} a patient ({', '.join(kinds)}){rest}"
    none = f"no {_join(PATIENT, 'or')} of a patient found"
    return none + (f", but {', '.join(kinds)}" if kinds else "") + rest


def say_unsearched(reader: str) -> str:
    """What is said of the identity in a file that is not DICOM: it is not looked for.

    Args:
        reader: As `Provenance.reader` has it.

    Examples:
        >>> say_unsearched("mgh")
        'not looked for; of this format, the tags after its voxels may name a patient'
    """
    places = TEXTS.get(find_format(reader))
    return "not looked for" + (f"; of this format, {places} may name a patient" if places else "")


def find_format(reader: str) -> str:
    """The format that a reader reads: the first word of its name.

    Args:
        reader: As `Provenance.reader` has it.

    Examples:
        >>> find_format("minc (nibabel 5.3.2)"), find_format("nifti-1")
        ('minc', 'nifti')
    """
    return re.split("[ -]", reader)[0]


def _join(words: Sequence[str], last: str) -> str:
    before = ", ".join(words[:-1])
    return f"{before} {last} {words[-1]}" if before else words[-1]

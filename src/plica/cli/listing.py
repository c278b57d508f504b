"""Listing: what an export of several series holds, as a table or as records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from plica.cli.console import format_shape, print_note, print_table
from plica.cli.jobs import count_kind, describe_left
from plica.cli.options import READING
from plica.formats.limits import DEFAULT_MAX_BYTES
from plica.formats.naming import order_kinds, say_named
from plica.formats.sources import Skipped

if TYPE_CHECKING:
    from plica.formats.dicom_survey import Listed, Survey
    from plica.grid import Grid

COLUMNS = (
    "series", "patient", "modality", "voxels", "spacing mm", "plane", "kind", "files", "mark",
    "remark",
)  # fmt: skip
PARTS = (
    "marks that end in .1, .2, … are of images of one series that are no one volume; their latents "
    "all keep the mark before the dot, which is that of the series"
)
DESCRIBED = "--descriptions adds each series' own description, which may name people"

Descriptions = Annotated[
    bool,
    typer.Option(
        "--descriptions",
        help="Say each series' description, too: free text, which may name people.",
        rich_help_panel=READING,
    ),
]


def print_export(path: Path, found: Survey, *, descriptions: bool = False) -> None:
    """Say which series a folder or zip holds.

    Args:
        path: Its name is the title's.
        found: What is there.
        descriptions: Whether the survey has each series' own description.
    """
    rows = [_row(one) for one in found.series]
    people = "1 patient" if found.patients == 1 else f"{found.patients} patients"
    columns: tuple[str, ...] = (*COLUMNS[:-1], "description") if descriptions else COLUMNS
    if not any(row[-1] for row in rows):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    print_table(f"{path.name}: {len(rows)} series of {people}", columns, rows,
                caption=describe_rest(found))  # fmt: skip
    for reason in found.damaged:
        print_note(f"damaged: {reason}")
    kinds = order_kinds(kind for one in found.series for kind in one.identity)
    print_note(f"identity: {say_named(kinds, 'the files name')}")
    if any("." in one.mark for one in found.series):
        print_note(PARTS)
    if not descriptions:
        print_note(DESCRIBED)


def survey_export(
    path: Path, *, descriptions: bool = False, max_bytes: int = DEFAULT_MAX_BYTES
) -> Survey | None:
    """What a folder, zip or DICOMDIR of several series holds; None for everything else.

    Raises:
        InputError: It is damaged.
    """
    found = survey_dicom(path, descriptions=descriptions, max_bytes=max_bytes)
    return found if found and len(found.series) > 1 else None


def survey_dicom(
    path: Path, *, descriptions: bool = False, max_bytes: int = DEFAULT_MAX_BYTES
) -> Survey | None:
    """What a folder, zip or DICOMDIR holds, be it one series; None for everything else.

    Raises:
        InputError: It is damaged.
    """
    if not path.is_dir() and path.suffix.lower() != ".zip" and path.name != "DICOMDIR":
        return None
    from plica.formats.dicom_survey import survey
    from plica.formats.sniff import identify

    if identify(path) != "dicom":
        return None
    return survey(path, descriptions=descriptions, max_bytes=max_bytes)


def fits(one: Listed, grid: Grid) -> bool:
    """Whether a series has as many voxels as a grid, as large.

    Examples:
        >>> grid = plica.read("study/ct").grid
        >>> from plica.formats.dicom_survey import survey
        >>> [fits(one, grid) for one in survey(Path("study/ct")).series]
        [True]
    """
    spacing = one.spacing_mm
    if spacing is None or one.shape != grid.shape:
        return False
    return all(
        abs(own - asked) <= 1e-4 for own, asked in zip(spacing, grid.spacing_mm, strict=True)
    )


def find_lone(path: Path, series: Sequence[Listed], grid: Grid) -> Path | None:
    """A file or folder that holds one series of a folder alone, at best one that fits a grid.

    Args:
        path: The folder; of what a zip or DICOMDIR holds there is none.
        series: Those in it, as `survey_export` lists them.
        grid: What to prefer.
    """
    if not path.is_dir():
        return None
    from plica.formats.dicom_inside import look_inside

    held = [one.files for one in look_inside(path).scan.series]
    around = Counter(folder for files in held for file in files for folder in file.parents)
    lone: dict[Path, Listed] = {}
    for one, files in zip(series, held, strict=True):
        folder = files[0].parent
        inside = sum(folder in file.parents for file in files)
        if len(files) == 1:
            lone[files[0]] = one
        elif inside == around[folder] == len(files):
            lone[folder] = one
    return min(lone, key=lambda at: not fits(lone[at], grid), default=None)


def find_identity(path: Path, mark: str, *, max_bytes: int) -> tuple[str, ...]:
    """Which kinds of identity the DICOM files of a series have; of all there, if none has it.

    Raises:
        InputError: It is damaged.
    """
    from plica.formats.dicom_survey import survey

    series = survey(path, max_bytes=max_bytes).series
    meant = [one for one in series if mark and one.mark.partition(".")[0] == mark] or series
    return order_kinds(kind for one in meant for kind in one.identity)


def describe_rest(found: Survey) -> str:
    """What there is besides series, and how to name one."""
    members = [Skipped(Path(), "", kind) for kind, count in found.objects.items()
               for _ in range(count)]  # fmt: skip
    members += [Skipped(Path(name), "not DICOM") for name in found.others]
    rest = [describe_left(members)] if members else []
    rest += [count_kind("damaged DICOM file", len(found.damaged))] if found.damaged else []
    beside = f"besides: {', '.join(rest)}; " if rest else ""
    them = "one of them" if len(found.series) > 1 else "it alone"
    return f"{beside}{them}: --series 1, or the beginning of its mark"


def _row(one: Listed) -> tuple[str, ...]:
    spacing = one.spacing_mm
    sides = 3 if one.shape[2] > 1 else 2
    return (
        str(one.number),
        one.patient,
        one.modality or "not stated",
        format_shape(one.shape),
        "not known" if spacing is None else " × ".join(f"{side:.3g}" for side in spacing[:sides]),
        one.plane or "not known",
        one.kind or "not stated",
        str(one.files),
        one.mark,
        "; ".join(filter(None, (one.description, "no one volume" if one.note else ""))),
    )

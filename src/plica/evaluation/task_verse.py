"""VerSe 2019: fractured vertebrae in CT of the spine."""

from __future__ import annotations

import re
from pathlib import Path

from plica.cohort import Case, Cohort
from plica.errors import InputError
from plica.evaluation.tasks import TEST, TRAIN, Count, Task, Tree, labels_of, read_whole
from plica.tables import Row, read_table

TABLE = "verse2019_fracture_grading_info.csv"
_COLUMNS = ("subject_ID", "verse_ID", "N_Fx")
_SPLITS = {"training": TRAIN, "validation": "validation", "test": TEST}
_SCAN = re.compile(r"sub-verse(\d+)(?:_split-verse(\d+))?_ct\.nii(\.gz)?$")


def _read(tree: Tree) -> Cohort:
    images = _index(tree)
    cases: list[Case] = []
    absent: list[str] = []
    for row in read_table(tree.need(TABLE), _COLUMNS):
        if not row["verse_ID"].strip():
            continue
        scan = read_whole(row["verse_ID"], f"{TABLE}: verse_ID")
        if scan not in images:
            absent.append(f"the CT of verse_ID {scan}")
            continue
        cases.append(_case(tree, row, scan, *images[scan]))
    return tree.settle(cases, absent)


def _case(tree: Tree, row: Row, scan: int, split: str, path: Path) -> Case:
    subject = read_whole(row["subject_ID"], f"{TABLE}: subject_ID")
    fractures = read_whole(row["N_Fx"] or "0", f"{TABLE}: N_Fx of {scan}")
    group = "fracture" if fractures > 0 else "none"
    labels = labels_of(tree.dataset, group, fractures=str(fractures))
    return Case(f"verse{subject:03d}", "", f"verse{scan:03d}", path, split, labels)


def _index(tree: Tree) -> dict[int, tuple[str, Path]]:
    """Scans by their number: split and place."""
    found: dict[int, tuple[str, Path]] = {}
    for name, split in _SPLITS.items():
        folder = tree.need(f"dataset-verse19{name}")
        for path in sorted(folder.rglob("rawdata/sub-*/*_ct.nii*")):
            match = _SCAN.search(path.name)
            if match is None:
                continue
            scan = int(match.group(2) or match.group(1))
            if scan in found:
                raise InputError(f"two files are of scan {scan}: {found[scan][1]} and {path}")
            found[scan] = split, path
    return found


FRACTURE = Task(
    name="verse-fracture",
    title="Is a vertebra of this spine fractured?",
    dataset="verse-2019",
    dims=3,
    classes=("none", "fracture"),
    shape=(224, 224, 160),
    published={"": Count(160), TRAIN: Count(80), "validation": Count(40), TEST: Count(40)},
    rules=(
        "A fracture where N_Fx of the grading is above zero, whatever its grade.",
        "The data set's own division, 50/25/25. The paper prints 224 × 224 × 160 without naming "
        "the axes; here they are right/left, front/back and head/feet, by interpolation.",
    ),
    read=_read,
)

"""MRNet: tears of the cruciate ligament or a meniscus in sagittal MR of the knee."""

from __future__ import annotations

import csv
from pathlib import Path

from plica.cohort import Case, Cohort
from plica.errors import InputError
from plica.evaluation.tasks import SPACING, TEST, TRAIN, Count, Task, Tree, is_yes, labels_of

_PARTS = ("train", "valid")
_TEARS = ("acl", "meniscus")
_MOST_BYTES = 1 << 20


def _read(tree: Tree) -> Cohort:
    cases: list[Case] = []
    absent: list[str] = []
    for part in _PARTS:
        acl, meniscus = (_read_labels(tree.need(f"{part}-{tear}.csv")) for tear in _TEARS)
        if acl.keys() != meniscus.keys():
            raise InputError(
                f"{part}-acl.csv and {part}-meniscus.csv are not of the same exams, such as "
                f"{min(acl.keys() ^ meniscus.keys())}"
            )
        for exam in acl:
            path = tree.root / part / "sagittal" / f"{exam}.npy"
            if not path.is_file():
                absent.append(f"{part}/sagittal/{exam}.npy")
                continue
            cases.append(_case(tree, part, exam, path, acl[exam], meniscus[exam]))
    return tree.settle(cases, absent).with_splits({TRAIN: 0.95, TEST: 0.05}, seed=tree.seed)


def _read_labels(table: Path) -> dict[str, bool]:
    """Exam, comma, 1 or 0: the tables have no header."""
    if table.stat().st_size > _MOST_BYTES:
        raise InputError(f"{table.name} is too large for a list of exams")
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file, strict=True) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"the table {table} cannot be read: {error}") from error
    found: dict[str, bool] = {}
    for row in rows:
        if len(row) != 2 or not row[0].isdigit() or row[0] in found:
            raise InputError(
                f"{table.name}: lines are an exam once and 1 or 0, such as 0000,1; but got "
                f"{','.join(row)[:80]}"
            )
        found[row[0]] = is_yes(row[1])
    return found


def _case(tree: Tree, part: str, exam: str, path: Path, acl: bool, meniscus: bool) -> Case:
    group = "tear" if acl or meniscus else "none"
    others = {"acl": str(int(acl)), "meniscus": str(int(meniscus)), "part": part}
    # The arrays know no millimetres; the axes are slice, row, column.
    labels = labels_of(tree.dataset, group, **others, **{SPACING: "1 1 1"})
    return Case(exam, "", exam, path, "", labels)


TEAR = Task(
    name="mrnet-tear",
    title="Is the cruciate ligament or a meniscus of this knee torn?",
    dataset="mrnet",
    dims=3,
    classes=("none", "tear"),
    shape=(56, 256, 256),
    published={"": Count(1250)},
    rules=(
        "A tear where acl, meniscus or both are 1; sagittal series alone.",
        "Its 1130 training and 120 validation exams are put together and divided 95/5 by a seed, "
        "for so the paper divides 1250; an exam is taken for a patient.",
        "The arrays (slice, row, column) do not say how large a voxel is: 1 mm is put in, and what "
        "is measured in millimetres means nothing.",
    ),
    read=_read,
    weighted=True,
)

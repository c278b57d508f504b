"""CMMD: malignancy and calcification in mammograms, by the patient's clinical table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from plica.cohort import Case, Cohort
from plica.errors import InputError
from plica.evaluation.tasks import TEST, TRAIN, Count, Task, Tree, labels_of
from plica.formats.dicom_file import open_header
from plica.tables import read_table

TABLE = "CMMD_clinicaldata_revision.csv"
_CLASSES = {"benign": "benign", "malignant": "malignant"}
_ABNORMALITIES = {"mass": False, "calcification": True, "both": True}
_SHARES = {TRAIN: 0.8, TEST: 0.2}


@dataclass
class _Breast:
    """What the table says of one breast; it may have several rows."""

    malignant: bool = False
    calcified: bool = False


def _read_malignancy(tree: Tree) -> Cohort:
    """Images of breasts that were biopsied: those with a row in the table."""
    breasts = _read_breasts(tree)
    cases = (
        _case(tree, patient, side, path, "malignant" if breast.malignant else "benign")
        for patient, side, path in _images(tree, breasts)
        if (breast := breasts.get((patient, side))) is not None
    )
    return tree.settle(cases, _absent(tree, breasts)).with_splits(_SHARES, seed=tree.seed)


def _read_calcification(tree: Tree) -> Cohort:
    """All images; a breast without a row has no calcification."""
    breasts = _read_breasts(tree)
    cases = (
        _case(
            tree, patient, side, path,
            "present" if breasts.get((patient, side), _Breast()).calcified else "absent",
        )
        for patient, side, path in _images(tree, breasts)
    )  # fmt: skip
    return tree.settle(cases, _absent(tree, breasts)).with_splits(_SHARES, seed=tree.seed)


def _read_breasts(tree: Tree) -> dict[tuple[str, str], _Breast]:
    table = tree.need(TABLE)
    breasts: dict[tuple[str, str], _Breast] = {}
    for row in read_table(table, ("ID1", "LeftRight", "abnormality", "classification")):
        patient, side = row["ID1"].strip(), row["LeftRight"].strip().upper()
        if not patient:
            continue
        kind, found = row["classification"].strip().lower(), row["abnormality"].strip().lower()
        if side not in ("L", "R") or kind not in _CLASSES or found not in _ABNORMALITIES:
            raise InputError(
                f"{table.name}: {patient} has LeftRight '{row['LeftRight']}', classification "
                f"'{row['classification']}' and abnormality '{row['abnormality']}', where L or R, "
                "Benign or Malignant, and mass, calcification or both were expected"
            )
        breast = breasts.setdefault((patient, side), _Breast())
        breast.malignant |= kind == "malignant"
        breast.calcified |= _ABNORMALITIES[found]
    return breasts


def _images(tree: Tree, breasts: dict[tuple[str, str], _Breast]) -> Iterator[tuple[str, str, Path]]:
    """Whose image, of which side, and where; patients the table knows."""
    images = tree.need("CMMD")
    for patient in sorted({patient for patient, _ in breasts}):
        for path in sorted((images / patient).rglob("*.dcm")):
            header = open_header(path)
            side = header.text("ImageLaterality") or header.text("Laterality")
            if side not in ("L", "R"):
                raise InputError(
                    f"{path} does not say in ImageLaterality which breast it shows, so its class "
                    "is unknown: fetch the file again, or take it out of the folder"
                )
            yield patient, side, path


def _absent(tree: Tree, breasts: dict[tuple[str, str], _Breast]) -> Iterator[str]:
    for patient in sorted({patient for patient, _ in breasts}):
        if next((tree.root / "CMMD" / patient).rglob("*.dcm"), None) is None:
            yield f"CMMD/{patient}/…/1-1.dcm"


def _case(tree: Tree, patient: str, side: str, path: Path, group: str) -> Case:
    below = path.relative_to(tree.root / "CMMD" / patient)
    labels = labels_of(tree.dataset, group, laterality=side)
    return Case(patient, str(below.parent.as_posix()), below.name, path, "", labels)


MALIGNANCY = Task(
    name="cmmd-malignancy",
    title="Is the finding of this mammogram malignant?",
    dataset="cmmd",
    dims=2,
    classes=("benign", "malignant"),
    shape=(512, 1024, 1),
    published={"": Count(3744, 1775), TRAIN: Count(2982, 1420), TEST: Count(762, 355)},
    rules=(
        "Images of breasts that have a row in the table; of several rows one that is malignant "
        "counts. That the others are left out is read from the paper's count: 1872 breasts, two "
        "views each.",
        "80 % of the patients are learnt from, drawn by a seed; the paper's division is not "
        "published.",
    ),
    read=_read_malignancy,
)  # fmt: skip

CALCIFICATION = Task(
    name="cmmd-calcification",
    title="Are there calcifications in this mammogram?",
    dataset="cmmd",
    dims=2,
    classes=("absent", "present"),
    shape=(512, 1024, 1),
    published={"": Count(5202, 1775), TRAIN: Count(4156, 1420), TEST: Count(1046, 355)},
    rules=(
        "Present where a row of the breast says calcification or both; absent where it says mass, "
        "or where the breast has no row.",
        "80 % of the patients are learnt from, drawn by a seed; the paper's division is not "
        "published.",
    ),
    read=_read_calcification,
)

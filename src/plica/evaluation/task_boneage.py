"""RSNA bone age: the year of life a hand's bones are of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from plica.cohort import Case, Cohort
from plica.errors import InputError
from plica.evaluation.tasks import TEST, TRAIN, Count, Task, Tree, labels_of, read_whole
from plica.tables import read_table

_TRAINING = ("train.csv", "boneage-training-dataset.csv")
_VALIDATION = ("Validation Dataset.csv", "boneage-validation-dataset.csv")
_COLUMNS = {TRAIN: ("id", "boneage", "male"), TEST: ("Image ID", "Bone Age (months)", "male")}
_CLASSES = tuple(str(year) for year in range(20))


def _read(tree: Tree) -> Cohort:
    tables = {TRAIN: _find(tree, _TRAINING), TEST: _find(tree, _VALIDATION)}
    images = _index(tree.root)
    cases: list[Case] = []
    absent: list[str] = []
    for split, table in tables.items():
        for number, months, male in _rows(table, split):
            if (path := images.get((split, number))) is None:
                absent.append(f"{number}.png of {table.name}")
                continue
            labels = labels_of(tree.dataset, str(months // 12), months=str(months), male=male)
            cases.append(Case(f"{split}-{number}", "", number, path, split, labels))
    return tree.settle(cases, absent)


def _find(tree: Tree, names: tuple[str, ...]) -> Path:
    """A table, however deep its archive was unpacked."""
    for name in names:
        if found := sorted(tree.root.rglob(name)):
            return found[0]
    raise tree.missing(f"there is no {' or '.join(names)} below {tree.root}")


def _rows(table: Path, split: str) -> Iterator[tuple[str, int, str]]:
    number, age, male = _COLUMNS[split]
    for row in read_table(table, (number, age, male)):
        months = read_whole(row[age], f"{table.name}: the age of {row[number]}")
        if not 0 <= months < 12 * len(_CLASSES):
            raise InputError(
                f"{table.name}: {row[number]} is {months} months old, where 0 to "
                f"{12 * len(_CLASSES) - 1} were expected"
            )
        yield str(read_whole(row[number], f"{table.name}: {number}")), months, row[male]


def _index(root: Path) -> dict[tuple[str, str], Path]:
    """Images by split and number; those of the test set are left out."""
    images: dict[tuple[str, str], Path] = {}
    for path in sorted(root.rglob("*.png")):
        folder = path.parent.relative_to(root).as_posix().lower()
        split = TEST if "validation" in folder else TRAIN if "training" in folder else ""
        if split:
            images.setdefault((split, path.stem), path)
    return images


BONE_AGE = Task(
    name="rsna-bone-age",
    title="How many years old are the bones of this hand?",
    dataset="rsna-bone-age",
    dims=2,
    classes=_CLASSES,
    shape=(1024, 1024, 1),
    published={"": Count(14036), TRAIN: Count(12611), TEST: Count(1425)},
    rules=(
        "Whole years of the bone age in months: 0 to 19. The papers name twenty classes, and not "
        "how months become years.",
        "The challenge's training set is learnt from and its validation set is asked about, as the "
        "paper's counts say; its test set of 200 is left out.",
        "An image is taken for a patient: the data set names no patients.",
    ),
    read=_read,
)

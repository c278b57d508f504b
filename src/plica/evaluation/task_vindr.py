"""VinDr-Mammo: the BI-RADS category of a breast."""

from __future__ import annotations

from plica.cohort import Case, Cohort
from plica.errors import InputError
from plica.evaluation.tasks import TEST, TRAIN, Count, Task, Tree, labels_of
from plica.tables import read_table

TABLE = "breast-level_annotations.csv"
_COLUMNS = ("study_id", "image_id", "laterality", "view_position", "breast_birads", "split")
_CLASSES = ("1", "2", "3", "4", "5")
_SPLITS = {"training": TRAIN, "test": TEST}


def _read(tree: Tree) -> Cohort:
    cases: list[Case] = []
    absent: list[str] = []
    for row in read_table(tree.need(TABLE), _COLUMNS):
        name = f"images/{row['study_id']}/{row['image_id']}.dicom"
        category = row["breast_birads"].strip().removeprefix("BI-RADS").strip()
        if category not in _CLASSES or row["split"] not in _SPLITS:
            raise InputError(
                f"{TABLE}: {row['image_id']} has breast_birads '{row['breast_birads']}' and split "
                f"'{row['split']}', where BI-RADS 1 to 5 and training or test were expected"
            )
        if not (tree.root / name).is_file():
            absent.append(name)
            continue
        labels = labels_of(
            tree.dataset, category, laterality=row["laterality"], view=row["view_position"]
        )
        path, split = tree.root / name, _SPLITS[row["split"]]
        cases.append(Case(row["study_id"], row["study_id"], row["image_id"], path, split, labels))
    return tree.settle(cases, absent)


BIRADS = Task(
    name="vindr-birads",
    title="Which BI-RADS category has this breast?",
    dataset="vindr-mammo",
    dims=2,
    classes=_CLASSES,
    shape=(512, 1024, 1),
    published={"": Count(20000), TRAIN: Count(16000), TEST: Count(4000)},
    rules=(
        "The category of the breast, not of a finding; the data set's own division.",
        "A study is taken for a patient: the data set names no patients.",
    ),
    read=_read,
)

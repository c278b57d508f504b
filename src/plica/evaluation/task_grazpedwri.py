"""GRAZPEDWRI-DX: fractures in children's wrists, and the boxes around them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from plica.cohort import Case, Cohort
from plica.errors import InputError
from plica.evaluation.tasks import TEST, TRAIN, Count, Task, Tree, is_yes, labels_of
from plica.tables import Row, read_table

TABLE = "dataset.csv"
BOXES_LABEL = "fracture_boxes"
_COLUMNS = ("filestem", "patient_id", "cast", "metal", "fracture_visible")
_FOLDERS = ("images_part1", "images_part2", "images_part3", "images_part4", "images")
_BOXES = "folder_structure/supervisely/wrist/ann"
_MOST_BYTES = 1 << 20
_CLASSES = ("none", "fracture")


def _read_fractures(tree: Tree) -> Cohort:
    """All images without metal and without a cast."""
    rows = [row for row in _rows(tree) if not (is_yes(row["metal"]) or is_yes(row["cast"]))]
    images = _index(tree)
    cases = [
        _case(tree, row, images[row["filestem"]], _CLASSES[is_yes(row["fracture_visible"])])
        for row in rows
        if row["filestem"] in images
    ]
    absent = (f"{row['filestem']}.png" for row in rows if row["filestem"] not in images)
    return tree.settle(cases, absent).with_splits({TRAIN: 0.75, TEST: 0.25}, seed=tree.seed)


def _read_boxes(tree: Tree) -> Cohort:
    """All images with a box around a fracture; they are asked about, and nothing is learnt."""
    folder = tree.need(_BOXES, "supervisely/wrist/ann")
    images = _index(tree)
    cases: list[Case] = []
    absent: list[str] = []
    for row in _rows(tree):
        boxes = _read_annotation(folder / f"{row['filestem']}.json")
        if boxes and row["filestem"] in images:
            extra = {BOXES_LABEL: boxes}
            cases.append(_case(tree, row, images[row["filestem"]], "fracture", TEST, **extra))
        elif boxes:
            absent.append(f"{row['filestem']}.png")
    return tree.settle(cases, absent)


def _rows(tree: Tree) -> Iterator[Row]:
    yield from read_table(tree.need(TABLE), _COLUMNS)


def _index(tree: Tree) -> dict[str, Path]:
    folders = [tree.root / name for name in _FOLDERS if (tree.root / name).is_dir()]
    if not folders:
        raise tree.missing(f"there is none of {', '.join(_FOLDERS)} in {tree.root}")
    return {path.stem: path for folder in folders for path in sorted(folder.rglob("*.png"))}


def _case(tree: Tree, row: Row, path: Path, group: str, split: str = "", **others: str) -> Case:
    labels = labels_of(tree.dataset, group, **others)
    return Case(row["patient_id"], "", row["filestem"], path, split, labels)


def _read_annotation(path: Path) -> str:
    """Boxes around fractures, as `selection.parse_boxes` takes them; "" where there are none."""
    if not path.is_file():
        return ""
    if path.stat().st_size > _MOST_BYTES:
        raise InputError(f"{path.name} is too large for an annotation")
    try:
        objects = json.loads(path.read_text(encoding="utf-8"))["objects"]
        boxes = [_box(one) for one in objects if one["classTitle"] == "fracture"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path.name} is no annotation of Supervisely's: {error!r}") from error
    return "; ".join(boxes)


def _box(thing: Any) -> str:
    """Two opposite corners, whose pixels belong to the box."""
    (a, b), (c, d) = thing["points"]["exterior"]
    return f"{min(a, c):g} {min(b, d):g} {max(a, c) + 1:g} {max(b, d) + 1:g}"


FRACTURE = Task(
    name="grazpedwri-fracture",
    title="Is there a fracture in this child's wrist?",
    dataset="grazpedwri-dx",
    dims=2,
    classes=_CLASSES,
    shape=(512, 1024, 1),
    published={"": Count(14113, 5709), TRAIN: Count(10511, 4281), TEST: Count(3602, 1428)},
    rules=(
        "Images with metal or a cast are left out, by the columns of these names.",
        "A fracture where fracture_visible is 1. The paper does not name its column.",
        "75 % of the patients are learnt from, drawn by a seed; the paper's division is not "
        "published.",
    ),
    read=_read_fractures,
)

BOXES = Task(
    name="grazpedwri-boxes",
    title="Images with boxes around fractures, for medvae-table-5-fractures.",
    dataset="grazpedwri-dx",
    dims=2,
    classes=(),
    shape=(),
    published={"": Count(7677)},
    rules=("Every image with at least one box of the class fracture, metal and casts included.",),
    read=_read_boxes,
)

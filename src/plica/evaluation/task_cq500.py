"""CQ500: skull fractures in CT of the head, by the vote of three readers."""

from __future__ import annotations

import re
from pathlib import Path

from plica.cohort import Case, Cohort
from plica.evaluation.tasks import TEST, TRAIN, Count, Task, Tree, is_yes, labels_of
from plica.tables import read_table

TABLE = "reads.csv"
_READERS = ("R1:Fracture", "R2:Fracture", "R3:Fracture")
_FOLDER = re.compile(r"CQ500CT(\d+)\b")
_NOT_PLAIN = re.compile(r"contrast|\bcect\b|bone|\bc\b", re.IGNORECASE)
_PRE = re.compile(r"pre[ -]?contrast", re.IGNORECASE)


def _read(tree: Tree) -> Cohort:
    scans = _index(tree.root)
    cases: list[Case] = []
    absent: list[str] = []
    for row in read_table(tree.need(TABLE), ("name", *_READERS)):
        name = row["name"].strip()
        folder = scans.get(name.rpartition("-")[2])
        series = choose_series(folder) if folder else None
        if series is None:
            number = name.rpartition("-")[2]
            absent.append(f"a plain series in 'CQ500CT{number} CQ500CT{number}'")
            continue
        votes = sum(is_yes(row[reader]) for reader in _READERS)
        labels = labels_of(tree.dataset, "fracture" if votes >= 2 else "none", votes=str(votes))
        cases.append(Case(name, "", series.name, series, "", labels))
    return tree.settle(cases, absent).with_splits({TRAIN: 0.8, TEST: 0.2}, seed=tree.seed)


def _index(root: Path) -> dict[str, Path]:
    """Scans' folders by their number, wherever archives were unpacked."""
    found: dict[str, Path] = {}
    for path in sorted(root.rglob("CQ500CT*")):
        match = _FOLDER.match(path.name)
        if match and path.is_dir():
            found.setdefault(match.group(1), path)
    return found


def choose_series(scan: Path) -> Path | None:
    """The plain series with the most slices; None where there is none.

    Plain is what is called neither after contrast (but "pre contrast" is) nor after bone.
    """
    series: dict[Path, int] = {}
    for file in scan.rglob("*.dcm"):
        series[file.parent] = series.get(file.parent, 0) + 1
    plain = {path: n for path, n in series.items() if _is_plain(path.name)}
    return min(plain, key=lambda path: (-plain[path], path.name)) if plain else None


def _is_plain(name: str) -> bool:
    return not _NOT_PLAIN.search(_PRE.sub("", name))


FRACTURE = Task(
    name="cq500-fracture",
    title="Is the skull of this head fractured?",
    dataset="cq500",
    dims=3,
    classes=("none", "fracture"),
    shape=(224, 224, 44),
    published={"": Count(378)},
    rules=(
        "A fracture where two of three readers marked Fracture: of the calvaria or another.",
        "One series of each scan: the plain one with the most slices. The paper has 378 of 491 "
        "scans and does not say which; a folder of fewer scans is read with partial=True.",
        "80 % of the scans are learnt from, drawn by a seed; a scan is taken for a patient.",
    ),
    read=_read,
    weighted=True,
)

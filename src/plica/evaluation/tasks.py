"""Tasks: the papers' questions to images, each a data set as it is published, read as a cohort."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from plica.cohort import Case, Cohort
from plica.errors import InputError
from plica.evaluation.datasets import DataSet, find_dataset
from plica.evaluation.selection import DATASET
from plica.formats.atomic import new_file
from plica.registry import Registry

CLASS = "class"
"""Label of a case's class."""

SPACING = "spacing_mm"
"""Label of the size of a voxel, where a file does not say it: "1 1 1"."""

TRAIN, TEST = "train", "test"
_COLUMNS = ("path", "patient", "study", "series", "split")

TASKS = Registry(
    "task",
    (
        ("cmmd-malignancy", "plica.evaluation.task_cmmd:MALIGNANCY"),
        ("cmmd-calcification", "plica.evaluation.task_cmmd:CALCIFICATION"),
        ("vindr-birads", "plica.evaluation.task_vindr:BIRADS"),
        ("rsna-bone-age", "plica.evaluation.task_boneage:BONE_AGE"),
        ("grazpedwri-fracture", "plica.evaluation.task_grazpedwri:FRACTURE"),
        ("grazpedwri-boxes", "plica.evaluation.task_grazpedwri:BOXES"),
        ("verse-fracture", "plica.evaluation.task_verse:FRACTURE"),
        ("cq500-fracture", "plica.evaluation.task_cq500:FRACTURE"),
        ("mrnet-tear", "plica.evaluation.task_mrnet:TEAR"),
    ),
)


@dataclass(frozen=True)
class Count:
    """How many images of how many patients; 0 where the paper does not say."""

    images: int = 0
    patients: int = 0


@dataclass(frozen=True)
class Tree:
    """A data set's folder, and what is read of it.

    Args:
        root: The folder.
        dataset: Which one it is.
        seed: Of splits that are drawn.
        partial: Whether images that are missing are left out instead of being an error.
    """

    root: Path
    dataset: DataSet
    seed: int = 0
    partial: bool = False

    def need(self, *names: str) -> Path:
        """The first of files that is there, by any of its names.

        Raises:
            InputError: None is; says what is missing, where it is to be had and how it lies.
        """
        for name in names:
            if (place := self.root / name).exists():
                return place
        raise self.missing(f"there is no {' or '.join(names)} in {self.root}")

    def missing(self, what: str) -> InputError:
        """The error for something that is not there."""
        dataset = self.dataset
        return InputError(
            f"{what}. {dataset.title} is to be had at {dataset.homepage} ({dataset.terms}); "
            f"its folder is laid out as: {dataset.layout}"
        )

    def settle(self, cases: Iterable[Case], absent: Iterable[str]) -> Cohort:
        """A cohort of the cases, unless images are absent.

        Args:
            absent: What the data set's own table names and is not there.

        Raises:
            InputError: Images are missing and `partial` is not set, or there is none.
        """
        found, gone = tuple(cases), tuple(absent)
        if gone and not (self.partial and found):
            raise self.missing(
                f"{len(gone)} of {len(gone) + len(found)} images are missing in {self.root}, such "
                f"as {gone[0]}"
            )
        if not found:
            raise self.missing(f"there are no images in {self.root}")
        return Cohort(found)


@dataclass(frozen=True)
class Task:
    """A question to images.

    Args:
        name: As in the table `TASKS`.
        title: One sentence.
        dataset: Whose images; a name in `datasets.DATASETS`.
        dims: 2 for pictures, 3 for volumes.
        classes: Their names, the negative one first; () where nothing is classified.
        shape: What images are resized to: pixels along i, j, k of a picture (columns, rows, 1); of
            a volume along right/left, front/back, head/feet, as `selection.prepare` takes it. ()
            keeps the size.
        published: What Table 3 and appendix B.1 of the paper count, by split; "" is all.
        rules: What is taken for what, and what the paper leaves open.
        read: Reads the data set's tree.
        weighted: Whether classes are drawn equally often.
    """

    name: str
    title: str
    dataset: str
    dims: int
    classes: tuple[str, ...]
    shape: tuple[int, ...]
    published: Mapping[str, Count]
    rules: tuple[str, ...]
    read: Callable[[Tree], Cohort]
    weighted: bool = False


@dataclass(frozen=True)
class TaskCohort:
    """A task's cohort.

    Args:
        task: Whose.
        cohort: Its cases; the label `class` says the class, `dataset` the data set.
        notes: What a reader must know, above all where counts differ from the paper's.
    """

    task: Task
    cohort: Cohort
    notes: tuple[str, ...] = field(default=())


def read_task(name: str, root: str | Path, *, seed: int = 0, partial: bool = False) -> TaskCohort:
    """Read a task's data set, as it was published, into a cohort.

    Args:
        root: The data set's folder, laid out as `datasets.find_dataset(task.dataset).layout` says.
        seed: Of the division by patient, where the paper gives only shares.
        partial: Leave images out that the data set's table names and the folder lacks.

    Raises:
        UnknownName: There is no such task.
        InputError: Something is missing, and where it is to be had; or a table is not as published.

    Examples:
        >>> task = read_task("cmmd-malignancy", "CMMD")  # wants the data set  # doctest: +SKIP
    """
    task: Task = TASKS.get_thing(name)
    tree = Tree(Path(root), find_dataset(task.dataset), seed, partial)
    if not tree.root.is_dir():
        raise tree.missing(f"there is no folder {tree.root}")
    cohort = task.read(tree)
    return TaskCohort(task, cohort, tuple(_differences(task, cohort)))


def write_table(cohort: Cohort, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a cohort as a CSV table that `read_cohort` and every command reads.

    Raises:
        OutputError: It is there already and may not be overwritten, or cannot be written.

    Examples:
        >>> write_table(cohort, "pictures.csv").name
        'pictures.csv'
    """
    labels = dict.fromkeys(name for case in cohort for name in case.labels)
    others = [name for name in labels if name not in _COLUMNS]
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow([*_COLUMNS, *others])
    for case in cohort:
        own = [str(case.path.resolve()), case.patient, case.study, case.series, case.split]
        rows.writerow([*own, *(case.labels.get(name, "") for name in others)])
    with new_file(Path(path), overwrite=overwrite) as file:
        file.write(text.getvalue().encode())
    return Path(path)


def labels_of(dataset: DataSet, group: str, **others: str) -> dict[str, str]:
    """A case's labels: which data set it is of, its class, and what else is known."""
    return {DATASET: dataset.name, CLASS: group, **others}


def is_yes(cell: str) -> bool:
    """Whether a cell of a table of ones, zeros and gaps says yes.

    Raises:
        InputError: It says something else.
    """
    if cell.strip() in ("", "0", "0.0"):
        return False
    if cell.strip() in ("1", "1.0"):
        return True
    raise InputError(f"1, 0 or nothing was expected in the table, but got '{cell}'")


def read_whole(cell: str, what: str) -> int:
    """A whole number of a table; spreadsheets write 4 as 4.0.

    Raises:
        InputError: It is none.
    """
    try:
        number = float(cell)
    except ValueError as error:
        raise InputError(f"{what} is a whole number, but got '{cell}'") from error
    if not number.is_integer():
        raise InputError(f"{what} is a whole number, but got '{cell}'")
    return int(number)


def _differences(task: Task, cohort: Cohort) -> list[str]:
    """Where the cohort's counts are not the paper's."""
    notes = []
    for split, count in task.published.items():
        cases = [case for case in cohort if split in ("", case.split)]
        patients = len({case.patient for case in cases})
        of = f"the split {split}" if split else "all"
        notes += [
            f"{of}: {here} {what} here, {there} in the paper"
            for what, here, there in (
                ("images", len(cases), count.images),
                ("patients", patients, count.patients),
            )
            if there and here != there
        ]
    return notes

"""Cohorts: a folder, a table or a BIDS tree as a cohort, told apart by what the path is."""

from __future__ import annotations

import shlex
from pathlib import Path, PurePosixPath

from plica.cohort import Case, Cohort
from plica.errors import InputError
from plica.formats import doors
from plica.formats.sources import Source, find_sources
from plica.image import Image
from plica.tables import read_table

SERIES_LABEL = "dicom_series"
"""Label of a case that says which series of its path it is, as `read` takes it."""

SPACING_LABEL = "spacing_mm"
"""Label of an .npy array's case that says how large its voxels are, along i, j, k: "1 1 1"."""

MANIFEST = "MANIFEST.csv"
SPLIT_FOLDERS = ("train", "training", "validation", "val", "valid", "dev", "dev-test", "test")
_TABLES = (".csv", ".tsv", ".parquet")
_BIDS_MARKS = ("dataset_description.json", "participants.tsv")


def read_cohort(path: str | Path) -> Cohort:
    """The cohort at a path.

    ```text
    a table         .csv .tsv .parquet, with the columns `path` and `patient`, and `split`, `study`,
                    `series` where it has them; or a manifest, with `path`, `group_id` and `split`
    a folder        of MANIFEST.csv: that table; of dataset_description.json or participants.tsv:
                    a BIDS tree; any other: all images below it
    ```

    Raises:
        InputError: There is nothing, it holds no images, or it breaks the rules of a cohort.
        MissingExtra: Parquet needs pyarrow.

    Examples:
        >>> len(read_cohort("images/images.csv")), len(read_cohort("images"))
        (6, 6)
    """
    place = Path(path)
    if place.is_dir():
        if is_plain_folder(place):
            return read_folder(place)
        if (place / MANIFEST).is_file():
            return read_any_table(place / MANIFEST)
        return Cohort.from_bids(place)
    if not place.is_file():
        raise InputError(f"there is no folder or table at {place}: check the path")
    if place.suffix.lower() == ".zip":
        raise InputError(
            f"{place.name} is a packed export, no cohort: write its series as images first, with "
            f"`plica reconstruct {shlex.quote(str(place))} -c identity -o 'images/*.nii.gz'`, and "
            "give images/, where all of them count as one patient; of several patients, give a "
            "table with the columns path and patient"
        )
    if place.suffix.lower() not in _TABLES:
        raise InputError(
            f"{place.name} is no cohort: give a folder of images, a BIDS tree, or a table "
            f"({', '.join(_TABLES)})"
        )
    return read_any_table(place)


def is_plain_folder(path: str | Path) -> bool:
    """Whether a cohort is a folder without a table, whose first folders stand for patients.

    Examples:
        >>> is_plain_folder("images"), is_plain_folder("images/images.csv")
        (True, False)
    """
    place = Path(path)
    return place.is_dir() and not any((place / name).is_file() for name in (MANIFEST, *_BIDS_MARKS))


def read_case(case: Case) -> Image:
    """The image of a case; its labels say which series of a path, and how large an array's voxels.

    Raises:
        InputError: It cannot be read, or the size is no three numbers.

    Examples:
        >>> read_case(next(iter(cohort))).grid.shape
        (32, 32, 1)
    """
    series = case.labels.get(SERIES_LABEL) or None
    return doors.read(case.path, series=series, spacing_mm=_parse_spacing(case))


def _parse_spacing(case: Case) -> tuple[float, float, float] | None:
    text = case.labels.get(SPACING_LABEL, "")
    if case.path.suffix != ".npy" or not text.strip():
        return None  # all other files say it themselves
    try:
        i, j, k = (float(side) for side in text.split())
    except ValueError as error:
        raise InputError(
            f"{case.path.name}: the label {SPACING_LABEL} is three numbers in mm, such as "
            f"'1 1 1', but got '{text}'"
        ) from error
    return i, j, k


def read_any_table(table: Path) -> Cohort:
    """A table by the columns it has.

    Raises:
        InputError: It cannot be read, or lacks `path` or whose image each is.
    """
    rows = read_table(table, ("path",))
    if not rows:
        raise InputError(f"{table.name} has no rows")
    has = rows[0].keys()
    if "group_id" in has and "split" in has:
        return Cohort.from_manifest(table)
    return Cohort.from_table(
        table,
        patient="group_id" if "group_id" in has else "patient",
        split="split" if "split" in has else "",
        study="study" if "study" in has else "",
        series="series" if "series" in has else "",
    )


def read_folder(folder: str | Path) -> Cohort:
    """All images below a folder, each DICOM series one.

    The first folders are the patients; a file beside them is a patient of its own. Where all
    first folders are called like splits (train, validation, val, dev, dev-test, test, …), the
    second ones are the patients. Folders between a patient and a file are the study.

    Raises:
        InputError: There are no images, or it breaks the rules of a cohort.

    Examples:
        cohort = read_folder("images")
    """
    tree = Path(folder)
    sources = find_sources([tree]).sources
    if not sources:
        raise InputError(f"{tree} holds no images; was another folder meant?")
    firsts = {PurePosixPath(source.name).parts[0] for source in sources}
    nested = all("/" in source.name for source in sources)
    splits = nested and firsts <= set(SPLIT_FOLDERS)
    return Cohort(tuple(_case(tree, source, splits=splits) for source in sources))


def _case(tree: Path, source: Source, *, splits: bool) -> Case:
    parts = PurePosixPath(source.name).parts
    split, parts = (parts[0], parts[1:]) if splits else ("", parts)
    # Two files of one stem are two images: the name with its ending tells them apart.
    below = source.path.relative_to(tree).as_posix()
    labels = {"name": source.name, "folder": str(PurePosixPath(source.name).parent)}
    if source.series is not None:
        labels[SERIES_LABEL] = source.series
        below = source.name
    return Case(parts[0], "/".join(parts[1:-1]), below, source.path, split, labels)

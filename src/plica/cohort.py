"""Cohort: which images there are, keyed by patient, study and series, and split by patient."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from plica.errors import InputError

Key = tuple[str, str, str]


@dataclass(frozen=True)
class Case:
    """One image of one patient.

    Args:
        patient: Whose image it is: cases of one patient never stand in two splits.
        study: The examination it belongs to; "" where unknown.
        series: The image among those of the study.
        path: File or folder it is read from.
        split: "train", "dev-test", …; "" where none is assigned.
        labels: What else is known, by column name.
    """

    patient: str
    study: str
    series: str
    path: Path
    split: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> Key:
        """Patient, study and series: one case's and no other's."""
        return self.patient, self.study, self.series


@dataclass(frozen=True)
class Cohort:
    """Cases in a fixed order, each key once, each patient in one split.

    Raises:
        InputError: Two cases have one key, a case names no patient, or a patient stands in two
            splits.
    """

    cases: tuple[Case, ...]

    def __post_init__(self) -> None:
        seen: dict[Key, Case] = {}
        splits: dict[str, Case] = {}
        for case in self.cases:
            if not case.patient:
                raise InputError(f"{case.path} names no patient; every case needs one")
            if case.key in seen:
                raise InputError(
                    f"two cases have the key {case.key}: {seen[case.key].path} and {case.path}; "
                    "keep one, or tell them apart by study or series"
                )
            other = splits.setdefault(case.patient, case)
            if other.split != case.split:
                raise InputError(
                    f"patient {case.patient} stands in split '{other.split}' ({other.path}) and in "
                    f"split '{case.split}' ({case.path}); put all images of a patient in one"
                )
            seen[case.key] = case

    @classmethod
    def from_manifest(cls, path: str | Path) -> Cohort:
        """Read a CSV table with the columns `path`, `group_id` (the patient) and `split`.

        Paths are relative to the table's folder. The series is the path, the study the column
        `source` where there is one. Rows without a split are no cases (licence texts beside the
        images). All columns become labels.

        Raises:
            InputError: The table cannot be read, lacks a column, or breaks the rules of a cohort.

        Example:
            train = Cohort.from_manifest("data/MANIFEST.csv").of_split("train")
        """
        table = Path(path)
        return cls(tuple(_case(row, table.parent) for row in _rows(table) if row["split"]))

    def __len__(self) -> int:
        return len(self.cases)

    def __iter__(self) -> Iterator[Case]:
        return iter(self.cases)

    def __getitem__(self, key: Key) -> Case:
        for case in self.cases:
            if case.key == key:
                return case
        raise InputError(f"no case has the key {key}, among {len(self.cases)}")

    @property
    def splits(self) -> tuple[str, ...]:
        """The names of the splits, in order of first appearance."""
        return tuple(dict.fromkeys(case.split for case in self.cases))

    @property
    def patients(self) -> tuple[str, ...]:
        """The patients, in order of first appearance."""
        return tuple(dict.fromkeys(case.patient for case in self.cases))

    def of_split(self, split: str) -> Cohort:
        """The cases of one split.

        Raises:
            InputError: There is no such split: an empty set is never what was meant.
        """
        if split not in self.splits:
            raise InputError(f"no split '{split}'; there are: {', '.join(map(repr, self.splits))}")
        return self.filter(lambda case: case.split == split)

    def filter(self, keep: Callable[[Case], bool]) -> Cohort:
        """The cases for which `keep` is true, in the same order."""
        return Cohort(tuple(case for case in self.cases if keep(case)))

    def where(self, /, **labels: str | Iterable[str]) -> Cohort:
        """The cases whose labels have the given value, or one of the given values.

        Raises:
            InputError: No case has such a label: a misspelt column would select nothing in silence.
        """
        known = {name for case in self.cases for name in case.labels}
        if unknown := set(labels) - known:
            raise InputError(
                f"no case has the label {', '.join(sorted(unknown))}; "
                f"there are: {', '.join(sorted(known))}"
            )
        wanted = {
            name: {value} if isinstance(value, str) else set(value)
            for name, value in labels.items()
        }
        return self.filter(
            lambda case: all(case.labels.get(name) in values for name, values in wanted.items())
        )

    def joined(self, table: Mapping[Key, Mapping[str, str]]) -> Cohort:
        """The cases with the labels of `table` added; every case must find its row and vice versa.

        Raises:
            InputError: A case has no row, a row has no case, or a label is already there.
        """
        keys = {case.key for case in self.cases}
        missing, surplus = keys - table.keys(), table.keys() - keys
        if missing or surplus:
            raise InputError(
                f"{len(missing)} cases have no row and {len(surplus)} rows have no case, such as "
                f"{sorted(missing or surplus)[0]}; the table and the cohort must hold the same keys"
            )
        return Cohort(tuple(_labelled(case, table[case.key]) for case in self.cases))


def _labelled(case: Case, labels: Mapping[str, str]) -> Case:
    if twice := case.labels.keys() & labels.keys():
        raise InputError(
            f"the case {case.key} already has the label {', '.join(sorted(twice))}; rename one"
        )
    return replace(case, labels={**case.labels, **labels})


def _rows(table: Path) -> list[dict[str, str]]:
    try:
        with table.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, strict=True)
            rows = list(reader)
            columns = reader.fieldnames or ()
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"the table {table} cannot be read: {error}") from error
    if lacking := {"path", "group_id", "split"} - set(columns):
        raise InputError(f"{table.name} lacks the column {', '.join(sorted(lacking))}")
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise InputError(
                f"{table.name}, line {number}: the row has another number of cells than the header"
            )
    return rows


def _case(row: Mapping[str, str], folder: Path) -> Case:
    return Case(
        patient=row["group_id"],
        study=row.get("source", ""),
        series=row["path"],
        path=folder / row["path"],
        split=row["split"],
        labels=dict(row),
    )

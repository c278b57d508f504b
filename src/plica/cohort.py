"""Cohort: which images there are, keyed by patient, study and series, and split by patient."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from plica.errors import InputError, SettingsError
from plica.tables import Row, read_table

Key = tuple[str, str, str]
_NIFTI = (".nii.gz", ".nii")


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


def says_whose(key: Key) -> bool:
    """Whether a series' own name is a path that holds its patient and study already.

    Examples:
        >>> says_whose(("p1", "st", "p1/st/series-2")), says_whose(("p1", "st", "t1.nii"))
        (True, False)
    """
    patient, study, series = key
    place = "/".join(part for part in (patient, study) if part)
    return bool(place) and f"/{place}/" in f"/{series}"


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

        Examples:
            >>> train = Cohort.from_manifest("data/MANIFEST.csv").of_split("train")
            >>> len(train), sorted({case.patient for case in train})
            (4, ['p0', 'p1'])
        """
        table = Path(path)
        columns = {"path": "path", "patient": "group_id", "split": "split", "series": "path"}
        rows = read_table(table, ("path", "group_id", "split"))
        study = "source" if rows and "source" in rows[0] else ""
        return cls(_cases(table, rows, columns | {"study": study}))

    @classmethod
    def from_table(
        cls,
        path: str | Path,
        *,
        path_column: str = "path",
        patient: str = "patient",
        split: str = "split",
        study: str = "",
        series: str = "",
    ) -> Cohort:
        """Read a table with one row per image: CSV, or TSV or Parquet by their endings.

        Rows without a split are no cases, as long as some have one. All columns become labels.

        Args:
            path_column: Where each image lies, relative to the table's folder.
            patient: Column of whose image it is.
            split: Column of the splits; "" where the table has none.
            study: Column of the examinations; "" where there is none.
            series: Column of the images' names within a study; "" takes their paths.

        Raises:
            InputError: The table cannot be read, lacks a column, or breaks the rules of a cohort.
            MissingExtra: Parquet needs pyarrow.

        Examples:
            >>> cohort = Cohort.from_table("images.csv", patient="patient", split="split")
            >>> len(cohort), len(cohort.of_split("train"))
            (6, 4)
        """
        table = Path(path)
        columns = {
            "path": path_column,
            "patient": patient,
            "split": split,
            "study": study,
            "series": series or path_column,
        }
        rows = read_table(
            table,
            tuple(filter(None, columns.values())),
            otherwise='say which columns they are; split="" where images are not split yet',
        )
        return cls(_cases(table, rows, columns))

    @classmethod
    def from_bids(cls, root: str | Path) -> Cohort:
        """Read a tree in the Brain Imaging Data Structure: its raw NIfTI images.

        Patients are the subjects (sub-…), studies their sessions (ses-…). What lies beside the
        subjects (derivatives, sourcedata, code) is left out. Labels are `datatype` (anat, ct, …),
        `suffix` (T1w, bold, …), the entities of the file's name, and the subject's columns in
        participants.tsv, of which `split`, where there is one, gives the split.

        Raises:
            InputError: There are no subjects with images, or participants.tsv does not fit them.

        Examples:
            >>> brains = Cohort.from_bids("ds000001").where(datatype="anat")
            >>> [case.patient for case in brains]
            ['sub-01', 'sub-02']
        """
        tree = Path(root)
        images = sorted(image for folder in tree.glob("sub-*") for image in _bids_images(folder))
        if not images:
            raise InputError(
                f"{tree} holds no images in folders like sub-01/anat or sub-01/ses-1/anat, as a "
                "BIDS tree does"
            )
        participants = _participants(tree / "participants.tsv")
        return cls(tuple(_bids_case(tree, image, participants) for image in images))

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
            named = [repr(name) for name in self.splits if name]
            there = f"there are: {', '.join(named)}" if named else "the cohort is not divided"
            raise InputError(f"no split '{split}'; {there}")
        return self.filter(lambda case: case.split == split)

    def with_splits(self, shares: Mapping[str, float], *, seed: int = 0) -> Cohort:
        """The cases with whole patients drawn for splits, the same ones whatever their order.

        Args:
            shares: Of the patients, by split; they add up to 1.
            seed: Other seeds draw other patients.

        Raises:
            InputError: Cases have a split already, or there are fewer patients than splits.
            SettingsError: A share is not above zero, or they do not add up to 1.

        Examples:
            >>> unsplit = Cohort(tuple(replace(case, split="") for case in cohort))
            >>> dealt = unsplit.with_splits({"train": 2 / 3, "dev-test": 1 / 3})
            >>> len(dealt.of_split("train")), len(dealt.of_split("dev-test"))
            (4, 2)
        """
        if not shares or min(shares.values()) <= 0 or abs(sum(shares.values()) - 1) > 1e-6:
            raise SettingsError(f"shares are above zero and add up to 1, but got {dict(shares)}")
        if taken := [name for name in self.splits if name]:
            raise InputError(f"the cohort has splits already: {', '.join(map(repr, taken))}")
        drawn = sorted(self.patients, key=lambda name: _draw(seed, name))
        if len(drawn) < len(shares):
            raise InputError(
                f"{len(drawn)} patients cannot be drawn for {len(shares)} splits: each needs one "
                "at least, and no patient stands in two"
            )
        split_of = _cut_shares(drawn, shares)
        return Cohort(tuple(replace(case, split=split_of[case.patient]) for case in self.cases))

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


# -- tables --------------------------------------------------------------------------------------


def _cases(table: Path, rows: list[Row], columns: Mapping[str, str]) -> tuple[Case, ...]:
    """Rows as cases; `columns` says which column is which field, "" where there is none."""
    split = columns["split"]
    if split and not any(row[split] for row in rows):
        raise InputError(f"{table.name}: no row has anything in the column {split}")
    return tuple(
        _case(table, number, row, columns)
        for number, row in enumerate(rows, start=1)
        if not split or row[split]
    )


def _case(table: Path, number: int, row: Row, columns: Mapping[str, str]) -> Case:
    known = {name: row[column] if column else "" for name, column in columns.items()}
    path = known.pop("path")
    if not path or "\0" in path:
        raise InputError(
            f"{table.name}, image {number}: the column {columns['path']} names no file: {path!r}"
        )
    return Case(**known, path=table.parent / path, labels=dict(row))


# -- splits --------------------------------------------------------------------------------------


def _draw(seed: int, patient: str) -> bytes:
    return hashlib.sha256(f"{seed}/{patient}".encode()).digest()


def _cut_shares(drawn: list[str], shares: Mapping[str, float]) -> dict[str, str]:
    """Each patient's split: as near to the shares as whole patients allow, at least one each."""
    split_of: dict[str, str] = {}
    reached, begin, left = 0.0, 0, len(shares)
    for split, share in shares.items():
        reached, left = reached + share, left - 1
        end = min(max(round(reached * len(drawn)), begin + 1), len(drawn) - left)
        split_of |= dict.fromkeys(drawn[begin:end], split)
        begin = end
    return split_of


# -- BIDS ----------------------------------------------------------------------------------------


def _bids_images(subject: Path) -> list[Path]:
    places = [*subject.glob("*/*"), *subject.glob("ses-*/*/*")]
    return [
        place
        for place in places
        if place.name.endswith(_NIFTI) and not place.parent.name.startswith("ses-")
    ]


def _participants(path: Path) -> dict[str, Row] | None:
    """Each subject's row; None without the file."""
    if not path.is_file():
        return None
    return {row["participant_id"]: row for row in read_table(path, ("participant_id",))}


def _bids_case(tree: Path, image: Path, participants: Mapping[str, Row] | None) -> Case:
    place = image.relative_to(tree)
    subject, datatype = place.parts[0], place.parts[-2]
    session = place.parts[1] if len(place.parts) == 4 else ""
    *entities, suffix = place.name.removesuffix(".gz").removesuffix(".nii").split("_")
    labels = {"datatype": datatype, "suffix": suffix}
    labels |= {key: value for key, _, value in (part.partition("-") for part in entities)}
    known: Row = {}
    if participants is not None:
        if subject not in participants:
            raise InputError(f"participants.tsv has no row for {subject}, which has images")
        known = participants[subject]
    case = Case(subject, session, place.as_posix(), image, known.get("split", ""), labels)
    return _labelled(case, {key: value for key, value in known.items() if key != "split"})

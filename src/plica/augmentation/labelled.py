"""Labelled: which image belongs to which label image, from a folder, two folders or a table."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from plica.errors import InputError, SettingsError, UnreadableFile
from plica.formats.sources import strip_ending
from plica.tables import Row, read_table

DATASET = "dataset.json"
IMAGES, LABELS = "imagesTr", "labelsTr"
CHANNEL = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_MOST_JSON = 1 << 26
_TABLES = (".csv", ".tsv", ".parquet")

LabelValue = int | tuple[int, ...]
"""One number, or of a region all numbers it is made of."""


@dataclass(frozen=True)
class Pair:
    """One case: its images, a file for each channel or one of all, and the label image of them.

    Args:
        case: What its files are called; one case's and no other's.
        patient: Whose it is; a hash where the source is a table.
        images: A file or DICOM folder for each channel.
        label: The label image.
    """

    case: str
    patient: str
    images: tuple[Path, ...]
    label: Path


@dataclass(frozen=True)
class Labelled:
    """Pairs in a fixed order, each name once, all with the same number of channels.

    Args:
        pairs: The cases.
        channels: Names of the channels, where the source has them.
        labels: What each label is called, where the source says so; the background is 0.
        regions: nnU-Net's `regions_class_order`, where labels are regions.

    Raises:
        InputError: There is no case, two have one name, or one has fewer channels than another.
    """

    pairs: tuple[Pair, ...]
    channels: tuple[str, ...] = ()
    labels: Mapping[str, LabelValue] = field(default_factory=dict)
    regions: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.pairs:
            raise InputError("the labelled data set has no case: check the folder or table")
        seen: dict[str, Pair] = {}
        for pair in self.pairs:
            _check_name(pair)
            other = seen.setdefault(pair.case.lower(), pair)  # some file systems know no capitals
            if other is not pair:
                raise InputError(
                    f"two cases are called {pair.case}: {other.label.name} and "
                    f"{pair.label.name}; rename one"
                )
            if len(pair.images) != len(self.pairs[0].images):
                raise InputError(
                    f"the case {pair.case} has {len(pair.images)} channels and "
                    f"{self.pairs[0].case} has {len(self.pairs[0].images)}: give all cases the same"
                )

    def with_patients(self, pattern: str) -> Labelled:
        r"""The same, each patient being what the pattern's first group finds in the case's name.

        Args:
            pattern: Such as r"(\w+?)_.*": "p01_visit2" is of patient "p01".

        Raises:
            SettingsError: It is no regular expression with one group.
            InputError: A case's name does not match it.
        """
        try:
            compiled = re.compile(pattern)
        except re.error as error:
            raise SettingsError(f"'{pattern}' is no regular expression: {error}") from error
        if compiled.groups != 1:
            raise SettingsError(f"'{pattern}' needs one group in brackets, the patient")
        return replace(self, pairs=tuple(_name_patient(pair, compiled) for pair in self.pairs))

    def hashed(self) -> Labelled:
        """The same under names that say nothing: hashes of the cases' and patients' own."""
        pairs = (
            replace(p, case=f"case-{digest(p.case)}", patient=digest(p.patient)) for p in self.pairs
        )
        return replace(self, pairs=tuple(pairs))


def digest(*words: str) -> str:
    """Twelve letters of a one-way hash: equal for equal words.

    A pseudonym, not anonymity: who holds a list of possible numbers can hash them all.
    """
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:12]


def find_labelled(source: Path, labels: Path | None = None) -> Labelled:
    """The labelled data set at a path.

    ```text
    a folder with dataset.json     an nnU-Net raw data set: imagesTr, labelsTr
    a folder, and `labels`         images, and label images of the same names
    a table                        the columns patient, image, label; image_2 … of more channels;
                                   case, where cases have names
    ```

    Raises:
        InputError: It is none of these, or an image has no label.

    Examples:
        >>> data = find_labelled(Path("nnUNet_raw/Dataset009_Spleen"))
        >>> [pair.case for pair in data.pairs][:2]
        ['p0_a', 'p1_a']
    """
    if labels is not None:
        return read_folders(source, labels)
    if (source / DATASET).is_file():
        return read_nnunet(source)
    if source.suffix.lower() in _TABLES and source.is_file():
        return read_pairs(source)
    raise InputError(
        f"{source} is no labelled data set: give an nnU-Net folder (with {DATASET}), a table with "
        "the columns patient, image and label, or a folder of images with --labels"
    )


# -- nnU-Net -------------------------------------------------------------------------------------


def read_nnunet(folder: Path) -> Labelled:
    """An nnU-Net raw data set: its training cases under their own names, each its own patient.

    Raises:
        InputError: dataset.json is not one, or a case lacks a channel or its label.
    """
    record = read_json(folder / DATASET)
    try:
        ending = str(record["file_ending"])
        channels = tuple(str(name) for _, name in sorted(_items(record["channel_names"])))
        labels = {str(name): _read_value(value) for name, value in record["labels"].items()}
        regions = tuple(int(value) for value in record.get("regions_class_order", ()))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{folder / DATASET} is not of nnU-Net v2: it needs channel_names, labels and "
            f"file_ending ({error!r})"
        ) from error
    found: dict[str, dict[int, Path]] = {}
    for file in sorted((folder / IMAGES).glob(f"*{ending}")):
        match = CHANNEL.fullmatch(file.name.removesuffix(ending))
        if match is None:
            raise InputError(f"{file.name} does not end in a channel such as _0000{ending}")
        found.setdefault(match["case"], {})[int(match["channel"])] = file
    pairs = []
    for case, files in found.items():
        if sorted(files) != list(range(len(channels))):
            raise InputError(
                f"{DATASET} names {len(channels)} channels, but {case} has {sorted(files)}"
            )
        label = folder / LABELS / f"{case}{ending}"
        _refuse_missing(label, case)
        pairs.append(Pair(case, case, tuple(files[n] for n in sorted(files)), label))
    return Labelled(tuple(pairs), channels, labels, regions)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of bounded size.

    Raises:
        UnreadableFile: It is not there, or is none.
    """
    try:
        if path.stat().st_size > _MOST_JSON:
            raise UnreadableFile(
                f"{path} is larger than any such file: {path.stat().st_size} bytes"
            )
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UnreadableFile(f"{path} cannot be read: {error}") from error
    if not isinstance(record, dict):
        raise UnreadableFile(f"{path} holds a {type(record).__name__}, not a record")
    return record


def _items(record: Mapping[str, Any]) -> Iterator[tuple[int, Any]]:
    return ((int(key), value) for key, value in record.items())


def _read_value(value: Any) -> LabelValue:
    if isinstance(value, list):
        return tuple(int(part) for part in value)
    if isinstance(value, bool) or int(value) != value:
        raise ValueError(f"a label is {value!r}")
    return int(value)


# -- two folders ---------------------------------------------------------------------------------


def read_folders(images: Path, labels: Path) -> Labelled:
    """Images of one folder with the label images of the same name in another.

    Where all images end in a channel (_0000, _0001, …), those are the channels of one case.

    Raises:
        InputError: An image has no label, or a label no image.
    """
    files, drawn = _by_name(images), _by_name(labels)
    matches = {name: CHANNEL.fullmatch(name) for name in files}
    cases: dict[str, list[Path]] = {}
    for name, path in files.items():
        match = matches[name]
        split = all(matches.values()) and match is not None
        cases.setdefault(match["case"] if split and match else name, []).append(path)
    alone = sorted(cases.keys() ^ drawn.keys())
    if alone:
        raise InputError(
            f"{alone[0]} is in one of {images.name} and {labels.name} only"
            + (f", and so are {len(alone) - 1} more" if len(alone) > 1 else "")
            + ": every image needs a label image of its name"
        )
    return Labelled(tuple(Pair(c, c, tuple(cases[c]), drawn[c]) for c in sorted(cases)))


def _by_name(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise InputError(f"there is no folder at {folder}: check the path")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        other = found.setdefault(strip_ending(path.name), path)
        if other is not path:
            raise InputError(f"{other.name} and {path.name} would be one case; rename one")
    return found


# -- tables --------------------------------------------------------------------------------------


def read_pairs(table: Path) -> Labelled:
    """A table of pairs: patient, image (and image_2, …), label; paths relative to its folder.

    Patients become hashes, and so do cases, unless a column `case` names them.

    Raises:
        InputError: It lacks a column, a cell is empty, or a case's name could not be a file's.
    """
    rows = read_table(table, ("patient", "image", "label"))
    more = sorted((name for name in (rows[0] if rows else ()) if re.fullmatch(r"image_\d+", name)),
                  key=lambda name: int(name.removeprefix("image_")))  # fmt: skip
    return Labelled(tuple(_pair(table, n, row, more) for n, row in enumerate(rows, start=1)))


def _pair(table: Path, number: int, row: Row, more: list[str]) -> Pair:
    for column in ("patient", "image", "label", *more):
        if not row[column] or "\0" in row[column]:
            raise InputError(f"{table.name}, case {number}: the column {column} is empty")
    images = [row[column] for column in ("image", *more)]
    case = row.get("case") or f"case-{digest(row['patient'], *images)}"
    files = tuple(table.parent / image for image in images)
    for file in (*files, table.parent / row["label"]):
        _refuse_missing(file, case)
    return Pair(case, digest(row["patient"]), files, table.parent / row["label"])


# -- checks --------------------------------------------------------------------------------------


def _check_name(pair: Pair) -> None:
    """A case's name becomes that of files: it may not lead out of their folder."""
    if NAME.fullmatch(pair.case) is None or ".." in pair.case:
        raise InputError(
            f"the case {pair.case!r} ({pair.label.name}) cannot be the name of a file: use "
            "letters, digits, '-', '_' and '.', or --hash-names"
        )


def _name_patient(pair: Pair, pattern: re.Pattern[str]) -> Pair:
    match = pattern.fullmatch(pair.case)
    if match is None or not match[1]:
        raise InputError(f"the case {pair.case} does not match '{pattern.pattern}'")
    return replace(pair, patient=match[1])


def _refuse_missing(path: Path, case: str) -> None:
    if not path.exists():
        raise InputError(f"the case {case} lacks {path}: check the path")

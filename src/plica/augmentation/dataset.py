"""Data set: labelled images and their views as a data set of nnU-Net v2, split by patient.

```text
Dataset501_Name/
  imagesTr/<case>_0000.nii.gz                  the image, a file for each channel
           <case>-reconstructed_0000.nii.gz    its views, cases of the same patient
  labelsTr/<case>.nii.gz …                     the same labels for each, voxel by voxel
  dataset.json  splits_final.json              as nnU-Net reads them
  plica-augmentation.json                      what each file was made of, and by what
```
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from plica.augmentation.folds import draw_folds
from plica.augmentation.labelled import DATASET, IMAGES, LABELS, Labelled, LabelValue, Pair
from plica.augmentation.manifest import (
    ENDING,
    MANIFEST,
    SPLITS,
    VERSION,
    Existing,
    Ledger,
    Record,
    hash_file,
    parse_folder,
)
from plica.augmentation.opening import Opened, hash_source, open_pair
from plica.augmentation.surveying import Survey
from plica.augmentation.views import Reconstruct, View, blend, scaled
from plica.errors import InputError, OutputError
from plica.formats.doors import read
from plica.formats.nifti_writing import write
from plica.image import Image, Unit
from plica.run import describe_environment

ValidateOn = Literal["raw", "all"]
TILTED_READER = "NibabelIO"


@dataclass(frozen=True)
class Making:
    """What a data set is made with.

    Args:
        views: What networks are trained on.
        maker: Name, fingerprint and settings of what reconstructs; JSON-ready.
        folds: Of the splits; 0 writes none, and nnU-Net then draws its own, by case.
        seed: Of the folds.
        validate_on: "raw": held-out patients are judged on their images alone, which are written
            for it where they are not trained on. "all": on the views, as they are trained on.
        unit: What values measure, where files do not say.
    """

    views: tuple[View, ...]
    maker: Mapping[str, Any] = field(default_factory=dict)
    folds: int = 5
    seed: int = 0
    validate_on: ValidateOn = "raw"
    unit: Unit | None = None

    @property
    def written(self) -> tuple[View, ...]:
        """The views that are written: the images too, where they are to be judged on."""
        raw = scaled(0.0)
        if self.validate_on == "raw" and self.folds and raw not in self.views:
            return (raw, *self.views)
        return self.views


@dataclass(frozen=True)
class Made:
    """What came of it.

    Args:
        folder: The data set.
        cases: Its cases' records, as the manifest has them.
        left: How many of them were there already.
        labels: By name.
    """

    folder: Path
    cases: tuple[Record, ...]
    left: int
    labels: Mapping[str, LabelValue]


def make_dataset(
    data: Labelled,
    folder: Path,
    *,
    found: Survey,
    reconstruct: Reconstruct,
    making: Making,
    existing: Existing = "refuse",
    tell: Callable[[str, bool], None] = lambda case, left: None,
) -> Made:
    """Write a data set, case by case; interrupted, it is finished by the same call with "resume".

    Args:
        data: The labelled images.
        folder: Called as nnU-Net wants: Dataset501_Name.
        found: What `survey` found of the data.
        reconstruct: From an image of one channel its reconstruction.
        making: Views, folds, what made them.
        existing: What happens to a folder that is there.
        tell: Is told each written case, and whether it was there already.

    Raises:
        OutputError: The folder is taken, was begun with other settings, or cannot be written.
        InputError: A case cannot be used, or there are fewer patients than folds.

    Examples:
        >>> from plica.augmentation.labelled import find_labelled
        >>> from plica.augmentation.surveying import survey
        >>> data = find_labelled(Path("nnUNet_raw/Dataset009_Spleen"))
        >>> made = make_dataset(data, Path("Dataset509_Spleen"), found=survey(data),
        ...                     reconstruct=reconstruct, making=Making((scaled(0.5),)))
        >>> len(made.cases)
        10
    """
    parse_folder(folder)
    _refuse_shared_names(data, making)
    splits = _split(data, making)
    ledger = Ledger(folder, _describe(making, found))
    done = ledger.begin(existing)
    cases: list[Record] = []
    left = 0
    for pair in data.pairs:
        made_of = _made_of(pair)
        wanted = {pair.case + view.ending: view for view in making.written}
        whole = {
            name: done[name]
            for name in wanted
            if name in done and ledger.is_whole(done[name], made_of)
        }
        for name in whole:
            tell(name, True)
        made = {
            record["case"]: record
            for record in _make(pair, {n: v for n, v in wanted.items() if n not in whole},
                                (ledger, found, made_of), reconstruct, making.unit, tell)
        }  # fmt: skip
        left += len(whole)
        cases += [{**whole, **made}[name] for name in wanted]
    ledger.finish(_records(ledger, found, making, cases, splits))
    return Made(folder, tuple(cases), left, found.labels)


def _make(
    pair: Pair,
    wanted: Mapping[str, View],
    means: tuple[Ledger, Survey, Record],
    reconstruct: Reconstruct,
    unit: Unit | None,
    tell: Callable[[str, bool], None],
) -> Iterator[Record]:
    """Write some views of a case; its images are reconstructed once, where any view needs it."""
    if not wanted:
        return
    ledger, found, made_of = means
    case = open_pair(pair, unit=unit)
    table = np.zeros(max(found.relabelled) + 1, np.uint16)
    table[list(found.relabelled)] = list(found.relabelled.values())
    labels = table[case.labels].astype(np.uint8 if table.max() < 256 else np.uint16)
    remade = (
        tuple(reconstruct(image) for image in case.images)
        if any(view.strength for view in wanted.values())
        else ()
    )
    for name, view in wanted.items():
        record = {"case": name, "view": view.name, "strength": view.strength, **made_of}
        files = _write_case(ledger.folder, name, case, _show(case, remade, view), labels)
        record["files"] = {file: hash_file(ledger.folder / file) for file in files}
        ledger.keep(record)
        tell(name, False)
        yield record


def _show(case: Opened, remade: tuple[Image, ...], view: View) -> tuple[Image, ...]:
    if view.strength == 0:
        return case.images
    pairs = zip(case.images, remade, strict=True)
    return tuple(blend(image, other, view.strength) for image, other in pairs)


def _write_case(
    folder: Path, name: str, case: Opened, shown: tuple[Image, ...], labels: Any
) -> list[str]:
    """Write a case's files; the labels are read back and compared."""
    files = []
    for channel, image in enumerate(shown):
        files.append(f"{IMAGES}/{name}_{channel:04d}{ENDING}")
        write(image, folder / files[-1], overwrite=True)
    files.append(f"{LABELS}/{name}{ENDING}")
    drawn = Image(labels[None], case.grid, Unit.LABEL)
    write(drawn, folder / files[-1], overwrite=True)
    back = read(folder / files[-1])
    if not (np.array_equal(back.pixels[0], labels) and back.grid.agrees_with(case.grid)):
        raise OutputError(
            f"{files[-1]} reads back otherwise than it was written: is the disk in order?"
        )
    return files


# -- what is kept on record ------------------------------------------------------------------------


def _describe(making: Making, found: Survey) -> Record:
    """What every case is made with: resuming with anything else would mix two data sets."""
    return {
        "views": [view.name for view in making.written],
        "maker": dict(making.maker),
        "unit": None if making.unit is None else making.unit.value,
        "relabelled": {str(old): new for old, new in found.relabelled.items()},
    }


def _made_of(pair: Pair) -> Record:
    return {
        "source": pair.case,
        "patient": pair.patient,
        "source_images": [hash_source(path) for path in pair.images],
        "source_label": hash_source(pair.label),
    }


def _records(
    ledger: Ledger,
    found: Survey,
    making: Making,
    cases: list[Record],
    splits: list[dict[str, list[str]]],
) -> dict[str, Any]:
    number, name = parse_folder(ledger.folder)
    dataset: Record = {
        "channel_names": {str(n): channel for n, channel in enumerate(found.channels)},
        "labels": {k: list(v) if isinstance(v, tuple) else v for k, v in found.labels.items()},
        "numTraining": len(cases),
        "file_ending": ENDING,
        "name": name,
    }
    if any(isinstance(value, tuple) for value in found.labels.values()):
        dataset["regions_class_order"] = list(found.regions)
    if found.tilted:
        dataset["overwrite_image_reader_writer"] = TILTED_READER
    manifest: Record = {
        "version": VERSION,
        "number": number,
        "name": name,
        "asked": dict(ledger.asked),
        "training_views": [view.name for view in making.views],
        "validation": making.validate_on,
        "folds": making.folds,
        "seed": making.seed,
        "labels": dataset["labels"],
        "voxels_of_labels": {str(value): count for value, count in found.voxels.items()},
        "environment": describe_environment(),
        "cases": cases,
    }
    written: dict[str, Any] = {SPLITS: splits} if splits else {}
    return {**written, MANIFEST: manifest, DATASET: dataset}


def _split(data: Labelled, making: Making) -> list[dict[str, list[str]]]:
    """For each fold what is trained on and what judges it, as nnU-Net reads it."""
    if not making.folds:
        return []
    raw = scaled(0.0)
    judging = (raw,) if making.validate_on == "raw" else making.views
    splits = []
    held_out = draw_folds((p.patient for p in data.pairs), making.folds, seed=making.seed)
    for held in held_out:
        splits.append(
            {
                "train": [p.case + view.ending for p in data.pairs if p.patient not in held
                          for view in making.views],
                "val": [p.case + view.ending for p in data.pairs if p.patient in held
                        for view in judging],
            }
        )  # fmt: skip
    return splits


def _refuse_shared_names(data: Labelled, making: Making) -> None:
    seen: set[str] = set()
    for name in (p.case + view.ending for p in data.pairs for view in making.written):
        if name.lower() in seen:
            raise InputError(
                f"a case and a view of another would both be called {name}: rename the case, or "
                "use --hash-names"
            )
        seen.add(name.lower())

"""plica augment: from labelled images to a data set of nnU-Net with reconstructions as views."""

from __future__ import annotations

import collections
from pathlib import Path
from typing import Annotated, Any

import typer

from plica.augmentation.dataset import Made, Making, make_dataset
from plica.augmentation.labelled import Labelled, find_labelled
from plica.augmentation.manifest import SPLITS, Existing, parse_folder
from plica.augmentation.surveying import Survey, survey
from plica.augmentation.views import MIXED, Reconstruct, parse_views
from plica.cli import completing, jobs
from plica.cli import judging_options as j
from plica.cli import options as o
from plica.cli.choosing import AUTO, asked_preparing, asked_running, check_word, choose
from plica.cli.console import format_bytes, print_json, print_note, print_table, progress
from plica.cli.reading import refuse_missing
from plica.cli.remaking import reconstruct_by
from plica.errors import InputError, SettingsError
from plica.formats.atomic import refuse_existing
from plica.formats.units import parse_unit
from plica.image import Image, Unit

DATA, SPLIT = "Data set", "Splits"
JUDGED_ON = ("raw", "all")
COUNTED = "CT"  # the channel that nnU-Net takes for Hounsfield units


def augment(
    source: Annotated[
        Path,
        typer.Argument(
            help="Labelled images: an nnU-Net folder (dataset.json), a table with the columns "
            "patient, image, label (and image_2, …, case), or with --labels a folder of images.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="Folder of the data set, called as nnU-Net wants: nnUNet_raw/Dataset501_Name.",
            show_default=False,
            rich_help_panel=o.OUTPUT,
        ),
    ],
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Folder of label images of the same names.",
            show_default=False,
            rich_help_panel=DATA,
        ),
    ] = None,
    name: Annotated[
        list[str] | None,
        typer.Option(
            "--name",
            help="What a label is called, such as liver=1; may be repeated.",
            show_default=False,
            rich_help_panel=DATA,
            metavar="NAME=NUMBER",
        ),
    ] = None,
    relabel: Annotated[
        bool,
        typer.Option(
            "--relabel",
            help="Number labels anew, 0, 1, 2, …, where numbers are missing.",
            rich_help_panel=DATA,
        ),
    ] = False,
    patient_pattern: Annotated[
        str | None,
        typer.Option(
            help=r"Which part of a case's name is the patient, such as '(\w+?)_.*'; otherwise "
            "each case of a folder is a patient of its own.",
            show_default=False,
            rich_help_panel=DATA,
        ),
    ] = None,
    hash_names: Annotated[
        bool,
        typer.Option(
            "--hash-names", help="Call cases by hashes of their names.", rich_help_panel=DATA
        ),
    ] = False,
    unit: o.UnitName = None,
    view: Annotated[list[str] | None, j.views("mixed")] = None,
    strength: j.Strengths = None,
    folds: Annotated[
        int,
        typer.Option(
            help="Folds of splits_final.json, by patient; 0 writes none.", rich_help_panel=SPLIT
        ),
    ] = 5,
    seed: Annotated[int, o.seed("the folds")] = 0,
    validate_on: Annotated[
        str,
        typer.Option(
            help="raw: networks are judged on the images alone; all: on every view.",
            rich_help_panel=SPLIT,
            autocompletion=completing.one_of(*JUDGED_ON),
        ),
    ] = "raw",
    codec: o.CodecName = AUTO,
    device: o.Device = AUTO,
    weights: o.Weights = None,
    settings: o.Settings = None,
    windows: o.Windows = None,
    shifts: o.Shifts = 1,
    memory: o.Memory = None,
    device_memory: o.DeviceMemory = None,
    tiling: o.Tiling = None,
    precision: o.Precision = None,
    tile: o.Tile = None,
    axis: o.Axis = None,
    pipeline: o.Pipeline = None,
    overwrite: o.Overwrite = False,
    resume: o.Resume = False,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Make an nnU-Net data set of labelled images and their reconstructions.

    Example: plica augment nnUNet_raw/Dataset009_Spleen -o nnUNet_raw/Dataset509_Spleen -c taef2
    """
    silent = as_json or quiet
    views = parse_views(view or ([] if strength else [MIXED]), strength or ())
    parse_folder(out)
    judging = _check_validation(validate_on)
    existing = _choose_existing(overwrite=overwrite, resume=resume)
    refuse_existing(out, overwrite=existing != "refuse")
    running = asked_running(tile, memory, device_memory, tiling, precision)
    preparing = asked_preparing(axis, False, False, False, None, pipeline)
    chooser = choose(codec, weights, device, settings, preparing, running, quiet=silent)
    data = _find(source, labels, patient_pattern, hash_names=hash_names)
    known = parse_unit(unit) or _unit_of(data)
    found = _survey(data, known, name, relabel=relabel, silent=silent)
    reconstruct: Reconstruct = _refuse_needed
    maker: dict[str, Any] = {}
    if any(one.strength for one in views):
        reconstruct, maker = reconstruct_by(chooser, windows, shifts)
    making = Making(
        views=views,
        maker=maker,
        folds=folds,
        seed=seed,
        validate_on=judging,
        unit=known,
    )
    made = _make(data, out, found, reconstruct, making, existing, silent=silent)
    _tell(made, making, as_json=as_json, quiet=quiet)


def _choose_existing(*, overwrite: bool, resume: bool) -> Existing:
    asked = jobs.Existing(overwrite, resume)
    return "overwrite" if asked.overwrite else "resume" if asked.resume else "refuse"


def _check_validation(name: str) -> Any:
    check_word("--validate-on", name, JUDGED_ON)
    return name


def _find(source: Path, labels: Path | None, pattern: str | None, *, hash_names: bool) -> Labelled:
    refuse_missing(source)
    data = find_labelled(source, labels)
    data = data if pattern is None else data.with_patients(pattern)
    return data.hashed() if hash_names else data


def _unit_of(data: Labelled) -> Unit | None:
    """What nnU-Net's name of the channels says of their values."""
    counted = bool(data.channels) and set(data.channels) == {COUNTED}
    return Unit.HU if counted else None


def _survey(
    data: Labelled, unit: Unit | None, names: list[str] | None, *, relabel: bool, silent: bool
) -> Survey:
    named = _parse_labels(names or [])
    with progress(quiet=silent) as bar:
        task = bar.add_task("checking", total=len(data.pairs))
        return survey(data, unit=unit, names=named, relabel=relabel,
                      tell=lambda case: bar.advance(task))  # fmt: skip


def _parse_labels(words: list[str]) -> dict[str, int]:
    named: dict[str, int] = {}
    for word in words:
        name, _, number = word.rpartition("=")
        if not name or not number.isdecimal():
            raise SettingsError(f"--name takes NAME=NUMBER such as liver=1, but got '{word}'")
        named[name] = int(number)
    return named


def _refuse_needed(image: Image) -> Image:
    raise InputError(f"no view needs a reconstruction, but one was asked for, of {image!r}")


def _make(
    data: Labelled,
    out: Path,
    found: Survey,
    reconstruct: Reconstruct,
    making: Making,
    existing: Existing,
    *,
    silent: bool,
) -> Made:
    with progress(quiet=silent) as bar:
        task = bar.add_task("writing", total=len(data.pairs) * len(making.written))

        def tell(case: str, left: bool) -> None:
            bar.update(task, description=f"writing {case}", advance=1)

        return make_dataset(
            data, out, found=found, reconstruct=reconstruct, making=making, existing=existing,
            tell=tell,
        )  # fmt: skip


# -- what came of it -----------------------------------------------------------------------------


def _tell(made: Made, making: Making, *, as_json: bool, quiet: bool) -> None:
    count = collections.Counter(case["view"] for case in made.cases)
    patients = len({case["patient"] for case in made.cases})
    if as_json:
        print_json(
            {
                "folder": str(made.folder),
                "cases": len(made.cases),
                "left": made.left,
                "patients": patients,
                "views": count,
                "labels": made.labels,
                "folds": making.folds,
            }
        )
        return
    if quiet:
        return
    trained = {view.name for view in making.views}
    rows = [
        (name, str(number), "trained on" if name in trained else "judged on only",
         format_bytes(_size(made, name)))
        for name, number in count.items()
    ]  # fmt: skip
    labels = ", ".join(f"{name} {value}" for name, value in made.labels.items())
    print_table(
        made.folder.name, ("view", "cases", "use", "size"), rows,
        caption=f"{patients} patients; labels: {labels}; {making.folds} folds by patient, seed "
        f"{making.seed}",
    )  # fmt: skip
    if made.left:
        print_note(f"{made.left} cases were there already, whole, and were left as they are")
    if making.folds:
        print_note(
            f"nnU-Net reads {SPLITS} from nnUNet_preprocessed/{made.folder.name}: copy it there "
            "after planning, or it draws folds that part a patient's views"
        )


def _size(made: Made, view: str) -> int:
    files = [f for case in made.cases if case["view"] == view for f in case["files"]]
    return sum((made.folder / file).stat().st_size for file in files)

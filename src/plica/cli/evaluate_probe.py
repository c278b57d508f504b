"""plica evaluate probe: what a classifier still reads from a codec's codes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from plica.cli import completing
from plica.cli import judging_options as j
from plica.cli import options as o
from plica.cli.jobs import Existing
from plica.cli.needing import need
from plica.cli.posing import Asked, follow
from plica.cli.probe_reports import Manner, judge_cohort, judge_table
from plica.cli.probe_tables import (
    find_places,
    follow_recipe,
    read_recipe,
    say_departures,
)
from plica.cli.standing import name_cohort
from plica.errors import SettingsError
from plica.evaluation.record import read_record
from plica.evaluation.tasks import read_task
from plica.training.cohorts import read_cohort
from plica.training.views import FULL

MOST_SIDE = 2**14
AUROC = "auroc"
TASK, PROBE = "Task", "Probe"


def probe(
    cohort: Annotated[
        Path,
        typer.Argument(
            help="Labelled images: a CSV or Parquet table (path, patient, split, and the label), "
            "a folder with MANIFEST.csv, or a BIDS tree.",
            show_default=False,
        ),
    ],
    out: j.Report,
    label: Annotated[
        str,
        typer.Option(help="Column of the classes.", show_default=False, rich_help_panel=TASK),
    ] = "",
    published: Annotated[
        str,
        typer.Option(
            "--task",
            help="One of the papers' tasks, such as cmmd-malignancy (see `plica evaluate "
            "protocols`), instead of --label: COHORT is the data set's folder, as published.",
            show_default=False,
            autocompletion=completing.tasks,
            rich_help_panel=TASK,
        ),
    ] = "",
    protocol: Annotated[
        str,
        typer.Option(
            help="A published table's recipe, such as medvae-table-1-2d: its probe, fitting and, "
            "without --label, its tasks, beside the paper's values; COHORT then holds a folder of "
            "each data set, by its name.",
            autocompletion=completing.protocols,
            show_default=False, rich_help_panel=TASK, metavar="NAME",
        ),
    ] = "",
    group: j.Groups = None,
    codec: j.SomeCodecs = None,
    classes: Annotated[
        list[str] | None,
        typer.Option(
            help="Classes, such as 'AP=chest ap' or 'high=4|5'; every value of the label if left "
            "out. Cases of other values are left out.",
            show_default=False, rich_help_panel=TASK, metavar="NAME=VALUE|…",
        ),
    ] = None,
    where: j.Where = None,
    train_split: Annotated[
        str, typer.Option(help="Split that is learnt from.", rich_help_panel=TASK)
    ] = "train",
    test_split: Annotated[
        str, typer.Option(help="Split that is asked about.", rich_help_panel=TASK)
    ] = "dev-test",
    folds: Annotated[
        int,
        typer.Option(
            help="Divide the patients of --train-split for cross-validation instead; 0 does not.",
            rich_help_panel=TASK,
        ),
    ] = 0,
    size: Annotated[
        str | None,
        typer.Option(
            help="Resize every image to this, such as 1024x512 (rows × columns) or 224x224x160 "
            "(i × j × k).",
            show_default=False, rich_help_panel=TASK, metavar="SIDESxSIDES",
        ),
    ] = None,
    slices: Annotated[
        int,
        typer.Option(
            help="Axial slices of each volume that probes of pictures see.",
            rich_help_panel=TASK, min=0,
        ),
    ] = 0,
    baseline: Annotated[
        str,
        typer.Option(
            help=f"What codecs are compared with: {FULL} or a codec.", rich_help_panel=o.CODEC
        ),
    ] = FULL,
    decoded: Annotated[
        bool,
        typer.Option(
            "--decoded", help="Show what codecs give back, instead of their codes.",
            rich_help_panel=o.CODEC,
        ),
    ] = False,
    weights: j.WeightsOf = None,
    random_weights: o.RandomWeights = False,
    device: o.Device = "auto",
    probe_name: Annotated[
        str | None,
        typer.Option(
            "--probe",
            help="hrnet-w64 (if left out), small-2d, pooled-2d for pictures; seresnet-152, "
            "small-3d, pooled-3d for volumes.",
            autocompletion=completing.one_of(*j.PROBES),
            show_default=False, rich_help_panel=PROBE,
        ),
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option(
            help="linear (the head alone; if left out) or full.", show_default=False,
            autocompletion=completing.one_of("linear", "full"),
            rich_help_panel=PROBE,
        ),
    ] = None,
    probe_weights: Annotated[
        str | None,
        typer.Option(
            help="Pretrained weights of the probe: a file, or hub:repo@revision:file. Without, "
            "they are drawn.",
            show_default=False, rich_help_panel=PROBE, metavar="FILE",
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            help="Probes fitted; 3 if left out.", show_default=False, rich_help_panel=PROBE, min=1
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(help="Epochs of fitting; the probe's own if left out.", rich_help_panel=PROBE),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(help="Images of a step; the probe's own if left out.", rich_help_panel=PROBE),

    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            help="Learning rate of AdamW; the probe's own if left out.", rich_help_panel=PROBE
        ),
    ] = None,
    balanced: Annotated[
        bool,
        typer.Option(
            "--balanced", help="Draw all classes equally often.", rich_help_panel=PROBE
        ),
    ] = False,
    channels: Annotated[
        str,
        typer.Option(
            help="mean of the code channels, or all.", rich_help_panel=PROBE,
            autocompletion=completing.one_of("mean", "all"),
        ),
    ] = "mean",
    precision: Annotated[
        str,
        typer.Option(
            help="float32 or bfloat16.", rich_help_panel=PROBE,
            autocompletion=completing.one_of(*o.PRECISIONS),
        ),
    ] = "float32",
    margin: j.Margins = None,
    ceiling: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a reconstruction report on the same images: regresses the probes on "
            "what codecs keep.",
            show_default=False, rich_help_panel=j.JUDGING, metavar="REPORT",
        ),
    ] = None,
    ceiling_metric: Annotated[
        str, typer.Option(help="Metric of that report.", rich_help_panel=j.JUDGING)
    ] = "psnr",
    cache: Annotated[
        Path | None,
        typer.Option(
            help="Where views and features are kept; the user's cache folder if left out.",
            show_default=False, rich_help_panel=o.OUTPUT,
        ),
    ] = None,
    overwrite: o.Overwrite = False,
    resume: o.Resume = False,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:  # fmt: skip
    """Fit classifiers on codecs' codes, and compare them with one that saw the images.

    Example: plica evaluate probe cases.csv --codec bicubic-4x-2d --label class --size 256x256 -o r/
    """
    need("probing", "matplotlib")
    Existing(overwrite, resume)  # refuses both
    if not codec:
        raise SettingsError("no codec to judge: name some, such as --codec bicubic-4x-2d linear-*")
    if bool(label) + bool(published) > 1 or not (label or published or protocol):
        raise SettingsError("give --label, the column of the classes, or --task, or --protocol")
    amount = parse_margin(margin)
    recipe = read_recipe(protocol) if protocol else None
    given = {
        "probe": probe_name, "mode": mode, "seeds": seeds, "epochs": epochs, "batch": batch,
        "rate": rate,
    }  # fmt: skip
    asked = Asked(
        label=label, classes=tuple(classes or ()), where=tuple(where or ()),
        train_split=train_split, test_split="" if folds else test_split, folds=folds,
        size=parse_size(size), slices=slices, decoded=decoded, baseline=baseline,
        probe=probe_name or "hrnet-w64", mode=mode or "linear", seeds=seeds or 3,
        epochs=epochs or 0, batch=batch or 0, rate=rate or 0.0, balanced=balanced,
        channels=channels, precision=precision,
    )  # fmt: skip
    asked = follow_recipe(asked, recipe, given) if recipe else asked
    manner = Manner(
        codecs=(*codec, baseline), weights=tuple(weights or ()), random=random_weights,
        device=device, probe_weights=probe_weights, cache=cache, margin=amount,
        ceiling=None if ceiling is None else (read_record(ceiling), ceiling_metric),
        overwrite=overwrite, resume=resume, as_json=as_json, quiet=quiet,
        notes=say_departures(recipe, given) if recipe else (),
    )  # fmt: skip
    if recipe and not (label or published):
        judge_table(recipe, find_places(recipe, cohort, group or ()), asked, manner, out)
        return
    if group:
        raise SettingsError("--group names columns of a --protocol without --label and --task")
    found = read_task(published, cohort) if published else None
    judge_cohort(
        found.cohort if found else read_cohort(cohort),
        follow(asked, found.task) if found else asked,
        manner, out, name=name_cohort(cohort), notes=found.notes if found else (),
    )  # fmt: skip


def parse_margin(pairs: list[str] | None) -> float | None:
    """How much less AUROC counts as none: 0.02 of auroc=0.02.

    Raises:
        SettingsError: It is no such amount.
    """
    amount = j.parse_margins(pairs, (AUROC,)).get(AUROC)
    if amount is not None and not amount < 1:
        raise SettingsError(f"--margin {AUROC}={amount:g}: AUROC lies between 0 and 1")
    return amount


def parse_size(text: str | None) -> tuple[int, ...]:
    """Sides of a word such as 1024x512.

    Raises:
        SettingsError: It is something else.
    """
    if text is None:
        return ()
    sides = text.lower().replace("×", "x").split("x")
    if not all(side.isdecimal() and 0 < int(side) <= MOST_SIDE for side in sides):
        raise SettingsError(
            f"--size takes sides such as 1024x512 or 224x224x160, up to {MOST_SIDE} each, but got "
            f"'{text}'"
        )
    return tuple(int(side) for side in sides)

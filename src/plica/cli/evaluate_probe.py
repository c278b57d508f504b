"""plica evaluate probe: what a classifier still reads from a codec's codes."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from plica.cli import options as o
from plica.cli.console import print_json, print_note, print_table
from plica.cli.contenders import Contender, load_contenders, name_contenders
from plica.cli.posing import Asked, Task, follow, pose
from plica.cli.probes import Session, check_folder, make_plan, start_folder
from plica.cli.standing import say_machine, say_versions
from plica.cli.watching import format_duration
from plica.errors import SettingsError
from plica.evaluation.drawing import import_matplotlib
from plica.evaluation.predictions import Predictions
from plica.evaluation.probe_report import Probed, build_report
from plica.evaluation.publish import publish
from plica.evaluation.report import Report
from plica.evaluation.tasks import read_task
from plica.run import describe_environment
from plica.training.cohorts import read_cohort
from plica.training.views import FULL

if TYPE_CHECKING:
    from plica.training.probing import Plan

VERSION = 1
MOST_SIDE = 2**14
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
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", help="The report's folder.", show_default=False, rich_help_panel=o.OUTPUT
        ),
    ],
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
            rich_help_panel=TASK,
        ),
    ] = "",
    codec: Annotated[
        list[str] | None,
        typer.Option(
            "--codec", "-c", help="Codecs by name, pattern (linear-*) or folder.",
            show_default=False, rich_help_panel=o.CODEC,
        ),
    ] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option(
            help="Classes, such as 'AP=chest ap' or 'high=4|5'; every value of the label if left "
            "out. Cases of other values are left out.",
            show_default=False, rich_help_panel=TASK, metavar="NAME=VALUE|…",
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            help="Only cases whose label has this value, such as 'category=cxr'.",
            show_default=False, rich_help_panel=TASK, metavar="LABEL=VALUE|…",
        ),
    ] = None,
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
            help="Show probes of pictures so many axial slices of each volume.",
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
    weights: Annotated[
        list[str] | None,
        typer.Option(
            help="Weights of a codec: NAME=FILE or NAME=hub:repo@revision; may be repeated.",
            show_default=False, rich_help_panel=o.CODEC, metavar="NAME=FILE",
        ),
    ] = None,
    random_weights: Annotated[
        bool,
        typer.Option(
            "--random-weights", help="Draw weights for codecs that have none at hand: a trial.",
            rich_help_panel=o.CODEC,
        ),
    ] = False,
    device: o.Device = "auto",
    probe_name: Annotated[
        str,
        typer.Option(
            "--probe",
            help="hrnet-w64, small-2d, pooled-2d for pictures; seresnet-152, small-3d, pooled-3d "
            "for volumes.",
            rich_help_panel=PROBE,
        ),
    ] = "hrnet-w64",
    mode: Annotated[
        str, typer.Option(help="linear (the head alone) or full.", rich_help_panel=PROBE)
    ] = "linear",
    probe_weights: Annotated[
        str | None,
        typer.Option(
            help="Pretrained weights of the probe: a file, or hub:repo@revision:file. Without, "
            "they are drawn.",
            show_default=False, rich_help_panel=PROBE, metavar="FILE",
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Probes fitted.", rich_help_panel=PROBE, min=1)] = 3,
    epochs: Annotated[
        int | None, typer.Option(help="The probe's own if left out.", rich_help_panel=PROBE)
    ] = None,
    batch: Annotated[
        int | None, typer.Option(help="The probe's own if left out.", rich_help_panel=PROBE)
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(help="Of AdamW; the probe's own if left out.", rich_help_panel=PROBE),
    ] = None,
    balanced: Annotated[
        bool,
        typer.Option(
            "--balanced", help="Draw all classes equally often.", rich_help_panel=PROBE
        ),
    ] = False,
    channels: Annotated[
        str, typer.Option(help="mean of the code channels, or all.", rich_help_panel=PROBE)
    ] = "mean",
    precision: Annotated[
        str, typer.Option(help="float32 or bfloat16.", rich_help_panel=PROBE)
    ] = "float32",
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
    begun = time.perf_counter()
    import_matplotlib()  # before hours of fitting
    if not codec:
        raise SettingsError("no codec to judge: name some, such as --codec bicubic-4x-2d linear-*")
    if bool(label) == bool(published):
        raise SettingsError("give --label, the column of the classes, or --task")
    asked = Asked(
        label=label, classes=tuple(classes or ()), where=tuple(where or ()),
        train_split=train_split, test_split="" if folds else test_split, folds=folds,
        size=parse_size(size), slices=slices, decoded=decoded, baseline=baseline,
        probe=probe_name, mode=mode, seeds=seeds, epochs=epochs or 0, batch=batch or 0,
        rate=rate or 0.0, balanced=balanced, channels=channels, precision=precision,
    )  # fmt: skip
    found = read_task(published, cohort) if published else None
    asked = follow(asked, found.task) if found else asked
    task = pose(found.cohort if found else read_cohort(cohort), asked)
    task = replace(task, notes=(*task.notes, *(found.notes if found else ())))
    plan = make_plan(asked, len(task.labelled.classes), probe_weights)
    contenders = load_contenders(
        name_contenders([name for name in (*codec, baseline) if name != FULL]),
        weights=weights or (), device=device, random=random_weights,
    )  # fmt: skip
    asked = complete(asked, task, plan, contenders)
    check_folder(out, asked, overwrite=overwrite, resume=resume)
    session = Session(asked, task, plan, contenders, cache, device, as_json or quiet)
    views = session.show()
    predictions = session.run(start_folder(out, asked, overwrite=overwrite), views)
    report = build_report(describe(session, predictions, cohort))
    page = publish(report, out, overwrite=overwrite or resume)
    _tell(report, page, time.perf_counter() - begun, as_json=as_json, quiet=quiet)


def complete(asked: Asked, task: Task, plan: Plan, contenders: tuple[Contender, ...]) -> Asked:
    """What was asked, with what it was asked of."""
    return replace(
        asked,
        baseline=next(
            (one.name for one in contenders if asked.baseline == one.name), asked.baseline
        ),
        images=task.images,
        codecs=tuple(f"{one.name} {one.codec.fingerprint}" for one in contenders),
        probe_weights=plan.weights_fingerprint,
        epochs=plan.epochs,
        batch=plan.batch,
        rate=plan.rate,
    )


def describe(session: Session, predictions: tuple[Predictions, ...], cohort: Path) -> Probed:
    """What the report is made of."""
    asked, task = session.asked, session.task
    return Probed(
        title=f"Probing {asked.label}: {' against '.join(task.labelled.classes)}",
        predictions=predictions,
        baseline=asked.baseline,
        shown=session.shown,
        counts=task.counts(),
        setting=_describe_setting(session, cohort),
        record={"kind": "probe", "version": VERSION, "asked": asdict(asked),
                "environment": describe_environment()},
        notes=(*_describe_fairness(session), *task.notes),
    )  # fmt: skip


def _describe_setting(session: Session, cohort: Path) -> dict[str, str]:
    from plica.networks.probes import find_probe

    asked, plan = session.asked, session.plan
    drawn = "random, never trained" if plan.linear else "random at the start"
    drawn = drawn if find_probe(plan.probe).drawn else "none: nothing in it is trained"
    divided = (
        f"{asked.folds} folds of the split {asked.train_split}"
        if asked.folds
        else f"learnt from the split {asked.train_split}, tested on {asked.test_split}"
    )
    codecs = {
        f"codec {one.name}": f"fingerprint {one.codec.fingerprint}; trained on "
        f"{one.codec.card.training_data or 'images that its card does not name'}"
        for one in session.contenders
    }
    return {
        "protocol": f"probe v{VERSION}",
        "cohort": cohort.name,
        "task": f"{asked.label}: {', '.join(session.task.labelled.classes)}",
        "division": f"{divided}, by patient",
        "probe": f"{plan.probe}, {asked.mode}: {find_probe(plan.probe).summary}",
        "weights of the probe's trunk": plan.weights_fingerprint or drawn,
        "fitting": f"AdamW, rate {plan.rate:g}, weight decay {plan.weight_decay:g}, "
        f"{plan.epochs} epochs, batches of {plan.batch} at most, {plan.precision}, "
        f"{'classes drawn equally often' if plan.balanced else 'images drawn once an epoch'}, "
        "the weights of the last step",
        "shown": f"{'decoded images' if asked.decoded else 'codes'}, "
        f"{'mean over the channels' if plan.channels == 'mean' else 'all channels'}, "
        f"{' × '.join(map(str, asked.size)) or 'own size'}, standardised by the training images",
        **codecs,
        "machine": say_machine(),
        "versions": say_versions(),
    }


def _describe_fairness(session: Session) -> tuple[str, ...]:
    """What would mislead a reader who does not know it."""
    from plica.networks.probes import find_probe

    notes, plan = [], session.plan
    if plan.linear and not plan.weights_fingerprint and find_probe(plan.probe).drawn:
        notes.append(
            f"The trunk of {plan.probe} is random here: no pretrained weights were given. The "
            "papers' probes had been trained on photographs."
        )
    if any("random weights" in one.name for one in session.contenders):
        notes.append("Codecs with random weights prove a path; their numbers say nothing.")
    return tuple(notes)


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


def _tell(report: Report, page: Path, seconds: float, *, as_json: bool, quiet: bool) -> None:
    if as_json:
        print_json({**report.record, "report": str(page), "seconds": seconds})
        return
    if quiet:
        return
    table = report.sections[0].tables[0]
    print_table(report.title, table.columns, table.rows)
    for sentence in report.summary[1:]:
        print_note(sentence)
    print_note(f"{page}, after {format_duration(seconds)}")

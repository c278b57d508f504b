"""plica evaluate protocols: what codecs are judged by, and the papers' tasks as cohorts."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from plica.cli import completing
from plica.cli import options as o
from plica.cli.console import print_json, print_note, print_table
from plica.cli.jobs import Manner
from plica.errors import SettingsError
from plica.evaluation.datasets import DataSet, find_dataset
from plica.evaluation.protocol import (
    Group,
    Listed,
    Protocol,
    Published,
    list_protocols,
    read_protocol,
)
from plica.evaluation.tasks import (
    CLASS,
    TASKS,
    TEST,
    TRAIN,
    Task,
    TaskCohort,
    read_task,
    write_table,
)
from plica.evaluation.text import say_count, say_origin

LISTED = ("protocol", "version", "drawn", "metrics", "groups")
TASKS_LISTED = ("task", "data set", "classes", "size", "images in the paper")
TASK = "Task"
DIGITS = {"auroc": 1, "ms-ssim": 3}
"""As many as the papers print."""


def protocols(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A protocol, a .toml file of one, or a task, to see all of it.",
            show_default=False,
            autocompletion=completing.protocols_or_tasks,
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="The task's data set, unpacked: reads it into a cohort.",
            show_default=False, rich_help_panel=TASK, metavar="FOLDER",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="The cohort's table, such as cohort.csv.",
            show_default=False, rich_help_panel=o.OUTPUT,
        ),
    ] = None,
    seed: Annotated[int, o.seed("the division of patients, to learn from and to ask about")] = 0,
    partial: Annotated[
        bool,
        typer.Option(
            "--partial", help="Leave out images the folder lacks.", rich_help_panel=TASK
        ),
    ] = False,
    overwrite: o.Overwrite = False,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:  # fmt: skip
    """List the protocols and tasks, show one, or make a task's cohort.

    Example: plica evaluate protocols cmmd-malignancy --data CMMD -o cmmd.csv
    """
    if data is not None or out is not None:
        if name is None or data is None or out is None:
            raise SettingsError("a task's cohort needs the task, --data FOLDER and --out TABLE")
        made = read_task(name, data, seed=seed, partial=partial)
        table = write_table(made.cohort, out, overwrite=overwrite)
        _tell_made(name, made, table, Manner(as_json, quiet))
    elif name is None:
        _list(as_json)
    elif name in TASKS:
        _show_task(TASKS.get_thing(name), as_json)
    else:
        _show(read_protocol(name), as_json)


# -- all -----------------------------------------------------------------------------------------


def _list(as_json: bool) -> None:
    listed = list_protocols()
    tasks: list[Task] = [TASKS.get_thing(name) for name in TASKS]
    if as_json:
        print_json(
            {
                "protocols": [asdict(one.protocol) for one in listed],
                "tasks": [task_record(task) for task in tasks],
            }
        )
        return
    print_table("", LISTED, [list_row(one) for one in listed])
    print()
    print_table("", TASKS_LISTED, [task_row(task) for task in tasks])


def list_row(listed: Listed) -> tuple[str, ...]:
    """A protocol in the list."""
    protocol = listed.protocol
    return (
        listed.name,
        str(protocol.version),
        "whole data sets" if protocol.probe else " or ".join(_samples(protocol)),
        ", ".join((*protocol.metrics, *protocol.set_metrics)),
        ", ".join(group.name for group in protocol.groups) or f"by {protocol.group_by}",
    )


def _samples(protocol: Protocol) -> list[str]:
    samples = [protocol.sample_of(group.name) for group in protocol.groups] or [protocol.sample]
    return list(dict.fromkeys(_spell_sample(one.images, one.draws) for one in samples))


def _spell_sample(images: int, draws: int) -> str:
    count = "all images" if images == 0 else f"{images} images"
    return count if draws == 1 else f"{count} × {draws} draws"


def task_row(task: Task) -> tuple[str, ...]:
    """A task in the list."""
    count = task.published[""].images
    return (
        task.name,
        find_dataset(task.dataset).title,
        str(len(task.classes) or "-"),
        spell_size(task) or "its own",
        str(count),
    )


def spell_size(task: Task) -> str:
    """A task's size as `plica evaluate probe --size` takes it."""
    if not task.shape:
        return ""
    i, j, k = task.shape
    return f"{j}x{i}" if task.dims == 2 else f"{i}x{j}x{k}"


# -- one protocol --------------------------------------------------------------------------------


def _show(protocol: Protocol, as_json: bool) -> None:
    if as_json:
        names = {name for group in protocol.groups for name in group.data}
        known = [asdict(protocol.dataset(name)) for name in sorted(names)]
        print_json({**asdict(protocol), "datasets": known})
        return
    print_table(protocol.title, ("fact", protocol.name), list(_facts(protocol)))
    if protocol.groups:
        print()
        columns = ("group", "images", "drawn", "cut", "range of values")
        print_table("Groups", columns, [_group_row(protocol, one) for one in protocol.groups])
        _print_datasets(protocol)
    if protocol.published:
        _print_published(protocol)


def _facts(protocol: Protocol) -> Iterable[tuple[str, str]]:
    yield "version", str(protocol.version)
    if protocol.paper:
        yield "paper", f"{protocol.paper}, Table {protocol.table}"
    yield "metrics", ", ".join((*protocol.metrics, *protocol.set_metrics))
    yield "splits", " or else ".join(protocol.splits) if not protocol.probe else "train, test"
    if not protocol.groups:
        yield "groups", f"one of each {protocol.group_by}; without that label, one"
    if protocol.probe:
        yield from (
            (key.replace("_", " "), str(v)) for key, v in asdict(protocol.probe).items() if v
        )
    for number, note in enumerate(protocol.notes, start=1):
        yield f"note {number}", note


def _group_row(protocol: Protocol, group: Group) -> tuple[str, ...]:
    sample = protocol.sample_of(group.name)
    if protocol.probe:
        return group.name, ", ".join(group.data), "all", group.task, "the task's"
    labels = [f"{label} = {' or '.join(values)}" for label, values in group.where.items()]
    return (
        group.name,
        ", or ".join([f"dataset = {' or '.join(group.data)}"] * bool(group.data) + labels),
        _spell_sample(sample.images, sample.draws),
        _spell_cut(group),
        f"{group.window[0]:g} … {group.window[1]:g} HU" if group.window else _spell_range(protocol),
    )


def _spell_range(protocol: Protocol) -> str:
    return "the unit's" if protocol.value_range == "unit" else "the image's own"


def _spell_cut(group: Group) -> str:
    parts = []
    if group.crop:
        parts.append(f"middle {'×'.join(map(str, group.crop.voxels))}")
    if group.resize:
        longest = f"longest side {group.resize.longest}"
        parts.append("×".join(map(str, group.resize.shape)) or longest)
    if group.boxes:
        parts.append(f"inside {group.boxes}")
    return ", ".join(parts) or "whole"


def _print_datasets(protocol: Protocol) -> None:
    names = dict.fromkeys(name for group in protocol.groups for name in group.data)
    print()
    columns = ("data set", "to be had at", "terms", "laid out as")
    rows = [(one.name, one.homepage, one.terms, one.layout) for one in map(protocol.dataset, names)]
    print_table("Data sets", columns, rows)


def _print_published(protocol: Protocol) -> None:
    print()
    columns = ["method", "f", "C", "codec of plica"]
    shown = dict.fromkeys(
        (group, metric)
        for row in protocol.published
        for group, values in row.values.items()
        for metric in values
    )
    columns += [f"{group} {metric}" for group, metric in shown]
    rows = [
        (row.method, str(row.factor), str(row.channels), row.codec or "-",
         *(_spell_published(row, *where) for where in shown))
        for row in protocol.published
    ]  # fmt: skip
    print_table("Published", columns, rows)


def _spell_published(row: Published, group: str, metric: str) -> str:
    numbers = row.values.get(group, {}).get(metric, ())
    digits = DIGITS.get(metric, 2)
    return " ± ".join(f"{number:.{digits}f}" for number in numbers) or "-"


# -- one task ------------------------------------------------------------------------------------


def task_record(task: Task) -> dict[str, Any]:
    """A task, JSON-ready."""
    record = {key: value for key, value in vars(task).items() if key != "read"}
    record["published"] = {key or "all": vars(count) for key, count in task.published.items()}
    return {**record, "dataset": asdict(find_dataset(task.dataset))}


def _show_task(task: Task, as_json: bool) -> None:
    if as_json:
        print_json(task_record(task))
        return
    dataset: DataSet = find_dataset(task.dataset)
    rows = [
        ("data set", dataset.title),
        ("to be had at", dataset.homepage),
        ("terms", dataset.terms),
        ("laid out as", dataset.layout),
        ("classes", ", ".join(task.classes) or "none"),
        ("size", spell_size(task) or "its own"),
        ("drawn", "classes equally often" if task.weighted else "as they come"),
        *(
            (f"{split or 'all'} in the paper", _spell_count(count.images, count.patients))
            for split, count in task.published.items()
        ),
        *((f"rule {number}", rule) for number, rule in enumerate(task.rules, start=1)),
    ]
    print_table(task.title, ("fact", task.name), rows)


def _spell_count(images: int, patients: int) -> str:
    return say_origin(images, patients) if patients else say_count(images, "image")


def _tell_made(name: str, made: TaskCohort, table: Path, manner: Manner) -> None:
    command = _next_command(made.task, table)
    counts = {split: len(made.cohort.of_split(split).cases) for split in made.cohort.splits}
    if manner.as_json:
        record = {"task": name, "table": str(table), "images": counts, "notes": list(made.notes)}
        print_json({**record, "next": command})
        return
    if manner.quiet:
        return
    for note in made.notes:
        print_note(note)
    rows = [
        (split, str(count), str(len(made.cohort.of_split(split).patients)))
        for split, count in counts.items()
    ]
    print_table(f"{table}", ("split", "images", "patients"), rows)
    print(command)


def _next_command(task: Task, table: Path) -> str:
    """What to run with the table."""
    if not task.classes:
        words = ["plica", "evaluate", "reconstruction", str(table), "--codec", "bicubic-4x-2d"]
        return shlex.join([*words, "--protocol", "medvae-table-5-fractures", "-o", "report"])
    network = "hrnet-w64" if task.dims == 2 else "seresnet-152"
    codec = "bicubic-4x-2d" if task.dims == 2 else "bicubic-4x-3d"
    words = ["plica", "evaluate", "probe", str(table), "--codec", codec, "--label", CLASS]
    words += ["--size", spell_size(task), "--probe", network]
    words += ["--train-split", TRAIN, "--test-split", TEST, *["--balanced"] * task.weighted]
    return shlex.join([*words, "-o", "report"])

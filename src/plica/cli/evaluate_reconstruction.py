"""plica evaluate reconstruction: what codecs keep of a cohort's images, as a report."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from plica.cli import options as o
from plica.cli.console import EXIT_FAILED, print_error, print_json, print_note, print_table
from plica.cli.contenders import load_contenders, name_contenders
from plica.cli.jobs import Manner
from plica.cli.judging import RUN, Judging, judge_all, open_journal
from plica.cli.posing import select as filter_cohort
from plica.cli.standing import (
    describe_codec,
    name_cohort,
    record_codec,
    say_codec,
    say_machine,
    say_versions,
)
from plica.cli.viewing import Viewer
from plica.cli.worst import draw_worst
from plica.codecs.device import choose_device
from plica.errors import InputError, SettingsError
from plica.evaluation.protocol import DEFAULT, Crop, read_protocol
from plica.evaluation.publish import publish
from plica.evaluation.reconstruction import (
    Judged,
    report_reconstruction,
    summarise_all,
    tabulate,
)
from plica.evaluation.results import Results
from plica.evaluation.selection import select
from plica.run import describe_environment
from plica.training.cohorts import read_cohort

JUDGING = "Judging"
MOST_TOLD = 5
SEEN = "seen"
"""Folder of a run in which features are kept."""


def reconstruction(
    cohort: Annotated[
        Path,
        typer.Argument(help="Images: a folder, a table or a BIDS tree.", show_default=False),
    ],
    codec: Annotated[
        list[str],
        typer.Option(
            "--codec",
            "-c",
            show_default=False,
            rich_help_panel=o.CODEC,
            help="Codecs to judge: names, folders, or patterns such as 'compact-*'.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="Folder of the report.",
            show_default=False,
            rich_help_panel=o.OUTPUT,
        ),
    ],
    protocol: Annotated[
        str,
        typer.Option(
            help="How images are drawn, cut and measured (`plica evaluate protocols`), or "
            "a .toml file.",
            rich_help_panel=JUDGING,
        ),
    ] = DEFAULT,
    split: Annotated[
        str | None,
        typer.Option(
            help="Split of the cohort; otherwise the protocol's.",
            show_default=False,
            rich_help_panel=JUDGING,
        ),
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option(
            help="Only these of the protocol's groups.", show_default=False, rich_help_panel=JUDGING
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            help="Only cases with these labels, such as 'modality=CT|MR'.",
            show_default=False,
            rich_help_panel=JUDGING,
            metavar="LABEL=VALUE|…",
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            help="At most so many images of each group, in one draw.",
            show_default=False,
            min=1,
            rich_help_panel=JUDGING,
        ),
    ] = None,
    crop: Annotated[
        str | None,
        typer.Option(
            help="Cut so many voxels from the middle of every image: right/left, "
            "front/back, head/feet.",
            show_default=False,
            rich_help_panel=JUDGING,
            metavar="X,Y,Z",
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="Instead of the protocol's metrics.", show_default=False, rich_help_panel=JUDGING
        ),
    ] = None,
    distance: Annotated[
        list[str] | None,
        typer.Option(
            help="Also between the sets of sources and decoded images, such as fid-inception or "
            "fid-codec:compact-4x3-2d; instead of the protocol's.",
            show_default=False,
            rich_help_panel=JUDGING,
        ),
    ] = None,
    data_range: Annotated[
        float | None,
        typer.Option(
            help="Full range of values, in the images' unit.",
            show_default=False,
            rich_help_panel=JUDGING,
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            help="Codec the others are compared with; the first one if left out.",
            show_default=False,
            rich_help_panel=JUDGING,
        ),
    ] = None,
    margin: Annotated[
        list[str] | None,
        typer.Option(
            help="How much worse than the baseline still counts as no worse, such as psnr=0.5.",
            show_default=False,
            rich_help_panel=JUDGING,
            metavar="METRIC=AMOUNT",
        ),
    ] = None,
    worst: Annotated[
        int, typer.Option(help="Worst cases drawn of each codec.", min=0, rich_help_panel=JUDGING)
    ] = 1,
    seed: Annotated[
        int, typer.Option(help="Of the resampling behind intervals.", rich_help_panel=JUDGING)
    ] = 0,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            help="Local weights of a codec.",
            show_default=False,
            rich_help_panel=o.CODEC,
            metavar="CODEC=FILE",
        ),
    ] = None,
    random_weights: Annotated[
        bool,
        typer.Option(
            "--random-weights",
            rich_help_panel=o.CODEC,
            help="Draw the weights that are not at hand, to prove the path; said wherever "
            "their numbers are.",
        ),
    ] = False,
    weights_dir: Annotated[
        Path | None,
        typer.Option(
            help="Where the networks of LPIPS lie.", show_default=False, rich_help_panel=JUDGING
        ),
    ] = None,
    device: o.Device = "auto",
    overwrite: o.Overwrite = False,
    resume: o.Resume = False,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Judge what codecs keep of images, case by case, and write a report.

    Example: plica evaluate reconstruction images/ -c bicubic-4x-2d compact-4x3-2d -o report
    """  # fmt: skip
    manner = Manner(as_json, quiet)
    chosen = read_protocol(protocol)
    names = name_contenders(codec, policies=True)
    selection = select(
        chosen,
        filter_cohort(read_cohort(cohort), where or ()),
        split=split,
        groups=group,
        limit=limit,
    )
    judging = Judging(
        protocol=chosen,
        selection=selection,
        contenders=load_contenders(
            names, weights=weights or (), device=device, random=random_weights
        ),
        metrics=tuple(metric or chosen.metrics),
        crop=_parse_crop(crop),
        data_range=data_range,
        weights_dir=weights_dir,
        device=choose_device(device),
        viewer=Viewer.open(
            chosen.set_metrics if distance is None else distance,
            out / RUN / SEEN,
            weights_dir=weights_dir,
            device=device,
        ),
    )
    first = _choose_baseline(judging, baseline)
    margins = _parse_margins(margin, judging.metrics, len(judging.contenders))
    journal = open_journal(out, judging.asked, overwrite=overwrite, resume=resume)
    left = judge_all(judging, journal, silent=manner.silent)
    results = journal.read(judging.order())
    _refuse_nothing(results)
    judged = Judged(
        results=results,
        codecs={one.name: describe_codec(one) for one in judging.contenders},
        setting=_describe(judging, cohort),
        record=_record(judging, cohort),
        baseline=first,
        margins=margins,
        published=chosen.published_means(),
        distances=judging.viewer.compare(results, seed=seed),
        pictures=draw_worst(judging, results, each=worst, silent=manner.silent),
        seed=seed,
    )
    page = publish(report_reconstruction(judged), out, overwrite=True)
    raise typer.Exit(_tell(judged, page, manner, left))


# -- options -------------------------------------------------------------------------------------


def _parse_crop(text: str | None) -> Crop | None:
    if text is None:
        return None
    try:
        x, y, z = (int(side) for side in text.split(","))
    except ValueError as error:
        raise SettingsError(f"--crop takes three sides such as 256,256,64, got '{text}'") from error
    if min(x, y, z) < 1:
        raise SettingsError(f"--crop takes sides of 1 voxel or more, but got '{text}'")
    return Crop((x, y, z))


def _choose_baseline(judging: Judging, name: str | None) -> str:
    names = [contender.name for contender in judging.contenders]
    if name is None:
        return names[0]
    if name not in names:
        raise SettingsError(f"--baseline {name} is not judged; those are: {', '.join(names)}")
    return name


def _parse_margins(
    pairs: list[str] | None, metrics: tuple[str, ...], contenders: int
) -> dict[str, float]:
    margins: dict[str, float] = {}
    if pairs and contenders < 2:
        raise SettingsError("--margin compares codecs with --baseline: name a second --codec")
    for pair in pairs or []:
        metric, _, amount = pair.partition("=")
        if metric not in metrics:
            raise SettingsError(
                f"--margin {pair}: {metric} is not measured; measured are {', '.join(metrics)}"
            )
        try:
            margins[metric] = float(amount)
        except ValueError as error:
            raise SettingsError(
                f"--margin takes METRIC=AMOUNT such as psnr=0.5, but got '{pair}'"
            ) from error
        if not 0 < margins[metric] < math.inf:
            raise SettingsError(f"--margin {pair}: a margin is an amount above 0")
    return margins


# -- what it stands on ---------------------------------------------------------------------------


def _describe(judging: Judging, cohort: Path) -> dict[str, str]:
    protocol, selection = judging.protocol, judging.selection
    setting = {
        "Protocol": f"{protocol.name}, version {protocol.version}: {protocol.title}",
        "Cohort": f"{name_cohort(cohort)}, {len(selection)} images selected"
        + (f" of the split '{selection.split}'" if selection.split else ""),
    }
    if selection.notes:
        setting["Sample"] = "; ".join(selection.notes)
    if judging.crop:
        setting["Crop"] = f"the middle {judging.crop.voxels} voxels of each image, where there are"
    setting |= {f"Codec {one.name}": say_codec(one) for one in judging.contenders}
    return {**setting, "Versions": say_versions(), "Machine": say_machine(judging.device)}


def _record(judging: Judging, cohort: Path) -> dict[str, Any]:
    return {
        "kind": "reconstruction",
        "protocol": {"name": judging.protocol.name, "version": judging.protocol.version},
        "cohort": {"name": name_cohort(cohort), "split": judging.selection.split,
                   "images": judging.asked.images, "notes": list(judging.selection.notes)},
        "crop": list(judging.crop.voxels) if judging.crop else None,
        "metrics": list(judging.metrics),
        "codecs": [record_codec(one) for one in judging.contenders],
        "environment": describe_environment(),
    }  # fmt: skip


# -- what is said --------------------------------------------------------------------------------


def _refuse_nothing(results: Results) -> None:
    if len(results.of()):
        return
    failures = results.failures.all
    why = f", such as {failures[0].facts.get('name')}: {failures[0].error}" if failures else ""
    raise InputError(
        f"no image could be judged, {len(failures)} failed{why}. Volumetric codecs judge volumes "
        "alone: were pictures given?"
    )


def _tell(judged: Judged, page: Path, manner: Manner, left: int) -> int:
    """The summaries on stdout, what failed on stderr; returns the exit code."""
    failures = judged.results.failures.all
    summaries = summarise_all(judged.results, seed=judged.seed)
    if manner.as_json:
        print_json({
            "report": str(page), "left": left, **judged.record,
            "summaries": [summary.to_json() for summary in summaries],
            "failed": [{"image": f.facts.get("name"), "codec": f.codec, "error": f.error}
                       for f in failures],
        })  # fmt: skip
        return EXIT_FAILED if failures else 0
    if not manner.quiet:
        for group in dict.fromkeys(summary.group for summary in summaries):
            table = tabulate(judged, summaries, group, intervals=False)
            print_table(table.title, table.columns, table.rows, caption=table.caption)
        if left:
            print_note(f"results that were there already: {left}")
        print_note(f"report written to {page}")
    for failure in failures[:MOST_TOLD]:
        print_error(f"{failure.facts.get('name')} · {failure.codec}: {failure.error}")
    if len(failures) > MOST_TOLD:
        print_error(f"and {len(failures) - MOST_TOLD} more, which the report lists")
    return EXIT_FAILED if failures else 0

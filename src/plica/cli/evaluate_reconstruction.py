"""plica evaluate reconstruction: what codecs keep of a cohort's images, as a report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from plica.cli import completing
from plica.cli import judging_options as j
from plica.cli import options as o
from plica.cli.console import EXIT_FAILED, print_error, print_json, print_note, print_table
from plica.cli.contenders import load_contenders, name_contenders
from plica.cli.familiar import say_familiar
from plica.cli.jobs import Existing, Manner
from plica.cli.judging import Judging, judge_all
from plica.cli.needing import need
from plica.cli.posing import select as filter_cohort
from plica.cli.resuming import open_journal, refuse_nothing, refuse_report
from plica.cli.standing import (
    describe_codec,
    name_cohort,
    record_codec,
    say_codec,
    say_machine,
    say_patients,
    say_versions,
)
from plica.cli.viewing import Viewer
from plica.cli.worst import draw_worst
from plica.codecs.device import choose_device
from plica.errors import SettingsError
from plica.evaluation.journal import Journal
from plica.evaluation.protocol import DEFAULT, read_protocol
from plica.evaluation.publish import RUN, publish
from plica.evaluation.reconstruction import (
    Judged,
    report_reconstruction,
    say_absent,
    summarise_all,
    tabulate,
)
from plica.evaluation.results import Results
from plica.evaluation.selection import select
from plica.evaluation.unsuited import Unsuited, find_unsuited
from plica.metrics.metric import METRICS
from plica.run import describe_environment
from plica.training.cohorts import read_cohort

MOST_TOLD = 5
SEEN = "seen"
"""Folder of a run in which features are kept."""


def reconstruction(
    cohort: j.Cohort,
    codec: j.Codecs,
    out: j.Report,
    protocol: Annotated[
        str,
        typer.Option(
            help="How images are drawn, cut and measured (`plica evaluate protocols`), or "
            "a .toml file.",
            rich_help_panel=j.JUDGING,
            autocompletion=completing.protocols,
        ),
    ] = DEFAULT,
    split: Annotated[str | None, j.split("the protocol's")] = None,
    group: j.Groups = None,
    where: j.Where = None,
    limit: j.Limit = None,
    crop: j.CropSides = j.WHOLE,
    metric: Annotated[
        list[str] | None, o.metrics("the protocol's", panel=j.JUDGING, among=completing.metrics)
    ] = None,
    distance: Annotated[
        list[str] | None,
        typer.Option(
            help="Also between the sets of sources and decoded images, such as fid-inception or "
            "fid-codec:compact-4x3-2d; instead of the protocol's.",
            show_default=False,
            rich_help_panel=j.JUDGING,
        ),
    ] = None,
    data_range: o.DataRange = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            help="Codec the others are compared with; the first one if left out.",
            show_default=False,
            autocompletion=completing.codecs,
            rich_help_panel=j.JUDGING,
        ),
    ] = None,
    margin: j.Margins = None,
    worst: j.Worst = 1,
    seed: Annotated[int, o.seed("the resampling behind intervals")] = 0,
    weights: j.WeightsOf = None,
    random_weights: o.RandomWeights = False,
    weights_dir: o.WeightsDir = None,
    device: o.Device = "auto",
    overwrite: o.Overwrite = False,
    resume: o.Resume = False,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Judge what codecs keep of images, case by case, and write a report.

    Example: plica evaluate reconstruction images/ -c bicubic-4x-2d compact-4x3-2d -o report
    """  # fmt: skip
    need("judging reconstructions", "scipy", "matplotlib")
    manner = Manner(as_json, quiet)
    Existing(overwrite, resume)  # refuses both
    refuse_report(out, overwrite=overwrite, resume=resume)
    chosen = read_protocol(protocol)
    names = name_contenders(codec, policies=True)
    for name in metric or ():
        METRICS[name]  # an unknown one is refused before any work
    selection = select(
        chosen,
        filter_cohort(read_cohort(cohort), where or ()),
        split=split,
        groups=group,
        limit=limit or None,
    )
    judging = Judging(
        protocol=chosen,
        selection=selection,
        contenders=load_contenders(
            names, weights=weights or (), device=device, random=random_weights
        ),
        metrics=tuple(metric or chosen.metrics),
        crop=j.parse_crop(crop),
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
    _refuse_alone(margin, judging)
    margins = j.parse_margins(margin, judging.metrics)
    journal = open_journal(out, judging.asked, overwrite=overwrite, resume=resume)
    left = judge_all(judging, journal, silent=manner.silent)
    results, unsuited = _read_results(judging, journal)
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
        familiar=_find_familiar(judging),
        unsuited=unsuited,
    )
    page = publish(report_reconstruction(judged), out, overwrite=True)
    _note_patients(cohort, manner)
    raise typer.Exit(_tell(judged, page, manner, left))


def _read_results(judging: Judging, journal: Journal) -> tuple[Results, tuple[Unsuited, ...]]:
    """What came of it, and which pictures codecs of volumes left out; some result there must be."""
    results = journal.read(judging.order())
    unsuited = find_unsuited(judging.order(), results)
    refuse_nothing(results, unsuited, journal)
    return results, unsuited


def _note_patients(cohort: Path, manner: Manner) -> None:
    said = say_patients(cohort)
    if said and not manner.silent:
        print_note(f"{name_cohort(cohort)}: {said}")


# -- options -------------------------------------------------------------------------------------


def _choose_baseline(judging: Judging, name: str | None) -> str:
    names = [contender.name for contender in judging.contenders]
    if name is None:
        return names[0]
    for contender in judging.contenders:
        if contender.is_called(name):
            return contender.name
    raise SettingsError(f"--baseline {name} is not judged; those are: {', '.join(names)}")


def _refuse_alone(margin: list[str] | None, judging: Judging) -> None:
    if margin and len(judging.contenders) < 2:
        raise SettingsError("--margin compares codecs with --baseline: name a second --codec")


# -- what it stands on ---------------------------------------------------------------------------


def _describe(judging: Judging, cohort: Path) -> dict[str, str]:
    protocol, selection = judging.protocol, judging.selection
    setting = {
        "Protocol": f"{protocol.name}, version {protocol.version}: {protocol.title}",
        "Cohort": f"{name_cohort(cohort)}, {len(selection)} images selected"
        + (f" of the split '{selection.split}'" if selection.split else ""),
    }
    if patients := say_patients(cohort):
        setting["Patients"] = patients
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
        "familiar": list(_find_familiar(judging)),
        "environment": describe_environment(),
    }  # fmt: skip


def _find_familiar(judging: Judging) -> tuple[str, ...]:
    cases = [one.case for one in judging.selection]
    return tuple(
        said for one in judging.contenders for said in say_familiar(one.name, one.codec.card, cases)
    )


# -- what is said --------------------------------------------------------------------------------


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
            "not_judged": [one.to_json() for one in judged.unsuited],
        })  # fmt: skip
        return EXIT_FAILED if failures else 0
    if not manner.quiet:
        for group in dict.fromkeys(summary.group for summary in summaries):
            table = tabulate(judged, summaries, group, intervals=False)
            print_table(table.title, table.columns, table.rows, caption=table.caption)
        for said in (*say_absent(judged), *judged.familiar):
            print_note(said)
        if left:
            print_note(f"results that were there already: {left}")
        print_note(f"report written to {page}")
    for failure in failures[:MOST_TOLD]:
        print_error(f"{failure.facts.get('name')} · {failure.codec}: {failure.error}")
    if len(failures) > MOST_TOLD:
        print_error(f"and {len(failures) - MOST_TOLD} more, which the report lists")
    return EXIT_FAILED if failures else 0

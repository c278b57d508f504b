"""plica evaluate faithfulness: what codecs do to tissues, lesions, edges, and what they invent."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Annotated, Any

import typer

from plica.cli import completing
from plica.cli import judging_options as j
from plica.cli import options as o
from plica.cli.console import EXIT_FAILED, print_error, print_json, print_note, print_table
from plica.cli.contenders import load_contenders, name_contenders
from plica.cli.distances import list_cases
from plica.cli.faithful import VERSION, Trial, judge_all
from plica.cli.jobs import Existing, Manner
from plica.cli.needing import need
from plica.cli.resuming import open_journal, refuse_nothing, refuse_report
from plica.cli.standing import name_cohort
from plica.errors import PlicaError, UnknownName
from plica.evaluation.controls import DENOISERS
from plica.evaluation.faithfulness_lesions import say_planted
from plica.evaluation.faithfulness_report import (
    HEADLINES,
    SPREAD,
    Judged,
    list_faintest,
    report_faithfulness,
    say_n,
    spread_over_patients,
    summarise,
    try_results,
)
from plica.evaluation.faithfulness_values import PEAK
from plica.evaluation.figures import panel
from plica.evaluation.lesions import TISSUES_HU
from plica.evaluation.publish import publish
from plica.evaluation.report import Figure
from plica.evaluation.results import Result, Results
from plica.evaluation.retention import Plan
from plica.evaluation.text import head_value
from plica.evaluation.unsuited import say_unsuited
from plica.run import describe_environment
from plica.training.cohorts import read_cohort

DEV_TEST = "dev-test"
MOST_SAID = 6


def faithfulness(
    cohort: j.Cohort,
    codec: j.Codecs,
    out: j.Report,
    control: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Denoisers that lose as much as each codec: {', '.join(DENOISERS)}.",
            show_default=False,
            autocompletion=completing.one_of(*DENOISERS),
            rich_help_panel=j.JUDGING,
        ),
    ] = None,
    split: Annotated[str | None, j.split("dev-test, where there is one,")] = None,
    where: j.Where = None,
    limit: j.Limit = None,
    crop: j.CropSides = "256,256,64",
    diameter: Annotated[
        list[float] | None,
        typer.Option(
            help="Diameters of lesions, in mm (pixels where an image knows none).",
            show_default=False,
            rich_help_panel=j.JUDGING,
        ),
    ] = None,
    contrast: Annotated[
        list[float] | None,
        typer.Option(
            help="Contrasts of lesions, in the images' unit.",
            show_default=False,
            rich_help_panel=j.JUDGING,
        ),
    ] = None,
    lesions_in: Annotated[
        str,
        typer.Option(
            help="What lesions are planted in, in CT: "
            + ", ".join(f"{name} ({a:g} … {b:g} HU)" for name, (a, b) in TISSUES_HU.items())
            + ".",
            autocompletion=completing.one_of(*TISSUES_HU),
            rich_help_panel=j.JUDGING,
        ),
    ] = "soft",
    worst: j.Worst = 1,
    seed: Annotated[int, o.seed("all that is drawn")] = 0,
    weights: j.WeightsOf = None,
    random_weights: o.RandomWeights = False,
    device: o.Device = "auto",
    overwrite: o.Overwrite = False,
    resume: o.Resume = False,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Judge what codecs do to tissues, lesions and edges, and what they invent.

    Example: plica evaluate faithfulness images/ -c bicubic-4x-2d compact-4x3-2d -o report
    """  # fmt: skip
    Existing(overwrite, resume)  # refuses both
    need("judging faithfulness", "scipy", "matplotlib", *(["skimage"] if control else []))
    controls, cut = _check_controls(control), j.parse_crop(crop)
    Plan(  # refuses what cannot be
        tuple(diameter or (1.0,)), tuple(contrast or (1.0,)), tissue=lesions_in
    )
    refuse_report(out, overwrite=overwrite, resume=resume)
    found = read_cohort(cohort)
    chosen = split or (DEV_TEST if DEV_TEST in found.splits else None)
    trial = Trial(
        cases=list_cases(found, split=chosen, where=where or (), limit=limit or None, seed=seed),
        contenders=load_contenders(
            name_contenders(codec, policies=True),
            weights=weights or (),
            device=device,
            random=random_weights,
        ),
        controls=controls,
        crop=cut,
        diameters=tuple(diameter or ()),
        contrasts=tuple(contrast or ()),
        seed=seed,
        lesions_in=lesions_in,
    )
    journal = open_journal(out, trial.asked, overwrite=overwrite, resume=resume)
    left = judge_all(trial, journal, silent=as_json or quiet)
    results = journal.read(trial.order())
    unsuited = trial.list_unsuited(results)
    refuse_nothing(results, unsuited, journal)
    judged = Judged(
        results=results,
        setting=_describe(trial, name_cohort(cohort), chosen),
        record={"environment": describe_environment(), "version": VERSION, "seed": seed},
        pictures=_draw_worst(trial, results, worst),
        unsuited=unsuited,
    )
    page = publish(report_faithfulness(judged), out, overwrite=True)
    _tell(judged, page, left, Manner(as_json, quiet))
    tests = try_results(results)
    if len(results.failures) or (tests.images and not tests.passed):
        raise typer.Exit(EXIT_FAILED)


# -- what is asked -------------------------------------------------------------------------------


def _check_controls(names: list[str] | None) -> tuple[str, ...]:
    if unknown := [name for name in names or () if name not in DENOISERS]:
        raise UnknownName(f"there is no control '{unknown[0]}'; there are: {', '.join(DENOISERS)}")
    return tuple(dict.fromkeys(names or ()))


def _describe(trial: Trial, cohort: str, split: str | None) -> dict[str, str]:
    found = describe_environment()
    patients = len({case.patient for case in trial.cases})
    return {
        "protocol": VERSION,
        "images": f"{cohort}{f', split {split}' if split else ''}: {len(trial.cases)} images of "
        f"{patients} patients",
        "volumes": f"the middle {trial.crop.voxels} voxels" if trial.crop else "whole",
        **{f"codec {one.name}": f"fingerprint {one.codec.fingerprint}" for one in trial.contenders},
        "lesions": f"planted in {trial.lesions_in} tissue in CT"
        if trial.lesions_in == "soft"
        else f"planted in {trial.lesions_in} in CT",
        "controls": ", ".join(trial.controls) or "none",
        "seed": str(trial.seed),
        "software": ", ".join(f"{name} {v}" for name, v in found["packages"].items()),
        "machine": f"{found['system']}, {found['machine']}, {found['processors']} processors",
    }


# -- what came of it -----------------------------------------------------------------------------


def _draw_worst(trial: Trial, results: Results, each: int) -> tuple[Figure, ...]:
    """Source, decoded and residual of the cases where most was invented, decoded once more."""
    figures = []
    for contender in trial.contenders:
        own = [r for r in results.of(codec=contender.name) if r.value(PEAK) is not None]
        own.sort(key=_peak, reverse=True)
        for place, result in enumerate(own[:each]):
            case = next(one for one in trial.cases if one.key == result.case)
            try:
                image = trial.open(case)
                decoded = contender.run(image)[1]
            except PlicaError:  # it could be read before: whoever removed it keeps the report
                continue
            figures.append(_draw(result, place, panel(image, decoded, title=_title(result))))
    return tuple(figures)


def _peak(result: Result) -> float:
    value = result.value(PEAK)
    return value.value if value is not None else 0.0


def _title(result: Result) -> str:
    return f"{result.facts.get('name', '')} · {result.codec}"


def _draw(result: Result, place: int, picture: Any) -> Figure:
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    value = result.value(PEAK)
    note = value.note if value is not None else ""
    return Figure(
        name=f"invention-{result.codec}-{place + 1}",
        caption=f"{_title(result)}: highest invention {_peak(result):.3g}, {note}. Source, "
        "decoded, residual.",
        alt=f"{_title(result)}: the source, the decoded image and their difference",
        png=buffer.getvalue(),
    )


def _tell(judged: Judged, page: Path, left: int, manner: Manner) -> None:
    results, tests = judged.results, try_results(judged.results)
    if manner.as_json:
        print_json(
            {
                "self_test": tests.to_json(),
                "summary": summarise(results),
                "failures": [{"case": list(r.case), "codec": r.codec, "error": r.error}
                             for r in results.failures],
                "not_judged": [one.to_json() for one in judged.unsuited],
                "left": left,
                "report": str(page),
            }
        )  # fmt: skip
        return
    _tell_failures(results.failures)
    if tests.images and not tests.passed:
        print_error(tests.say())
    if manner.quiet:
        return
    for group in results.groups:
        _print_group(results.of(group=group), group)
    for said in say_unsuited(judged.unsuited):
        print_note(said)
    if tests.passed or not tests.images:
        print_note(tests.say())
    if left:
        print_note(f"{left} results were there already")
    print_note(f"report written to {page}")


def _tell_failures(failures: Results) -> None:
    """Each reason once for an image, with the codecs it is true of."""
    said: dict[tuple[str, str], list[str]] = {}
    for result in failures:
        said.setdefault((result.facts.get("name", ""), result.error), []).append(result.codec)
    for (name, error), codecs in list(said.items())[:MOST_SAID]:
        under = codecs[0] if len(codecs) == 1 else f"{len(codecs)} codecs and controls"
        print_error(f"{name} under {under}: {error}")
    if len(said) > MOST_SAID:
        print_error(f"and {len(said) - MOST_SAID} more failed; see the report")


def _print_group(results: Results, group: str) -> None:
    """What codecs keep of lesions by size, then all that heads the report."""
    if not len(results):
        return
    caption = f"{say_n(results)}. {SPREAD}"
    for title, metrics, told in (
        (f"{group}: contrast kept by lesions", list_faintest(results), say_planted(results)),
        (group, HEADLINES, caption),
    ):
        there = [m for m in metrics if spread_over_patients(results, m) is not None]
        rows = [
            (codec, *(str(spread_over_patients(results.of(codec=codec), m) or "–") for m in there))
            for codec in results.codecs
        ]
        if there:
            heads = [head_value(results.describe(m)) for m in there]
            print_table(title, ("codec", *heads), rows, caption=told)

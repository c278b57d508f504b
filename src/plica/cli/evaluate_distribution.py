"""plica evaluate distribution: how far sets of images are from the real one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from plica.cli import completing
from plica.cli import judging_options as j
from plica.cli import options as o
from plica.cli.console import EXIT_FAILED, print_error, print_json, print_note, print_table
from plica.cli.contenders import Contender, load_contenders, name_contenders
from plica.cli.distances import (
    DIVERSITY,
    TOGETHER,
    Measuring,
    judge,
    list_cases,
    name_metrics,
    name_sets,
)
from plica.cli.gathering import Gatherer, Shelf
from plica.cli.jobs import Existing
from plica.cli.resuming import refuse_report
from plica.cli.standing import name_cohort, say_machine, say_versions
from plica.codecs.card import CodecCard
from plica.cohort import Case
from plica.errors import SettingsError
from plica.evaluation.distances import (
    COLUMNS,
    Found,
    build_report,
    list_cells,
    list_warnings,
)
from plica.evaluation.publish import RUN, publish
from plica.evaluation.text import say_origin
from plica.evaluation.unsuited import say_unsuited
from plica.metrics.distribution import DISTANCES, REPEATS
from plica.metrics.diversity import PAIRS
from plica.metrics.features import CELLS, CODEC, FEATURES, load_extractor
from plica.metrics.pictures import SLICES
from plica.run import describe_environment
from plica.training.cohorts import read_cohort

OFFLINE = "codec:compact-4x3-2d"
SETS, MEASURING = "Sets", "Measuring"
MOST_NOTES = 5


def distribution(
    cohort: Annotated[
        Path,
        typer.Argument(
            help="The real images: a folder, a table or a BIDS tree.", show_default=False
        ),
    ],
    other: Annotated[
        list[Path] | None,
        typer.Option(
            help="Cohorts to compare with them, such as generated images.",
            show_default=False,
            rich_help_panel=SETS,
        ),
    ] = None,
    codec: j.SomeCodecs = None,
    split: Annotated[str | None, j.split("all of it")] = None,
    where: j.Where = None,
    limit: j.Limit = None,
    features: Annotated[
        list[str] | None,
        typer.Option(
            help=f"What images are seen through: {', '.join(FEATURES)}, or {CODEC}NAME for any "
            f"codec. {OFFLINE} if left out, whose weights are inside plica.",
            show_default=False,
            autocompletion=completing.features,
            rich_help_panel=MEASURING,
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        o.metrics(
            "fid, kid, precision, recall, density, coverage and diversity",
            panel=MEASURING,
            among=completing.one_of(*DISTANCES, *TOGETHER, DIVERSITY),
        ),
    ] = None,
    slices: Annotated[
        int,
        typer.Option(
            help="Axial slices of each volume that networks for pictures see.",
            min=1,
            rich_help_panel=MEASURING,
        ),
    ] = SLICES,
    cells: Annotated[
        int,
        typer.Option(
            help="Codecs' latents are pooled in so many cells along each axis.",
            min=1,
            rich_help_panel=MEASURING,
        ),
    ] = CELLS,
    pairs: Annotated[
        int, typer.Option(help="Pairs of images, for diversity.", min=1, rich_help_panel=MEASURING)
    ] = PAIRS,
    repeats: Annotated[
        int,
        typer.Option(
            help="Splits of the real images behind a floor; 0 leaves it out.",
            min=0,
            rich_help_panel=MEASURING,
        ),
    ] = REPEATS,
    seed: Annotated[int, o.seed("pairs, splits, groups and --limit")] = 0,
    weights_dir: o.WeightsDir = None,
    weights: j.WeightsOf = None,
    random_weights: o.RandomWeights = False,
    device: o.Device = "auto",
    out: j.SomeReport = None,
    overwrite: o.Overwrite = False,
    resume: o.Resume = False,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Compare sets of images: FID, KID, precision and recall, diversity, each with its floor.

    Example: plica evaluate distribution images/ --codec compact-4x3-2d bicubic-4x-2d -o report
    """  # fmt: skip
    begun = time.perf_counter()
    Existing(overwrite, resume)  # refuses both
    measuring = Measuring(name_metrics(metric or ()), seed, repeats, pairs)
    if not (other or codec):
        raise SettingsError(
            "there is nothing to compare the real images with: name other images with --other, or "
            "codecs that decode them with --codec"
        )
    refuse_report(out, overwrite=overwrite, resume=resume)
    real = list_cases(
        read_cohort(cohort), split=split, where=where or (), limit=limit or None, seed=seed
    )
    others = [
        (name, list_cases(read_cohort(path), limit=limit or None, seed=seed))
        for name, path in name_sets(other or ())
    ]
    contenders = load_contenders(
        name_contenders(codec, policies=True), weights=weights or (), device=device,
        random=random_weights,
    ) if codec else ()  # fmt: skip
    names = tuple(dict.fromkeys(features or (OFFLINE,))) if measuring.distances else ()
    extractors = [
        load_extractor(one, weights_dir=weights_dir, device=device, slices=slices, cells=cells)
        for one in names
    ]
    shelf = Shelf(None if out is None else out / RUN / "features")
    gatherer = Gatherer(extractors, DIVERSITY in measuring.metrics, shelf)
    first, *sets = gatherer.gather("the real images", real, contenders, silent=as_json or quiet)
    for name, cases in others:
        sets += gatherer.gather(name, cases, silent=as_json or quiet)
    judged, failures = judge(first, sets, extractors, measuring, silent=as_json or quiet)
    found = Found(
        judged=tuple(judged),
        failures=tuple(failures),
        notes=gatherer.refused,
        setting=describe(name_cohort(cohort), real, others, contenders, measuring, device),
        record={"environment": describe_environment(), "seed": seed},
        unsuited=gatherer.unsuited,
    )
    page = None if out is None else publish(build_report(found), out, overwrite=overwrite or resume)
    tell(found, page, time.perf_counter() - begun, as_json=as_json, quiet=quiet)
    if failures:
        raise typer.Exit(EXIT_FAILED)


def describe(
    cohort: str,
    real: Sequence[Case],
    others: Sequence[tuple[str, Sequence[Case]]],
    contenders: Sequence[Contender],
    measuring: Measuring,
    device: str,
) -> dict[str, str]:
    """What the numbers stand on."""
    return {
        "protocol": "distribution v1",
        "real images": f"{cohort}: {_count(real)}",
        **{f"set {name}": _count(cases) for name, cases in others},
        **{f"codec {one.name}": _describe_codec(one.codec.card, one.codec.fingerprint)
           for one in contenders},
        "measured": f"seed {measuring.seed}, floors of {measuring.repeats} splits, up to "
        f"{measuring.pairs} pairs",
        "versions": say_versions(),
        "machine": say_machine(device),
    }  # fmt: skip


def _describe_codec(card: CodecCard, fingerprint: str) -> str:
    trained = card.training_data or "images that its card does not name"
    return f"fingerprint {fingerprint}; trained on {trained}"


def _count(cases: Sequence[Case]) -> str:
    return say_origin(len(cases), len({case.patient for case in cases}))


def tell(found: Found, page: Path | None, seconds: float, *, as_json: bool, quiet: bool) -> None:
    """Print what was found: JSON, or a table for each kind of features; errors in any case."""
    if as_json:
        record: dict[str, Any] = {
            "distances": [one.to_json() for one in found.judged],
            "failures": list(found.failures),
            "notes": list(found.notes),
            "not_judged": [one.to_json() for one in found.unsuited],
            "setting": dict(found.setting),
            "seconds": round(seconds, 3),
        }
        print_json(record | ({} if page is None else {"report": str(page)}))
        return
    for line in found.failures:
        print_error(line)
    if quiet:
        return
    for features in dict.fromkeys(one.features for one in found.judged):
        own = [one for one in found.judged if one.features == features]
        print_table(
            f"{features}, {own[0].distance.dims} numbers of each image",
            COLUMNS,
            [list_cells(one) for one in own],
            caption="floor: between halves of the real images, median (middle 95 %, N of a half); "
            "N: rows (patients)",
        )
    for line in list_warnings(found.judged):
        print_note(line)
    for line in say_unsuited(found.unsuited):
        print_note(line)
    for line in found.notes[:MOST_NOTES]:
        print_note(line)
    if len(found.notes) > MOST_NOTES:
        print_note(f"and {len(found.notes) - MOST_NOTES} more were left out; see the report")
    if page is not None:
        print_note(f"report written to {page}")

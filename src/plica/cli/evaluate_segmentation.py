"""plica evaluate segmentation: networks trained on images, on reconstructions, and on both."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plica.augmentation.folds import draw_folds
from plica.augmentation.views import MIXED, RAW, View, parse_views
from plica.cli import completing
from plica.cli import judging_options as j
from plica.cli import options as o
from plica.cli.choosing import AUTO, choose
from plica.cli.console import print_json, print_note, print_table, progress
from plica.cli.needing import need
from plica.cli.reading import refuse_missing
from plica.cli.remaking import reconstruct_by
from plica.cli.standing import name_cohort
from plica.errors import SettingsError
from plica.evaluation.publish import publish, refuse_folder
from plica.evaluation.results import Result, Results
from plica.evaluation.segmentation_report import Judged, compare_arms, report_segmentation
from plica.formats.units import parse_unit
from plica.metrics.overlap import measure_labels
from plica.run import describe_environment

if TYPE_CHECKING:
    from plica.augmentation.segmenting import Slice
    from plica.image import Image

TRAINING = "Training"
METRICS = ("dice", "nsd")
MOST_CROP = 192
RULE_LIMIT = (
    "Labels were computed from the unchanged values by a rule of thresholds, not drawn. A network "
    "that sees unchanged values can find those thresholds, so that training on them is favoured; "
    "drawn labels could fall the other way."
)
SIZE_LIMIT = (
    "A U-Net of 0.2 million weights, trained for seconds on slices of few patients, is a "
    "demonstration of the method. It says nothing of nnU-Net's 3d_fullres on hundreds of volumes: "
    "see docs/augmentation.md for that protocol."
)
ABSENT_LIMIT = (
    "Labels are judged where the reference has them: what a network draws of a label that a slice "
    "does not have is not counted."
)


def segmentation(
    source: Annotated[
        Path,
        typer.Argument(
            help="Labelled images as for `plica augment`; with --rule any cohort of CT.",
            show_default=False,
        ),
    ],
    out: j.Report,
    tolerance: Annotated[
        float,
        typer.Option(
            help="How far apart, in mm, surfaces may be and count as one (NSD).",
            show_default=False,
            min=0.0,
            rich_help_panel=j.JUDGING,
        ),
    ],
    rule: Annotated[
        str | None,
        typer.Option(
            help="Labels computed from the images: air-and-dense.",
            show_default=False,
            autocompletion=completing.one_of("air-and-dense"),
            rich_help_panel=j.JUDGING,
        ),
    ] = None,
    where: j.Where = None,
    slices: Annotated[
        int,
        typer.Option(
            help="At most so many axial slices of each volume.", min=1, rich_help_panel=j.JUDGING
        ),
    ] = 4,
    unit: o.UnitName = None,
    view: Annotated[list[str] | None, j.views("raw, reconstructed and mixed")] = None,
    strength: j.Strengths = None,
    folds: Annotated[int, typer.Option(help="Folds, by patient.", rich_help_panel=TRAINING)] = 3,
    seeds: Annotated[
        int, typer.Option(help="Networks of each fold and view.", min=1, rich_help_panel=TRAINING)
    ] = 2,
    steps: Annotated[
        int,
        typer.Option(help="Steps of training of each network.", min=1, rich_help_panel=TRAINING),
    ] = 150,
    codec: o.CodecName = AUTO,
    device: o.Device = AUTO,
    weights: o.Weights = None,
    settings: o.Settings = None,
    windows: o.Windows = None,
    shifts: o.Shifts = 1,
    overwrite: o.Overwrite = False,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Train small U-Nets on images, on reconstructions and on both, and compare them in pairs.

    Example: plica evaluate segmentation cts/ --rule air-and-dense --tolerance 2 -c taef2 -o report
    """
    begun = time.perf_counter()
    silent = as_json or quiet
    arms = _name_arms(view or (), strength or ())
    need("judging segmentations", "scipy", "matplotlib")
    refuse_missing(source)
    refuse_folder(out, overwrite=overwrite)
    chooser = choose(codec, weights, device, settings, {}, {}, quiet=silent)
    # Here, since it needs torch: `plica --help` should not wait for it.
    from plica.augmentation.segmenting import Training
    from plica.cli.slicing import Asked, find_cuts, show

    reconstruct, maker = reconstruct_by(chooser, windows, shifts)
    asked = Asked(source, rule, tuple(where or ()), slices, parse_unit(unit))
    cuts, labels, left = find_cuts(asked)
    parts = draw_folds((one.key[0] for one in cuts if one.trainable), folds)
    views = sorted({v for views in arms.values() for v in views}, key=lambda v: v.strength)
    with progress(quiet=silent, lines=True) as bar:
        task = bar.add_task("reconstructing", total=len(cuts))
        shown = []
        for one in cuts:
            shown.append(show(one, reconstruct, views))
            bar.advance(task)
    side = max(max(one.labels.shape) for one in shown)
    training = Training(
        classes=max(labels.values()) + 1, steps=steps, crop=min(MOST_CROP, -(-side // 16) * 16)
    )
    results = Results(
        tuple(_judge(shown, arms, parts, training, labels, tolerance, seeds, silent=silent))
    )
    setting = _describe(asked, maker, training, parts, tolerance, seeds) | _count(shown)
    record = {"environment": describe_environment(), "maker": maker, "left_out": left,
              "arms": list(arms), "folds": [sorted(part) for part in parts]}  # fmt: skip
    limits = (*((RULE_LIMIT,) if rule else ()), SIZE_LIMIT, ABSENT_LIMIT)
    judged = Judged(results, RAW, setting, record, limits)
    page = publish(report_segmentation(judged), out, overwrite=overwrite)
    _tell(results, left, page, time.perf_counter() - begun, as_json=as_json, quiet=quiet)


def _name_arms(names: Sequence[str], strengths: Sequence[float]) -> dict[str, tuple[View, ...]]:
    """Each arm and the views it is trained on; raw comes first."""
    names = names or ([] if strengths else [RAW, "reconstructed", MIXED])
    arms = {RAW: parse_views([RAW])}
    for name in names:
        if name == "residual":
            continue
        arms[name] = parse_views([name])
    if "residual" in names or strengths:
        arms |= {one.name: (one,) for one in parse_views(["residual"], strengths)}
    if len(arms) < 2:
        raise SettingsError("networks trained on raw alone are compared with nothing: add --view")
    return arms


def _judge(
    shown: Sequence[Slice],
    arms: Mapping[str, tuple[View, ...]],
    folds: Sequence[frozenset[str]],
    training: Any,
    labels: Mapping[str, int],
    tolerance: float,
    seeds: int,
    *,
    silent: bool,
) -> list[Result]:
    from plica.augmentation.segmenting import judge_arms
    from plica.image import Image, Unit

    trained = {arm: [view.name for view in views] for arm, views in arms.items()}
    truths = [Image(s.labels[None, :, :, None], s.grid, Unit.LABEL) for s in shown]
    each = len(arms) * len(folds)
    results = []
    with progress(quiet=silent, lines=True) as bar:
        task = bar.add_task("training", total=seeds * each)
        for seed in range(seeds):

            def tell(done: int, total: int, before: int = seed * each) -> None:
                bar.update(task, completed=before + done)

            drawn = judge_arms(
                shown, trained, folds, replace(training, seed=seed), judged_on=RAW, tell=tell
            )
            for (arm, place), found in drawn.items():
                values = _measure(truths[place], found, labels, tolerance)
                facts = {"trainable": shown[place].trainable}
                if values:
                    results.append(Result(shown[place].key, arm, "", values, facts, draw=seed))
    return results


def _measure(
    truth: Image, found: Image, labels: Mapping[str, int], tolerance: float
) -> tuple[Any, ...]:
    there = {name: value for name, value in labels.items() if (truth.pixels == value).any()}
    if not there:
        return ()
    measured = measure_labels(
        truth, found, tolerance_mm=tolerance, labels=list(there.values()), metrics=METRICS
    )
    return tuple(
        replace(value, metric=f"{value.metric} of {name}")
        for name, one in zip(there, measured, strict=True)
        for value in one.values
    )


# -- what it stands on -----------------------------------------------------------------------------


def _describe(
    asked: Any,
    maker: Mapping[str, Any],
    training: Any,
    folds: Sequence[frozenset[str]],
    tolerance: float,
    seeds: int,
) -> dict[str, str]:
    policy = maker.get("policy", {})
    return {
        "cohort": name_cohort(asked.source),
        "cases": "; ".join(asked.where) or "all",
        "labels": f"rule {asked.rule}" if asked.rule else "as drawn",
        "codec": f"{maker['codec']}, {maker['fingerprint'][:23]}",
        "windows and shifts": f"{', '.join(policy.get('windows', ())) or 'own'}; "
        f"{policy.get('shifts', 1)}",
        "network": "MONAI U-Net, 2D, widths 8 to 128, one residual unit, batch norm",
        "training": f"{training.steps} steps of {training.batch} crops of {training.crop}², Adam "
        f"{training.rate:g} falling to 0, Dice and cross-entropy; equal for all views",
        "folds": f"{len(folds)} by patient; patients of other splits than train are only judged, "
        "by all folds' networks together",
        "seeds": str(seeds),
        "judged on": "the images themselves, whole slices",
        "NSD tolerance": f"{tolerance:g} mm",
    }


def _count(shown: Sequence[Slice]) -> dict[str, str]:
    trained = {one.patient for one in shown if one.trainable}
    others = {one.patient for one in shown if not one.trainable}
    return {
        "patients": f"{len(trained)} trained on and held out in turn, {len(others)} only judged; "
        f"{len(shown)} slices"
    }


def _tell(
    results: Results, left: Sequence[str], page: Path, seconds: float, *, as_json: bool, quiet: bool
) -> None:
    differences = compare_arms(results, RAW)
    if as_json:
        print_json(
            {"differences": [one.to_json() for one in differences], "left_out": list(left),
             "seconds": seconds, "report": str(page)}
        )  # fmt: skip
        return
    if quiet:
        return
    for sentence in left:
        print_note(f"left out: {sentence}")
    rows = [
        (one.like.metric, one.arm, f"{one.estimate.value:+.4f}", one.estimate.interval,
         str(one.estimate.patients), f"{one.better}/{one.worse}",
         f"{one.adjusted:.3g}" if one.adjusted == one.adjusted else "–", one.verdict)
        for one in differences
    ]  # fmt: skip
    print_table(
        "Trained on other views, less trained on the images",
        ("metric", "trained on", "difference", "95 % CI", "patients", "higher/lower", "p Holm",
         "verdict"),
        rows,
        caption="Judged on the images. Patients are what is counted; Wilcoxon's signed-rank test.",
    )  # fmt: skip
    print_note(f"report written to {page}, after {seconds:.0f} s")

"""Against one: every codec of a run compared with a baseline, case by case and over patients."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from plica.errors import InputError
from plica.evaluation.charts import Difference, difference_chart
from plica.evaluation.equivalence import FEWEST_PATIENTS, Margin, hold_to_margin
from plica.evaluation.estimates import LEVEL, Estimate, Numbers, summarise
from plica.evaluation.report import Figure, Section, Table
from plica.evaluation.results import Pairs, Results
from plica.evaluation.text import NOTHING, head, say_number
from plica.evaluation.wilcoxon import adjust_holm, signed_rank
from plica.metrics.metric import Better, Value

Verdict = Literal["better", "worse", "not beyond noise", "too few patients"]
DRAWN = ("psnr", "ms-ssim", "ssim", "lpips-alex", "lpips-vgg")


@dataclass(frozen=True)
class Paired:
    """One metric of one codec against the baseline's, on the same images.

    Args:
        group: The kind of image.
        codec: Compared with the baseline.
        baseline: Its name.
        like: A value of the metric, for its unit and direction; of magnitudes where nearer zero is
            better.
        difference: Codec less baseline.
        d_z: Mean over standard deviation of the patients' differences; NaN below two patients.
        share_better: Of the images on which the codec is better.
        p: Of Wilcoxon's signed-rank test over patients; NaN where it says nothing.
        adjusted: The same after Holm's correction over the codecs and groups of the metric.
        margin: The difference against the margin that was asked for; None where there was none, or
            too few patients.
        left_out: Images without a finite number on both sides.
    """

    group: str
    codec: str
    baseline: str
    like: Value
    difference: Estimate
    d_z: float
    share_better: float
    p: float
    adjusted: float = math.nan
    margin: Margin | None = None
    left_out: int = 0

    @property
    def verdict(self) -> Verdict:
        """What may be said of it."""
        if math.isnan(self.adjusted):
            return "too few patients"
        if self.adjusted >= 1 - LEVEL:
            return "not beyond noise"
        up = self.difference.value > 0
        return "better" if up == (self.like.better == "higher") else "worse"

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready record."""
        return {
            **{name: value for name, value in vars(self).items() if name != "like"},
            "metric": self.like.metric,
            "difference": self.difference.to_json(),
            "verdict": self.verdict,
            "margin": None if self.margin is None else self.margin.to_json(),
        }


def compare_with(
    results: Results, baseline: str, *, margins: Mapping[str, float], seed: int = 0
) -> tuple[Paired, ...]:
    """Every codec against the baseline, in each group, by each metric.

    Holm's correction is over the codecs and groups of a metric: each metric asks its own question.

    A codec that was not judged on the same images as the baseline is left out there.

    Raises:
        MissingExtra: scipy is not installed.
    """
    kept = results.shared(results.codecs)
    found = list(_compare(kept, baseline, margins, seed))
    for metric in results.metrics:
        family = [n for n, one in enumerate(found) if one.like.metric == metric]
        adjusted = adjust_holm([found[n].p for n in family])
        for n, p in zip(family, adjusted, strict=True):
            found[n] = replace(found[n], adjusted=p)
    return tuple(found)


def _compare(
    results: Results, baseline: str, margins: Mapping[str, float], seed: int
) -> Iterator[Paired]:
    for group in results.groups:
        for codec in results.codecs:
            for metric in results.metrics:
                if codec == baseline:
                    continue
                try:
                    pairs = results.pair(metric, baseline, codec, group=group)
                except InputError:  # a codec of volumes has no pairs among pictures
                    continue
                one = _pair(pairs, (group, codec, baseline), margins.get(metric), seed)
                if one is not None:
                    yield one


def _pair(
    pairs: Pairs, names: tuple[str, str, str], margin: float | None, seed: int
) -> Paired | None:
    """The comparison; None where no image has a finite number on both sides."""
    first, second = pairs.first, pairs.second
    if pairs.like.better == "nearer zero":
        first, second = np.abs(first), np.abs(second)
    known = np.isfinite(first) & np.isfinite(second)
    if not known.any():
        return None
    differences = second[known] - first[known]
    patients = tuple(np.array(pairs.patients, dtype=np.str_)[known].tolist())
    spread = summarise(
        differences, patients, unit=pairs.like.unit, better=pairs.like.better, seed=seed
    )
    group, codec, baseline = names
    good = differences > 0 if pairs.like.better == "higher" else differences < 0
    return Paired(
        group=group, codec=codec, baseline=baseline, like=pairs.like, difference=spread,
        d_z=_effect(differences, patients), share_better=float(good.mean()),
        p=signed_rank(differences, patients), left_out=int((~known).sum()),
        margin=_hold(differences, patients, margin, pairs.like),
    )  # fmt: skip


def _hold(
    differences: Numbers, patients: tuple[str, ...], margin: float | None, like: Value
) -> Margin | None:
    """The difference against a margin, where there is one and patients enough."""
    if margin is None or len(set(patients)) < FEWEST_PATIENTS:
        return None
    better: Better = "higher" if like.better == "higher" else "lower"
    return hold_to_margin(differences, patients, margin, better=better, unit=like.unit)


def _effect(differences: Numbers, patients: tuple[str, ...]) -> float:
    """Cohen's d for pairs, of the patients' mean differences (Cohen 1988)."""
    _, place = np.unique(np.array(patients, dtype=np.str_), return_inverse=True)
    means = np.bincount(place, weights=differences) / np.bincount(place)
    spread = float(means.std(ddof=1)) if means.size > 1 else 0.0
    return float(means.mean() / spread) if spread > 0 else math.nan


# -- in a report -----------------------------------------------------------------------------------


def show_comparisons(found: tuple[Paired, ...], baseline: str) -> Section | None:
    """The comparisons as a section; None where there is nothing to compare."""
    if not found:
        return None
    groups = dict.fromkeys(one.group for one in found)
    return Section(
        f"Against {baseline}",
        ("Differences are taken image by image; intervals and tests are over patients (BCa "
         "bootstrap; Wilcoxon's signed-rank test of each patient's mean, corrected by Holm over "
         "the codecs and groups of a metric). d_z is the mean difference over its spread between "
         "patients.",
         *_say_margins(found)),
        tables=tuple(_tabulate([one for one in found if one.group == group]) for group in groups),
        figures=tuple(_draw(found, metric) for metric in DRAWN if _of(found, metric)),
    )  # fmt: skip


def _of(found: tuple[Paired, ...], metric: str) -> list[Paired]:
    return [one for one in found if one.like.metric == metric]


def _tabulate(found: list[Paired]) -> Table:
    return Table(
        title=found[0].group or "All images",
        columns=("codec", "metric", "difference", "verdict", "p (Holm)", "better on", "d_z"),
        rows=tuple(
            (
                one.codec,
                head(_name(one), one.difference.unit, one.like.better),
                f"{say_signed(one.difference.value)} ({one.difference.interval})",
                one.verdict,
                NOTHING if math.isnan(one.adjusted) else f"{one.adjusted:.2g}",
                f"{100 * one.share_better:.0f} %",
                say_number(one.d_z, 3),
            )
            for one in found
        ),
    )


def _name(one: Paired) -> str:
    return f"|{one.like.metric}|" if one.like.better == "nearer zero" else one.like.metric


def say_signed(value: float) -> str:
    """A difference, with its sign."""
    return f"+{say_number(value)}" if value > 0 else say_number(value)


def _say_margins(found: tuple[Paired, ...]) -> Iterator[str]:
    """What a margin lets one claim of each codec, and of how many patients."""
    for one in found:
        if one.margin is not None:
            where = f" on {one.group}" if one.group else ""
            yield f"{one.codec} against {one.baseline}{where}, {_name(one)}: {one.margin}."


def _draw(found: tuple[Paired, ...], metric: str) -> Figure:
    shown = _of(found, metric)
    return difference_chart(
        [
            Difference(
                label=one.codec, estimate=one.difference.value, low=one.difference.low,
                high=one.difference.high, group=one.group,
                found=one.verdict in {"better", "worse"},
            )
            for one in shown
        ],
        f"difference of {head(metric, shown[0].difference.unit, shown[0].like.better)}",
        better=shown[0].like.better,
        margin=next((one.margin.margin for one in shown if one.margin is not None), None),
        name=f"difference-{metric}",
    )  # fmt: skip

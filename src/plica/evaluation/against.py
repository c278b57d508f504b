"""Against one: every codec of a run compared with a baseline, case by case and over patients."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from plica.cohort import Key
from plica.evaluation.bootstrap import FEWEST_PATIENTS
from plica.evaluation.charts import Difference, difference_chart
from plica.evaluation.equivalence import Margin, adjust_margins, hold_to_margin
from plica.evaluation.estimates import LEVEL, Estimate, Numbers, summarise
from plica.evaluation.report import Figure, Section, Table
from plica.evaluation.results import Pairs, Results
from plica.evaluation.text import NOTHING, head, say_count, say_number
from plica.evaluation.unsuited import Unsuited
from plica.evaluation.wilcoxon import (
    LEAST_PATIENTS,
    adjust_holm,
    are_same,
    cohen_d_z,
    least_p,
    rank_biserial,
    signed_rank,
)
from plica.metrics.metric import Better, Value

Verdict = Literal["better", "worse", "not beyond noise", "the same", "too few patients"]
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
        rank_biserial: Share of rank that speaks for more, less the share for less, −1 to 1.
        share_better: Of the images on which the codec is better.
        p: Of Wilcoxon's signed-rank test over patients; NaN where it says nothing.
        adjusted: The same after Holm's correction over the codecs and groups of the metric.
        asked: The margin that was asked for; None where there was none.
        margin: The difference against it, Holm-corrected as `adjusted` is; None where there was
            none, or too few patients.
        left_out: Images without a finite number on both sides, or one of another kind than most
            have (see `kinds`), or on which one of the two failed.
        same: Whether the two have the same numbers on every image, to six digits: no patient
            differs, and no test is asked.
        tests: How many tests of the metric were corrected for.
    """

    group: str
    codec: str
    baseline: str
    like: Value
    difference: Estimate
    d_z: float
    rank_biserial: float
    share_better: float
    p: float
    adjusted: float = math.nan
    asked: float | None = None
    margin: Margin | None = None
    left_out: int = 0
    same: bool = False
    tests: int = 1

    @property
    def verdict(self) -> Verdict:
        """What may be said of it."""
        if self.same:
            return "the same"
        if math.isnan(self.adjusted):
            return "too few patients"
        if self.adjusted >= 1 - LEVEL:
            # no difference of so few, however large, would be beyond noise
            deaf = self.tests * least_p(self.difference.patients) >= 1 - LEVEL
            return "too few patients" if deaf else "not beyond noise"
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
    results: Results,
    baseline: str,
    *,
    margins: Mapping[str, float],
    unsuited: Iterable[Unsuited] = (),
    seed: int = 0,
) -> tuple[Paired, ...]:
    """Every codec against the baseline, in each group, by each metric.

    Holm's correction is over the codecs and groups of a metric: each metric asks its own question.

    A case on which one of the two failed, or was not tried since it folds volumes alone, is left
    out for both, and counted. Groups in which a codec was never tried are passed over.

    Args:
        results: Case by case.
        baseline: Whom the others are compared with.
        margins: How much worse still counts as no worse, by metric.
        unsuited: The pictures that codecs of volumes were not tried on.
        seed: Of the resampling behind intervals.

    Raises:
        InputError: A codec lacks a case that the baseline has, or has one more, and neither a
            failure nor a picture is recorded there.
        MissingExtra: scipy is not installed.

    Examples:
        >>> found = compare_with(results, "bicubic-4x-2d", margins={"psnr": 0.5})
        >>> found[0].codec, found[0].verdict
        ('linear-4x3-2d', 'better')
    """
    apart = {one.codec: frozenset(one.cases) for one in unsuited}
    found = list(_compare(results, baseline, margins, apart, seed))
    for metric in results.metrics:
        family = [n for n, one in enumerate(found) if one.like.metric == metric]
        adjusted = adjust_holm([found[n].p for n in family])
        tests = sum(not math.isnan(p) for p in adjusted)
        for n, p in zip(family, adjusted, strict=True):
            found[n] = replace(found[n], adjusted=p, tests=tests)
        for n, margin in zip(
            family, adjust_margins([found[n].margin for n in family]), strict=True
        ):
            found[n] = replace(found[n], margin=margin)
    return tuple(found)


def _compare(
    results: Results,
    baseline: str,
    margins: Mapping[str, float],
    apart: Mapping[str, frozenset[Key]],
    seed: int,
) -> Iterator[Paired]:
    tried = {(result.group, result.codec) for result in results}
    for group in results.groups:
        own = results.of(group=group)
        likes = {m: own.find_commonest(m) or results.describe(m) for m in results.metrics}
        for codec in results.codecs:
            names = (group, codec, baseline)
            if codec == baseline or not {(group, codec), (group, baseline)} <= tried:
                continue
            lone = apart.get(codec, frozenset()) | apart.get(baseline, frozenset())
            both = results.shared((codec, baseline), without=lone)
            failed = _count_left_out(results, names, lone)
            for metric, like in likes.items():
                pairs = _join(both, metric, names, like)
                if pairs.cases or failed:
                    yield _pair(pairs, names, margins.get(metric), seed, failed)


def _count_left_out(results: Results, names: tuple[str, str, str], lone: frozenset[Key]) -> int:
    """Cases and draws of a group on which one of the two codecs failed or was not tried."""
    group, *codecs = names
    own = (r for r in results if r.group == group and r.codec in codecs)
    return len({(r.case, r.draw) for r in own if r.error or r.case in lone})


def _join(both: Results, metric: str, names: tuple[str, str, str], like: Value) -> Pairs:
    """The pairs; none where each image of the group failed under one of the two."""
    group, codec, baseline = names
    if not both.of(codec=codec, group=group).all and not both.of(codec=baseline, group=group).all:
        nothing = np.empty(0)
        return Pairs(metric, like, nothing, nothing, ())
    return both.pair(metric, baseline, codec, group=group, like=like)


def _pair(
    pairs: Pairs, names: tuple[str, str, str], asked: float | None, seed: int, failed: int
) -> Paired:
    """The comparison; without numbers where no image has a finite one on both sides."""
    first, second = pairs.first, pairs.second
    if pairs.like.better == "nearer zero":
        first, second = np.abs(first), np.abs(second)
    known = np.isfinite(first) & np.isfinite(second)
    differences = second[known] - first[known]
    patients = tuple(np.array(pairs.patients, dtype=np.str_)[known].tolist())
    group, codec, baseline = names
    good = differences > 0 if pairs.like.better == "higher" else differences < 0
    some, same = bool(known.any()), are_same(first, second)
    return Paired(
        group=group, codec=codec, baseline=baseline, like=pairs.like,
        difference=_spread(differences, patients, pairs.like, seed),
        d_z=cohen_d_z(differences, patients) if some else math.nan,
        rank_biserial=rank_biserial(differences, patients) if some else math.nan,
        share_better=float(good.mean()) if some else math.nan,
        p=signed_rank(differences, patients) if some and not same else math.nan,
        left_out=int((~known).sum()) + failed, asked=asked,
        margin=_hold(differences, patients, asked, pairs.like), same=same,
    )  # fmt: skip


def _spread(differences: Numbers, patients: tuple[str, ...], like: Value, seed: int) -> Estimate:
    if not differences.size:
        return Estimate(
            math.nan, math.nan, math.nan, 0, 0, like.unit, like.better, note="there is no pair"
        )
    return summarise(differences, patients, unit=like.unit, better=like.better, seed=seed)


def _hold(
    differences: Numbers, patients: tuple[str, ...], margin: float | None, like: Value
) -> Margin | None:
    """The difference against a margin, where there is one and patients enough."""
    if margin is None or len(set(patients)) < FEWEST_PATIENTS:
        return None
    better: Better = "higher" if like.better == "higher" else "lower"
    return hold_to_margin(differences, patients, margin, better=better, unit=like.unit)


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
         f"the codecs and groups of a metric; it needs {LEAST_PATIENTS} patients that differ, and "
         "one more each time the number of codecs and groups doubles: with fewer it cannot tell, "
         "whatever they show). d_z is the mean difference over its spread between patients; r the "
         "rank-biserial correlation, the share of rank for more less that for less (Kerby 2014). "
         "Left out: images on which one of the two failed or has no finite number, images whose "
         "number is of another kind than most (another unit, or MS-SSIM over another number of "
         "scales), as in the table of means, and pictures where one folds volumes.",
         *_say_margins(found)),
        tables=tuple(_tabulate([one for one in found if one.group == group]) for group in groups),
        figures=tuple(_draw(found, metric) for metric in DRAWN if _is_known(found, metric)),
    )  # fmt: skip


def _is_known(found: tuple[Paired, ...], metric: str) -> bool:
    return any(one.difference.n for one in _of(found, metric))


def _of(found: tuple[Paired, ...], metric: str) -> list[Paired]:
    return [one for one in found if one.like.metric == metric]


def _tabulate(found: list[Paired]) -> Table:
    return Table(
        title=found[0].group or "All images",
        columns=(
            "codec", "metric", "difference", "verdict", "p (Holm)", "better on", "d_z", "r",
            "left out",
        ),
        rows=tuple(
            (
                one.codec,
                head(_name(one), one.difference.unit, one.like.better),
                _say_difference(one),
                one.verdict,
                NOTHING if math.isnan(one.adjusted) else f"{one.adjusted:.2g}",
                NOTHING if math.isnan(one.share_better) else f"{100 * one.share_better:.0f} %",
                say_number(one.d_z, 3),
                say_number(one.rank_biserial, 3),
                str(one.left_out),
            )
            for one in found
        ),
    )  # fmt: skip


def _say_difference(one: Paired) -> str:
    if not one.difference.n:
        return NOTHING
    known = f" ({one.difference.interval})" if one.difference.known else ""
    return f"{say_signed(one.difference.value)}{known}"


def _name(one: Paired) -> str:
    return f"|{one.like.metric}|" if one.like.better == "nearer zero" else one.like.metric


def say_signed(value: float) -> str:
    """A difference, with its sign."""
    return f"+{say_number(value)}" if value > 0 else say_number(value)


def _say_margins(found: tuple[Paired, ...]) -> Iterator[str]:
    """What a margin lets one claim of each codec, and of how many patients."""
    asked = [one for one in found if one.asked is not None]
    answered = [one for one in asked if one.margin is not None]
    for one in answered:
        where = f" on {one.group}" if one.group else ""
        yield f"{one.codec} against {one.baseline}{where}, {_name(one)}: {one.margin}."
    if few := [one for one in asked if one.margin is None]:
        yield _say_untested(few)
    if answered:
        yield (
            "p of a margin is corrected by Holm over the codecs and groups of a metric, as the "
            "tests are; its interval is of one statement alone."
        )


def _say_untested(few: list[Paired]) -> str:
    """Margins that so few patients cannot answer, in one sentence."""
    margins = dict.fromkeys(
        f"{say_number(one.asked)}{unit} of {_name(one)}"
        for one in few
        for unit in ("" if one.like.unit == "1" else f" {one.like.unit}",)
    )
    groups = dict.fromkeys(one.group for one in few if one.group)
    where = f" on {', '.join(groups)}" if groups else ""
    codecs = ", ".join(dict.fromkeys(one.codec for one in few))
    most = max(one.difference.patients for one in few)
    least = min(one.difference.patients for one in few)
    people = say_count(most, "patient") if most == least else f"{least} to {most} patients"
    return (
        f"Whether {codecs} keep within {', '.join(margins)} of {few[0].baseline}{where} cannot be "
        f"tested with {people}: it needs {FEWEST_PATIENTS} at the least."
    )


def _draw(found: tuple[Paired, ...], metric: str) -> Figure:
    shown = _of(found, metric)
    return difference_chart(
        [
            Difference(
                label=one.codec, estimate=one.difference.value, low=one.difference.low,
                high=one.difference.high, group=one.group,
                found=one.verdict in {"better", "worse"}, enough=one.verdict != "too few patients",
            )
            for one in shown
        ],
        f"difference of {head(metric, shown[0].difference.unit, shown[0].like.better)}",
        better=shown[0].like.better,
        margin=next((one.asked for one in shown if one.asked is not None), None),
        name=f"difference-{metric}",
    )  # fmt: skip

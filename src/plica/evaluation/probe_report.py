"""The report of a probing: tables and prose, from predictions and what came of judging them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from plica.evaluation.bootstrap import FEWEST_PATIENTS
from plica.evaluation.ceiling import Ceiling, show_ceiling
from plica.evaluation.charts import Difference, difference_chart
from plica.evaluation.predictions import Predictions
from plica.evaluation.probing import DRAWS, LEVEL, Estimate, Judged, count_fewest, judge
from plica.evaluation.rates import list_rates, tabulate_rates
from plica.evaluation.report import Figure, Report, Section, Table
from plica.evaluation.results import Result, Results
from plica.evaluation.text import NOTHING, say_count, say_origin
from plica.metrics.metric import Value

METRIC = "true-class-probability"
_DEFINITION = "What the probe gives for the class the case is of."
_FEW = 30  # patients, below which a report says so


@dataclass(frozen=True, eq=False)
class Probed:
    """What a report of probes is made of.

    Args:
        title: Of the report.
        predictions: One for each codec and seed, on the same cases.
        baseline: What the others are compared with.
        shown: Shape (channel, *space) the probe was given, by codec.
        counts: Images and patients by part ("training", "test") and class.
        setting: What it stands on, in words by name.
        record: The same for machines.
        notes: What a reader must know besides, a sentence each.
        margin: How much less AUROC still counts as none; None asks nothing.
        ceiling: The probes against what codecs keep, where that was asked.
        published: What a paper reports, AUROC in percent by codec or row.
    """

    title: str
    predictions: tuple[Predictions, ...]
    baseline: str
    shown: Mapping[str, tuple[int, ...]]
    counts: Mapping[str, Mapping[str, tuple[int, int]]]
    setting: Mapping[str, str]
    record: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    margin: float | None = None
    ceiling: Ceiling | None = None
    published: Mapping[str, float] = field(default_factory=dict)


def build_report(probed: Probed, *, judged: Sequence[Judged] | None = None) -> Report:
    """The report.

    Args:
        judged: What `judge` gave, where it was asked before.

    Raises:
        InputError: The predictions are not of the same cases.
    """
    found = judged or judge(probed.predictions, baseline=probed.baseline, margin=probed.margin)
    rates = list_rates(probed.predictions, baseline=probed.baseline)
    first = probed.predictions[0]
    return Report(
        title=probed.title,
        summary=(
            summarise(found, first), *say_margins(found, probed), *probed.notes,
            *_warn(found, first),
        ),
        sections=(
            _section_of_auroc(found, probed),
            *((_section_of_paper(found, probed),) if probed.published else ()),
            Section("Rates", tables=(tabulate_rates(rates, first.classes),)),
            *((show_ceiling(probed.ceiling),) if probed.ceiling else ()),
            *((_section_of_classes(found, first),) if len(first.classes) > 2 else ()),
            _section_of_images(probed),
        ),
        record={
            **probed.record,
            "baseline": probed.baseline,
            "classes": list(first.classes),
            "cases": len(first.cases),
            "patients": len(set(first.patients)),
            "counts": {
                part: {name: list(both) for name, both in inside.items()}
                for part, inside in probed.counts.items()
            },
            "margin": probed.margin,
            "rates": [rate.to_json() for rate in rates],
            "ceiling": None if probed.ceiling is None else probed.ceiling.to_json(),
            "published": dict(probed.published),
            "codecs": [
                {**each.to_json(), "shown": list(probed.shown[each.codec])} for each in found
            ],
        },
        setting=probed.setting,
        results=list_results(probed.predictions),
    )  # fmt: skip


def list_results(predictions: Sequence[Predictions]) -> Results:
    """Case by case: what each probe gave for the true class; seeds are draws."""
    return Results(
        tuple(
            Result(
                case=case,
                codec=each.codec,
                group=each.classes[int(label)],
                values=(Value(METRIC, float(scores[label]), "1", "higher", None, _DEFINITION),),
                facts={"fold": int(fold), "scores": scores.tolist()},
                draw=each.seed,
            )
            for each in predictions
            for case, label, scores, fold in zip(
                each.cases, each.labels, each.scores, each.parts, strict=True
            )
        )
    )  # fmt: skip


def summarise(judged: Sequence[Judged], first: Predictions) -> str:
    """One paragraph: the baseline, which codecs fall behind it beyond chance, and by how much."""
    whole, *others = judged
    where = say_origin(len(first.cases), len(set(first.patients)), "test image")
    begun = (
        f"A probe that sees {whole.codec} tells {_list(first.classes)} apart with an AUROC of "
        f"{spell(whole.auroc)} ({where})."
    )
    if not others:
        return begun
    behind = [one for one in others if one.difference is not None and one.difference.high < 0]
    told = f"Of {len(others)} others" if len(others) > 1 else "The other"
    if all(one.difference is None or math.isnan(one.difference.low) for one in others):
        return f"{begun} Whether others read less by more than chance cannot be told."
    if not behind:
        return f"{begun} {told}, none reads less by more than chance."
    named = ", ".join(f"{one.codec} ({one.retained:.1%} kept)" for one in behind)
    return f"{begun} {told}, {len(behind)} read less by more than chance: {named}."


def say_margins(judged: Sequence[Judged], probed: Probed) -> Iterator[str]:
    """What the margin lets one claim of each codec; it is always answered."""
    if probed.margin is None:
        return
    fewest = count_fewest(probed.predictions[0])
    at = f"{probed.margin:g} of AUROC"
    for one in judged[1:]:
        yield f"{one.codec} against {judged[0].codec}: {_say_margin(one, at, fewest)}."
    if (tested := sum(one.margin is not None for one in judged)) > 1:
        yield (
            f"The p of these {tested} statements are corrected by Holm; their intervals "
            "are of one each."
        )


def _say_margin(one: Judged, at: str, fewest: int) -> str:
    held = one.margin
    if held is None and fewest < FEWEST_PATIENTS:
        return (
            f"the margin of {at} cannot be tested with {say_count(fewest, 'patient')} of the "
            f"rarest class: it needs {FEWEST_PATIENTS} at the least"
        )
    if held is None:
        return f"the margin of {at} cannot be tested, since no draw of the patients differs"
    seen = (
        f"{held.difference:+.3f} ({100 * (1 - 2 * held.alpha):g} % CI {held.low:+.3f} to "
        f"{held.high:+.3f}), p = {held.holm_no_worse:.2g}; {held.patients} patients of the rarest "
        f"class show a difference of {held.least:.3f} with a power of 80 %"
    ).replace("-", "−")
    if held.no_worse:
        both = ", and equivalent within it" if held.equivalent else ""
        return (
            f"non-inferior at margin {at}{both}, that is, diagnostically lossless at margin "
            f"{held.margin:g} for this task, this probe and these patients: {seen}"
        )
    return f"not shown to be non-inferior at margin {at}: {seen}"


def _section_of_paper(judged: Sequence[Judged], probed: Probed) -> Section:
    """Ours and the paper's, in percent as it prints them; rows that were not run have none."""
    ours = {one.codec: one for one in judged}
    names = dict.fromkeys((*ours, *probed.published))
    rows = tuple(
        (
            name,
            f"{100 * ours[name].auroc.value:.1f}" if name in ours else NOTHING,
            f"{100 * ours[name].deviation:.1f}"
            if name in ours and math.isfinite(ours[name].deviation)
            else NOTHING,
            f"{probed.published[name]:.1f}" if name in probed.published else NOTHING,
        )
        for name in names
    )
    return Section(
        "Beside the paper",
        ("The paper's values are of its own images; they can be compared with these only where "
         "the cohort is the paper's, and the probe's weights are.",),
        tables=(Table("AUROC ↑ (%)", ("shown", "here", "SD of seeds", "in the paper"), rows),),
    )  # fmt: skip


def spell(estimate: Estimate) -> str:
    """0.873 (0.81 to 0.92)."""
    if math.isnan(estimate.low):
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def spell_change(judged: Judged) -> str:
    """−0.031 (−0.060 to −0.002)."""
    change = judged.difference
    if change is None:
        return "baseline"
    ends = "" if math.isnan(change.low) else f" ({change.low:+.3f} to {change.high:+.3f})"
    return f"{change.value:+.3f}{ends}".replace("-", "−")


def _spell_p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _section_of_auroc(judged: Sequence[Judged], probed: Probed) -> Section:
    rows = tuple(
        (
            one.codec,
            " × ".join(map(str, probed.shown[one.codec])),
            spell(one.auroc),
            "–" if math.isnan(one.deviation) else f"{one.deviation:.3f}",
            spell_change(one),
            "–" if math.isnan(one.p) else _spell_p(one.p),
            "–" if math.isnan(one.adjusted) else _spell_p(one.adjusted),
            f"{one.retained:.1%}",
            "–" if math.isnan(one.retained_skill) else f"{one.retained_skill:.1%}",
        )
        for one in judged
    )
    seeds = len(judged[0].seeds)
    macro = "macro, each class against the rest" if len(judged[0].by_class) > 1 else "two classes"
    table = Table(
        title="What probes read",
        columns=(
            "shown", "shape", f"AUROC ↑ ({LEVEL:.0%} interval)", "SD of seeds",
            "against the baseline", "p", "p (Holm)", "kept", "kept above chance",
        ),
        rows=rows,
        caption=(
            f"AUROC: {macro}; mean over {seeds} seed{'s' if seeds > 1 else ''} of the probe. "
            f"Intervals: whole patients drawn again (BCa of {DRAWS} draws, widened for as few as "
            "the rarest class has), the same ones for codec and baseline, seeds held; p after "
            "DeLong for clustered cases, and corrected by "
            "Holm for the number of codecs. Kept: AUROC as a share of the baseline's; above "
            "chance: the same of AUROC − ½, since a coin reaches ½."
        ),
    )  # fmt: skip
    return Section(title="Classification", tables=(table,), figures=_draw(judged, probed.margin))


def _draw(judged: Sequence[Judged], margin: float | None) -> tuple[Figure, ...]:
    differences = [
        Difference(
            one.codec, one.difference.value, one.difference.low, one.difference.high,
            found=one.difference.low > 0 or one.difference.high < 0,
        )
        for one in judged
        if one.difference is not None
    ]  # fmt: skip
    if not differences:
        return ()
    return (
        difference_chart(
            differences, f"AUROC less that of {judged[0].codec}", name="auroc", margin=margin
        ),
    )


def _section_of_classes(judged: Sequence[Judged], first: Predictions) -> Section:
    rows = tuple(
        (one.codec, *(f"{one.by_class[name]:.3f}" for name in first.classes)) for one in judged
    )
    return Section(
        title="Class by class",
        tables=(
            Table(
                title="AUROC ↑ of each class against the rest",
                columns=("shown", *first.classes),
                rows=rows,
                caption="Means over the seeds.",
            ),
        ),
    )


def _section_of_images(probed: Probed) -> Section:
    rows = tuple(
        (part, name, str(images), str(patients))
        for part, inside in probed.counts.items()
        for name, (images, patients) in inside.items()
    )
    table = Table(
        title="Images and patients",
        columns=("part", "class", "images", "patients"),
        rows=rows,
        caption="No patient stands in two parts. A patient with images of two classes counts in "
        "both.",
    )
    return Section(title="What it was learnt from and tested on", tables=(table,))


def count(classes: Sequence[str], labels: Sequence[int], patients: Sequence[str]
          ) -> dict[str, tuple[int, int]]:  # fmt: skip
    """Images and patients of each class."""
    owners = np.array(patients, dtype=object)
    numbers = np.array(labels, dtype=np.int64)
    return {
        name: (int((numbers == n).sum()), len(set(owners[numbers == n])))
        for n, name in enumerate(classes)
    }


def _warn(judged: Sequence[Judged], first: Predictions) -> tuple[str, ...]:
    warnings = _warn_of_few(first)
    if any(one.auroc.value in (0.0, 1.0) for one in judged):
        warnings += (
            "An AUROC of 1 has no interval: every draw of these patients is in order too, which "
            "says that the task is easy or the patients are few, and not that nobody errs.",
        )
    return warnings


def _warn_of_few(first: Predictions) -> tuple[str, ...]:
    patients = len(set(first.patients))
    held = count(first.classes, first.labels.tolist(), first.patients)
    fewest = min(held.values(), key=lambda both: both[1])[1]
    if fewest < FEWEST_PATIENTS:
        return (
            f"A class has {say_count(fewest, 'test patient')}: below {FEWEST_PATIENTS} no interval "
            "and no p can be given, and the numbers prove the path, not a codec.",
        )
    if patients < _FEW:
        return (
            f"{patients} test patients are few: intervals drawn from so few are wide, and "
            "differences of this size say little.",
        )
    return ()


def _list(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"

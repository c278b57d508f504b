"""Comparison report: what changed between two reports, for a person to read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from plica.evaluation.charts import Difference, difference_chart, explain_marks
from plica.evaluation.comparing import ALPHA, VERDICTS, Change, Comparison, say_signed
from plica.evaluation.report import Figure, Report, Section, Table
from plica.evaluation.text import NOTHING, head, head_value, say_number
from plica.evaluation.wilcoxon import LEAST_PATIENTS

COLUMNS = (
    "codec", "kind of image", "metric", "difference (95 % CI)", "verdict", "p (Holm)", "d_z", "r",
    "first", "second", "images", "patients",
)  # fmt: skip
METHOD = (
    "Cases are joined by patient, study and series, and by draw. The difference is second less "
    "first, image by image (of magnitudes where nearer zero is better); its interval is a BCa "
    "bootstrap over patients. p is of Wilcoxon's signed-rank test of the patients' mean "
    "differences, two-sided, after Holm's correction for every change in this comparison; d_z and "
    "r, the rank-biserial correlation, are effect sizes over patients. Beyond "
    f"noise means p < {ALPHA:.2g}. The test needs {LEAST_PATIENTS} patients that differ, and one "
    "more each time the number of changes doubles: with fewer it cannot tell, whatever they show."
)


def summarise_comparison(comparison: Comparison) -> str:
    """What came of it, in a sentence."""
    total = len(comparison.changes)
    worse, better, same, few = (
        len(comparison.having(verdict)) for verdict in ("worse", "better", "the same", "too few")
    )
    if same == total:
        return f"All {total} means are the same to six digits."
    if few == total:
        return (
            f"There are too few patients to tell whether any of {total} means changed beyond "
            "noise. More patients would tell, or fewer metrics."
        )
    said = f"Of {total} means, {worse} became worse and {better} became better beyond noise"
    said += f", {same} are the same to six digits" if same else ""
    return said + (f"; {few} are of too few patients to tell." if few else ".")


def report_comparison(comparison: Comparison) -> Report:
    """The comparison as a report.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    return Report(
        title=f"What changed from {comparison.first} to {comparison.second}",
        summary=(summarise_comparison(comparison),),
        sections=tuple(_sections(comparison)),
        record={
            "kind": "comparison",
            "first": comparison.first,
            "second": comparison.second,
            "changes": [change.to_json() for change in comparison.changes],
            "surroundings": [list(row) for row in comparison.surroundings],
            "notes": list(comparison.notes),
        },
        setting={"First report": comparison.first, "Second report": comparison.second},
    )


def tabulate_changes(changes: Sequence[Change]) -> Table:
    """All changes as a table."""
    return Table("Every mean, before and after", COLUMNS, tuple(map(_row, changes)), METHOD)


def _row(change: Change) -> tuple[str, ...]:
    d = change.difference
    interval = "" if math.isnan(d.low) else f" ({say_signed(d.low)} to {say_signed(d.high)})"
    return (
        change.codec,
        change.group or NOTHING,
        head_value(change.like),
        say_signed(d.value) + interval,
        VERDICTS[change.verdict],
        NOTHING if math.isnan(change.adjusted) else f"{change.adjusted:.2g}",
        say_number(change.d_z, 3),
        say_number(change.rank_biserial, 3),
        say_number(change.first),
        say_number(change.second),
        str(d.n),
        str(d.patients),
    )


def _sections(comparison: Comparison) -> Iterator[Section]:
    found = comparison.having("worse", "better")
    yield Section(
        "Beyond noise",
        tuple(f"{change}." for change in found) or ("Nothing.",),
        figures=tuple(_draw(comparison.changes)),
    )
    yield Section("Every change", tables=(tabulate_changes(comparison.changes),))
    yield Section(
        "What else differs",
        ("A change of a number may come from any of these.",)
        if comparison.surroundings
        else ("Nothing: versions, weights and machine are said alike.",),
        tables=(
            (Table("Surroundings", ("what", "first", "second"), comparison.surroundings),)
            if comparison.surroundings
            else ()
        ),
    )
    if comparison.notes:
        yield Section("What was left out", comparison.notes)


def _draw(changes: Sequence[Change]) -> Iterator[Figure]:
    """A forest of differences for each metric that changed anywhere."""
    for metric in dict.fromkeys(change.like.metric for change in changes):
        own = [change for change in changes if change.like.metric == metric]
        if all(change.verdict == "the same" for change in own):
            continue
        like = own[0].like
        better = "lower" if like.better == "nearer zero" else like.better
        name = f"|{metric}|" if like.better == "nearer zero" else metric
        shown = [_difference(change) for change in own]
        yield difference_chart(
            shown,
            f"difference in {head(name, like.unit, better)[:-2]}",
            better=better,
            name=f"difference-{metric}",
            caption=f"{metric}: second less first, mean over images with 95 % interval over "
            f"patients. {explain_marks(shown)}",
        )


def _difference(change: Change) -> Difference:
    d = change.difference
    return Difference(
        change.codec, d.value, d.low, d.high, change.group,
        found=change.verdict in {"better", "worse"}, enough=change.verdict != "too few",
    )  # fmt: skip

"""Reconstruction: from results case by case to a report of what codecs keep of images."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from plica.cohort import Key
from plica.evaluation.against import Paired, compare_with, show_comparisons
from plica.evaluation.distances import HOW_TO_READ, tabulate_draws
from plica.evaluation.distances import Judged as Distance
from plica.evaluation.estimates import Estimate, summarise
from plica.evaluation.kinds import kind_of, say_left_out, say_unlike
from plica.evaluation.quality import (
    RATED,
    bits_per_pixel,
    draw_bands,
    draw_distributions,
    draw_rates,
    draw_spectra,
)
from plica.evaluation.report import Figure, Report, Section, Table
from plica.evaluation.results import Results
from plica.evaluation.text import (
    EVERYTHING,
    NOTHING,
    PER_CODE,
    head,
    head_value,
    say_count,
    say_number,
    say_origin,
)
from plica.evaluation.unsuited import Unsuited, say_unsuited, show_unsuited
from plica.metrics.metric import Value

EQUAL = "equal to the source, without a finite value,"
FEW = 10
"""Patients below which an interval says little."""


@dataclass(frozen=True)
class Judged:
    """What a reconstruction report is made of.

    Args:
        results: Case by case.
        codecs: What each codec's card says, in words by heading, by the name its results stand
            under.
        setting: What it all stands on, in words by name.
        record: The same for machines.
        baseline: The codec the others are compared with.
        margins: How much worse still counts as no worse, by metric, in its unit.
        published: Values a paper reports, by group, codec and metric.
        distances: Between the sources and what a codec made of them: group, draw and number.
        pictures: Worst cases, drawn.
        seed: Of the resampling behind intervals.
        familiar: Sentences: which codec was trained on some of these images, as its card says.
        unsuited: Pictures that codecs of volumes were not tried on.
    """

    results: Results
    codecs: Mapping[str, Mapping[str, str]]
    setting: Mapping[str, str]
    record: Mapping[str, Any]
    baseline: str
    margins: Mapping[str, float] = field(default_factory=dict)
    published: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)
    distances: tuple[tuple[str, int, Distance], ...] = ()
    pictures: tuple[Figure, ...] = ()
    seed: int = 0
    familiar: tuple[str, ...] = ()
    unsuited: tuple[Unsuited, ...] = ()


@dataclass(frozen=True)
class Summary:
    """One metric of one codec over one group.

    Args:
        group: The kind of image.
        codec: Whose results.
        like: A value of the metric, for its unit and direction.
        estimate: The mean over cases, with its interval over patients.
        draws: The mean of each draw, where the protocol draws several times.
    """

    group: str
    codec: str
    like: Value
    estimate: Estimate
    draws: tuple[float, ...] = ()

    @property
    def over_draws(self) -> tuple[float, float] | None:
        """Mean and standard deviation of the draws' means, as papers give them."""
        if len(self.draws) < 2:
            return None
        return float(np.mean(self.draws)), float(np.std(self.draws, ddof=1))

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready record."""
        return {
            "group": self.group,
            "codec": self.codec,
            "metric": self.like.metric,
            **self.estimate.to_json(),
            **({"draws": list(self.draws)} if self.draws else {}),
        }


def summarise_all(results: Results, *, seed: int = 0) -> tuple[Summary, ...]:
    """Every metric of every codec in every group, where it has values."""
    likes = {
        group: {metric: like for metric in results.metrics if (like := own.find_commonest(metric))}
        for group in results.groups
        for own in (results.of(group=group),)
    }
    return tuple(
        Summary(group, codec, like, estimate, average_draws(found, metric, like=like))
        for group in results.groups
        for codec in results.codecs
        for found in (results.of(codec=codec, group=group),)
        for metric, like in likes[group].items()
        if (estimate := _estimate(found, metric, like, seed)) is not None
    )


def _estimate(results: Results, metric: str, like: Value, seed: int) -> Estimate | None:
    """The mean over images, each once however often it was drawn.

    Infinite PSNRs of equal images have no mean, and unlike quantities none in common: those of
    the group's commonest kind are taken, and the note counts the rest.
    """
    found = [(r, v) for r in results if (v := r.value(metric)) is not None]
    finite = [(r, v) for r, v in found if math.isfinite(v.value)]
    alike = [(r, v) for r, v in finite if kind_of(v) == kind_of(like)]
    if not alike:
        return None
    cases: dict[Key, list[float]] = {}
    for result, value in alike:
        cases.setdefault(result.case, []).append(value.value)
    patient_of = {result.case: result.patient for result, _ in alike}
    estimate = summarise(
        np.array([np.mean(values) for values in cases.values()]),
        tuple(patient_of[case] for case in cases),
        unit=like.unit,
        better=like.better,
        seed=seed,
    )
    infinite = {r.case for r, _ in found} - {r.case for r, _ in finite}
    unlike = {r.case for r, _ in finite} - {r.case for r, _ in alike}
    left_out = (
        say_left_out(len(infinite), EQUAL) if infinite else "",
        say_unlike(len(unlike), like) if unlike else "",
    )
    return replace(estimate, note="; ".join(filter(None, (estimate.note, *left_out))))


def average_draws(results: Results, metric: str, *, like: Value | None = None) -> tuple[float, ...]:
    """The mean of each of a protocol's draws, where it has several: of the kind of `like`."""
    draws: dict[int, list[float]] = {}
    for result, number in zip(results, results.column(metric, like=like), strict=True):
        if math.isfinite(number):
            draws.setdefault(result.draw, []).append(float(number))
    return tuple(float(np.mean(values)) for values in draws.values()) if len(draws) > 1 else ()


def report_reconstruction(judged: Judged) -> Report:
    """The report: tables of means, comparisons, figures, worst cases.

    Raises:
        InputError: There is no result without an error.
        MissingExtra: scipy, statsmodels or matplotlib is not installed.
    """
    results = judged.results
    summaries = summarise_all(results, seed=judged.seed)
    comparisons = compare_with(
        results, judged.baseline, margins=judged.margins, unsuited=judged.unsuited, seed=judged.seed
    )
    return Report(
        title=_title(results),
        summary=(_say_what(judged), *say_absent(judged), *_say_best(summaries), *judged.familiar),
        sections=tuple(_sections(judged, summaries, comparisons)),
        record={
            **judged.record,
            "baseline": judged.baseline,
            "margins": dict(judged.margins),
            "not_judged": [one.to_json() for one in judged.unsuited],
            "summaries": [summary.to_json() for summary in summaries],
            "comparisons": [comparison.to_json() for comparison in comparisons],
            "distances": [
                {"group": group, "draw": draw, **distance.to_json()}
                for group, draw, distance in judged.distances
            ],
        },
        setting=judged.setting,
        results=results,
    )


# -- words -----------------------------------------------------------------------------------------


def _title(results: Results) -> str:
    n = len(results.codecs)
    return f"Reconstruction: {n} codec{'s' if n != 1 else ''} on {_count(results)}"


def _count(results: Results) -> str:
    cases = {result.case for result in results.of()}
    patients = len({case[0] for case in cases})
    return say_origin(len(cases), patients)


def _say_what(judged: Judged) -> str:
    failed = len(judged.results.failures)
    said = (
        "Each codec folded and unfolded each image; what came back is compared with the image it "
        "was made of, on the image's own grid and in its own unit. Intervals are over patients."
    )
    return said + (f" {failed} results are missing, and are listed below." if failed else "")


def say_absent(judged: Judged) -> tuple[str, ...]:
    """Who was not judged on what, being of another kind, and what cannot be compared for that."""
    said = say_unsuited(judged.unsuited)
    codecs = judged.results.codecs
    if judged.baseline in codecs or not (len(codecs) > 1 or judged.margins):
        return said
    return (
        *said,
        f"Nothing is compared with the baseline {judged.baseline}, which has no results: name "
        "another with --baseline.",
    )


def _say_best(summaries: tuple[Summary, ...]) -> tuple[str, ...]:
    """Who keeps most of each group, by the first metric."""
    if not summaries:
        return ()
    metric = summaries[0].like.metric
    said = []
    for group in _groups(summaries):
        of_group = (s for s in summaries if s.group == group and s.like.metric == metric)
        if ranked := sorted(of_group, key=_badness):
            best, rest = ranked[0], ", ".join(_say_beside(one, ranked[0]) for one in ranked[1:])
            then = f"; then {rest}" if rest else ""
            said.append(f"{group or EVERYTHING}, {metric}: {best.codec} {best.estimate}{then}.")
    return tuple(said)


def _say_beside(one: Summary, best: Summary) -> str:
    """A codec that is not the best, and on how many images where these are others."""
    n = one.estimate.n
    on = f" on {say_count(n, 'image')}" if n != best.estimate.n else ""
    return f"{one.codec} {say_number(one.estimate.value)}{on}"


def _badness(summary: Summary) -> float:
    value = summary.estimate.value
    better = summary.like.better
    return {"higher": -value, "lower": value, "nearer zero": abs(value)}[better]


# -- sections --------------------------------------------------------------------------------------


def _sections(
    judged: Judged, summaries: tuple[Summary, ...], comparisons: tuple[Paired, ...]
) -> Iterator[Section]:
    yield Section(
        "What is kept",
        tables=tuple(tabulate(judged, summaries, group) for group in _groups(summaries)),
        figures=draw_distributions(judged.results),
    )
    if against := show_comparisons(comparisons, judged.baseline):
        yield against
    if published := _tabulate_published(judged, summaries):
        yield Section(
            "Beside the paper",
            ("The paper's values are of its own images; they can be compared with these only where "
             "the cohort is the paper's.",),
            tables=published,
        )  # fmt: skip
    yield Section(
        "What it costs",
        ("Bits are those of the latent's file, header and all, over the image's pixel values. "
         "Seconds are of one run each while judging, not a benchmark.",),
        tables=(_tabulate_costs(judged),),
        figures=draw_rates(
            judged.results,
            {(one.group, one.codec): one.estimate for one in summaries if one.like.metric == RATED},
        ),
    )  # fmt: skip
    if spectra := (*draw_spectra(judged.results), *draw_bands(judged.results)):
        yield Section("Which detail is kept", figures=spectra)
    if judged.distances:
        yield Section("Between the sets", HOW_TO_READ, tables=tabulate_draws(judged.distances))
    if judged.pictures:
        yield Section(
            "Worst cases",
            ("For each codec, the images it stays furthest behind on, against what it does for "
             "images of the same kind.",),
            figures=judged.pictures,
        )  # fmt: skip
    yield from show_unsuited(judged.unsuited)


def _groups(summaries: tuple[Summary, ...]) -> tuple[str, ...]:
    """Those with a number; the others have failures, which are listed."""
    return tuple(dict.fromkeys(summary.group for summary in summaries))


def tabulate(
    judged: Judged, summaries: tuple[Summary, ...], group: str, *, intervals: bool = True
) -> Table:
    """Codecs by metrics, of one group: means, with their intervals where there is room."""
    metrics = judged.results.metrics
    found = {(s.codec, s.like.metric): s.estimate for s in summaries if s.group == group}
    codecs = [codec for codec in judged.results.codecs if any(c == codec for c, _ in found)]
    counts = [found[key] for key in found]
    n = say_origin(max(c.n for c in counts), max(c.patients for c in counts))
    sizes = {codec: judged.codecs.get(codec, {}).get(PER_CODE, NOTHING) for codec in codecs}
    return Table(
        title=f"{group or EVERYTHING} (n = {n})",
        columns=("codec", PER_CODE, *(_head(summaries, group, metric) for metric in metrics)),
        rows=tuple(
            (codec, sizes[codec], *(_say(found.get((codec, m)), intervals) for m in metrics))
            for codec in codecs
        ),
        caption=_say_mean(counts, intervals)
        + _say_fewer(found)
        + _say_unequal(sizes)
        + _say_notes(found),
    )


def _say_mean(counts: Sequence[Estimate], intervals: bool) -> str:
    """What the cells hold: intervals are spoken of where there are some."""
    if not intervals:
        return "Mean over images."
    if not any(count.known for count in counts):
        return "Mean over images; there are too few patients for intervals."
    return f"Mean over images with its 95 % interval over patients.{_warn(counts)}"


def _say_fewer(found: Mapping[tuple[str, str], Estimate]) -> str:
    """Whose means are over fewer images than others': they are not of the same images."""
    most: dict[str, int] = {}
    for (codec, _), estimate in found.items():
        most[codec] = max(most.get(codec, 0), estimate.n)
    n = max(most.values())
    fewer = [f"{codec} on {own}" for codec, own in most.items() if own < n]
    return f" Not on the same images: {', '.join(fewer)} of {n}." if fewer else ""


def _say_unequal(sizes: Mapping[str, str]) -> str:
    """Who keeps more numbers keeps more of an image: that is no merit."""
    if len({size for size in sizes.values() if size != NOTHING}) < 2:
        return ""
    return " These codecs keep unequally many numbers: compare those of equal voxels per code."


def _say_notes(found: Mapping[tuple[str, str], Estimate]) -> str:
    """What was left out of which mean; what holds of every codec alike is said once."""
    said: dict[tuple[str, str], list[str]] = {}
    for (codec, metric), estimate in found.items():
        if note := "; ".join(w for w in estimate.note.split("; ") if "left out" in w):
            said.setdefault((metric, note), []).append(codec)
    having = Counter(metric for _, metric in found)
    return "".join(
        f" {metric}: {note}." if len(codecs) == having[metric] > 1
        else f" {', '.join(codecs)}, {metric}: {note}."
        for (metric, note), codecs in said.items()
    )  # fmt: skip


def _warn(estimates: Sequence[Estimate]) -> str:
    """What so few patients can say."""
    fewest = min((estimate.patients for estimate in estimates), default=0)
    if fewest >= FEW:
        return ""
    few = "One patient is" if fewest == 1 else f"{fewest} patients are"
    return f" {few} few: such an interval is a guess at what others would show."


def _head(summaries: tuple[Summary, ...], group: str, metric: str) -> str:
    """A column's heading, in the unit its means are in."""
    for summary in summaries:
        if (summary.group, summary.like.metric) == (group, metric):
            return head(metric, summary.estimate.unit, summary.like.better)
    return metric


def _say(estimate: Estimate | None, intervals: bool) -> str:
    if estimate is None:
        return NOTHING
    if math.isnan(estimate.low) or not intervals:
        return say_number(estimate.value)
    return f"{say_number(estimate.value)} ({estimate.interval})"


def _tabulate_published(judged: Judged, summaries: tuple[Summary, ...]) -> tuple[Table, ...]:
    """Ours beside the paper's, where both have a number."""
    tables = []
    for group in judged.results.groups:
        rows = [
            (s.codec, head_value(s.like), _say_draws(s), say_number(theirs))
            for s in summaries
            if s.group == group
            and (theirs := judged.published.get(group, {}).get(s.codec, {}).get(s.like.metric))
            is not None
        ]
        if rows:
            columns = ("codec", "metric", "here", "the paper")
            drawn = max(len(s.draws) for s in summaries if s.group == group)
            caption = f"Here: mean ± SD of {drawn} draws." if drawn else "Here: mean over images."
            tables.append(Table(group or EVERYTHING, columns, tuple(rows), caption=caption))
    return tuple(tables)


def _say_draws(summary: Summary) -> str:
    if summary.over_draws is None:
        return say_number(summary.estimate.value)
    mean, spread = summary.over_draws
    return f"{say_number(mean)} ± {say_number(spread)}"


def _tabulate_costs(judged: Judged) -> Table:
    """What each codec's card says, and what it took."""
    facts = list(dict.fromkeys(name for card in judged.codecs.values() for name in card))
    rows = []
    for codec in judged.results.codecs:
        found = judged.results.of(codec=codec).all
        card = judged.codecs.get(codec, {})
        bits = [bits_per_pixel(result) for result in found]
        times = [
            (r.facts["encode_seconds"], r.facts["decode_seconds"], np.prod(r.facts["shape"]))
            for r in found
        ]
        encode, decode, voxels = np.sum(times, axis=0) if times else (math.nan,) * 3
        rows.append(
            (
                codec,
                *(card.get(name, NOTHING) for name in facts),
                say_number(float(np.mean(bits)) if bits else math.nan, 3),
                say_number(float(1e6 * encode / voxels), 3),
                say_number(float(1e6 * decode / voxels), 3),
            )
        )
    columns = (
        "codec",
        *facts,
        "bits per pixel",
        "encode (s per million)",
        "decode (s per million)",
    )
    return Table("Codecs", columns, tuple(rows))

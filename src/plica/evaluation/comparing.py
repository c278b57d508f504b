"""Comparing: two reports of one protocol, case by case: what changed beyond noise, and what not."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from plica.cohort import Key
from plica.errors import InputError
from plica.evaluation.estimates import LEVEL, Estimate, summarise
from plica.evaluation.kinds import find_commonest, is_unlike, number_of, say_unlike
from plica.evaluation.record import Recorded
from plica.evaluation.results import Result, Results
from plica.evaluation.text import name_case, say_number, say_origin
from plica.evaluation.wilcoxon import (
    adjust_holm,
    are_same,
    cohen_d_z,
    least_p,
    rank_biserial,
    signed_rank,
)
from plica.metrics.metric import Value

Verdict = Literal["better", "worse", "no change", "the same", "too few"]

POSED = ("kind", "protocol", "version", "crop")
"""What two records must say alike, or their numbers answer different questions."""

ALPHA = 1 - LEVEL
VERDICTS: dict[Verdict, str] = {
    "better": "better beyond noise",
    "worse": "worse beyond noise",
    "no change": "no change beyond noise",
    "the same": "the same to six digits",
    "too few": "too few patients to tell",
}


@dataclass(frozen=True)
class Change:
    """One metric of one codec on one kind of image, in two reports.

    Args:
        codec: Its name, or "a → b" where two codecs are compared.
        group: The kind of image.
        like: A value of the metric, for its unit and direction.
        first: Mean of the first report.
        second: Of the second.
        difference: Second less first, case by case; of magnitudes where nearer zero is better.
        p: Of Wilcoxon's signed-rank test over patients, two-sided; NaN where it says nothing.
        adjusted: The same after Holm's correction for all changes of the comparison.
        left_out: Cases without a finite number on both sides, or of another kind than most.
        d_z: Mean over standard deviation of the patients' differences; NaN below two.
        rank_biserial: Share of rank for more, less that for less.
    """

    codec: str
    group: str
    like: Value
    first: float
    second: float
    difference: Estimate
    p: float
    adjusted: float
    left_out: int
    verdict: Verdict
    d_z: float = math.nan
    rank_biserial: float = math.nan

    def __str__(self) -> str:
        unit = "" if self.like.unit == "1" else f" {self.like.unit}"
        metric = f"|{self.like.metric}|" if self.like.better == "nearer zero" else self.like.metric
        where = f" on {self.group}" if self.group else ""
        p = "" if math.isnan(self.adjusted) else f", p = {self.adjusted:.2g} after Holm"
        d = self.difference
        return (
            f"{metric} of {self.codec}{where}: {say_signed(d.value)}{unit} ({100 * d.level:g} % CI "
            f"{d.interval}, n = {say_origin(d.n, d.patients)}{p}): {VERDICTS[self.verdict]}"
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready record."""
        return {
            "codec": self.codec,
            "group": self.group,
            "metric": self.like.metric,
            "unit": self.like.unit,
            "better": self.like.better,
            "first": self.first,
            "second": self.second,
            "difference": self.difference.to_json(),
            "p": self.p,
            "p_holm": self.adjusted,
            "d_z": self.d_z,
            "rank_biserial": self.rank_biserial,
            "left_out": self.left_out,
            "verdict": self.verdict,
            "sentence": str(self),
        }


@dataclass(frozen=True)
class Comparison:
    """Two reports, compared.

    Args:
        first: Name of the first.
        second: Of the second.
        changes: One for each codec, group and metric that both have.
        surroundings: What else differs: what it is of, in the first, in the second.
        notes: What could not be compared and why.
    """

    first: str
    second: str
    changes: tuple[Change, ...]
    surroundings: tuple[tuple[str, str, str], ...]
    notes: tuple[str, ...]

    def having(self, *verdicts: Verdict) -> tuple[Change, ...]:
        """The changes of some verdicts."""
        return tuple(change for change in self.changes if change.verdict in verdicts)


def compare(
    first: Recorded,
    second: Recorded,
    *,
    codecs: tuple[str, str] | None = None,
    metrics: Sequence[str] | None = None,
    shared_only: bool = False,
    seed: int = 0,
) -> Comparison:
    """What changed from the first report to the second, codec by codec, group by group.

    Args:
        codecs: A codec of the first report and one of the second, to be compared with each other;
            None compares every codec with itself.
        metrics: Only these: the fewer are looked at, the less the correction takes. None: all.
        shared_only: Leave out images that one report lacks, instead of refusing.
        seed: Of the resampling behind intervals.

    Raises:
        InputError: They answer different questions (protocol, version, cases, groups, a metric's
            definition, unit or data range), or have nothing in common.
        MissingExtra: scipy is not installed.

    Examples:
        >>> from plica.evaluation.record import read_record
        >>> comparison = compare(read_record(Path("before")), read_record(Path("after")))
        >>> print(comparison.changes[0])
        psnr of bicubic-4x-2d on chest radiograph: ... no change beyond noise
    """
    if first.name == second.name:
        first = replace(first, name=f"{first.name} (first)")
        second = replace(second, name=f"{second.name} (second)")
    _refuse_other_questions(first, second)
    pairs, notes = _pair_codecs(first, second, codecs)
    found: list[Change] = []
    for one, other in pairs:
        joined, left = _join(
            _side(first, one), _side(second, other), (one, other), shared_only=shared_only
        )
        notes += left
        joined = [(_only(a, metrics), _only(b, metrics)) for a, b in joined]
        found += _compare_codec(joined, one if one == other else f"{one} → {other}", notes, seed)
    if not found:
        raise InputError(
            f"{first.name} and {second.name} have no metric in common"
            + (f" among {', '.join(metrics)}" if metrics else "")
            + f"; there are: {', '.join(first.results.metrics)}"
        )
    return Comparison(
        first=first.name,
        second=second.name,
        changes=_judge(found),
        surroundings=tuple(_surroundings(first, second)),
        notes=tuple(dict.fromkeys(notes)),
    )


# -- may they be compared --------------------------------------------------------------------------


def _refuse_other_questions(first: Recorded, second: Recorded) -> None:
    for what in POSED:
        one, other = first.record.get(what), second.record.get(what)
        if one != other:
            raise InputError(
                f"the reports differ in {what}: {_say(one)} in {first.name}, {_say(other)} in "
                f"{second.name}; evaluate both under one"
            )
    for report in (first, second):
        if not len(report.results):
            raise InputError(f"{report.name} has no results case by case: nothing to compare")


def _pair_codecs(
    first: Recorded, second: Recorded, codecs: tuple[str, str] | None
) -> tuple[list[tuple[str, str]], list[str]]:
    if codecs is not None:
        for name, report in zip(codecs, (first, second), strict=True):
            if name not in report.results.codecs:
                raise InputError(
                    f"{report.name} has no codec '{name}'; it has: "
                    f"{', '.join(report.results.codecs)}"
                )
        return [codecs], []
    both = [name for name in first.results.codecs if name in second.results.codecs]
    if not both:
        raise InputError(
            f"the reports have no codec in common: {', '.join(first.results.codecs)} against "
            f"{', '.join(second.results.codecs)}; name one of each with --first and --second"
        )
    notes = [
        f"{name} is in {report.name} alone."
        for report in (first, second)
        for name in report.results.codecs
        if name not in both
    ]
    return [(name, name) for name in both], notes


# -- case by case ----------------------------------------------------------------------------------

Where = tuple[Key, int]
Joined = list[tuple[Result, Result]]


def _side(report: Recorded, codec: str) -> dict[Where, Result]:
    return {(r.case, r.draw): r for r in report.results if r.codec == codec}


def _join(
    first: Mapping[Where, Result],
    second: Mapping[Where, Result],
    codecs: tuple[str, str],
    *,
    shared_only: bool,
) -> tuple[Joined, list[str]]:
    """Results of the same case and draw; failures are left out and counted."""
    alone = first.keys() ^ second.keys()
    said = codecs[0] if codecs[0] == codecs[1] else " and ".join(codecs)
    if alone and not shared_only:
        raise InputError(
            f"{said}: {len(alone)} cases are in one report only, such as "
            f"{name_case(min(alone)[0])}; evaluate both on one cohort, or compare what they share "
            "with --shared-only"
        )
    pairs = [(result, second[key]) for key, result in first.items() if key in second]
    moved = next(((a, b) for a, b in pairs if a.group != b.group), None)
    if moved is not None:
        raise InputError(
            f"{name_case(moved[0].case)} is of the group '{moved[0].group}' in one report and of "
            f"'{moved[1].group}' in the other: evaluate both with the same groups"
        )
    kept = [(a, b) for a, b in pairs if not a.error and not b.error]
    notes = [f"{said}: {len(alone)} cases are in one report only, left out."] if alone else []
    if failed := len(pairs) - len(kept):
        notes.append(f"{said}: {failed} cases failed in one of the reports, left out.")
    return kept, notes


def _only(result: Result, metrics: Sequence[str] | None) -> Result:
    """The result with some of its metrics alone."""
    if metrics is None:
        return result
    return replace(result, values=tuple(v for v in result.values if v.metric in metrics))


def _compare_codec(joined: Joined, codec: str, notes: list[str], seed: int) -> Iterator[Change]:
    names = [Results(tuple(pair[side] for pair in joined)).metrics for side in (0, 1)]
    for metric in dict.fromkeys((*names[0], *names[1])):
        if metric not in names[0] or metric not in names[1]:
            notes.append(f"{codec}: {metric} was asked for in one report only.")
            continue
        for group in dict.fromkeys(a.group for a, _ in joined):
            members = [(a, b) for a, b in joined if a.group == group]
            change = _change(members, metric, (codec, group), seed)
            if change is None:
                notes.append(f"{codec}: no case has a finite {metric} in both reports.")
            else:
                notes += _say_unlike(members, metric, change)
                yield change


def _say_unlike(members: Joined, metric: str, change: Change) -> Iterator[str]:
    """What was left out since its numbers are another quantity than most."""
    unlike = {
        both[0].case
        for both in members
        if any(is_unlike(one.value(metric), change.like) for one in both)
    }
    if unlike:
        where = f" on {change.group}" if change.group else ""
        yield f"{metric} of {change.codec}{where}: {say_unlike(len(unlike), change.like)}."


def _change(members: Joined, metric: str, where: tuple[str, str], seed: int) -> Change | None:
    """A metric of one codec in one group; None where no case has a finite number on both sides."""
    found = [(a, a.value(metric), b.value(metric)) for a, b in members]
    both = [(a, one, other) for a, one, other in found if one is not None and other is not None]
    for result, one, other in both:
        _refuse_unlike(one, other, result)
    like = find_commonest(value for _, one, other in both for value in (one, other))
    kept = [
        (a, x, y) for a, x, y in both
        if math.isfinite(number_of(x, like)) and math.isfinite(number_of(y, like))
    ]  # fmt: skip
    if not kept or like is None:
        return None
    patients = [a.patient for a, _, _ in kept]
    first, second = (
        np.array([entry.value for entry in side], dtype=np.float64)
        for side in ([x for _, x, _ in kept], [y for _, _, y in kept])
    )
    if like.better == "nearer zero":
        first, second = np.abs(first), np.abs(second)
    same = are_same(first, second)
    spread = summarise(second - first, patients, unit=like.unit, better=like.better, seed=seed)
    return Change(
        codec=where[0],
        group=where[1],
        like=like,
        first=float(first.mean()),
        second=float(second.mean()),
        difference=spread,
        p=math.nan if same else signed_rank(second - first, patients),
        adjusted=math.nan,
        left_out=len(members) - len(kept),
        verdict="the same" if same else "too few",
        d_z=cohen_d_z(second - first, patients),
        rank_biserial=rank_biserial(second - first, patients),
    )


def _refuse_unlike(one: Value, other: Value, result: Result) -> None:
    """Stop where one name stands for two quantities."""
    for what in ("unit", "better", "definition"):
        a, b = getattr(one, what), getattr(other, what)
        if a != b:
            raise InputError(
                f"{one.metric} has another {what} in each report: '{a}' and '{b}'; evaluate both "
                "with one version of plica"
            )
    a, b = one.data_range, other.data_range
    if (a is None) != (b is None) or not math.isclose(a or 0.0, b or 0.0, rel_tol=1e-9):
        raise InputError(
            f"{one.metric} of {name_case(result.case)} was computed with the data range {a} in one "
            f"report and {b} in the other: evaluate both with one"
        )


# -- verdicts --------------------------------------------------------------------------------------


def _judge(changes: Sequence[Change]) -> tuple[Change, ...]:
    """Correct for how many were looked at, and say what is beyond noise."""
    adjusted = adjust_holm([change.p for change in changes])
    tests = sum(not math.isnan(p) for p in adjusted)
    return tuple(_settle(change, p, tests) for change, p in zip(changes, adjusted, strict=True))


def _settle(change: Change, adjusted: float, tests: int) -> Change:
    if math.isnan(adjusted):
        return change
    verdict: Verdict = "no change"
    if adjusted < ALPHA:
        up = change.difference.value > 0
        verdict = "better" if up == (change.like.better == "higher") else "worse"
    elif tests * least_p(change.difference.patients) >= ALPHA:
        verdict = "too few"
    return replace(change, adjusted=adjusted, verdict=verdict)


# -- what else differs -----------------------------------------------------------------------------


def _surroundings(first: Recorded, second: Recorded) -> Iterator[tuple[str, str, str]]:
    for name in dict.fromkeys((*first.setting, *second.setting)):
        one, other = first.setting.get(name, ""), second.setting.get(name, "")
        if one != other:
            yield name, one, other
    spread = [_flatten(report.record.get("environment", {})) for report in (first, second)]
    for name in dict.fromkeys((*spread[0], *spread[1])):
        one, other = spread[0].get(name, ""), spread[1].get(name, "")
        if one != other:
            yield name, one, other


def _flatten(record: Any, name: str = "environment") -> dict[str, str]:
    if not isinstance(record, Mapping):
        return {name: _say(record)}
    return {
        key: value
        for part, inner in record.items()
        for key, value in _flatten(inner, f"{name}.{part}").items()
    }


def _say(thing: Any) -> str:
    if isinstance(thing, Mapping):
        return ", ".join(f"{key} {_say(value)}" for key, value in thing.items())
    return "nothing" if thing is None else str(thing)


def say_signed(value: float) -> str:
    """A difference, with its sign."""
    return f"+{say_number(value, 3)}" if value > 0 else say_number(value, 3)

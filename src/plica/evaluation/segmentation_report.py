"""Segmentation report: networks trained on views of the same patients, compared in pairs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from plica.errors import InputError
from plica.evaluation.estimates import Estimate, summarise
from plica.evaluation.report import Figure, Report, Section, Table
from plica.evaluation.results import Results
from plica.evaluation.text import head_value, say_number
from plica.evaluation.wilcoxon import adjust_holm, least_p, rank_biserial, signed_rank
from plica.metrics.metric import Value

ALPHA = 0.05
METHOD = (
    "Patients are what is counted: slices and seeds of one patient are averaged before the test. "
    "Intervals: BCa bootstrap of patients, 95 %. p: Wilcoxon's signed-rank test of patients, two-"
    "sided, corrected after Holm for all comparisons of the table."
)


NO_DIFFERENCE = "no difference beyond noise"
BETTER, WORSE = "better beyond noise", "worse beyond noise"


@dataclass(frozen=True)
class Judged:
    """What a report is made of.

    Args:
        results: One for each slice, arm and seed; the arm stands in the place of the codec.
        reference: The arm the others are compared with.
        setting: What it stands on, in words.
        record: What else is needed to repeat it.
        limits: What must be known before the numbers are believed, a paragraph each.
        pictures: Slices with what arms drew.
    """

    results: Results
    reference: str
    setting: Mapping[str, str]
    record: Mapping[str, Any]
    limits: tuple[str, ...] = ()
    pictures: tuple[Figure, ...] = ()


@dataclass(frozen=True)
class Difference:
    """One arm less the reference, in one metric.

    Args:
        arm: Its name.
        like: A value of the metric.
        estimate: Of the difference, over patients.
        p: Of the signed-rank test; NaN below six patients that differ.
        adjusted: After Holm's correction.
        rank_biserial: Share of rank for the arm, less that for the reference; of higher numbers.
        better: Patients whose mean the arm betters: raises, or lowers where less is better.
        worse: Patients whose mean it worsens.
    """

    arm: str
    like: Value
    estimate: Estimate
    p: float
    adjusted: float
    rank_biserial: float
    better: int
    worse: int

    @property
    def verdict(self) -> str:
        """What may be said of it."""
        if not self.better + self.worse:
            return "the same"
        if math.isnan(self.adjusted):
            return "too few patients to tell"
        if self.adjusted >= ALPHA:
            return NO_DIFFERENCE
        return BETTER if self.raises == (self.like.better == "higher") else WORSE

    @property
    def raises(self) -> bool:
        """Whether the arm's numbers are higher, which is not better of every metric."""
        return self.estimate.value > 0

    def __str__(self) -> str:
        p = "" if math.isnan(self.adjusted) else f", p = {self.adjusted:.2g} after Holm"
        e = self.estimate
        return (
            f"{self.like.metric}: {self.arm} {e.value:+.4f} (95 % CI {e.interval}, "
            f"n = {e.patients} patients{p}): {self.verdict}"
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready record."""
        return {
            "arm": self.arm,
            "metric": self.like.metric,
            "difference": self.estimate.to_json(),
            "p": self.p,
            "p_holm": self.adjusted,
            "rank_biserial": self.rank_biserial,
            "patients_better": self.better,
            "patients_worse": self.worse,
            "verdict": self.verdict,
        }


def compare_arms(results: Results, reference: str, *, seed: int = 0) -> tuple[Difference, ...]:
    """Every other arm less the reference, in every metric.

    Raises:
        InputError: There is no such arm, or arms were not judged on the same slices.
        MissingExtra: scipy is not installed.

    Examples:
        >>> for difference in compare_arms(arms, "raw"):
        ...     print(difference)
        dice of lung: mixed +0.0235 ...: better beyond noise
    """
    if reference not in results.codecs:
        raise InputError(
            f"there is no arm '{reference}' to compare with; there are: {', '.join(results.codecs)}"
        )
    found = [
        _differ(results, reference, arm, metric, seed)
        for metric in results.metrics
        for arm in results.codecs
        if arm != reference
    ]
    adjusted = adjust_holm([one.p for one in found])
    return tuple(
        Difference(**{**vars(one), "adjusted": p}) for one, p in zip(found, adjusted, strict=True)
    )


def _differ(results: Results, reference: str, arm: str, metric: str, seed: int) -> Difference:
    pairs = results.pair(metric, reference, arm)
    apart, patients = pairs.second - pairs.first, np.array(pairs.patients)
    means = np.array([apart[patients == one].mean() for one in np.unique(patients)])
    names = tuple(np.unique(patients).tolist())
    up = 1 if pairs.like.better == "higher" else -1
    return Difference(
        arm=arm,
        like=pairs.like,
        estimate=summarise(means, names, seed=seed),
        p=signed_rank(means, names),
        adjusted=math.nan,
        rank_biserial=rank_biserial(means, names),
        better=int((up * means > 0).sum()),
        worse=int((up * means < 0).sum()),
    )


def measure_noise(results: Results, arm: str, metric: str) -> float:
    """By how much a patient's mean changes from one seed to the next; NaN with one seed."""
    by_seed: dict[str, dict[int, list[float]]] = {}
    for result in results.of(codec=arm):
        value = result.value(metric)
        if value is not None:
            by_seed.setdefault(result.patient, {}).setdefault(result.draw, []).append(value.value)
    steps = [
        abs(float(np.mean(seeds[n])) - float(np.mean(seeds[n + 1])))
        for seeds in by_seed.values()
        for n in sorted(seeds)
        if n + 1 in seeds
    ]
    return float(np.mean(steps)) if steps else math.nan


def report_segmentation(judged: Judged) -> Report:
    """The report: means, paired differences, patients one by one, limits.

    Raises:
        InputError: There is nothing to compare.
        MissingExtra: scipy is not installed.
    """
    differences = compare_arms(judged.results, judged.reference)
    if not differences:
        raise InputError("there is one arm alone: name another view to compare it with")
    noise = {
        metric: measure_noise(judged.results, judged.reference, metric)
        for metric in judged.results.metrics
    }
    sections = (
        Section(
            "Against " + judged.reference,
            (METHOD, *_say_noise(noise, judged.reference)),
            (_table_differences(differences, judged.reference),),
        ),
        Section("Means", (), (_table_means(judged.results),)),
        Section("Patient by patient", (), tuple(_table_patients(judged.results))),
        *((Section("Pictures", (), (), judged.pictures),) if judged.pictures else ()),
        Section("Limits", judged.limits),
    )
    patients = len({r.patient for r in judged.results})
    return Report(
        title="Segmentation trained on reconstructions",
        summary=_summarise(differences, judged.reference, patients),
        sections=sections,
        record={
            **judged.record,
            "kind": "segmentation",
            "differences": [one.to_json() for one in differences],
            "seed_noise": noise,
        },
        setting=judged.setting,
        results=judged.results,
    )


def _summarise(
    differences: tuple[Difference, ...], reference: str, patients: int
) -> tuple[str, ...]:
    beyond = [f"{one}." for one in differences if one.verdict in {BETTER, WORSE}]
    said = f"{len(beyond)} of {len(differences)} differences are beyond noise"
    if not beyond:
        said = f"none of {len(differences)} differences is beyond noise"
    least = least_p(patients)
    return (
        f"Networks of equal training, judged on the images themselves, less those trained on "
        f"{reference}, over {patients} patients: {said}." + "".join(f" {one}" for one in beyond),
        f"With {patients} patients the smallest p there can be is {least:.2g} before correction.",
    )


def _say_noise(noise: Mapping[str, float], reference: str) -> Iterator[str]:
    known = {metric: value for metric, value in noise.items() if not math.isnan(value)}
    if known:
        yield (
            f"Another seed alone moves a patient's mean, trained on {reference}, by "
            + ", ".join(f"{value:.4f} in {metric}" for metric, value in known.items())
            + " on average: differences of that size are those of chance."
        )


def _table_differences(differences: tuple[Difference, ...], reference: str) -> Table:
    rows = tuple(
        (
            one.like.metric,
            one.arm,
            f"{one.estimate.value:+.4f}",
            one.estimate.interval,
            str(one.estimate.patients),
            f"{one.better} / {one.worse}",
            "–" if math.isnan(one.p) else f"{one.p:.3g}",
            "–" if math.isnan(one.adjusted) else f"{one.adjusted:.3g}",
            one.verdict,
        )
        for one in differences
    )
    return Table(
        f"Difference from {reference}, patient by patient",
        ("metric", "trained on", "difference", "95 % CI", "patients", "higher / lower", "p",
         "p Holm", "verdict"),
        rows,
        METHOD,
    )  # fmt: skip


def _table_means(results: Results) -> Table:
    heads = [head_value(results.describe(metric)) for metric in results.metrics]
    rows = []
    for arm in results.codecs:
        cells = [str(_spread(results.of(codec=arm), metric)) for metric in results.metrics]
        rows.append((arm, *cells))
    return Table("Mean over patients", ("trained on", *heads), tuple(rows), METHOD)


def _spread(results: Results, metric: str) -> Estimate:
    means = _by_patient(results, metric)
    return summarise(np.array(list(means.values())), tuple(means))


def _table_patients(results: Results) -> Iterator[Table]:
    for metric in results.metrics:
        means = {arm: _by_patient(results.of(codec=arm), metric) for arm in results.codecs}
        patients = sorted({patient for found in means.values() for patient in found})
        rows = tuple(
            (patient, *(say_number(means[arm].get(patient)) for arm in results.codecs))
            for patient in patients
        )
        yield Table(f"{metric} of each patient", ("patient", *results.codecs), rows)


def _by_patient(results: Results, metric: str) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for result in results:
        value = result.value(metric)
        if value is not None:
            found.setdefault(result.patient, []).append(value.value)
    return {patient: float(np.mean(values)) for patient, values in sorted(found.items())}

"""Ceiling: does what a codec keeps of an image say what a probe makes of it.

Each point is one image under one codec: what a reconstruction report measured of it (its PSNR,
say) against the probability that probes gave its true class, mean over seeds and slices. Points of
one patient hang together, and so do those of one data set: see `mixed`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from plica.cohort import Key
from plica.errors import InputError
from plica.evaluation.kinds import number_of, say_unlike
from plica.evaluation.mixed import Regression, regress
from plica.evaluation.predictions import Predictions
from plica.evaluation.report import Section
from plica.evaluation.results import Result, Results
from plica.evaluation.text import head, name_case, say_count
from plica.metrics.metric import Value


@dataclass(frozen=True)
class Ceiling:
    """The regression of probes on what codecs keep.

    Args:
        like: A value of the metric, for its unit and direction.
        report: The reconstruction report's name.
        codecs: Those that both have.
        regression: The slope is probability per unit of the metric.
        failed: Images under a codec that the reconstruction report records as failed.
        infinite: Images under a codec that came back without loss, and have no finite ceiling.
        unlike: Images under a codec whose number is of another kind than most; see `kinds`.
    """

    like: Value
    report: str
    codecs: tuple[str, ...]
    regression: Regression
    failed: int = 0
    infinite: int = 0
    unlike: int = 0

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready record."""
        return {
            **{name: value for name, value in vars(self).items() if name != "like"},
            "metric": self.like.metric,
            "unit": self.like.unit,
            "codecs": list(self.codecs),
            "regression": self.regression.to_json(),
        }


def regress_on_ceiling(
    predictions: Sequence[Predictions],
    kept: Results,
    metric: str,
    *,
    report: str = "",
    datasets: Mapping[Key, str] | None = None,
) -> Ceiling:
    """What probes make of images, over what codecs keep of them.

    Args:
        predictions: One for each codec and seed, all of the same cases.
        kept: Case by case, of a reconstruction report on the same images.
        metric: Whose values are the ceiling.
        report: The report's name, to speak of it.
        datasets: Which data set each case is of; None: one.

    Raises:
        InputError: They have no codec in common, the report lacks a case without a failure on
            record, or there is no slope in what they have.
        MissingExtra: scipy or statsmodels is not installed.
    """
    codecs = tuple(dict.fromkeys(p.codec for p in predictions if p.codec in kept.codecs))
    if not codecs:
        raise InputError(
            f"{report or 'the reconstruction report'} and the probes have no codec in common: it "
            f"has {', '.join(kept.codecs) or 'none'}"
        )
    like = kept.find_commonest(metric) or kept.describe(metric)
    held = _index(kept, codecs)
    points = [
        (ceiling, score, case)
        for codec in codecs
        for case, score in _score(predictions, codec).items()
        if (ceiling := _find(held, (codec, case), like, report)) is not None
    ]
    finite = [point for point in points if math.isfinite(point[0])]
    asked = sum(len(_score(predictions, codec)) for codec in codecs)
    found = regress(
        np.array([ceiling for ceiling, _, _ in finite]),
        np.array([score for _, score, _ in finite]),
        [case[0] for _, _, case in finite],
        None if datasets is None else [datasets.get(case, "") for _, _, case in finite],
    )
    infinite = sum(math.isinf(point[0]) for point in points)
    unlike = len(points) - len(finite) - infinite
    return Ceiling(like, report, codecs, found, asked - len(points), infinite, unlike)


def _score(predictions: Sequence[Predictions], codec: str) -> dict[Key, float]:
    """Probability of the true class of each image, mean over seeds and slices."""
    found: dict[Key, list[float]] = {}
    for each in predictions:
        if each.codec == codec:
            for case, label, scores in zip(each.cases, each.labels, each.scores, strict=True):
                found.setdefault(_whole(case), []).append(float(scores[label]))
    return {case: float(np.mean(scores)) for case, scores in found.items()}


def _whole(case: Key) -> Key:
    """The image a slice is of: probes call it "series#number"."""
    patient, study, series = case
    name, mark, number = series.rpartition("#")
    return patient, study, name if mark and number.isdecimal() else series


def _index(kept: Results, codecs: Sequence[str]) -> dict[tuple[str, Key], list[Result]]:
    found: dict[tuple[str, Key], list[Result]] = {}
    for result in kept:
        if result.codec in codecs:
            found.setdefault((result.codec, result.case), []).append(result)
    return found


def _find(
    held: Mapping[tuple[str, Key], Sequence[Result]], where: tuple[str, Key], like: Value,
    report: str,
) -> float | None:  # fmt: skip
    """A metric of an image, mean over draws; NaN of another kind, None of a failure on record."""
    found = held.get(where, ())
    values = [value for r in found if (value := r.value(like.metric)) is not None]
    if values:
        return float(np.mean([number_of(value, like) for value in values]))
    if any(r.error for r in found):
        return None
    codec, case = where
    raise InputError(
        f"{report or 'the reconstruction report'} has no {like.metric} of {name_case(case)} under "
        f"{codec}, and no failure on record: make it of the same images, as by `plica evaluate "
        "reconstruction` on the same cohort and split"
    )


def show_ceiling(ceiling: Ceiling) -> Section:
    """The regression as a section of a report."""
    left = [
        f"{say_count(n, 'image')} left out, {why}."
        for n, why in (
            (ceiling.failed, "failed in the reconstruction"),
            (ceiling.infinite, "without any loss, and so without a finite ceiling"),
        )
        if n
    ]
    if ceiling.unlike:
        left.append(f"{say_unlike(ceiling.unlike, ceiling.like)}.")
    name = head(ceiling.like.metric, ceiling.like.unit, ceiling.like.better)[:-2]
    return Section(
        "Does what a codec keeps say what a probe reads",
        (
            f"Probability of the true class over {name} of {ceiling.report}, image by image, under "
            f"{', '.join(ceiling.codecs)}: {ceiling.regression}.",
            "The slope is within data sets, with a height of its own for each patient (mixed "
            "effects; Student's t with Satterthwaite's degrees of freedom). The pooled line is "
            "what not to report: sets that differ in how hard they are draw one by themselves.",
            *left,
        ),
    )

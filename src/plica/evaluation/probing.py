"""Probing: what classifiers read from images, against what they read from a codec's codes.

Two things move an AUROC, and are kept apart: chance in the probe's training, as the deviation over
seeds, and which patients there happened to be, as an interval in which whole patients are drawn
again (BCa, widened for few: see `bootstrap`; the images of one patient are not independent) while
the seeds are held. Differences from the baseline are taken on the same patients in the same draws;
their p-values are those of DeLong et al. (1988) for patients with several images (Obuchowski,
1997), by Student's t. Patients are counted class by class, and the rarest class says how few they
are: below `FEWEST_PATIENTS` of it there is neither interval nor p.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.errors import InputError
from plica.evaluation.bootstrap import FEWEST_PATIENTS, bca, draw_patients, import_scipy_stats
from plica.evaluation.equivalence import Margin, adjust_margins, judge_draws
from plica.evaluation.predictions import (
    Float64,
    Predictions,
    list_asked,
    list_folds,
    score,
    score_classes,
    weigh,
)
from plica.evaluation.roc import count_beaten
from plica.evaluation.wilcoxon import adjust_holm

DRAWS = 2000
LEVEL = 0.95
_CHUNK_NUMBERS = 1 << 22


@dataclass(frozen=True)
class Estimate:
    """A number, and how far it may be off by the choice of patients.

    Args:
        value: The number.
        low: Lower end of the interval; NaN where there are too few patients for one, or where no
            draw of them differs from another, as under an AUROC of 1.
        high: Upper end.
    """

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, float | None]:
        """A JSON-ready record; what is not known is null."""
        return {name: value if math.isfinite(value) else None for name, value in vars(self).items()}


@dataclass(frozen=True)
class Judged:
    """What probes read from what one codec makes.

    Args:
        codec: Its name.
        seeds: AUROC of each seed.
        auroc: Their mean, with the interval over patients.
        deviation: Of the seeds (n − 1); NaN for one seed.
        by_class: Mean over the seeds for each class against the rest.
        difference: Mean AUROC minus the baseline's, on the same patients; None for the baseline.
        p: Of no difference, two-sided; NaN where there are too few patients.
        adjusted: The same after Holm's correction for the number of codecs.
        retained: AUROC as a share of the baseline's.
        retained_skill: The same of what lies above chance, AUROC − ½; NaN where the baseline has
            nothing there.
        margin: The difference against the margin that was asked for, corrected by Holm for the
            number of codecs; None where there was none, or too few patients.
    """

    codec: str
    seeds: tuple[float, ...]
    auroc: Estimate
    deviation: float
    by_class: Mapping[str, float]
    difference: Estimate | None = None
    p: float = math.nan
    adjusted: float = math.nan
    retained: float = 1.0
    retained_skill: float = 1.0
    margin: Margin | None = None

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready record."""
        return {
            "codec": self.codec,
            "seeds": list(self.seeds),
            "auroc": self.auroc.to_json(),
            "deviation": _finite(self.deviation),
            "by_class": dict(self.by_class),
            "difference": None if self.difference is None else self.difference.to_json(),
            "p": _finite(self.p),
            "p_holm": _finite(self.adjusted),
            "retained": _finite(self.retained),
            "retained_skill": _finite(self.retained_skill),
            "margin": None if self.margin is None else self.margin.to_json(),
        }


# -- chance ----------------------------------------------------------------------------------------


def influence(predictions: Predictions) -> dict[str, float]:
    """How much each patient pulls at the AUROC; the sum of squares is its variance.

    The structural components of DeLong et al. (1988), added up within patients as by Obuchowski
    (1997): with k patients, k / (k − 1) Σ ψ² is the variance.
    """
    pulls = np.zeros(len(predictions.cases))
    numbers = list_asked(predictions)
    for number in numbers:
        pulls += _pull(predictions, number) / len(numbers)
    patients = predictions.patients
    found = dict.fromkeys(patients, 0.0)
    for patient, pull in zip(patients, pulls, strict=True):
        found[patient] += float(pull)
    return found


def _pull(predictions: Predictions, number: int) -> Float64:
    """Of each case, on the AUROC of one class: pairs in the right order, less the usual share."""
    right = np.zeros(len(predictions.cases))
    pairs = np.zeros(len(predictions.cases))
    for inside in list_folds(predictions):
        positive = predictions.labels[inside] == number
        right[inside] = count_beaten(positive, predictions.scores[inside, number])
        pairs[inside] = np.where(positive, (~positive).sum(), positive.sum())
    total = pairs.sum() / 2
    area = right.sum() / 2 / total
    pulls: Float64 = (right - area * pairs) / total
    return pulls


def resample(predictions: Sequence[Predictions], *, draws: int = DRAWS, seed: int = 0) -> Float64:
    """AUROC of each predictions in each draw of patients, (predictions, draws).

    Whole patients are drawn with replacement, the same ones for all predictions. Draws that leave
    out a class take the mean over the others, or are NaN where none is left.

    Args:
        predictions: Of the same cases in the same order.
        draws: How many.
        seed: Of the draws.

    Examples:
        >>> resample(predictions, draws=100).shape
        (4, 100)
    """
    count = len(set(predictions[0].patients))
    blocks = [_evaluate(predictions, times) for times in draw_patients(count, draws, seed)]
    return np.concatenate(blocks, axis=1)


def leave_out(predictions: Sequence[Predictions]) -> Float64:
    """AUROC of each predictions without each patient, (predictions, patients)."""
    count = len(set(predictions[0].patients))
    size = max(1, _CHUNK_NUMBERS // count)
    everyone = np.arange(count)
    blocks = [
        _evaluate(
            predictions, (everyone[begin : begin + size, None] != everyone).astype(np.float32)
        )
        for begin in range(0, count, size)
    ]
    return np.concatenate(blocks, axis=1)


def _evaluate(predictions: Sequence[Predictions], times: NDArray[np.float32]) -> Float64:
    """AUROC of each predictions where patients count so and so often (row, patient)."""
    first = predictions[0]
    _, owner = np.unique(first.patients, return_inverse=True)
    chunk = max(1, _CHUNK_NUMBERS // len(first.cases))
    found = []
    for begin in range(0, len(times), chunk):
        weights = times[begin : begin + chunk, owner].astype(np.float64)
        found.append(np.stack([_macro(each, weights) for each in predictions]))
    return np.concatenate(found, axis=1)


def _macro(predictions: Predictions, weights: Float64) -> Float64:
    by_class = np.stack([weigh(predictions, n, weights) for n in list_asked(predictions)])
    known = ~np.isnan(by_class)
    with np.errstate(invalid="ignore"):
        means: Float64 = np.where(known, by_class, 0.0).sum(0) / known.sum(0)
    return means


# -- codecs against the baseline -------------------------------------------------------------------


def judge(
    predictions: Sequence[Predictions],
    *,
    baseline: str,
    margin: float | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> tuple[Judged, ...]:
    """Each codec, with the baseline first.

    Args:
        predictions: One for each codec and seed, all of the same cases.
        baseline: The codec that the others are compared with.
        margin: How much less AUROC still counts as none; None asks nothing.
        draws: Of the bootstrap.
        seed: Of the bootstrap.

    Raises:
        InputError: The predictions are not of the same cases, or the baseline is not among them.
        SettingsError: The margin is no amount above 0.
        MissingExtra: scipy is not installed.

    Examples:
        >>> round(judge(predictions, baseline="full-resolution")[1].retained, 2)
        0.87
    """
    _check_alike(predictions)
    codecs = tuple(dict.fromkeys(each.codec for each in predictions))
    if baseline not in codecs:
        raise InputError(f"the baseline {baseline} was not judged; there are: {', '.join(codecs)}")
    fewest = count_fewest(predictions[0])
    arms = {
        name: _arm([each for each in predictions if each.codec == name], fewest, draws, seed)
        for name in (baseline, *(name for name in codecs if name != baseline))
    }
    whole, *others = arms.values()
    found = [_compare(whole, other, margin) for other in others]
    adjusted = adjust_holm([one.p for one in found])
    margins = adjust_margins([one.margin for one in found])
    return _judge_alone(whole), *(
        replace(one, adjusted=p, margin=held)
        for one, p, held in zip(found, adjusted, margins, strict=True)
    )


def count_fewest(predictions: Predictions) -> int:
    """Patients of the class that has the fewest."""
    patients = np.array(predictions.patients)
    return min(
        len(np.unique(patients[predictions.labels == number]))
        for number in range(len(predictions.classes))
    )


@dataclass(frozen=True, eq=False)
class _Arm:
    """One codec's predictions, the mean AUROC over seeds, and what other patients make of it.

    Args:
        group: One for each seed.
        value: Mean AUROC.
        cloud: The same of patients drawn again; () where there are too few.
        without: The same without each patient.
        fewest: Patients of the rarest class.
    """

    group: tuple[Predictions, ...]
    value: float
    cloud: Float64
    without: Float64
    fewest: int


def _arm(group: Sequence[Predictions], fewest: int, draws: int, seed: int) -> _Arm:
    value = float(np.mean([score(each) for each in group]))
    if fewest < FEWEST_PATIENTS:
        return _Arm(tuple(group), value, np.empty(0), np.empty(0), fewest)
    cloud = resample(group, draws=draws, seed=seed).mean(0)
    return _Arm(tuple(group), value, cloud, leave_out(group).mean(0), fewest)


def _judge_alone(arm: _Arm) -> Judged:
    seeds = tuple(score(each) for each in arm.group)
    by_class = [score_classes(each) for each in arm.group]
    return Judged(
        codec=arm.group[0].codec,
        seeds=seeds,
        auroc=_estimate(arm.value, arm.cloud, arm.without, arm.fewest),
        deviation=float(np.std(seeds, ddof=1)) if len(seeds) > 1 else math.nan,
        by_class={name: float(np.mean([one[name] for one in by_class])) for name in by_class[0]},
    )


def _compare(whole: _Arm, other: _Arm, margin: float | None) -> Judged:
    ours, theirs = other.value, whole.value
    cloud, fewest = other.cloud - whole.cloud, other.fewest
    return replace(
        _judge_alone(other),
        difference=_difference(whole, other),
        p=_test(other.group, whole.group, fewest) if len(cloud) else math.nan,
        retained=ours / theirs if theirs > 0 else math.nan,
        retained_skill=(ours - 0.5) / (theirs - 0.5) if theirs > 0.5 else math.nan,
        margin=_hold(ours - theirs, cloud, margin, fewest),
    )


def _difference(whole: _Arm, other: _Arm) -> Estimate:
    apart, cloud = other.value - whole.value, other.cloud - whole.cloud
    bounded = {whole.value, other.value} & {0.0, 1.0}
    if len(cloud) and not bounded and np.ptp(cloud[~np.isnan(cloud)]) == 0:
        return Estimate(apart, apart, apart)  # the same order of all cases, whoever they are
    return _estimate(apart, cloud, other.without - whole.without, other.fewest)


def _hold(apart: float, cloud: Float64, margin: float | None, fewest: int) -> Margin | None:
    """Against the margin; None where there is none, or where other patients say nothing."""
    known = cloud[~np.isnan(cloud)]
    if margin is None or not len(known) or np.ptp(known) == 0:
        return None
    return judge_draws(apart, known, margin, patients=fewest)


def _test(group: Sequence[Predictions], baseline: Sequence[Predictions], fewest: int) -> float:
    """Two-sided p of no difference of the mean AUROCs, by their influence on patients."""
    ours, theirs = _mean_influence(group), _mean_influence(baseline)
    pulls = np.array([ours[name] - theirs[name] for name in ours])
    error = math.sqrt(fewest / (fewest - 1) * float(np.square(pulls).sum()))
    apart = float(np.mean([score(one) for one in group]) - np.mean([score(b) for b in baseline]))
    if error < 1e-12:
        return 1.0 if abs(apart) < 1e-12 else math.nan
    return float(2 * import_scipy_stats().t.sf(abs(apart) / error, len(pulls) - 1))


def _mean_influence(group: Sequence[Predictions]) -> dict[str, float]:
    found = [influence(each) for each in group]
    return {name: float(np.mean([one[name] for one in found])) for name in found[0]}


def _estimate(value: float, cloud: Float64, without: Float64, fewest: int) -> Estimate:
    known = cloud[~np.isnan(cloud)]
    if not len(known) or np.ptp(known) == 0:
        return Estimate(value, math.nan, math.nan)
    return Estimate(value, *bca(value, known, without, level=LEVEL, patients=fewest))


def _check_alike(predictions: Sequence[Predictions]) -> None:
    if not predictions:
        raise InputError("there are no predictions to judge")
    first = predictions[0]
    for each in predictions[1:]:
        same = each.cases == first.cases and each.classes == first.classes
        if not same or (each.labels != first.labels).any() or (each.parts != first.parts).any():
            raise InputError(
                f"{first.codec} and {each.codec} were not judged on the same cases with the same "
                "classes and folds: judge both on one cohort"
            )
    seen = [(each.codec, each.seed) for each in predictions]
    if len(set(seen)) < len(seen):
        raise InputError("a codec was judged twice with one seed: keep one")


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

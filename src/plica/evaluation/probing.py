"""Probing: what classifiers read from images, against what they read from a codec's codes.

The area under the ROC curve (AUROC) is the share of pairs, one image of the class and one of
another, whose scores stand in the right order; equal scores count half (Hanley and McNeil, 1982).
Of several classes it is the mean over each against the rest (macro). Only scores of one and the
same probe are compared: where patients were divided into folds, pairs lie within a fold.

Two things move it, and are kept apart: chance in the probe's training, as the deviation over seeds,
and which patients there happened to be, as an interval in which whole patients are drawn again
(the images of one are not independent) while the seeds are held. Differences from the baseline are
taken on the same patients in the same draws; their p-values are those of DeLong et al. (1988) for
patients with several images (Obuchowski, 1997), by Student's t with one degree of freedom less than
there are patients.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.cohort import Key
from plica.errors import InputError, MissingExtra
from plica.evaluation.roc import count_beaten, count_pairs
from plica.evaluation.wilcoxon import adjust_holm

Float64 = NDArray[np.float64]
DRAWS = 2000
LEVEL = 0.95
LEAST_PATIENTS = 2  # of each class: with fewer there is nothing to draw again
_CHUNK_NUMBERS = 1 << 22


@dataclass(frozen=True, eq=False)
class Predictions:
    """Scores of one probe for cases whose classes are known.

    Args:
        codec: What the probe was shown.
        seed: Of its training.
        classes: Their names, in the order of `labels` and of the scores' columns.
        cases: Keys of the cases; a key's first part is the patient.
        labels: Each case's class, as a number from 0.
        scores: (case, class); higher is more of that class. Probabilities need not add up to 1.
        folds: Which probe a case was scored by: scores of two folds are never compared; () is one.

    Raises:
        InputError: Something is missing, is not a number, or stands in two folds.
    """

    codec: str
    seed: int
    classes: tuple[str, ...]
    cases: tuple[Key, ...]
    labels: NDArray[np.int64]
    scores: Float64
    folds: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        _check(self)

    @property
    def patients(self) -> tuple[str, ...]:
        """Whose image each case is."""
        return tuple(case[0] for case in self.cases)

    @property
    def parts(self) -> NDArray[np.int64]:
        """The fold of each case."""
        return np.array(self.folds or [0] * len(self.cases), dtype=np.int64)


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
        }


# -- one number ------------------------------------------------------------------------------------


def score(predictions: Predictions) -> float:
    """AUROC of two classes, macro AUROC of more.

    Example:
        score(predictions)
    """
    return float(np.mean(list(score_classes(predictions).values())))


def score_classes(predictions: Predictions) -> dict[str, float]:
    """AUROC of each class against the rest; of two classes that of the second."""
    ones = np.ones((1, len(predictions.cases)))
    numbers = _asked(predictions)
    return {predictions.classes[n]: float(_weighted(predictions, n, ones)[0]) for n in numbers}


def _asked(predictions: Predictions) -> Sequence[int]:
    """Of two classes one says all."""
    count = len(predictions.classes)
    return (1,) if count == 2 else range(count)


def _weighted(predictions: Predictions, number: int, weights: Float64) -> Float64:
    """AUROC of a class where each case counts as often as its weight says: one for each row.

    NaN in rows that leave no pair.
    """
    right, pairs = np.zeros(len(weights)), np.zeros(len(weights))
    for inside in _folds(predictions):
        found = count_pairs(
            predictions.labels[inside] == number,
            predictions.scores[inside, number],
            weights[:, inside],
        )
        right, pairs = right + found[0], pairs + found[1]
    with np.errstate(invalid="ignore"):
        shares: Float64 = right / pairs
    return shares


def _folds(predictions: Predictions) -> Iterator[NDArray[np.bool_]]:
    parts = predictions.parts
    for part in np.unique(parts):
        yield parts == part


# -- chance ----------------------------------------------------------------------------------------


def influence(predictions: Predictions) -> dict[str, float]:
    """How much each patient pulls at the AUROC; the sum of squares is its variance.

    The structural components of DeLong et al. (1988), added up within patients as by Obuchowski
    (1997): with k patients, k / (k − 1) Σ ψ² is the variance.
    """
    pulls = np.zeros(len(predictions.cases))
    numbers = _asked(predictions)
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
    for inside in _folds(predictions):
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
    """
    first = predictions[0]
    names, owner = np.unique(first.patients, return_inverse=True)
    rng = np.random.Generator(np.random.PCG64(seed))
    chunk = max(1, _CHUNK_NUMBERS // max(1, len(first.cases)))
    found = []
    for begin in range(0, draws, chunk):
        count = min(chunk, draws - begin)
        times = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=count)
        weights = times[:, owner].astype(np.float64)
        found.append(np.stack([_macro(each, weights) for each in predictions]))
    return np.concatenate(found, axis=1)


def _macro(predictions: Predictions, weights: Float64) -> Float64:
    by_class = np.stack([_weighted(predictions, n, weights) for n in _asked(predictions)])
    known = ~np.isnan(by_class)
    with np.errstate(invalid="ignore"):
        means: Float64 = np.where(known, by_class, 0.0).sum(0) / known.sum(0)
    return means


# -- codecs against the baseline -------------------------------------------------------------------


def judge(
    predictions: Sequence[Predictions], *, baseline: str, draws: int = DRAWS, seed: int = 0
) -> tuple[Judged, ...]:
    """Each codec, with the baseline first.

    Args:
        predictions: One for each codec and seed, all of the same cases.
        baseline: The codec that the others are compared with.
        draws: Of the bootstrap.
        seed: Of the bootstrap.

    Raises:
        InputError: The predictions are not of the same cases, or the baseline is not among them.

    Example:
        judge(predictions, baseline="full-resolution")[1].retained
    """
    _check_alike(predictions)
    codecs = tuple(dict.fromkeys(each.codec for each in predictions))
    if baseline not in codecs:
        raise InputError(f"the baseline {baseline} was not judged; there are: {', '.join(codecs)}")
    groups = {name: [each for each in predictions if each.codec == name] for name in codecs}
    enough = _has_enough(predictions[0])
    clouds = {
        name: resample(group, draws=draws, seed=seed).mean(0) if enough else np.empty(0)
        for name, group in groups.items()
    }
    ordered = (baseline, *(name for name in codecs if name != baseline))
    whole = _judge_alone(groups[baseline], clouds[baseline])
    others = [
        _compare(whole, groups[name], clouds[name], groups[baseline], clouds[baseline])
        for name in ordered[1:]
    ]
    adjusted = adjust_holm([one.p for one in others])
    return whole, *(replace(one, adjusted=p) for one, p in zip(others, adjusted, strict=True))


def _judge_alone(group: Sequence[Predictions], cloud: Float64) -> Judged:
    seeds = tuple(score(each) for each in group)
    if len(cloud) and np.ptp(cloud[~np.isnan(cloud)]) == 0:
        cloud = np.empty(0)  # all in order in every draw: that says nothing of other patients
    by_class = [score_classes(each) for each in group]
    return Judged(
        codec=group[0].codec,
        seeds=seeds,
        auroc=_estimate(float(np.mean(seeds)), cloud),
        deviation=float(np.std(seeds, ddof=1)) if len(seeds) > 1 else math.nan,
        by_class={name: float(np.mean([one[name] for one in by_class])) for name in by_class[0]},
    )


def _compare(
    whole: Judged, group: Sequence[Predictions], cloud: Float64,
    baseline: Sequence[Predictions], clouds: Float64,
) -> Judged:  # fmt: skip
    alone = _judge_alone(group, cloud)
    ours, theirs = alone.auroc.value, whole.auroc.value
    skill = (ours - 0.5) / (theirs - 0.5) if theirs > 0.5 else math.nan
    return Judged(
        codec=alone.codec,
        seeds=alone.seeds,
        auroc=alone.auroc,
        deviation=alone.deviation,
        by_class=alone.by_class,
        difference=_estimate(ours - theirs, cloud - clouds),
        p=_test(group, baseline) if len(cloud) else math.nan,
        retained=ours / theirs if theirs > 0 else math.nan,
        retained_skill=skill,
    )


def _test(group: Sequence[Predictions], baseline: Sequence[Predictions]) -> float:
    """Two-sided p of no difference of the mean AUROCs, by their influence on patients."""
    ours, theirs = _mean_influence(group), _mean_influence(baseline)
    pulls = np.array([ours[name] - theirs[name] for name in ours])
    count = len(pulls)
    error = math.sqrt(count / (count - 1) * float(np.square(pulls).sum()))
    apart = float(np.mean([score(one) for one in group]) - np.mean([score(b) for b in baseline]))
    if error < 1e-12:
        return 1.0 if abs(apart) < 1e-12 else 0.0
    return float(2 * _student().sf(abs(apart) / error, count - 1))


def _student() -> Any:
    """Student's distribution: with few patients the normal one finds differences in nothing."""
    try:
        from scipy.stats import t
    except ImportError as error:
        raise MissingExtra("the test of a difference of AUROCs", "scipy", "eval") from error
    return t


def _mean_influence(group: Sequence[Predictions]) -> dict[str, float]:
    found = [influence(each) for each in group]
    return {name: float(np.mean([one[name] for one in found])) for name in found[0]}


def _estimate(value: float, cloud: Float64) -> Estimate:
    known = cloud[~np.isnan(cloud)]
    if not len(known):
        return Estimate(value, math.nan, math.nan)
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high))


def _has_enough(predictions: Predictions) -> bool:
    patients = np.array(predictions.patients)
    counts = [
        len(np.unique(patients[predictions.labels == number]))
        for number in range(len(predictions.classes))
    ]
    return min(counts) >= LEAST_PATIENTS


# -- refusing --------------------------------------------------------------------------------------


def _check(predictions: Predictions) -> None:
    n, k = len(predictions.cases), len(predictions.classes)
    if k < 2:
        raise InputError(f"a classification has two classes at least, but got {k}")
    if predictions.labels.shape != (n,) or predictions.scores.shape != (n, k):
        raise InputError(
            f"{n} cases and {k} classes need as many labels and scores, but got "
            f"{predictions.labels.shape} and {predictions.scores.shape}"
        )
    if predictions.folds and len(predictions.folds) != n:
        raise InputError(f"{n} cases need as many folds, but got {len(predictions.folds)}")
    if len(set(predictions.cases)) < n:
        raise InputError("a case was scored twice: keep one")
    if not np.isfinite(predictions.scores).all():
        where = int(np.argmin(np.isfinite(predictions.scores).all(1)))
        raise InputError(
            f"the score of {'/'.join(filter(None, predictions.cases[where]))} under "
            f"{predictions.codec} is not a number: look at the probe that gave it"
        )
    if n == 0 or predictions.labels.min() < 0 or predictions.labels.max() >= k:
        raise InputError(f"each case has one of the {k} classes, but a label is missing")
    _check_classes(predictions)
    fold_of: dict[str, int] = {}
    for patient, fold in zip(predictions.patients, predictions.parts.tolist(), strict=True):
        if fold_of.setdefault(patient, fold) != fold:
            raise InputError(
                f"patient {patient} stands in folds {fold_of[patient]} and {fold}: all images of a "
                "patient stand in one"
            )


def _check_classes(predictions: Predictions) -> None:
    found = np.bincount(predictions.labels, minlength=len(predictions.classes))
    if (found == 0).any():
        raise InputError(
            f"no case of the class '{predictions.classes[int(found.argmin())]}' among the "
            f"{len(predictions.cases)} that are tested, and an AUROC compares it with the others: "
            "take more patients, or leave the class out"
        )
    paired = any(len(np.unique(predictions.labels[inside])) > 1 for inside in _folds(predictions))
    if not paired:
        raise InputError("each fold holds one class alone: there is no pair to compare")


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

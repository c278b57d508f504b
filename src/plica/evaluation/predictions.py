"""Predictions: what a probe gave for cases whose classes are known, and how well it orders them.

The area under the ROC curve (AUROC) is the share of pairs, one image of the class and one of
another, whose scores stand in the right order; equal scores count half (Hanley and McNeil, 1982).
Of several classes it is the mean over each against the rest (macro). Only scores of one and the
same probe are compared: where patients were divided into folds, pairs lie within a fold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plica.cohort import Key
from plica.errors import InputError
from plica.evaluation.roc import count_pairs

Float64 = NDArray[np.float64]


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


# -- one number ------------------------------------------------------------------------------------


def score(predictions: Predictions) -> float:
    """AUROC of two classes, macro AUROC of more.

    Examples:
        >>> round(score(predictions[0]), 3)
        0.955
    """
    return float(np.mean(list(score_classes(predictions).values())))


def score_classes(predictions: Predictions) -> dict[str, float]:
    """AUROC of each class against the rest; of two classes that of the second."""
    ones = np.ones((1, len(predictions.cases)))
    numbers = list_asked(predictions)
    return {predictions.classes[n]: float(weigh(predictions, n, ones)[0]) for n in numbers}


def list_asked(predictions: Predictions) -> Sequence[int]:
    """Of two classes one says all."""
    count = len(predictions.classes)
    return (1,) if count == 2 else range(count)


def weigh(predictions: Predictions, number: int, weights: Float64) -> Float64:
    """AUROC of a class where each case counts as often as its weight says: one for each row.

    NaN in rows that leave no pair.
    """
    right, pairs = np.zeros(len(weights)), np.zeros(len(weights))
    for inside in list_folds(predictions):
        found = count_pairs(
            predictions.labels[inside] == number,
            predictions.scores[inside, number],
            weights[:, inside],
        )
        right, pairs = right + found[0], pairs + found[1]
    with np.errstate(invalid="ignore"):
        shares: Float64 = right / pairs
    return shares


def list_folds(predictions: Predictions) -> Iterator[NDArray[np.bool_]]:
    """Which cases each probe scored."""
    parts = predictions.parts
    for part in np.unique(parts):
        yield parts == part


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
    paired = any(
        len(np.unique(predictions.labels[inside])) > 1 for inside in list_folds(predictions)
    )
    if not paired:
        raise InputError("each fold holds one class alone: there is no pair to compare")

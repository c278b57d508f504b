"""The ROC curve's area: pairs in the right order, under weights, and what each case pulls at.

Every function takes scores of one probe; `right / pairs` of several probes may be added up.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plica.errors import InputError

Float64 = NDArray[np.float64]


def auroc(positive: NDArray[np.bool_], scores: Float64) -> float:
    """The share of pairs in the right order; ties count half.

    Args:
        positive: Which cases are of the class.
        scores: Higher is more of it.

    Raises:
        InputError: All cases are of one kind, or a score is not a number.

    Examples:
        >>> auroc(np.array([False, True, True]), np.array([0.1, 0.1, 0.9]))
        0.75
    """
    if not np.isfinite(scores).all():
        raise InputError("a score is not a number: look at the probe that gave it")
    if positive.all() or not positive.any():
        raise InputError(
            f"all {len(positive)} cases are {'of' if positive.all() else 'without'} the class, "
            "and an AUROC compares both: take more patients"
        )
    right, pairs = count_pairs(positive, scores, np.ones((1, len(scores))))
    return float(right[0] / pairs[0])


def count_pairs(
    positive: NDArray[np.bool_], scores: Float64, weights: Float64
) -> tuple[Float64, Float64]:
    """Weight of the pairs in the right order, and of all: one for each row of weights."""
    order, first, last = _rank(scores)
    weights, positive = weights[:, order], positive[order]
    ours = np.where(positive, weights, 0.0)
    others = np.cumsum(np.where(positive, 0.0, weights), axis=1)
    below = np.where(first > 0, others[:, np.maximum(first - 1, 0)], 0.0)
    right = (ours * (below + others[:, last]) / 2).sum(1)
    return right, ours.sum(1) * others[:, -1]


def _rank(scores: Float64) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Order of the scores, and where the equals of each begin and end in it."""
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    first = np.searchsorted(ordered, ordered, side="left")
    last = np.searchsorted(ordered, ordered, side="right") - 1
    return order, first, last


def count_beaten(positive: NDArray[np.bool_], scores: Float64) -> Float64:
    """Pairs in the right order that each case stands in: others below it, or, of others, above."""
    order, first, last = _rank(scores)
    ordered = positive[order]
    counts = np.zeros(len(ordered))
    for kind in (True, False):
        others = np.concatenate([[0.0], np.cumsum(ordered != kind)])
        below = (others[first] + others[last + 1]) / 2
        counts[ordered == kind] = (below if kind else others[-1] - below)[ordered == kind]
    back = np.empty(len(order), dtype=np.intp)
    back[order] = np.arange(len(order))
    found: Float64 = counts[back]
    return found

"""Wilcoxon: is a paired difference beyond noise, patient by patient; how large; Holm's correction.

D. Kerby: The simple difference formula, an approach to teaching nonparametric correlation,
Comprehensive Psychology 3, 2014 (matched pairs). J. Cohen: Statistical power analysis, 1988.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from plica.errors import MissingExtra
from plica.evaluation.estimates import gather_patients

LEAST_PATIENTS = 6
"""With fewer, no signed-rank test can be significant at 5 %: 2 / 2⁵ is 6 %."""

_MOST_TRIED = 13
"""Up to so many patients, of whom some differ equally much, all falls of signs are tried."""

SAME = 1e-6  # of a value: what another processor's rounding may do


def are_same(first: NDArray[np.float64], second: NDArray[np.float64]) -> bool:
    """Whether two columns are the same to six digits, infinities among them, wherever both are.

    Returns:
        False where there is no pair of numbers at all.

    Examples:
        >>> are_same(np.array([31.2, math.inf]), np.array([31.2, math.inf]))
        True
    """
    there = ~(np.isnan(first) | np.isnan(second))
    return bool(there.any() and np.allclose(first[there], second[there], rtol=SAME, atol=0))


def least_p(patients: int) -> float:
    """The smallest two-sided p that a signed-rank test of so many patients can give."""
    return 2.0 ** (1 - patients)


def signed_rank(differences: NDArray[np.float64], patients: Sequence[str]) -> float:
    """Two-sided p of Wilcoxon's signed-rank test of the patients' mean differences.

    One mean for each patient: images of one patient are not independent of each other.

    Returns:
        NaN with fewer than `LEAST_PATIENTS` patients that differ at all.

    Raises:
        MissingExtra: scipy is not installed.
    """
    try:
        from scipy.stats import permutation_test, rankdata, wilcoxon
    except ImportError as error:
        raise MissingExtra("statistics", "scipy", "eval") from error
    means = _average(differences, patients)
    means = means[means != 0]
    if means.size < LEAST_PATIENTS:
        return math.nan
    sizes = np.abs(means)
    if means.size > _MOST_TRIED or np.unique(sizes).size == means.size:
        return float(wilcoxon(means).pvalue)
    # scipy's test would rank anew for each way the signs could fall; signs leave ranks alone
    ranks = np.sign(means) * rankdata(sizes)
    found = permutation_test(
        (ranks,), np.sum, permutation_type="samples", n_resamples=2**_MOST_TRIED, vectorized=True
    )
    return float(found.pvalue)


def rank_biserial(differences: NDArray[np.float64], patients: Sequence[str]) -> float:
    """How far ranks speak for one side: (W₊ − W₋) / (W₊ + W₋) of the patients' mean differences.

    1 where all rise, −1 where all fall; 0 where neither side outweighs the other.

    Returns:
        NaN with fewer than two patients that differ at all.

    Examples:
        >>> rank_biserial(np.array([2.0, 3.0, -1.0, 4.0]), tuple("abcd"))
        0.8
    """
    means = _average(differences, patients)
    means = means[means != 0]
    if means.size < 2:
        return math.nan
    sizes = np.sort(np.abs(means))
    below = np.searchsorted(sizes, np.abs(means), side="left")
    ranks = (below + np.searchsorted(sizes, np.abs(means), side="right") + 1) / 2  # ties share
    return float(ranks[means > 0].sum() - ranks[means < 0].sum()) / float(ranks.sum())


def cohen_d_z(differences: NDArray[np.float64], patients: Sequence[str]) -> float:
    """Cohen's d for pairs: mean over standard deviation of the patients' mean differences.

    Returns:
        NaN below two patients, or where all differ equally much.
    """
    means = _average(differences, patients)
    spread = float(means.std(ddof=1)) if means.size > 1 else 0.0
    return float(means.mean() / spread) if spread > 0 else math.nan


def _average(differences: NDArray[np.float64], patients: Sequence[str]) -> NDArray[np.float64]:
    sums, counts = gather_patients(differences, patients)
    return np.asarray(sums / counts, dtype=np.float64)


def adjust_holm(p: Sequence[float]) -> list[float]:
    """Holm's adjusted p values; NaN stays NaN and counts as no test.

    S. Holm: A simple sequentially rejective multiple test procedure, Scand J Stat 6(2), 1979.
    """
    adjusted = [math.nan] * len(p)
    order = sorted((n for n, value in enumerate(p) if not math.isnan(value)), key=lambda n: p[n])
    most = 0.0
    for place, n in enumerate(order):
        most = max(most, min(1.0, (len(order) - place) * p[n]))
        adjusted[n] = most
    return adjusted

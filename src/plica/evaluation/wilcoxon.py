"""Wilcoxon: is a paired difference beyond noise, patient by patient; and Holm's correction."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from plica.errors import MissingExtra
from plica.evaluation.estimates import gather_patients

LEAST_PATIENTS = 6
"""With fewer, no signed-rank test can be significant at 5 %: 2 / 2⁵ is 6 %."""


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
        from scipy.stats import wilcoxon
    except ImportError as error:
        raise MissingExtra("statistics", "scipy", "eval") from error
    sums, counts = gather_patients(differences, patients)
    means = sums / counts
    means = means[means != 0]
    if means.size < LEAST_PATIENTS:
        return math.nan
    return float(wilcoxon(means).pvalue)


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

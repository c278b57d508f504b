"""Estimates: a mean with its interval over patients, and how many of what stand behind it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.errors import InputError, MissingExtra
from plica.evaluation.text import say_number
from plica.metrics.metric import Better

Numbers = NDArray[np.float64]
LEVEL, RESAMPLES = 0.95, 2000


@dataclass(frozen=True)
class Estimate:
    """A number of a sample, and what is known of the population it was drawn from.

    Args:
        value: Of the sample.
        low: Lower end of the interval; NaN where one patient alone says nothing of others.
        high: Upper end.
        level: Of the interval.
        n: Images.
        patients: Whose images they are; what the interval is over.
        unit: Of the value.
        better: Which way is better.
        method: How the interval was made.
    """

    value: float
    low: float
    high: float
    n: int
    patients: int
    unit: str = "1"
    better: Better = "higher"
    level: float = LEVEL
    method: str = ""

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready record; an end that is unknown is null."""
        return {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in vars(self).items()
        }

    @property
    def interval(self) -> str:
        """Both ends, in words."""
        if math.isnan(self.low):
            return "one patient, no interval"
        return f"{say_number(self.low)} to {say_number(self.high)}"

    def __str__(self) -> str:
        unit = "" if self.unit == "1" else f" {self.unit}"
        return (
            f"{say_number(self.value)}{unit} ({100 * self.level:g} % CI {self.interval}, n = "
            f"{self.n} images of {self.patients} patients)"
        )


def summarise(
    values: Numbers,
    patients: Sequence[str],
    *,
    unit: str = "1",
    better: Better = "higher",
    seed: int = 0,
) -> Estimate:
    """The mean over images, with a 95 % interval over patients (BCa bootstrap).

    Whole patients are drawn with replacement, so that ten slices of one patient count as what they
    are. An infinite value (the PSNR of equal images) makes the mean infinite, without an interval.

    Args:
        values: One for each image.
        patients: Whose image each is.

    Raises:
        InputError: There is no value, one is NaN, or there are not as many patients.
        MissingExtra: scipy is not installed.

    Example:
        >>> print(summarise(np.array([30.0, 31.0, 33.0]), ("a", "b", "c"), unit="dB"))
        31.33 dB (95 % CI 30 to 32.67, n = 3 images of 3 patients)
    """
    sums, counts = gather_patients(values, patients)
    mean = float(sums.sum() / counts.sum())
    low, high = math.nan, math.nan
    if math.isfinite(mean) and len(sums) > 1:
        low, high = bootstrap_mean(sums, counts, seed=seed)
    return Estimate(
        value=mean, low=low, high=high, n=len(values), patients=len(sums), unit=unit, better=better,
        method=f"mean; BCa bootstrap of patients, {RESAMPLES} resamples, seed {seed}",
    )  # fmt: skip


def gather_patients(values: Numbers, patients: Sequence[str]) -> tuple[Numbers, Numbers]:
    """Each patient's sum of values and number of images, patients in alphabetical order.

    Raises:
        InputError: There is no value, one is NaN, or there are not as many patients.
    """
    values = np.asarray(values, dtype=np.float64)
    if not values.size or values.shape != (len(patients),):
        raise InputError(
            f"a mean needs one value of each image and one patient of each, but got "
            f"{values.size} values and {len(patients)} patients"
        )
    if np.isnan(values).any():
        raise InputError(
            f"{int(np.isnan(values).sum())} of {values.size} values are no numbers: leave those "
            "images out, and say so"
        )
    _, place = np.unique(np.array(patients, dtype=np.str_), return_inverse=True)
    counts = np.bincount(place).astype(np.float64)
    return np.bincount(place, weights=values), counts


def bootstrap_mean(sums: Numbers, counts: Numbers, *, seed: int) -> tuple[float, float]:
    """The BCa interval of a mean over images, drawing patients (Efron 1987, with clusters)."""

    def mean(drawn: Numbers) -> Numbers:
        return np.asarray((drawn @ sums) / (drawn @ counts))

    n = len(sums)
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    replicates = mean(drawn.astype(np.float64))
    without = mean(1.0 - np.eye(n))
    return bca(float(sums.sum() / counts.sum()), replicates, without)


def bca(value: float, replicates: Numbers, without: Numbers) -> tuple[float, float]:
    """Bias-corrected and accelerated ends of an interval.

    With z₀ the normal quantile of the share of replicates below the estimate, and the acceleration
    a = Σ d³ / (6 (Σ d²)^{3/2}) of the differences d from the mean of the estimates that leave out
    one patient each:  α = Φ(z₀ + (z₀ + z) / (1 − a (z₀ + z))).

    Args:
        value: The estimate.
        replicates: Estimates of the resampled patients.
        without: Estimates that leave out one patient each.

    Raises:
        MissingExtra: scipy is not installed.
    """
    try:
        from scipy.stats import norm
    except ImportError as error:
        raise MissingExtra("statistics", "scipy", "eval") from error
    if np.ptp(replicates) == 0:
        return value, value
    below = np.mean(replicates < value) + np.mean(replicates == value) / 2
    z0 = norm.ppf(np.clip(below, 0.5 / len(replicates), 1 - 0.5 / len(replicates)))
    d = without.mean() - without
    spread = float((d**2).sum()) ** 1.5
    a = float((d**3).sum()) / (6 * spread) if spread > 0 else 0.0
    z = z0 + norm.ppf([(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    low, high = np.quantile(replicates, norm.cdf(z0 + z / (1 - a * z)))
    return float(low), float(high)

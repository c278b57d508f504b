"""Bootstrap: patients drawn again, and the ends of an interval read from what comes of it (BCa).

With θ̂ the estimate, θ* those of the resampled patients, θ₋ᵢ those that leave out patient i:

    z₀ = Φ⁻¹(share of θ* below θ̂, ties half)        bias
    a  = Σ dᵢ³ / (6 (Σ dᵢ²)^{3/2}),  dᵢ = θ̄₋ − θ₋ᵢ     acceleration
    α  = Φ(z₀ + (z₀ + z) / (1 − a (z₀ + z)))          which quantile of θ* an end is

z is the normal quantile of the level; widened for n patients it is √(n / (n − 1)) times Student's
quantile with n − 1 degrees of freedom, which mends the known narrowness of bootstrap intervals of
small samples.

B. Efron: Better bootstrap confidence intervals, J Am Stat Assoc 82, 1987.
T. Hesterberg: What teachers should know about the bootstrap, Am Stat 69(4), 2015.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.errors import InputError, MissingExtra, SettingsError

Numbers = NDArray[np.float64]
Seed = int | np.random.Generator

RESAMPLES = 5000
FEWEST_PATIENTS = 5
"""Below, no resampling can do it: even from the least to the most of four patients is 87 %."""

TIED = 1e-12  # of the largest: nearer numbers are one number
_KEPT = 1 << 23  # counts that are kept for the next call with the same seed: 32 MiB
_BLOCK = 1 << 22  # counts made at a time beyond that


def import_scipy_stats() -> Any:
    """scipy.stats, or the line that installs it.

    Raises:
        MissingExtra: It is not installed.
    """
    try:
        return import_module("scipy.stats")
    except ImportError as error:
        raise MissingExtra("statistics", "scipy", "eval") from error


def bootstrap_mean(
    sums: Numbers,
    counts: Numbers,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: Seed = 0,
    widen: bool = True,
) -> tuple[float, float]:
    """The BCa interval of Σ sums / Σ counts, drawing patients with all that is theirs.

    Args:
        sums: Each patient's sum of values.
        counts: Each patient's number of values.
        level: Of the interval.
        resamples: How often the patients are drawn.
        seed: Of the draws; equal seeds draw equal patients, a Generator goes on from where it is.
        widen: For the few patients there are; see the module.

    Raises:
        SettingsError: The level is not between 0 and 1, or there are too few resamples for it.
        InputError: There is but one patient.
        MissingExtra: scipy is not installed.

    Examples:
        >>> bootstrap_mean(np.array([30.0, 31, 33, 29, 35]), np.ones(5))
        (29.4, 34.6)
    """
    n = len(sums)
    if n < 2:
        raise InputError("an interval over patients needs two of them at the least, better dozens")
    check_level(level)
    blocks = draw_patients(n, resamples, seed)
    replicates = np.concatenate([(drawn @ sums) / (drawn @ counts) for drawn in blocks])
    without = (sums.sum() - sums) / (counts.sum() - counts)
    value = float(sums.sum() / counts.sum())
    return bca(value, replicates, without, level=level, widen=widen)


def bootstrap(
    statistic: Callable[[Numbers], Numbers],
    patients: int,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: Seed = 0,
) -> tuple[float, float]:
    """The BCa interval of anything that can be computed of patients that count so and so often.

    Args:
        statistic: From weights (draw, patient), whole numbers from 0, to numbers (draw).
        patients: How many there are.
        level: Of the interval.
        resamples: How often the patients are drawn.
        seed: Of the draws.

    Raises:
        SettingsError: The level is not between 0 and 1.
        InputError: There are fewer than two patients, or the statistic has no number somewhere.
        MissingExtra: scipy is not installed.

    Examples:
        >>> values = np.array([30.0, 31, 33, 29, 35, 32])
        >>> low, high = bootstrap(lambda times: times @ values / times.sum(-1), 6)
        >>> round(low, 1), round(high, 1)
        (29.8, 34.1)
    """
    check_level(level)
    if patients < 2:
        raise InputError("an interval over patients needs two of them at the least, better dozens")
    replicates = np.concatenate(
        [statistic(drawn.astype(np.float64)) for drawn in draw_patients(patients, resamples, seed)]
    )
    without = statistic(1.0 - np.eye(patients))
    value = float(statistic(np.ones((1, patients)))[0])
    if not (math.isfinite(value) and np.isfinite(replicates).all() and np.isfinite(without).all()):
        raise InputError(
            "the statistic has no finite number for some draws of the patients: there are too few "
            "of some kind of them for an interval"
        )
    return bca(value, replicates, without, level=level)


def bca(
    value: float,
    replicates: Numbers,
    without: Numbers,
    *,
    level: float = 0.95,
    widen: bool = True,
    patients: int | None = None,
) -> tuple[float, float]:
    """Bias-corrected and accelerated ends of an interval.

    Where all replicates are equal, both ends are the estimate.

    Args:
        value: The estimate.
        replicates: Estimates of the resampled patients.
        without: Estimates that leave out one patient each.
        level: Of the interval.
        widen: For the few patients there are; see the module.
        patients: How few, where some of them say more than the others (those of the rarer class);
            None: as many as `without` has.

    Raises:
        MissingExtra: scipy is not installed.

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> low, high = bca(0.0, rng.normal(size=4000), rng.normal(size=50) / 50)
        >>> round(low), round(high)
        (-2, 2)
    """
    stats = import_scipy_stats()
    if np.ptp(replicates) <= TIED * abs(value):
        return value, value
    tail, n = (1 - level) / 2, patients or len(without)
    z = stats.norm.ppf(1 - tail)
    if widen:
        z = math.sqrt(n / (n - 1)) * stats.t.ppf(1 - tail, n - 1)
    apart = replicates - value
    apart[np.abs(apart) <= TIED * np.abs(replicates).max()] = 0.0  # ties, whatever the rounding
    below = np.mean(apart < 0) + np.mean(apart == 0) / 2
    z0 = stats.norm.ppf(np.clip(below, 0.5 / len(replicates), 1 - 0.5 / len(replicates)))
    shift = z0 + np.array([-z, z])
    # Beyond the pole of the formula the quantile would jump to the other side: the end is the end.
    slope = np.maximum(1 - accelerate(without) * shift, 1e-3)
    low, high = np.quantile(replicates, stats.norm.cdf(z0 + shift / slope))
    return float(low), float(high)


def accelerate(without: Numbers) -> float:
    """How fast the spread of an estimate changes with it, by leaving out one patient each."""
    d = without.mean() - without
    spread = float((d**2).sum()) ** 1.5
    return float((d**3).sum()) / (6 * spread) if spread > 0 else 0.0


def draw_patients(patients: int, resamples: int, seed: Seed) -> Iterator[NDArray[np.float32]]:
    """How often each patient was drawn (draw, patient), in blocks."""
    if resamples < 100:
        raise SettingsError(f"{resamples} resamples show no tails: take 1000 or more")
    if isinstance(seed, int) and patients * resamples <= _KEPT:
        yield _draw_once(patients, resamples, seed)
        return
    chance = np.random.default_rng(seed)
    size = max(1, _BLOCK // patients)
    for begun in range(0, resamples, size):
        yield _draw(patients, min(size, resamples - begun), chance)


def check_level(level: float) -> None:
    """Refuse what is no level of an interval or a test."""
    if not 0 < level < 1:
        raise SettingsError(f"a level lies between 0 and 1, such as 0.95, but it is {level}")


@lru_cache(maxsize=3)
def _draw_once(patients: int, resamples: int, seed: int) -> NDArray[np.float32]:
    """The same draws again: a report makes hundreds of intervals of the same patients."""
    drawn = _draw(patients, resamples, np.random.default_rng(seed))
    drawn.setflags(write=False)
    return drawn


def _draw(patients: int, count: int, chance: np.random.Generator) -> NDArray[np.float32]:
    places = chance.integers(patients, size=(count, patients))
    places += patients * np.arange(count)[:, None]
    found = np.bincount(places.ravel(), minlength=count * patients)
    return found.reshape(count, patients).astype(np.float32)

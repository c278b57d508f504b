"""Equivalence: evidence of no difference, and of being no worse, at a margin said beforehand.

A test that finds no difference shows nothing: with three patients no test finds any. To claim that
a codec is "diagnostically lossless at margin m", the data must speak against a loss of m or more:

    equivalent     −m < Δ < m     two one-sided t tests at α (Schuirmann 1987)
    no worse       Δ > −m         one of the two; Δ so that more is better

Each patient counts once, by the mean over their images. The claim is of the one metric, margin and
kind of patient that were tested. It is not that no single image was harmed.

D. Schuirmann: A comparison of the two one-sided tests procedure, J Pharmacokinet Biopharm 15, 1987.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.errors import InputError, SettingsError
from plica.evaluation.bootstrap import FEWEST_PATIENTS, import_scipy_stats
from plica.evaluation.estimates import gather_patients
from plica.evaluation.text import say_count, say_number
from plica.evaluation.wilcoxon import adjust_holm
from plica.metrics.metric import Better

Numbers = NDArray[np.float64]
ALPHA = 0.05


@dataclass(frozen=True)
class Margin:
    """What a difference is against a margin.

    Args:
        difference: Mean over patients, turned so that more is better.
        low: Lower end of the interval of level 1 − 2α, which belongs to two tests at α.
        high: Upper end.
        margin: In the metric's unit.
        p_no_worse: One-sided, of a loss of the margin or more.
        p_equivalent: Of a difference of the margin or more, either way.
        patients: How many.
        unit: Of the metric.
        alpha: Level of the tests.
        least: The least difference that so many patients show with 80 % power; NaN where unknown.
        holm_no_worse: `p_no_worse` after Holm's correction for the statements it is one of; NaN
            where it stands alone.
        holm_equivalent: The same of `p_equivalent`.
    """

    difference: float
    low: float
    high: float
    margin: float
    p_no_worse: float
    p_equivalent: float
    patients: int
    unit: str = "1"
    alpha: float = ALPHA
    least: float = math.nan
    holm_no_worse: float = math.nan
    holm_equivalent: float = math.nan

    @property
    def no_worse(self) -> bool:
        """Whether a loss of the margin is spoken against, whatever else was asked beside it."""
        return _corrected(self.p_no_worse, self.holm_no_worse) < self.alpha

    @property
    def equivalent(self) -> bool:
        """Whether a difference of the margin, either way, is spoken against; likewise."""
        return _corrected(self.p_equivalent, self.holm_equivalent) < self.alpha

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready record; what is unknown is null."""
        numbers = {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in vars(self).items()
        }
        return {**numbers, "no_worse": self.no_worse, "equivalent": self.equivalent}

    def __str__(self) -> str:
        unit = "" if self.unit == "1" else f" {self.unit}"
        level = f"{100 * (1 - 2 * self.alpha):g} % CI"
        seen = (
            f"{say_number(self.difference)}{unit} ({level} {say_number(self.low)} to "
            f"{say_number(self.high)}, {self.patients} patients)"
        )
        at = f"{say_number(self.margin)}{unit}"
        p = _corrected(self.p_no_worse, self.holm_no_worse)
        if self.equivalent:
            said, p = "equivalent within", _corrected(self.p_equivalent, self.holm_equivalent)
        else:
            said = "no worse by" if self.no_worse else "not shown to be no worse by"
        after = "" if math.isnan(self.holm_no_worse) else " after Holm"
        return f"{said} {at}: {seen}, p = {p:.2g}{after}{self._say_least(unit)}"

    def _say_least(self, unit: str) -> str:
        """What so few could have shown: without it, "not shown" says nothing."""
        if math.isnan(self.least):
            return ""
        return f"; so many patients show {say_number(self.least)}{unit} with a power of 80 %"


def adjust_margins(margins: Sequence[Margin | None]) -> list[Margin | None]:
    """The statements of one family, corrected by Holm for how many there are; None stays None."""
    worse = adjust_holm([math.nan if one is None else one.p_no_worse for one in margins])
    same = adjust_holm([math.nan if one is None else one.p_equivalent for one in margins])
    return [
        None if one is None else replace(one, holm_no_worse=a, holm_equivalent=b)
        for one, a, b in zip(margins, worse, same, strict=True)
    ]


def hold_to_margin(
    differences: Numbers,
    patients: Sequence[str],
    margin: float,
    *,
    better: Better = "higher",
    unit: str = "1",
    alpha: float = ALPHA,
) -> Margin:
    """Paired differences against a margin, one mean for each patient.

    Args:
        differences: New less old, one for each image; of magnitudes where nearer zero is better.
        patients: Whose image each is.
        margin: Above 0, in the metric's unit, chosen before looking.
        better: Which way of the metric is better.

    Raises:
        SettingsError: The margin is no amount above 0, or alpha not between 0 and ½.
        InputError: Fewer than `FEWEST_PATIENTS` patients, or a difference is not finite.
        MissingExtra: scipy is not installed.

    Examples:
        >>> differences = np.random.default_rng(0).normal(-0.1, 0.2, 30)
        >>> hold_to_margin(differences, [f"p{n}" for n in range(30)], 0.5, unit="dB").no_worse
        True
    """
    _refuse(margin, alpha)
    if not np.isfinite(differences).all():
        raise InputError("a difference is no finite number: leave those images out, and say so")
    sums, counts = gather_patients(differences, patients)
    means = sums / counts if better == "higher" else -sums / counts
    if len(means) < FEWEST_PATIENTS:
        raise InputError(
            f"{say_count(len(means), 'patient')} cannot show that there is no difference: a margin "
            f"needs {FEWEST_PATIENTS} at the very least, and dozens to be convincing"
        )
    t = import_scipy_stats().t
    n, mean = len(means), float(means.mean())
    spread = float(means.std(ddof=1)) / math.sqrt(n)
    reach = float(t.ppf(1 - alpha, n - 1)) * spread
    worse = _tail(t, mean + margin, spread, n - 1)
    other = _tail(t, margin - mean, spread, n - 1)
    least = find_least_difference(float(means.std(ddof=1)), n, alpha=alpha)
    return Margin(
        mean, mean - reach, mean + reach, margin, worse, max(worse, other), n, unit, alpha, least
    )


def judge_draws(
    difference: float,
    draws: Numbers,
    margin: float,
    *,
    patients: int,
    unit: str = "1",
    alpha: float = ALPHA,
) -> Margin:
    """A difference that is no mean (of two AUROCs, say) against a margin, by its bootstrap draws.

    Args:
        difference: New less old, so that more is better.
        draws: The same of resampled patients.
        margin: Above 0.
        patients: How many were resampled; of AUROCs, those of the rarer class.

    Raises:
        SettingsError: The margin is no amount above 0, or alpha not between 0 and ½.
        InputError: There are too few draws or patients, or a draw is not finite.
        MissingExtra: scipy is not installed.

    Examples:
        >>> draws = np.random.default_rng(0).normal(0.0, 0.01, 2000)
        >>> judge_draws(0.0, draws, 0.05, patients=60).no_worse
        True
    """
    _refuse(margin, alpha)
    if patients < FEWEST_PATIENTS:
        raise InputError(
            f"{say_count(patients, 'patient')} cannot show that there is no difference: a margin "
            f"needs {FEWEST_PATIENTS} at the very least"
        )
    if draws.size < 200 or not np.isfinite(draws).all():
        raise InputError(f"{draws.size} draws: give at least 200, all of them finite")
    t, normal = (getattr(import_scipy_stats(), name) for name in ("t", "norm"))
    wider = math.sqrt(patients / (patients - 1)) * t.ppf(alpha, patients - 1) / normal.ppf(alpha)
    draws = difference + wider * (draws - difference)  # for few, as intervals are
    low, high = (float(end) for end in np.quantile(draws, (alpha, 1 - alpha)))
    worse, other = (_share(draws <= -margin), _share(draws >= margin))
    spread = float(draws.std(ddof=1)) * math.sqrt(patients)
    least = find_least_difference(spread, patients, alpha=alpha)
    return Margin(
        difference, low, high, margin, worse, max(worse, other), patients, unit, alpha, least
    )


def compare_rates(first: float, second: float) -> float:
    """Cohen's h, the distance of two rates on a scale where their noise is equal: 2 asin √p.

    Raises:
        InputError: A rate is not between 0 and 1.

    Examples:
        >>> round(compare_rates(0.5, 0.8), 3)
        0.644
    """
    for rate in (first, second):
        if not 0 <= rate <= 1:
            raise InputError(f"a rate lies between 0 and 1, but got {rate}")
    return 2 * (math.asin(math.sqrt(second)) - math.asin(math.sqrt(first)))


def find_least_difference(
    spread: float, patients: int, *, power: float = 0.8, alpha: float = ALPHA
) -> float:
    """The least mean difference that so many patients show with that power (paired t, two-sided).

    Args:
        spread: Standard deviation of the patients' mean differences.
        patients: How many.

    Raises:
        InputError: Fewer than two patients, or a spread below 0.
        SettingsError: Power or alpha is not between 0 and 1.
        MissingExtra: scipy is not installed.

    Examples:
        >>> round(find_least_difference(0.4, 30), 2)  # dB, where patients spread by 0.4 dB
        0.21
    """
    if patients < 2 or not spread >= 0:
        raise InputError(f"{patients} patients with a spread of {spread} have no least difference")
    if not (0 < alpha < 1 and 0 < power < 1):
        raise SettingsError(f"power and alpha lie between 0 and 1, but are {power} and {alpha}")
    t = import_scipy_stats().t
    freedom = patients - 1
    reach = float(t.ppf(1 - alpha / 2, freedom) + t.ppf(power, freedom))
    return reach * spread / math.sqrt(patients)


def _refuse(margin: float, alpha: float) -> None:
    if not (math.isfinite(margin) and margin > 0):
        raise SettingsError(f"a margin is an amount above 0 in the metric's unit, not {margin}")
    if not 0 < alpha < 0.5:
        raise SettingsError(f"alpha lies between 0 and 0.5, but is {alpha}")


def _corrected(p: float, holm: float) -> float:
    return p if math.isnan(holm) else holm


def _tail(t: Any, distance: float, spread: float, freedom: int) -> float:
    """How likely so much room to the margin is where there is none."""
    if spread == 0:
        return 0.0 if distance > 0 else 1.0
    return float(t.sf(distance / spread, freedom))


def _share(draws: NDArray[np.bool_]) -> float:
    """A share of draws as p: never 0, since one more draw might have shown it."""
    return float((draws.sum() + 1) / (draws.size + 1))

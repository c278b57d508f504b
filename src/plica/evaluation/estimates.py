"""Estimates: a mean with its interval over patients, and how many of what stand behind it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.errors import InputError
from plica.evaluation.bootstrap import FEWEST_PATIENTS, RESAMPLES, Seed, bootstrap_mean
from plica.evaluation.text import say_number, say_origin
from plica.metrics.metric import Better

Numbers = NDArray[np.float64]
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A number of a sample, and what is known of the population it was drawn from.

    Args:
        value: Of the sample.
        low: Lower end of the interval; NaN where there is none, and `note` says why.
        high: Upper end.
        level: Of the interval.
        n: Images.
        patients: Whose images they are; what the interval is over.
        unit: Of the value.
        better: Which way is better.
        method: How the interval was made.
        note: What must be known to read it.
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
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready record: an end that is unknown is null, infinity is "Infinity"."""
        return {name: to_json_number(value) for name, value in vars(self).items()}

    @property
    def known(self) -> bool:
        """Whether there is an interval."""
        return not math.isnan(self.low)

    @property
    def interval(self) -> str:
        """Both ends, in words."""
        return f"{say_number(self.low)} to {say_number(self.high)}" if self.known else "unknown"

    def __str__(self) -> str:
        unit = "" if self.unit == "1" else f" {self.unit}"
        images = f"n = {say_origin(self.n, self.patients)}"
        ends = f"{100 * self.level:g} % CI {self.interval}, " if self.known else "no interval, "
        return f"{say_number(self.value)}{unit} ({ends}{images})"


def summarise(
    values: Numbers,
    patients: Sequence[str],
    *,
    unit: str = "1",
    better: Better = "higher",
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: Seed = 0,
) -> Estimate:
    """The mean over images, with an interval over patients (BCa bootstrap, widened for few).

    Whole patients are drawn with replacement, so that ten slices of one patient count as what they
    are. There is no interval below `FEWEST_PATIENTS` patients. An infinite value (the PSNR of equal
    images) makes the mean infinite, without an interval. Where patients do not differ, the interval
    is the mean alone.

    Args:
        values: One for each image.
        patients: Whose image each is.
        level: Of the interval.
        resamples: How often the patients are drawn.
        seed: Of the draws; a Generator goes on from where it is.

    Raises:
        InputError: There is no value, one is NaN, there are not as many patients, or values are
            infinite in both directions.
        SettingsError: The level is not between 0 and 1.
        MissingExtra: scipy is not installed.

    Examples:
        >>> print(summarise(np.array([30.0, 31, 33, 29, 35]), tuple("abcde"), unit="dB"))
        31.60 dB (95 % CI 29.40 to 34.60, n = 5 images of 5 patients)
    """
    sums, counts = gather_patients(values, patients)
    mean = float(sums.sum() / counts.sum())
    low = high = math.nan
    note = ""
    if math.isinf(mean):
        note = f"{int(np.isinf(values).sum())} of {len(values)} values are infinite"
    elif len(sums) < FEWEST_PATIENTS:
        note = f"{FEWEST_PATIENTS} patients are the fewest an interval is made of"
    else:
        low, high = bootstrap_mean(sums, counts, level=level, resamples=resamples, seed=seed)
    return Estimate(
        value=mean, low=low, high=high, n=len(values), patients=len(sums), unit=unit,
        better=better, level=level, method=say_method(resamples, seed), note=note,
    )  # fmt: skip


def say_method(resamples: int, seed: Seed) -> str:
    """How an interval was made."""
    drawn = f"seed {seed}" if isinstance(seed, int) else "a generator of the caller's"
    return f"mean over images; BCa bootstrap of patients, {resamples} resamples, {drawn}"


def gather_patients(values: Numbers, patients: Sequence[str]) -> tuple[Numbers, Numbers]:
    """Each patient's sum of values and number of images, patients in alphabetical order.

    Raises:
        InputError: There is no value, one is NaN, there are not as many patients, or values are
            infinite in both directions.
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
    if values.max() == math.inf and values.min() == -math.inf:
        raise InputError("values are infinite in both directions and have no mean: leave them out")
    _, place = np.unique(np.array(patients, dtype=np.str_), return_inverse=True)
    counts = np.bincount(place).astype(np.float64)
    return np.bincount(place, weights=values).astype(np.float64), counts


def to_json_number(value: Any) -> Any:
    """A number as strict JSON has it; other things as they are."""
    if not isinstance(value, float) or math.isfinite(value):
        return value
    if math.isnan(value):
        return None
    return "Infinity" if value > 0 else "-Infinity"

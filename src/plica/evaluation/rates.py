"""Rates: how often a probe's likeliest class is right, and how far codecs' rates are apart.

The likeliest class is the threshold of ½ for two classes: of the second the rate is called
sensitivity, of the first specificity. Cohen's h is the distance of two rates on a scale on which
their noise is equal (0.2 small, 0.5 medium, 0.8 large: Cohen 1988). Images are paired, and the
interval of the difference is over patients.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from plica.evaluation.equivalence import compare_rates
from plica.evaluation.estimates import Estimate, Numbers, summarise
from plica.evaluation.predictions import Predictions
from plica.evaluation.report import Table
from plica.evaluation.text import NOTHING, say_origin


@dataclass(frozen=True)
class Rate:
    """How many images of a class a probe takes for what they are.

    Args:
        codec: What it was shown.
        name: The class.
        value: Share of its images, mean over seeds.
        baseline: The baseline's.
        h: Cohen's h of the two; below 0 where the codec's rate is lower. NaN for the baseline.
        difference: Codec less baseline, image by image, with its interval over patients; None for
            the baseline.
    """

    codec: str
    name: str
    value: float
    baseline: float
    h: float = math.nan
    difference: Estimate | None = None

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready record."""
        return {
            **vars(self),
            "h": None if math.isnan(self.h) else self.h,
            "difference": None if self.difference is None else self.difference.to_json(),
        }


def list_rates(predictions: Sequence[Predictions], *, baseline: str) -> tuple[Rate, ...]:
    """The rate of each class under each codec, the baseline first.

    Args:
        predictions: One for each codec and seed, all of the same cases.
        baseline: The codec that the others are compared with.

    Raises:
        MissingExtra: scipy is not installed.

    Examples:
        >>> worse = list_rates(predictions, baseline="full-resolution")[-1]
        >>> worse.name, worse.value, round(worse.h, 2)
        ('ill', 0.8, -0.28)
    """
    codecs = tuple(dict.fromkeys((baseline, *(each.codec for each in predictions))))
    right = {name: _find_right(predictions, name) for name in codecs}
    return tuple(
        _rate(predictions[0], number, name, (right[baseline], right[name]), name == baseline)
        for name in codecs
        for number in range(len(predictions[0].classes))
    )


def _find_right(predictions: Sequence[Predictions], codec: str) -> Numbers:
    """Of each case, the share of seeds whose likeliest class is the true one."""
    group = [each for each in predictions if each.codec == codec]
    found = [each.scores.argmax(1) == each.labels for each in group]
    return np.asarray(np.mean(found, axis=0), dtype=np.float64)


def _rate(
    first: Predictions, number: int, codec: str, right: tuple[Numbers, Numbers], alone: bool
) -> Rate:
    inside = first.labels == number
    theirs, ours = (column[inside] for column in right)
    # Means of thirds may end a hair above 1.
    value, baseline = (min(1.0, float(column.mean())) for column in (ours, theirs))
    if alone:
        return Rate(codec, first.classes[number], value, baseline)
    patients = tuple(np.array(first.patients, dtype=np.str_)[inside].tolist())
    difference = summarise(ours - theirs, patients)
    if difference.low == difference.high:  # no image fares otherwise: that says nothing of others
        difference = replace(
            difference, low=math.nan, high=math.nan, note="no draw of the patients differs"
        )
    h = compare_rates(baseline, value)
    return Rate(codec, first.classes[number], value, baseline, h, difference)


def tabulate_rates(rates: Sequence[Rate], classes: Sequence[str]) -> Table:
    """The rates as a table: a row for each codec and class."""
    return Table(
        title="How often the likeliest class is right",
        columns=("shown", "of the class", "rate ↑", "less the baseline's", "Cohen's h", "n"),
        rows=tuple(_list_rows(rates, classes)),
        caption="The likeliest class is taken (of two classes: the threshold ½). Means over the "
        "seeds; differences are taken image by image, with 95 % intervals over patients (BCa) "
        "from five on. Cohen's h: 0.2 is called small, 0.5 medium, 0.8 large.",
    )


def _list_rows(rates: Sequence[Rate], classes: Sequence[str]) -> Iterator[tuple[str, ...]]:
    words = {classes[0]: " (specificity)", classes[1]: " (sensitivity)"}
    for one in rates:
        d = one.difference
        ends = "" if d is None or not d.known else f" ({d.low:+.3f} to {d.high:+.3f})"
        yield (
            one.codec,
            one.name + (words[one.name] if len(classes) == 2 else ""),
            f"{one.value:.3f}",
            "baseline" if d is None else f"{d.value:+.3f}{ends}".replace("-", "−"),
            NOTHING if math.isnan(one.h) else f"{one.h:+.2f}".replace("-", "−"),
            NOTHING if d is None else say_origin(d.n, d.patients),
        )

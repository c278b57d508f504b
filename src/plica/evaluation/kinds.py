"""Kinds: which numbers of one metric may be averaged with each other, and what is said of the rest.

Cycles per pixel are not those per mm, and MS-SSIM over four scales is another quantity than over
five. Of a metric's numbers in one group, those of the commonest kind are averaged, paired and
drawn; the others are left out and counted, the same ones everywhere in a report.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

from plica.metrics.metric import Value

Kind = tuple[str, int]


def kind_of(value: Value) -> Kind:
    """What must be alike in numbers that are averaged: the unit, and over how many scales."""
    return value.unit, int(value.detail.get("scales", 0))


def find_commonest(values: Iterable[Value]) -> Value | None:
    """A value of the kind that most finite numbers are of; None where none is finite."""
    finite = [value for value in values if math.isfinite(value.value)]
    if not finite:
        return None
    ((kind, _),) = Counter(map(kind_of, finite)).most_common(1)
    return next(value for value in finite if kind_of(value) == kind)


def number_of(value: Value | None, like: Value | None = None) -> float:
    """A value's number; NaN where there is none, or one of another kind than `like` is of."""
    if value is None or (like is not None and kind_of(value) != kind_of(like)):
        return math.nan
    return value.value


def is_unlike(value: Value | None, like: Value) -> bool:
    """Whether it is a finite number, and of another kind than `like` is of."""
    return value is not None and math.isfinite(value.value) and kind_of(value) != kind_of(like)


def say_unlike(n: int, like: Value) -> str:
    """That images were left out, being of another kind than most.

    Examples:
        >>> say_unlike(1, Value("ms-ssim", 0.9, "1", "higher", 1.0, "", detail={"scales": 5}))
        '1 image of another number of scales than 5 was left out'
        >>> say_unlike(2, Value("fsc-resolution", 0.4, "cycles/mm", "higher", None, ""))
        '2 images not in cycles/mm were left out'
    """
    unit, scales = kind_of(like)
    of = f"of another number of scales than {scales}" if scales else f"not in {unit}"
    return say_left_out(n, of)


def say_left_out(n: int, which: str) -> str:
    """So many images of a sort were left out.

    Examples:
        >>> say_left_out(2, "without a finite value")
        '2 images without a finite value were left out'
    """
    return f"1 image {which} was left out" if n == 1 else f"{n} images {which} were left out"

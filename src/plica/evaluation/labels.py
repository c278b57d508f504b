"""Labels: which of a cohort's cases belong to which class, and which are left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plica.cohort import Case, Cohort
from plica.errors import InputError, SettingsError

MOST_CLASSES = 100
_NAMED = 5


@dataclass(frozen=True, eq=False)
class Labelled:
    """Cases and their classes.

    Args:
        label: Column the classes stand in.
        classes: Their names.
        cases: In the cohort's order.
        targets: The class of each, as a number from 0.
        left_out: How many cases have another value, by value.
    """

    label: str
    classes: tuple[str, ...]
    cases: tuple[Case, ...]
    targets: NDArray[np.int64]
    left_out: dict[str, int]


def label_cases(cohort: Cohort, label: str, classes: Sequence[str] = ()) -> Labelled:
    """The cases of some classes.

    Args:
        cohort: Whose labels are looked at.
        label: A column.
        classes: "NAME" or "NAME=value|value" each: cases with other values are left out. () takes
            every value as a class, in order of size where all are numbers, else of the alphabet.

    Raises:
        InputError: There is no such label, a case has none, or a class has no case.
        SettingsError: There are not two classes, far too many, or one value is in two.

    Examples:
        >>> labelled = label_cases(cohort, "view", ["frontal=AP", "back to front=PA"])
        >>> labelled.classes
        ('frontal', 'back to front')
    """
    cohort.where(**{label: ""})  # a misspelt column is refused by name
    values = [case.labels.get(label, "") for case in cohort]
    table = parse_classes(classes) if classes else _every_value(values, cohort, label)
    if len(table) < 2 or len(table) > MOST_CLASSES:
        raise SettingsError(
            f"a probe tells 2 to {MOST_CLASSES} classes apart, but {label} gives {len(table)}: "
            "say which values count with --classes"
        )
    names = tuple(table)
    number_of = {value: number for number, name in enumerate(names) for value in table[name]}
    kept = [n for n, value in enumerate(values) if value in number_of]
    targets = np.array([number_of[values[n]] for n in kept], dtype=np.int64)
    for number, name in enumerate(names):
        if number not in targets:
            raise InputError(
                f"no case is of the class '{name}' ({label}: {' or '.join(table[name])}); there "
                f"are: {', '.join(sorted(set(values))[:_NAMED])}"
            )
    rest = [value for value in values if value not in number_of]
    cases = tuple(cohort.cases[n] for n in kept)
    return Labelled(label, names, cases, targets, {v: rest.count(v) for v in sorted(set(rest))})


def parse_classes(classes: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """["AP=chest ap", "PA"] → {"AP": ("chest ap",), "PA": ("PA",)}.

    Raises:
        SettingsError: A class has no name or value, or stands there twice.
    """
    table: dict[str, tuple[str, ...]] = {}
    for each in classes:
        name, equals, values = each.partition("=")
        found = tuple(values.split("|")) if equals else (name,)
        if not name or "" in found or name in table:
            raise SettingsError(
                f"classes are given as NAME=value|value, each once, but got '{each}'"
            )
        table[name] = found
    taken = [value for values in table.values() for value in values]
    if twice := {value for value in taken if taken.count(value) > 1}:
        raise SettingsError(f"the value '{min(twice)}' is in two classes: leave it in one")
    return table


def _every_value(values: list[str], cohort: Cohort, label: str) -> dict[str, tuple[str, ...]]:
    missing = [case for case, value in zip(cohort, values, strict=True) if not value]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(cohort)} cases have no {label}, such as {missing[0].path}: "
            "say which values count with --classes, and cases without are left out"
        )
    return {value: (value,) for value in sorted(set(values), key=_order)}


def _order(value: str) -> tuple[int, float, str]:
    try:
        return 0, float(value), value
    except ValueError:
        return 1, 0.0, value

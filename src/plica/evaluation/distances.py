"""Distances between sets as a report: numbers with interval, floor, N and what spoils them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from plica.evaluation.report import Report, Section, Table
from plica.evaluation.text import EVERYTHING, NOTHING, say_number
from plica.evaluation.unsuited import Unsuited, say_unsuited, show_unsuited
from plica.metrics.distribution import Distance

VERSION = 1
ARROWS = {"higher": "↑", "lower": "↓", "nearer zero": "→ 0"}
COLUMNS = ("set", "metric", "value", "95 % interval", "floor", "N real / set", "needed")
HOW_TO_READ = (
    "The floor is the same number between two halves of the real set, patients whole: the median "
    "of the splits, and where the middle 95 % of them lie. A set whose number lies inside that "
    "range is no farther from the real images than these are from each other. A half holds half "
    "the images, and a biased number is larger there: the floor of a Fréchet distance is too high.",
    "Intervals are over patients, never over slices. N counts rows of features: radiographs, "
    "slices of volumes, or volumes, with patients in brackets.",
    "Decoded sets hold copies of the real images: a copy lies next to its source, so that "
    "precision, recall, density and coverage are near their best for any codec that is not bad, "
    "and say less than they do of generated images.",
)


@dataclass(frozen=True)
class Judged:
    """One number, and what it was taken of.

    Args:
        name: Of the set that was compared with the real one.
        features: What it was seen through: an extractor, or MS-SSIM.
        distance: The number.
        warnings: Of the number, and of this comparison.
    """

    name: str
    features: str
    distance: Distance
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready record."""
        return {
            "set": self.name,
            "features": self.features,
            **self.distance.to_json(),
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True)
class Found:
    """What a comparison of sets came to.

    Args:
        judged: Numbers, in order.
        failures: What could not be computed, and why, a line each.
        notes: Which images were left out, and why, a line each.
        setting: What it stands on, in words by name.
        record: The same for machines.
        unsuited: Pictures that codecs of volumes did not decode.
    """

    judged: tuple[Judged, ...]
    failures: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    setting: Mapping[str, str] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)
    unsuited: tuple[Unsuited, ...] = ()


def build_report(found: Found) -> Report:
    """The report of a comparison of sets."""
    sections = [_section(name, found.judged) for name in _list_features(found.judged)]
    if spoiled := (*found.failures, *found.notes):
        sections.append(Section("What was left out", prose=tuple(spoiled)))
    return Report(
        title="Distances between sets of images",
        summary=(summarise(found.judged), *say_unsuited(found.unsuited), *HOW_TO_READ),
        sections=(*sections, *show_unsuited(found.unsuited), _define(found.judged)),
        record={
            **found.record,
            "kind": "distribution",
            "version": VERSION,
            "distances": [one.to_json() for one in found.judged],
            "failures": list(found.failures),
            "notes": list(found.notes),
            "not_judged": [one.to_json() for one in found.unsuited],
        },
        setting=found.setting,
    )


def summarise(judged: Sequence[Judged]) -> str:
    """One paragraph: which sets are told from the real one, by which numbers."""
    if not judged:
        return "Nothing could be computed."
    told = []
    for name in dict.fromkeys(one.name for one in judged):
        of_set = [one for one in judged if one.name == name]
        beyond = [one for one in of_set if is_beyond(one.distance)]
        listed = ", ".join(
            dict.fromkeys(f"{one.distance.metric} ({one.features})" for one in beyond)
        )
        told.append(
            f"{name}: {len(beyond)} of {len(of_set)} numbers lie beyond the real set's own floor"
            + (f": {listed}." if listed else ".")
        )
    spoiled = sum(bool(one.warnings) for one in judged)
    warned = f" {spoiled} of {len(judged)} numbers carry a warning." if spoiled else ""
    return " ".join(told) + warned


def is_beyond(distance: Distance) -> bool:
    """Whether a number is worse than between halves of the real set; False without a floor."""
    floor = distance.floor
    if floor is None or math.isnan(distance.value):
        return False
    if distance.better == "higher":
        return distance.value < floor.low
    if distance.better == "lower":
        return distance.value > floor.high
    return not floor.low <= distance.value <= floor.high


def list_cells(one: Judged) -> tuple[str, ...]:
    """A row of `COLUMNS`."""
    distance = one.distance
    patients = distance.patients
    counts = f"{distance.n_real} ({patients[0]}) / {distance.n_other} ({patients[1]})"
    return (
        one.name,
        f"{distance.metric} {ARROWS[distance.better]}",
        spell(distance.value) + ("*" if one.warnings else ""),
        "none" if distance.interval is None else " to ".join(map(spell, distance.interval)),
        _spell_floor(distance),
        counts,
        str(distance.needed),
    )


def spell(value: float) -> str:
    """Three digits, with a true minus."""
    if math.isnan(value):
        return "none"
    if value == 0:
        return "0"
    return f"{value:.3g}".replace("-", "−")


def list_warnings(judged: Sequence[Judged]) -> tuple[str, ...]:
    """Each warning once, with the numbers it is of."""
    of: dict[str, list[str]] = {}
    for one in judged:
        for warning in one.warnings:
            of.setdefault(warning, []).append(one.distance.metric)
    return tuple(f"{', '.join(dict.fromkeys(names))}: {line}" for line, names in of.items())


def _spell_floor(distance: Distance) -> str:
    floor = distance.floor
    if floor is None:
        return "none"
    return f"{spell(floor.median)} ({spell(floor.low)} to {spell(floor.high)}, N {floor.n})"


def _list_features(judged: Sequence[Judged]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.features for one in judged))


def _section(features: str, judged: Sequence[Judged]) -> Section:
    own = [one for one in judged if one.features == features]
    extractor = own[0].distance.extractor
    weights = str(extractor.get("weights", ""))
    prepared = str(extractor.get("preparation", ""))
    prose = [f"{prepared[0].upper()}{prepared[1:]}."] if prepared else []
    prose += [f"Weights: {weights}."] if weights else []
    prose += [f"* {line}." for line in list_warnings(own)]
    table = Table(
        title=f"{features}, {own[0].distance.dims} numbers of each image",
        columns=COLUMNS,
        rows=tuple(list_cells(one) for one in own),
        caption="Floor: median of splits (middle 95 %, N of a half). N: rows (patients). "
        "* carries a warning.",
    )
    extras = _tabulate_extras(own)
    return Section(features, tuple(prose), (table, *extras))


def tabulate_draws(found: Sequence[tuple[str, int, Judged]]) -> tuple[Table, ...]:
    """For a report of reconstructions: means over draws with their spread, group by group.

    Args:
        found: Group, draw and number.

    Examples:
        >>> tabulate_draws([])  # a table for each group that has distances
        ()
    """
    groups: dict[str, dict[tuple[str, str], list[Judged]]] = {}
    for group, _, one in found:
        key = one.name, f"{one.distance.metric} ({one.features})"
        groups.setdefault(group, {}).setdefault(key, []).append(one)
    columns = ("codec", "distance", "value", "SD over draws", "real against real", "N", "warnings")
    return tuple(
        Table(
            group or EVERYTHING,
            columns,
            tuple((*key, *_say_draws(draws)) for key, draws in rows.items()),
        )
        for group, rows in groups.items()
    )


def _say_draws(draws: Sequence[Judged]) -> tuple[str, ...]:
    first = draws[0].distance
    values = np.array([one.distance.value for one in draws])
    return (
        say_number(float(values.mean())),
        say_number(float(values.std(ddof=1))) if len(values) > 1 else NOTHING,
        NOTHING if first.floor is None else say_number(first.floor.median),
        f"{first.n_real} / {first.n_other}",
        " ".join(first.warnings),
    )


def _tabulate_extras(judged: Sequence[Judged]) -> tuple[Table, ...]:
    """Further numbers beside the distances: FID extrapolated, coverage by chance."""
    rows = tuple(
        (one.name, one.distance.metric, name, spell(value))
        for one in judged
        for name, value in one.distance.extras.items()
        if not math.isnan(value)
    )
    return (Table("Beside them", ("set", "metric", "what", "value"), rows),) if rows else ()


def _define(judged: Sequence[Judged]) -> Section:
    definitions = {
        one.distance.metric: (one.distance.definition, one.distance.unit) for one in judged
    }
    return Section(
        "What the numbers are",
        tuple(f"{name} (unit {unit}): {text}" for name, (text, unit) in definitions.items()),
    )

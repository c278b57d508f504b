"""Worst cases: where a codec stays furthest behind what it does for images of the same kind."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from plica.evaluation.kinds import Kind, kind_of
from plica.evaluation.results import Result, Results
from plica.metrics.metric import Value


def choose_worst(results: Results, metric: str, each: int) -> tuple[Result, ...]:
    """Each codec's worst results, no case twice under one codec.

    Groups differ in how hard they are; a case is as bad as its value lies beyond its group's
    median, in units of the group's spread (1.4826 times the median absolute deviation).

    Args:
        metric: By which.
        each: How many of each codec.

    Examples:
        >>> worst = choose_worst(results, "psnr", each=1)
        >>> [result.codec for result in worst] == list(results.codecs)
        True
    """
    chosen: list[Result] = []
    for codec in results.codecs:
        ranked = sorted(
            (pair for group in results.groups for pair in _rank(results, codec, group, metric)),
            key=lambda pair: pair[0],
            reverse=True,
        )
        seen: dict[tuple[str, str, str], Result] = {}
        for _, result in ranked:
            seen.setdefault(result.case, result)
        chosen += list(seen.values())[:each]
    return tuple(chosen)


def _rank(results: Results, codec: str, group: str, metric: str) -> list[tuple[float, Result]]:
    """How much worse than the median each result of a group is."""
    members = results.of(codec=codec, group=group)
    alike: dict[Kind, list[tuple[Result, Value]]] = {}
    for r in members:
        if (v := r.value(metric)) and math.isfinite(v.value):
            alike.setdefault(kind_of(v), []).append((r, v))
    return [pair for found in alike.values() for pair in _rank_alike(found)]


def _rank_alike(found: Sequence[tuple[Result, Value]]) -> list[tuple[float, Result]]:
    numbers = np.array([value.value for _, value in found])
    better = found[0][1].better
    bad = {"higher": -numbers, "lower": numbers, "nearer zero": np.abs(numbers)}[better]
    behind = bad - np.median(bad)
    spread = 1.4826 * float(np.median(np.abs(behind))) or 1.0
    return [(float(b) / spread, result) for b, (result, _) in zip(behind, found, strict=True)]

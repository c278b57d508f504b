"""Distances: which images and numbers a comparison of sets takes, and every number there is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from plica.cli.console import progress
from plica.cli.gathering import PICTURES, ImageSet
from plica.cli.posing import select
from plica.cohort import Case, Cohort, Key
from plica.errors import InputError, UnknownName
from plica.evaluation.distances import Judged
from plica.metrics.distribution import DISTANCES, REPEATS, Distance, compare_sets
from plica.metrics.diversity import PAIRS, Likeness, compare_likeness, measure_likeness
from plica.metrics.features import CODEC, Extractor

DIVERSITY = "diversity"
TOGETHER = {"prdc": ("precision", "recall", "density", "coverage")}


@dataclass(frozen=True)
class Measuring:
    """How sets are compared.

    Args:
        metrics: By name, one by one.
        seed: Of pairs, splits and groups.
        repeats: Splits behind a floor.
        pairs: Of each set, for diversity.
    """

    metrics: tuple[str, ...]
    seed: int = 0
    repeats: int = REPEATS
    pairs: int = PAIRS

    @property
    def distances(self) -> tuple[str, ...]:
        """Those that are taken of features."""
        return tuple(name for name in self.metrics if name != DIVERSITY)


def name_metrics(asked: Sequence[str]) -> tuple[str, ...]:
    """Metrics one by one: prdc is four.

    Raises:
        UnknownName: There is no such metric.
    """
    if not asked:
        return (*DISTANCES, DIVERSITY)
    names: list[str] = []
    for name in asked:
        if name not in (*DISTANCES, *TOGETHER, DIVERSITY):
            raise UnknownName(
                f"no metric '{name}' between sets; there are: {', '.join(DISTANCES)}, "
                f"{', '.join(TOGETHER)}, {DIVERSITY}"
            )
        names += [one for one in TOGETHER.get(name, (name,)) if one not in names]
    return tuple(names)


def name_sets(paths: Sequence[Path]) -> list[tuple[str, Path]]:
    """Other cohorts by the names of their folders or tables; the whole path where two are alike."""
    stems = [path.name if path.is_dir() else path.stem for path in paths]
    return [
        (stem if stems.count(stem) == 1 else str(path), path)
        for stem, path in zip(stems, paths, strict=True)
    ]


def list_cases(
    cohort: Cohort,
    *,
    split: str | None = None,
    where: Sequence[str] = (),
    limit: int | None = None,
    seed: int = 0,
) -> tuple[Case, ...]:
    """The cases of a split with some labels; of more than `limit`, one of each patient first.

    Raises:
        InputError: There are none.
    """
    chosen = select(cohort if split is None else cohort.of_split(split), where).cases
    if not chosen:
        raise InputError("the cohort has no images: there is nothing to compare")
    if limit is None or len(chosen) <= limit:
        return chosen
    turns: dict[str, int] = {}
    order: list[tuple[int, int, int]] = []
    for place in np.random.default_rng((seed, 0x11F1)).permutation(len(chosen)):
        patient = chosen[place].patient
        turns[patient] = turns.get(patient, -1) + 1
        order.append((turns[patient], len(order), int(place)))
    return tuple(chosen[place] for place in sorted(place for *_, place in sorted(order)[:limit]))


# -- comparing -----------------------------------------------------------------------------------


def judge(
    real: ImageSet,
    sets: Sequence[ImageSet],
    extractors: Sequence[Extractor],
    measuring: Measuring,
    *,
    silent: bool = False,
) -> tuple[list[Judged], list[str]]:
    """Every number between each set and the real one, and what could not be computed.

    A decoded set is compared with the sources of what was decoded.
    """
    judged: list[Judged] = []
    failures: list[str] = []
    likenesses: dict[frozenset[Key], Likeness] = {}
    work: list[tuple[ImageSet, str, str, Callable[[], Distance]]] = []
    for one in sets:
        for extractor in extractors:
            for metric in measuring.distances:
                compare = partial(_compare, real, one, extractor, metric, measuring)
                work.append((one, extractor.name, metric, compare))
        if DIVERSITY in measuring.metrics:
            compare = partial(_compare_diversity, real, one, measuring, likenesses)
            work.append((one, PICTURES, DIVERSITY, compare))
    with progress(quiet=silent, lines=True) as bar:
        task = bar.add_task("comparing", total=len(work))
        for one, features, metric, compute in work:
            bar.update(task, description=f"{metric} of {one.name}, {features}")
            try:
                judged.append(_warned(one, features, compute()))
            except InputError as error:
                failures.append(f"{metric} of {one.name}, {features}: {error}")
            bar.advance(task)
    return judged, failures


def _compare(
    real: ImageSet, one: ImageSet, extractor: Extractor, metric: str, measuring: Measuring
) -> Distance:
    other = one.join(extractor.name)  # first: else the real images would be blamed for its lack
    keys = one.features.get(extractor.name, {}) if one.copies else None
    return compare_sets(
        real.join(extractor.name, keys),
        other,
        metric,
        seed=measuring.seed,
        repeats=measuring.repeats,
    )


def _compare_diversity(
    real: ImageSet, one: ImageSet, measuring: Measuring, likenesses: dict[frozenset[Key], Likeness]
) -> Distance:
    """Diversity; the scores of the same real images are taken once."""
    keys = frozenset(one.pictures if one.copies else real.pictures)
    first, second = real.stack([key for key in real.pictures if key in keys]), one.stack()
    if keys not in likenesses:
        likenesses[keys] = measure_likeness(first, pairs=measuring.pairs, seed=measuring.seed)
    other = measure_likeness(second, pairs=measuring.pairs, seed=measuring.seed)
    return compare_likeness(
        first, second, (likenesses[keys], other), seed=measuring.seed, repeats=measuring.repeats
    )


def _warned(one: ImageSet, features: str, distance: Distance) -> Judged:
    """A number with the warnings that its set adds."""
    own = features.removeprefix(CODEC) == one.name
    extra = (f"{one.name} is judged by features of its own",) if own else ()
    return Judged(one.name, features, distance, (*distance.warnings, *extra))

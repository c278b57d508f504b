"""Slicing: labelled slices and their views, of a labelled data set or of a cohort and a rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from plica.augmentation.labelled import Labelled, find_labelled
from plica.augmentation.opening import open_pair
from plica.augmentation.rules import LABELS, RULES
from plica.augmentation.segmenting import Slice
from plica.augmentation.views import RAW, Reconstruct, View, blend
from plica.cli.distances import list_cases
from plica.cohort import Case
from plica.errors import InputError, PlicaError, UnknownName
from plica.grid import Grid
from plica.image import Image, Unit
from plica.training.cohorts import read_case, read_cohort

TRAIN = "train"


@dataclass(frozen=True, eq=False)
class Cut:
    """A slice of a case before its views are made.

    Args:
        key: Patient, study, series and place.
        image: One slice, one channel.
        labels: Of it.
        trainable: Whether it may be trained on.
    """

    key: tuple[str, str, str]
    image: Image
    labels: Image
    trainable: bool


@dataclass(frozen=True)
class Asked:
    """Which slices.

    Args:
        source: A cohort, or a labelled data set.
        rule: What draws the labels of a cohort; None for a labelled data set.
        where: Labels of the cases, as commands take them.
        slices: Of each volume at most, evenly over it.
        unit: What values measure, where files do not say.
    """

    source: Path
    rule: str | None = None
    where: tuple[str, ...] = ()
    slices: int = 8
    unit: Unit | None = None


def find_cuts(asked: Asked) -> tuple[list[Cut], dict[str, int], list[str]]:
    """The slices, what their labels are called, and a sentence for each case left out.

    Raises:
        InputError: There are none.
        UnknownName: There is no such rule.
    """
    left: list[str] = []
    if asked.rule is None:
        data = find_labelled(asked.source)
        cuts = list(_cut_pairs(data, asked))
        values = {n for one in cuts for n in np.unique(one.labels.pixels).tolist() if n}
        names = {
            name: value
            for name, value in data.labels.items()
            if isinstance(value, int) and value in values
        } or {f"label_{value}": value for value in sorted(values)}
    else:
        if asked.rule not in RULES:
            raise UnknownName(f"no rule '{asked.rule}'; there are: {', '.join(RULES)}")
        cases = list_cases(read_cohort(asked.source), where=asked.where)
        cuts = list(_cut_cases(cases, asked, left))
        names = {name: value for name, value in LABELS.items() if value}
    if not cuts:
        raise InputError("there is no slice to segment" + (f": {left[0]}" if left else ""))
    return cuts, names, left


def show(cut: Cut, reconstruct: Reconstruct, views: Sequence[View]) -> Slice:
    """A slice with its views in memory; it is reconstructed once."""
    pixels = {RAW: cut.image.pixels}
    remade = reconstruct(cut.image)
    pixels |= {v.name: blend(cut.image, remade, v.strength).pixels for v in views if v.strength}
    return Slice(
        key=cut.key,
        views={name: array[0, :, :, 0].astype(np.float32) for name, array in pixels.items()},
        labels=cut.labels.pixels[0, :, :, 0].astype(np.uint8),
        grid=cut.image.grid,
        trainable=cut.trainable,
    )


def _cut_pairs(data: Labelled, asked: Asked) -> Iterator[Cut]:
    for pair in data.pairs:
        case = open_pair(pair, unit=asked.unit)
        if len(case.images) > 1 or case.labels.max() > 255:
            raise InputError(f"{pair.case}: one channel and labels to 255 are taken here")
        labels = Image(case.labels.astype(np.uint8)[None], case.grid, Unit.LABEL)
        for place in _places(case.grid, asked.slices):
            key = (pair.patient, "", f"{pair.case}#{place}")
            yield Cut(key, _slice(case.images[0], place), _slice(labels, place), True)


def _cut_cases(cases: Sequence[Case], asked: Asked, left: list[str]) -> Iterator[Cut]:
    rule = RULES[asked.rule or ""]
    for case in cases:
        try:
            image = read_case(case)
            if asked.unit is not None:
                image = image.with_pixels(image.pixels, unit=asked.unit)
            cuts = _label(case, image, rule, asked.slices)
        except PlicaError as error:
            left.append(f"{case.path.name}: {error}")
            continue
        yield from cuts


def _label(case: Case, image: Image, rule: Callable[[Image], Image], slices: int) -> list[Cut]:
    patient, study, series = case.key
    cuts = []
    for place in _places(image.grid, slices):
        one = _slice(image, place)
        key = (patient, study, f"{series}#{place}")
        cuts.append(Cut(key, one, rule(one), case.split in ("", TRAIN)))
    return cuts


def _places(grid: Grid, slices: int) -> list[int]:
    count = grid.shape[2]
    if count <= slices:
        return list(range(count))
    step = count / slices
    return [int(step * (n + 0.5)) for n in range(slices)]


def _slice(image: Image, place: int) -> Image:
    i, j, _ = image.grid.shape
    grid = image.grid.window((0, 0, place), (i, j, 1))
    return replace(image, pixels=np.array(image.pixels[:1, :, :, place : place + 1]), grid=grid)

"""Data: the cohort's images as a recipe wants them, prepared once and kept on disk."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from plica.cohort import Case, Cohort, Key, says_whose
from plica.errors import InputError, SettingsError
from plica.training.cache import Array, Cache, identify
from plica.training.cohorts import SERIES_LABEL, SPACING_LABEL, read_case
from plica.training.crops import least_side
from plica.training.prepared import VERSION, PreparedImage, Shape, see
from plica.training.recipe import DEALT, JUDGED, Data, Source
from plica.training.validation import Validation

TRAIN_SHARE = 0.9
"""Of the patients of a cohort that names no splits; the others are judged."""

_NAMED = 5


class Progress(NamedTuple):
    """How far preparing has come."""

    done: int
    total: int
    name: str


class Unreadable(NamedTuple):
    """A case that cannot be used, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Pool:
    """The images of one source.

    Args:
        name: Of the source.
        weight: How often it is drawn, beside the others.
        images: At least one.
    """

    name: str
    weight: float
    images: tuple[PreparedImage, ...]


@dataclass(frozen=True)
class Prepared:
    """Everything a training draws from and is judged on.

    Args:
        pools: What is trained on.
        validation: What is judged.
        unreadable: Cases that are left out, and why.
    """

    pools: tuple[Pool, ...]
    validation: Validation
    unreadable: tuple[Unreadable, ...]


def prepare_cases(
    data: Data,
    cohort: Cohort,
    shape: Shape,
    *,
    cache: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Prepared:
    """Prepare what a recipe trains on and is judged on, each case once.

    Args:
        shape: Of the network; `Shape.of(network)`.
        cache: Folder of prepared images; None takes the user's cache folder.
        progress: Told of each case before it is prepared.

    Raises:
        SettingsError: A source selects nothing, or the crop does not fit too many images.
        InputError: Too many images are unreadable; names them.
        OutputError: The cache cannot be written.

    Examples:
        >>> prepared = prepare_cases(recipe.data, cohort, Shape.of(network), cache=Path("cache"))
        >>> prepared.unreadable
        ()
    """
    _check(data, shape)
    data = settle_judged(data, cohort)
    cohort = split_cohort(cohort, data)
    _refuse_missing("train", data.train, cohort)
    train = [(source, _select(source, cohort, data.train)) for source in _sources(data)]
    judged = select_judged(data, cohort)
    for source, cases in train:
        if not cases:
            raise SettingsError(
                f"the source '{source.name}' selects no image of the split '{data.train}': "
                f"look at its where = {_spell(source)}"
            )
    trained = {case.key: case for _, cases in train for case in cases}
    asked = trained | {case.key: case for case in judged}
    found, unreadable = _prepare_all(list(asked.values()), data, shape, cache, progress)
    small = _find_small({key: found[key] for key in trained if key in found}, data, shape)
    sides = [(found[key].name, side) for key, side in small.items()]
    _refuse_small(sides, len(unreadable), len(asked), data)
    unreadable += [Unreadable(name, f"{side} voxels a side") for name, side in sides]
    usable = {key: image for key, image in found.items() if key not in small}
    pools = tuple(_pool(source, cases, usable) for source, cases in train)
    validation = [found[case.key] for case in judged if case.key in found]
    if not validation:
        raise InputError(f"no image of the split '{data.validation}' can be used")
    return Prepared(pools, Validation(tuple(validation), data, shape), tuple(unreadable))


def _check(data: Data, shape: Shape) -> None:
    augmentation = data.augmentation
    if data.crop % shape.factor or data.validation_crop % shape.factor:
        raise SettingsError(
            f"data.crop = {data.crop} and data.validation_crop = {data.validation_crop} must be "
            f"multiples of the network's factor {shape.factor}"
        )
    if any(axis >= shape.dims for axis in augmentation.flips):
        raise SettingsError(
            f"data.augmentation.flips names axes 0 to {shape.dims - 1} of the network's input, "
            f"but got {augmentation.flips}"
        )
    if augmentation.quarter_turns and shape.dims == 3:
        raise SettingsError("data.augmentation.quarter_turns is for 2D crops: leave it out")


# -- choosing ------------------------------------------------------------------------------------


def settle_judged(data: Data, cohort: Cohort) -> Data:
    """The same, with the split that judges by its name: the first of `JUDGED` that is there.

    Examples:
        >>> settle_judged(Data(), cohort).validation
        'dev-test'
    """
    if data.validation:
        return data
    there = (name for name in JUDGED if name in cohort.splits and name != data.train)
    return replace(data, validation=next(there, DEALT))


def split_cohort(cohort: Cohort, data: Data) -> Cohort:
    """The cohort itself, or, where it names no splits, with nine patients of ten to train on.

    Which ones is a matter of their names alone: the same in every run.

    Raises:
        InputError: There are not two patients.
    """
    if set(cohort.splits) != {""}:
        return cohort
    judged = settle_judged(data, cohort).validation
    return cohort.with_splits({data.train: TRAIN_SHARE, judged: 1 - TRAIN_SHARE})


def _sources(data: Data) -> tuple[Source, ...]:
    return data.sources or (Source("all images"),)


def _select(source: Source, cohort: Cohort, split: str) -> tuple[Case, ...]:
    return cohort.of_split(split).where(**source.where).cases


def select_judged(data: Data, cohort: Cohort) -> list[Case]:
    """Cases of the validation split that any source selects, spread evenly where only some count.

    Sources may have no images in that split, but one must.
    """
    data = settle_judged(data, cohort)
    _refuse_missing("validation", data.validation, cohort)
    split = cohort.of_split(data.validation)
    chosen: dict[Key, Case] = {}
    for source in _sources(data):
        try:
            chosen |= {case.key: case for case in split.where(**source.where)}
        except InputError:
            continue  # the label is known in the training split, or `_select` has said so
    cases = [case for case in split if case.key in chosen]
    if not cases:
        raise SettingsError(f"no source selects an image of the split '{data.validation}'")
    count = min(data.validation_cases or len(cases), len(cases))
    return [cases[(2 * n + 1) * len(cases) // (2 * count)] for n in range(count)]


def _refuse_missing(setting: str, split: str, cohort: Cohort) -> None:
    if split in cohort.splits:
        return
    does = "is trained on" if setting == "train" else "chooses the checkpoint"
    raise SettingsError(
        f"data.{setting}: the cohort has no split '{split}'; there are: "
        f"{', '.join(repr(name) for name in cohort.splits if name)}. Say which of them {does} with "
        f"--set data.{setting}=NAME, or name one so in the table"
    )


def _spell(source: Source) -> str:
    return "{" + ", ".join(f"{key} = {list(values)}" for key, values in source.where.items()) + "}"


def name_of(case: Case) -> str:
    """What a case is called in tables and messages: its series where that is its path.

    A series that a table names itself, such as "t1.nii", may be that of another patient too; one
    of several in a folder has a name that is no path, such as "p1/study/series-2", but says whose.
    """
    if says_whose(case.key):
        return case.series
    is_path = case.labels.get("path", case.series) == case.series
    if is_path and case.series and case.path.as_posix().endswith(case.series):
        return case.series
    return "/".join(part for part in (case.patient, case.study, case.series) if part)


# -- preparing -----------------------------------------------------------------------------------


def _prepare_all(
    cases: list[Case],
    data: Data,
    shape: Shape,
    folder: Path | None,
    progress: Callable[[Progress], None] | None,
) -> tuple[dict[Key, PreparedImage], list[Unreadable]]:
    cache = Cache(folder, data.cache_precision)
    found: dict[Key, PreparedImage] = {}
    unreadable: list[Unreadable] = []
    for done, case in enumerate(cases):
        if progress is not None:
            progress(Progress(done, len(cases), name_of(case)))
        try:
            found[case.key] = prepare_case(case, data, shape, cache)
        except InputError as error:
            unreadable.append(Unreadable(name_of(case), str(error)))
    if progress is not None:
        progress(Progress(len(cases), len(cases), ""))
    _refuse_unreadable(unreadable, len(cases), data)
    return found, unreadable


def prepare_case(case: Case, data: Data, shape: Shape, cache: Cache) -> PreparedImage:
    """One case, read and prepared, or found in the cache.

    Raises:
        InputError: It cannot be read or used.
        OutputError: The cache cannot be written.
    """
    series = case.labels.get(SERIES_LABEL, "") + case.labels.get(SPACING_LABEL, "")
    sliced = shape.dims == 2
    done = f"{data.preparation} {VERSION} {'slices' if sliced else 'volume'} {series}"

    def make() -> tuple[Array, dict[str, Any]]:
        return see(read_case(case), data.preparation, sliced=sliced)

    entry = cache.fetch(f"{done} {identify(case.path)}", make)
    image = PreparedImage.from_entry(name_of(case), entry)
    if shape.dims == 3 and not image.is_volume:
        raise InputError(f"{case.path.name} is one slice, but the network sees volumes")
    if image.channels > 1 and image.channels % shape.in_channels:
        raise InputError(
            f"{case.path.name} has {image.channels} channels, but the network takes "
            f"{shape.in_channels}"
        )
    return image


def _refuse_unreadable(unreadable: list[Unreadable], total: int, data: Data) -> None:
    if len(unreadable) <= round(data.unreadable * total, 6):  # 0.29 of 100 is 28.999…
        return
    named = "; ".join(f"{name}: {reason}" for name, reason in unreadable[:_NAMED])
    more = f"; and {len(unreadable) - _NAMED} more" if len(unreadable) > _NAMED else ""
    share = math.ceil(100 * len(unreadable) / total) / 100  # of this cohort, and a little more
    raise InputError(
        f"{len(unreadable)} of {total} images cannot be used, and data.unreadable allows "
        f"{data.unreadable:g} of them: {named}{more}. Leave them out of the table, or "
        f"by the where of [[data.sources]], or allow as many with --set data.unreadable={share:g}"
    )


def _pool(source: Source, cases: tuple[Case, ...], usable: dict[Key, PreparedImage]) -> Pool:
    images = tuple(usable[case.key] for case in cases if case.key in usable)
    if not images:
        raise InputError(f"no image of the source '{source.name}' can be used")
    return Pool(source.name, source.weight, images)


# -- sizes ---------------------------------------------------------------------------------------


def usable_planes(image: PreparedImage, data: Data) -> tuple[int, ...]:
    """The planes of an image a crop fits into."""
    planes = data.planes if image.is_volume else (2,)
    least = least_side(data.crop, data.augmentation)
    return tuple(axis for axis in planes if min(image.plane_shape(axis)) >= least)


def _find_small(images: dict[Key, PreparedImage], data: Data, shape: Shape) -> dict[Key, int]:
    """Images no crop fits into, and the side of the largest that would."""
    least = least_side(data.crop, data.augmentation)
    sides = {key: _largest_side(image, data, shape) for key, image in images.items()}
    return {key: side for key, side in sides.items() if side < least}


def _refuse_small(small: list[tuple[str, int]], unreadable: int, total: int, data: Data) -> None:
    """Refuse too many images that are too small: names, and sides of the largest crops."""
    if not small or len(small) + unreadable <= round(data.unreadable * total, 6):
        return
    named = ", ".join(f"{name} ({side})" for name, side in small[:_NAMED])
    more = f" and {len(small) - _NAMED} more" if len(small) > _NAMED else ""
    raise SettingsError(
        f"{len(small)} of {total} images are smaller than the crop, which needs sides of "
        f"{least_side(data.crop, data.augmentation)} voxels: {named}{more}; leave them out "
        f"(data.sources, data.unreadable), or make the crop fit: the smallest side is "
        f"{min(side for _, side in small)}"
    )


def _largest_side(image: PreparedImage, data: Data, shape: Shape) -> int:
    """Of the crops an image has room for."""
    if shape.dims == 3:
        return min(image.shape[1:])
    planes = data.planes if image.is_volume else (2,)
    return max(min(image.plane_shape(axis)) for axis in planes)

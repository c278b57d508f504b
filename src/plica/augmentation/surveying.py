"""Surveying: every case checked before the first is reconstructed, and what labels there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from plica.augmentation.labelled import Labelled, LabelValue
from plica.augmentation.opening import Opened, open_pair
from plica.errors import InputError
from plica.image import Unit

Tell = Callable[[str], None]
"""Is told each case that is done."""


@dataclass(frozen=True)
class Survey:
    """What the cases have in common.

    Args:
        labels: What each label is called in the data set to be; a background of 0.
        relabelled: From a label's number in the source to its number in the data set.
        channels: Names of the channels, as nnU-Net reads them: "CT" means Hounsfield units.
        tilted: Whether a grid's axes are not perpendicular, which SimpleITK refuses.
        voxels: Of each label in all cases, by its number in the source.
        regions: Order in which nnU-Net lays regions over each other, where labels are regions.
    """

    labels: Mapping[str, LabelValue]
    relabelled: Mapping[int, int]
    channels: tuple[str, ...]
    tilted: bool
    voxels: Mapping[int, int]
    regions: tuple[int, ...] = ()


def survey(
    data: Labelled,
    *,
    unit: Unit | None = None,
    names: Mapping[str, int] | None = None,
    relabel: bool = False,
    tell: Tell = lambda case: None,
) -> Survey:
    """Open every case, check it, and settle what its labels are called.

    Args:
        unit: What values measure, where files do not say.
        names: What labels are called; otherwise as the source says, or label_1, label_2, ….
        relabel: Whether numbers with gaps become 0, 1, 2, …, in their order.

    Raises:
        InputError: A case cannot be used, or labels are not named or not consecutive.

    Examples:
        >>> from plica.augmentation.labelled import find_labelled
        >>> survey(find_labelled(Path("nnUNet_raw/Dataset009_Spleen"))).labels
        {'background': 0, 'organ1': 1, 'organ2': 2}
    """
    voxels: dict[int, int] = {}
    units: list[Unit] = []
    tilted = False
    for pair in data.pairs:
        case = open_pair(pair, unit=unit)
        for value, count in zip(*np.unique(case.labels, return_counts=True), strict=True):
            voxels[int(value)] = voxels.get(int(value), 0) + int(count)
        if units and len(units) != len(case.images):
            raise InputError(
                f"the case {pair.case} has {len(case.images)} channels and those before it "
                f"{len(units)}: give all cases the same"
            )
        units = [image.unit for image in case.images]
        tilted = tilted or _is_tilted(case)
        tell(pair.case)
    named = _name_labels(data, voxels, names or {})
    numbers = sorted({0, *(n for value in named.values() for n in _numbers(value))})
    moved = _number_anew(numbers, relabel=relabel)
    return Survey(
        labels={name: _move(value, moved) for name, value in named.items()},
        relabelled=moved,
        channels=_name_channels(data, units),
        tilted=tilted,
        voxels=dict(sorted(voxels.items())),
        regions=tuple(moved.get(number, number) for number in data.regions),
    )


def _is_tilted(case: Opened) -> bool:
    axes = case.grid.affine[:3, :3] / np.array(case.grid.spacing_mm)
    return not np.allclose(axes.T @ axes, np.eye(3), atol=1e-4)


def _name_labels(
    data: Labelled, voxels: Mapping[int, int], names: Mapping[str, int]
) -> dict[str, LabelValue]:
    """Label names, background first; every number found has one."""
    invented = {f"label_{number}": number for number in sorted(voxels) if number}
    named: dict[str, LabelValue] = {**(names or data.labels or invented)}
    background = next((name for name, value in named.items() if value == 0), "background")
    named = {background: 0, **{name: value for name, value in named.items() if value != 0}}
    unknown = sorted(voxels.keys() - {n for value in named.values() for n in _numbers(value)})
    if unknown:
        raise InputError(
            f"the label images hold {unknown[0]}, which has no name; there are: "
            f"{', '.join(f'{name} = {value}' for name, value in named.items())}"
        )
    if len(named) < 2:
        raise InputError("the label images hold nothing but background: there is nothing to learn")
    return named


def _numbers(value: LabelValue) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,)


def _number_anew(numbers: list[int], *, relabel: bool) -> dict[int, int]:
    if numbers != list(range(len(numbers))) and not relabel:
        gap = next(n for n in range(numbers[-1]) if n not in numbers)
        raise InputError(
            f"nnU-Net wants labels 0, 1, 2, … without a gap, but {gap} is missing among "
            f"{', '.join(map(str, numbers[:20]))}: renumber them, or let it be done with --relabel"
        )
    return {number: place for place, number in enumerate(numbers)}


def _move(value: LabelValue, moved: Mapping[int, int]) -> LabelValue:
    return tuple(moved[n] for n in value) if isinstance(value, tuple) else moved[value]


def _name_channels(data: Labelled, units: list[Unit]) -> tuple[str, ...]:
    if len(data.channels) == len(units):
        return data.channels
    plain = ["CT" if unit is Unit.HU else "image" for unit in units]
    several = plain.count("image") > 1
    return tuple(f"{n}{place}" if several and n == "image" else n for place, n in enumerate(plain))

"""Fields: an image as one real number per voxel, checked, with the lengths that go with it."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.errors import InputError, MissingExtra, SettingsError, UnusablePixels
from plica.image import Image, Unit

Real = NDArray[np.float64]
Triple = tuple[int, int, int]
Lengths = tuple[float, float, float]

PLATEAU = 0.05  # a lowest value that this share of voxels has is no tissue: padding, or clipped air
CENTRAL = (0.01, 0.99)  # quantiles between which an image's central range lies


@dataclass(frozen=True, eq=False)
class Field:
    """One image, as the evaluations of faithfulness look at it.

    Args:
        values: (i, j, k), the mean over channels.
        spacing: Of the voxels along i, j, k, in `length`.
        unit: Of the values.
        length: "mm", or "pixels" where the image knows no millimetres.
        span: Its central range: from the 1st to the 99th percentile of what is no plateau.
        plateau: Voxels that have the lowest value together with many others, and are no tissue.
    """

    values: Real
    spacing: Lengths
    unit: Unit
    length: str
    span: float
    plateau: NDArray[np.bool_]

    @property
    def axes(self) -> tuple[int, ...]:
        """The axes along which there is more than one voxel."""
        return tuple(axis for axis in range(3) if self.values.shape[axis] > 1)


def to_field(image: Image) -> Field:
    """An image as a field.

    Raises:
        UnusablePixels: It holds labels, values that are not finite, or one value only.
    """
    _refuse_meaningless(image, "source")
    values = to_values(image)
    plateau = _find_plateau(values)
    seen = values[~plateau]
    low, high = np.quantile(seen, CENTRAL) if seen.size else (0.0, 0.0)
    if not high > low:
        raise UnusablePixels(
            "the image is constant, so there is nothing a codec could keep or lose: "
            "give one that shows something"
        )
    length = "mm" if image.grid.calibrated else "pixels"
    return Field(values, image.grid.spacing_mm, image.unit, length, float(high - low), plateau)


def to_values(image: Image) -> Real:
    """The mean over channels, (i, j, k)."""
    return np.asarray(image.pixels.astype(np.float64).mean(axis=0))


def refuse_unlike(source: Image, decoded: Image) -> None:
    """Refuse a decoded image that cannot be held against its source voxel by voxel.

    Raises:
        InputError: It stands on another grid, or has another unit or number of channels.
        UnusablePixels: It has values that are not finite.
    """
    if not source.grid.agrees_with(decoded.grid):
        raise InputError(
            f"the decoded image is not on its source's grid: {decoded.grid!r} against "
            f"{source.grid!r}; a codec must come back to the grid it was given"
        )
    if source.unit is not decoded.unit or source.channels != decoded.channels:
        raise InputError(
            f"the decoded image has {decoded.channels} channel(s) in {decoded.unit.value}, but its "
            f"source {source.channels} in {source.unit.value}: a codec must come back to the same"
        )
    _refuse_meaningless(decoded, "decoded image")


def check_factor(factor: Triple, shape: tuple[int, ...]) -> Triple:
    """How much coarser a codec is along each axis; 1 along axes of one voxel.

    Raises:
        SettingsError: It is not three whole numbers from 1, or 1 along all axes.
        UnusablePixels: A side has fewer than two cells.
    """
    if len(factor) != 3 or any(int(step) != step or step < 1 for step in factor):
        raise SettingsError(
            f"a factor is three whole numbers from 1, along i, j, k, but got {factor}"
        )
    i, j, k = (int(step) if side > 1 else 1 for step, side in zip(factor, shape, strict=True))
    if (i, j, k) == (1, 1, 1):
        raise SettingsError(
            f"the factor {tuple(factor)} makes nothing coarser of {shape} voxels: name the factor "
            "by which a codec of as few codes would resample, such as (2, 2, 1)"
        )
    steps = (i, j, k)
    if small := [side for side, step in zip(shape, steps, strict=True) if 1 < side < 2 * step]:
        raise UnusablePixels(
            f"a side of {small[0]} voxels is too small to judge what a codec of factor "
            f"{steps} invents: give an image of at least two cells a side"
        )
    return steps


def import_extra(module: str) -> Any:
    """A module of an optional package.

    Raises:
        MissingExtra: It is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = {"skimage": "scikit-image"}.get(root := module.partition(".")[0], root)
        raise MissingExtra("judging faithfulness", package, "eval") from error


def blur(values: Real, sigmas: tuple[float, ...]) -> Real:
    """Gaussian means; `sigmas` in voxels, one for each axis."""
    return np.asarray(import_extra("scipy.ndimage").gaussian_filter(values, sigmas, mode="nearest"))


def _refuse_meaningless(image: Image, what: str) -> None:
    if image.unit is Unit.LABEL:
        raise UnusablePixels(
            f"the {what} holds class labels, whose differences mean nothing: "
            "judge the image they were drawn on"
        )
    if count := image.count_nonfinite():
        raise UnusablePixels(
            f"the {what} has {count} values that are NaN or infinite: fill them before judging "
            "what a codec keeps"
        )


def _find_plateau(values: Real) -> NDArray[np.bool_]:
    lowest = values == values.min()
    return lowest if lowest.mean() >= PLATEAU else np.zeros_like(lowest)

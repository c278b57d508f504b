"""Metrics within boxes and masks: what became of the fracture, not of the picture around it.

MedVAE's "fine-grained" PSNR is one of these: PSNR within the box that a radiologist drew around a
fracture. The data range is that of the whole image, so that a number says how visible the same
error would be on the same screen, and numbers of regions can be compared with those of the image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from plica.errors import InputError, UnusablePixels
from plica.grid import Grid
from plica.image import Image
from plica.metrics.metric import Measurement, measure
from plica.metrics.pair import Bools, read_mask

Triple = tuple[int, int, int]


@dataclass(frozen=True)
class Box:
    """Voxels from `start` up to, but not with, `stop`.

    Args:
        start: First voxel (i, j, k).
        stop: The one after the last.

    Raises:
        InputError: The box holds no voxel, or begins before the first.
    """

    start: Triple
    stop: Triple

    def __post_init__(self) -> None:
        if min(self.start) < 0 or any(a >= b for a, b in zip(self.start, self.stop, strict=True)):
            raise InputError(
                f"a box needs a start of at least 0 below its stop along i, j and k, but got "
                f"{self.start} and {self.stop}"
            )

    @classmethod
    def from_fractions(cls, centre: Sequence[float], size: Sequence[float], grid: Grid) -> Box:
        """A box drawn on a picture, as detection data sets write it, with all it touches.

        Args:
            centre: Of the box: part of the picture's width to the right, of its height downwards.
            size: Width and height of the box, likewise as parts.
            grid: Of the radiograph; i runs to the right, j down, and there is one voxel along k.

        Raises:
            InputError: The box lies outside the picture, or the image is a volume.
        """
        if grid.shape[2] != 1:
            raise InputError("boxes in parts of width and height are drawn on radiographs, not on "
                             f"a volume of {grid.shape} voxels")  # fmt: skip
        numbers = [*centre, *size]
        if len(numbers) != 4 or not all(map(math.isfinite, numbers)) or min(numbers[2:]) <= 0:
            raise InputError(
                "a box needs two parts for its centre and two above 0 for its size, but got "
                f"{numbers}"
            )
        edges = []
        for middle, length, side in zip(centre, size, grid.shape[:2], strict=True):
            # Six digits are what such files hold: an edge on a voxel's border must stay there.
            ends = [round((middle + sign * length / 2) * side, 3) for sign in (-1, 1)]
            edges.append((max(math.floor(ends[0]), 0), min(math.ceil(ends[1]), side)))
        (left, right), (top, bottom) = edges
        return cls((left, top, 0), (right, bottom, 1))

    def mark(self, grid: Grid) -> Bools:
        """Truth values on the grid: true within the box.

        Raises:
            InputError: The box reaches beyond the grid.
        """
        if any(stop > side for stop, side in zip(self.stop, grid.shape, strict=True)):
            raise InputError(
                f"the box ends at {self.stop}, beyond the {grid.shape} voxels of the image"
            )
        region = np.zeros(grid.shape, bool)
        region[tuple(slice(a, b) for a, b in zip(self.start, self.stop, strict=True))] = True
        return region


@dataclass(frozen=True)
class RegionalMeasurement:
    """What was found within regions of one pair of images.

    Args:
        regions: One measurement each, in the order they were given.
        pooled: Of all regions as one: a voxel that several hold counts once.
    """

    regions: tuple[Measurement, ...]
    pooled: Measurement

    def to_json(self) -> dict[str, Any]:
        """A record that `json.dumps(…, allow_nan=False)` takes."""
        return {
            "regions": [region.to_json() for region in self.regions],
            "pooled": self.pooled.to_json(),
        }


def measure_regions(
    source: Image,
    decoded: Image,
    regions: Sequence[Any],
    *,
    metrics: Sequence[str] = ("psnr",),
    data_range: float | None = None,
    weights_dir: str | Path | None = None,
    strict: bool | None = None,
) -> RegionalMeasurement:
    """Compare a decoded image with its source in each of several regions, and in all of them.

    Args:
        regions: Boxes in voxels, or truth values (i, j, k) on the images' grid.
        data_range: As for `measure`: None takes that of the whole source, not of the region.

    Raises:
        UnusablePixels: There are no regions, or one is empty.
        PlicaError: As `measure` says.

    Examples:
        >>> nodule = np.zeros(scan.grid.shape, bool)
        >>> nodule[10:20, 10:20, 5:10] = True
        >>> round(measure_regions(scan, decoded, [nodule]).pooled["psnr"], 1)
        25.8
    """
    if not len(regions):
        raise UnusablePixels("no region was given: give at least one box or mask")
    masks = [
        one.mark(source.grid) if isinstance(one, Box) else read_mask(one, source.grid.shape)
        for one in regions
    ]
    found = [
        measure(
            source, decoded, metrics=metrics, data_range=data_range, region=mask,
            weights_dir=weights_dir, strict=strict,
        )
        for mask in masks
    ]  # fmt: skip
    if len(masks) == 1:
        return RegionalMeasurement(tuple(found), found[0])
    pooled = measure(
        source, decoded, metrics=metrics, data_range=data_range,
        region=np.logical_or.reduce(masks), weights_dir=weights_dir, strict=strict,
    )  # fmt: skip
    return RegionalMeasurement(tuple(found), pooled)

"""Opening: a case's images and labels in memory, once they are known to fit each other."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.augmentation.labelled import Pair
from plica.errors import InputError, UnusablePixels
from plica.formats.doors import read
from plica.grid import Grid
from plica.image import Image, Unit

TOLERANCE_MM = 1e-3
MOST_LABEL = 65535
_BLOCK = 1 << 20


@dataclass(frozen=True, eq=False)
class Opened:
    """A case in memory.

    Args:
        images: One of each channel, all on one grid.
        labels: Whole numbers on the same grid, (i, j, k).
    """

    images: tuple[Image, ...]
    labels: NDArray[Any]

    @property
    def grid(self) -> Grid:
        """Where the images' voxels are."""
        return self.images[0].grid


def open_pair(pair: Pair, *, unit: Unit | None = None) -> Opened:
    """Read a case and check that its label image belongs to it.

    Args:
        unit: What the images' values measure, where the files do not say.

    Raises:
        InputError: A file cannot be read, or the label image is on another grid.
        UnusablePixels: Labels are no whole numbers from 0, or values are not finite.

    Examples:
        >>> from plica.augmentation.labelled import find_labelled
        >>> data = find_labelled(Path("nnUNet_raw/Dataset009_Spleen"))
        >>> open_pair(data.pairs[0]).labels.shape
        (12, 10, 6)
    """
    images: list[Image] = []
    for path in pair.images:
        image = read(path, unit=unit)
        if image.count_nonfinite():
            raise UnusablePixels(
                f"{path.name} holds {image.count_nonfinite()} values that are not finite, which "
                "nnU-Net refuses: replace them first"
            )
        images += [image.with_pixels(image.pixels[n : n + 1]) for n in range(image.channels)]
    label = read(pair.label, unit=Unit.LABEL)
    names = [path.name for path in pair.images]
    for name, image in zip(names * len(images), images, strict=False):
        _refuse_other_grid(name, images[0].grid, (names[0], image.grid))
    _refuse_other_grid(pair.label.name, images[0].grid, (names[0], label.grid))
    return Opened(tuple(images), _read_labels(pair, label))


def hash_source(path: Path) -> str:
    """SHA-256 of a file, or of all files below a folder in order, their names left out."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    summed = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(_BLOCK):
                summed.update(block)
    return f"sha256:{summed.hexdigest()}"


def _refuse_other_grid(path: str, wanted: Grid, other: tuple[str, Grid]) -> None:
    name, grid = other
    if not wanted.agrees_with(grid, TOLERANCE_MM):
        raise InputError(
            f"{path} and {name} do not lie on one grid: {grid!r} against {wanted!r}; resample the "
            "label image onto the image's grid, by nearest neighbour"
        )


def _read_labels(pair: Pair, label: Image) -> NDArray[Any]:
    if label.channels != 1:
        raise UnusablePixels(f"{pair.label.name} has {label.channels} channels; labels have one")
    values = label.pixels[0]
    if values.dtype.kind == "f" and not np.array_equal(values, np.rint(values)):
        raise UnusablePixels(
            f"{pair.label.name} holds values such as "
            f"{float(values[values != np.rint(values)][0]):.6g}, but labels are whole numbers: "
            "was it interpolated, or is it no label image?"
        )
    if values.size and (values.min() < 0 or values.max() > MOST_LABEL):
        raise UnusablePixels(
            f"{pair.label.name} holds labels from {values.min():g} to {values.max():g}; they must "
            f"be 0 to {MOST_LABEL}"
        )
    return values.astype(np.uint16)

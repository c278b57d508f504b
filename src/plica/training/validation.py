"""Validation: the images a training is judged on, the same every time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.training.prepared import PreparedImage, Shape, spread_channels, turn
from plica.training.recipe import Data

Array = NDArray[Any]
Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Validation:
    """What a training is judged on: whole images or centred crops, the same every time.

    For 2D networks a volume counts by the middle slice across the first of the recipe's planes.
    Sides are cut to multiples of the network's factor; what is smaller than one code is filled
    with its border's voxels. Of an image with more channels than the network takes, the first
    count.
    """

    images: tuple[PreparedImage, ...]
    data: Data
    shape: Shape

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, number: int) -> tuple[str, Float32]:
        image = self.images[number]
        return image.name, self._cut(self._see(image))

    def __iter__(self) -> Iterator[tuple[str, Float32]]:
        return (self[number] for number in range(len(self)))

    def _see(self, image: PreparedImage) -> Array:
        pixels = spread_channels(image.open(), self.shape.in_channels, group=0)
        if self.shape.dims == 3:
            return pixels
        turned = turn(pixels, image.turn_to(self.data.planes[0]))
        return turned[..., turned.shape[3] // 2].transpose(0, 2, 1)

    def _cut(self, pixels: Array) -> Float32:
        factor, most = self.shape.factor, self.data.validation_crop
        middle: list[slice] = []
        for side in pixels.shape[1:]:
            kept = max(min(side, most or side) // factor * factor, min(side, factor))
            start = (side - kept) // 2
            middle.append(slice(start, start + kept))
        x = np.asarray(pixels[(slice(None), *middle)], np.float32)
        missing = [(0, max(0, factor - side)) for side in x.shape[1:]]
        return np.ascontiguousarray(np.pad(x, [(0, 0), *missing], mode="edge"))

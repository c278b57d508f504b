"""Small images of the kinds a codec meets: smooth, oblique, odd in every side."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.grid import Grid
from plica.image import Image, Unit

KINDS = ("ct", "mr", "colour")
OBLIQUE = np.array([[0.9, 0.1, 0, 5], [-0.1, 0.8, 0.2, -7], [0, -0.1, 2.1, 11], [0, 0, 0, 1.0]])


def make_image(kind: str, dims: int, *, beyond: int = 0) -> Image:
    """An image of a slope with a hill on it.

    Args:
        kind: "ct" (int16, HU), "mr" (float32 up to 75 000, relative) or "colour" (three channels
            of uint8 without millimetres).
        dims: 3 for a volume of 37×29×11 voxels, 2 for one slice of 67×53.
        beyond: Make i and j longer than this.

    Examples:
        >>> make_image("ct", 3).grid.shape
        (37, 29, 11)
    """
    i, j, k = (37, 29, 11) if dims == 3 else (67, 53, 1)
    shape = (max(i, beyond + 5), max(j, beyond + 3), k)
    if kind == "ct":
        pixels = _draw_hill(shape, -1000, 1500).astype(np.int16)
        return Image(pixels, Grid(shape, OBLIQUE), Unit.HU)
    if kind == "mr":
        return Image(_draw_hill(shape, 0, 7.5e4).astype(np.float32), Grid(shape, OBLIQUE))
    ranges = ((0, 255), (30, 200), (9, 99))
    pixels = np.concatenate([_draw_hill(shape, *one) for one in ranges])
    grid = Grid.from_spacing(shape, calibrated=False)
    return Image(pixels.astype(np.uint8), grid, Unit.DISPLAY)


def _draw_hill(shape: tuple[int, int, int], low: float, high: float) -> NDArray[Any]:
    """A slope with a hill off its centre: turned, mirrored or shifted it is another image."""
    i, j, k = np.meshgrid(*[np.linspace(0, 1, side) for side in shape], indexing="ij")
    slope = (3 * i + 2 * j + k) / 6
    hill = np.exp(-((i - 0.3) ** 2 + (j - 0.6) ** 2 + (k - 0.4) ** 2) / (2 * 0.4**2))
    drawn = 0.6 * slope + 0.4 * hill
    drawn = (drawn - drawn.min()) / np.ptp(drawn)
    return (low + (high - low) * drawn)[None]

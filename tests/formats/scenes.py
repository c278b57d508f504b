"""Images with a landmark, on grids of every kind, for all formats' tests."""

from __future__ import annotations

import numpy as np

from plica.grid import Grid
from plica.image import Image, Unit

SHAPE = (5, 6, 7)
LANDMARK = (1, 4, 2)


def turned(degrees_x: float, degrees_y: float, degrees_z: float) -> np.ndarray:
    """A rotation about the three axes, one after the other."""
    turn = np.eye(3)
    for axis, degrees in enumerate((degrees_x, degrees_y, degrees_z)):
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        one = np.eye(3)
        others = [other for other in range(3) if other != axis]
        one[np.ix_(others, others)] = [[c, -s], [s, c]]
        turn = one @ turn
    return turn


def affine_of(directions: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = directions * spacing
    affine[:3, 3] = [10.0, -20.0, 33.25]
    return affine


def _sheared() -> np.ndarray:
    affine = affine_of(np.eye(3), (0.5, 0.5, 3.0))
    affine[1, 2] = 0.8
    return affine


GRIDS = {
    "RAS": Grid(SHAPE, affine_of(np.eye(3), (1.0, 1.0, 1.0))),
    "LPS": Grid(SHAPE, affine_of(np.diag([-1.0, -1.0, 1.0]), (0.7, 0.8, 2.5))),
    "left-handed": Grid(SHAPE, affine_of(np.diag([-1.0, 1.0, 1.0]), (0.7, 0.8, 2.5))),
    "sagittal": Grid(SHAPE, affine_of(np.eye(3)[:, [1, 2, 0]], (0.9, 1.1, 4.0))),
    "oblique": Grid(SHAPE, affine_of(turned(10, 20, -30), (0.7, 0.8, 2.5))),
    "steep": Grid(SHAPE, affine_of(turned(100, -130, 170), (3.0, 0.4, 0.4))),
}
SHEARED = Grid(SHAPE, _sheared())


def numbers(dtype: str, channels: int = 1, shape: tuple[int, ...] = SHAPE, seed: int = 0):
    """Values that use the type: negative where it can be, near its ends where it is small."""
    rng = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return (rng.normal(size=(channels, *shape)) * 1000).astype(kind)
    limits = np.iinfo(kind)
    low, high = max(limits.min, -(2**40)), min(limits.max, 2**40)
    return rng.integers(low, high, (channels, *shape), dtype=kind, endpoint=True)


def marked(grid: Grid, dtype: str = "int16", unit: Unit = Unit.RELATIVE) -> Image:
    """Zeros with one voxel of 100 at the landmark."""
    pixels = np.zeros((1, *grid.shape), dtype)
    pixels[0][LANDMARK] = 100
    return Image(pixels, grid, unit)


def find_mark(image: Image) -> np.ndarray:
    """World position of the brightest voxel, in RAS+ mm."""
    at = np.unravel_index(int(np.argmax(image.pixels[0])), image.grid.shape)
    return image.grid.to_world(at)

"""Grids that lie every way round, and images with a mark at a known place of the patient."""

import itertools

import numpy as np

from plica.grid import Grid
from plica.image import Image, Unit

RAS = Grid.from_spacing((24, 32, 20), (2.0, 1.0, 3.0), origin_mm=(-23.0, -15.5, -28.5))
TURNED = [
    RAS.reaxed(order, flipped)
    for order in itertools.permutations(range(3))
    for flipped in itertools.product((False, True), repeat=3)
]


def mark(grid: Grid, world_mm: tuple[float, float, float], value: float = 1000.0) -> Image:
    """An image that is zero but for the voxels within 4 mm of a place."""
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    apart = np.linalg.norm(grid.to_world(index) - np.array(world_mm), axis=-1)
    return Image(np.where(apart < 4, value, 0.0)[None], grid, Unit.RELATIVE)

"""Grids and images to prepare, and the way forth and back."""

import json

import numpy as np
from hypothesis import assume, settings
from hypothesis import strategies as st

from plica.grid import Grid
from plica.image import Image, Unit
from plica.latent import Record

# Time is measured by benchmarks; here a busy machine must not fail a true statement.
settings.register_profile("untimed", deadline=None, max_examples=50)
settings.load_profile("untimed")


def there_and_back(step, image):
    """The prepared image, its record as a file would give it back, and the reverted image."""
    prepared, record = step.apply(image)
    undo = json.loads(json.dumps(record.undo, allow_nan=False))
    read = Record(record.step, undo, record.loss, record.arrays)
    return prepared, record, type(step).revert(prepared, read)


def ramp(grid, slopes=(1.0, 2.0, -0.5)):
    """Values that are a linear function of the place in the world."""
    index = np.stack(np.meshgrid(*[np.arange(side) for side in grid.shape], indexing="ij"), -1)
    return grid.to_world(index) @ np.array(slopes)


def make(pixels, *, spacing=(1.0, 1.0, 1.0), unit=Unit.RELATIVE, **fields):
    """An image of an array (i, j, k), or (channel, i, j, k)."""
    pixels = np.asarray(pixels)
    pixels = pixels[None] if pixels.ndim == 3 else pixels
    return Image(pixels, Grid.from_spacing(pixels.shape[1:], spacing), unit, **fields)


@st.composite
def grids(draw, *, least=1, most=9):
    """Any grid: odd sides, oblique, flipped and sheared affines."""
    shape = tuple(draw(st.integers(least, most)) for _ in range(3))
    numbers = st.floats(-3, 3, allow_nan=False).map(lambda one: round(one, 3))
    axes = np.array([[draw(numbers) for _ in range(3)] for _ in range(3)])
    lengths = np.linalg.norm(axes, axis=0)
    assume(lengths.min() > 0.2)
    assume(abs(np.linalg.det(axes / lengths)) > 0.05)
    affine = np.eye(4)
    affine[:3, :3] = axes
    affine[:3, 3] = [draw(numbers) * 100 for _ in range(3)]
    return Grid(shape, affine)

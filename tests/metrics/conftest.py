"""Pairs of images to measure."""

from collections.abc import Callable

import numpy as np
import pytest

from plica.grid import Grid
from plica.image import Image, Unit

MakeImage = Callable[..., Image]


@pytest.fixture
def make_image() -> MakeImage:
    """An image of pixels given as (i, j), (i, j, k) or (channel, i, j, k)."""

    def make(pixels: np.ndarray, unit: Unit = Unit.RELATIVE) -> Image:
        pixels = np.asarray(pixels)
        if pixels.ndim == 2:
            pixels = pixels[..., None]
        if pixels.ndim == 3:
            pixels = pixels[None]
        return Image(pixels, Grid.from_spacing(pixels.shape[1:]), unit)

    return make


@pytest.fixture
def noisy() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """A smooth pattern of the shape asked for, and the same with noise, both about 0 … 255."""

    def make(*shape: int, sigma: float = 12.0) -> tuple[np.ndarray, np.ndarray]:
        generator = np.random.default_rng(7)
        places = np.meshgrid(*[np.arange(side) for side in shape], indexing="ij")
        wave = sum(np.sin(place / (3.0 + 2 * axis)) for axis, place in enumerate(places))
        source = 128 + 40 * wave
        return source, source + generator.normal(0, sigma, shape)

    return make

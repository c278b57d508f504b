"""Resizing: the definition everybody uses, whole numbers stay whole, borders stay in place."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from plica.grid import Grid
from plica.image import Image
from plica.training.resizing import resize, weigh


def make(shape, dtype=np.float32, channels=1):
    rng = np.random.default_rng(0)
    pixels = rng.uniform(0, 255, (channels, *shape)).astype(dtype)
    return Image(pixels, Grid.from_spacing(shape, (0.5, 0.7, 2.0), origin_mm=(3, -4, 5)))


@pytest.mark.parametrize("shape", [(16, 12, 1), (7, 24, 1), (64, 50, 1), (33, 21, 1)])
def test_it_is_the_antialiased_bicubic_of_pytorch(shape):
    image = make((33, 24, 1))

    ours = resize(image, shape).pixels[..., 0]
    theirs = functional.interpolate(
        torch.tensor(image.pixels[..., 0])[None], shape[:2], mode="bicubic", antialias=True
    )[0].numpy()

    assert np.abs(ours - theirs).max() < 2e-3  # of 255


def test_the_outer_borders_keep_their_place():
    image = make((33, 24, 10))
    small = resize(image, (11, 6, 5))

    for edge in (np.array([-0.5, -0.5, -0.5]), None):
        near = image.grid.to_world(edge if edge is not None else np.array(image.grid.shape) - 0.5)
        ours = small.grid.to_world(edge if edge is not None else np.array(small.grid.shape) - 0.5)
        assert np.allclose(near, ours, atol=1e-9)


def test_whole_numbers_stay_whole_and_in_their_range():
    image = make((20, 20, 1), np.uint8)

    small = resize(image, (8, 8, 1))

    assert small.pixels.dtype == np.uint8
    assert small.provenance.content.startswith("sha256:")
    assert "resized to 8 × 8 × 1" in small.provenance.steps[-1]


def test_an_image_of_that_shape_is_itself():
    image = make((8, 8, 1))

    assert resize(image, (8, 8, 1)) is image


@pytest.mark.parametrize(("old", "new"), [(10, 3), (3, 10), (5, 5), (1, 4)])
def test_each_voxel_is_a_weighted_mean(old, new):
    weights = weigh(old, new)

    assert weights.shape == (new, old)
    assert np.allclose(weights.sum(1), 1)

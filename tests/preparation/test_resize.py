"""Resizing keeps the field of view, and what stands in it where it stands."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from plica.errors import SettingsError, UnusablePixels
from plica.grid import Grid
from plica.image import Image, Unit
from plica.preparation.resize import regrid, resize

GRID = Grid.from_spacing((24, 30, 1), (0.5, 0.4, 1.0), origin_mm=(3.0, -4.0, 5.0))
SIDES = st.integers(1, 60)


def picture(pixels, unit=Unit.RELATIVE):
    pixels = np.asarray(pixels)
    grid = GRID.window((0, 0, 0), pixels.shape)
    return Image(pixels[None], grid, unit)


@given(SIDES, SIDES, SIDES)
def test_corners_of_the_field_of_view_stay(i, j, k):
    made = regrid(GRID, (i, j, k))
    for corner in ((0, 0, 0), (1, 1, 1), (1, 0, 1)):
        before = GRID.to_world(np.array(corner) * GRID.shape - 0.5)
        after = made.to_world(np.array(corner) * made.shape - 0.5)
        assert np.allclose(before, after, atol=1e-9)


@pytest.mark.parametrize("shape", [(48, 75, 1), (12, 10, 1), (8, 30, 1)])
def test_a_ramp_of_the_world_is_the_same_ramp_inside(shape):
    index = np.stack(np.meshgrid(*map(np.arange, GRID.shape), indexing="ij"), axis=-1)
    world = GRID.to_world(index)
    made = resize(Image((2 * world[..., 0] - world[..., 1])[None], GRID, Unit.RELATIVE), shape)
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    there = made.grid.to_world(index)
    expected = 2 * there[..., 0] - there[..., 1]
    edge = [
        max(2, int(2 * new / old) + 1) for new, old in zip(shape[:2], GRID.shape[:2], strict=True)
    ]
    inner = (slice(edge[0], -edge[0]), slice(edge[1], -edge[1]))
    assert np.allclose(made.pixels[0][inner], expected[inner], atol=1e-4)


@pytest.mark.parametrize("shape", [(13, 17), (40, 50), (24, 11)])
def test_it_is_pillows_bicubic(shape):
    values = np.random.default_rng(0).normal(size=(24, 30)).astype(np.float32)
    ours = resize(picture(values[..., None]), (*shape, 1)).pixels[0, ..., 0]
    # Pillow's columns are its first axis: (j, i) of ours.
    theirs = np.asarray(Pillow.fromarray(values.T).resize(shape, Pillow.Resampling.BICUBIC)).T
    assert np.allclose(ours, np.clip(theirs, values.min(), values.max()), atol=1e-5)


def test_whole_numbers_stay_whole_and_labels_stay_labels():
    checks = np.indices((24, 30, 1)).sum(0) % 2 * 200
    assert resize(picture(checks.astype(np.uint8)), (50, 50, 1)).pixels.dtype == np.uint8
    labels = resize(picture(checks.astype(np.int16), Unit.LABEL), (50, 50, 1))
    assert set(np.unique(labels.pixels)) == {0, 200}


def test_an_image_of_the_wanted_shape_is_passed_on():
    image = picture(np.zeros((24, 30, 1), np.float32))
    assert resize(image, (24, 30, 1)) is image
    assert resize(image, (12, 30, 1)).provenance.steps[-1].startswith("resized from (24, 30, 1)")


def test_what_cannot_be_resized_is_refused():
    image = picture(np.zeros((24, 30, 1), np.float32))
    with pytest.raises(SettingsError, match="sides are 1 to"):
        resize(image, (0, 30, 1))
    hole = picture(np.full((24, 30, 1), np.nan, np.float32))
    with pytest.raises(UnusablePixels):
        resize(hole, (12, 30, 1))

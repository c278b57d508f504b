"""Metrics within boxes see the box and nothing else, with the range of the whole image."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio

from plica.errors import InputError, UnusablePixels
from plica.grid import Grid
from plica.image import Image, Unit
from plica.metrics.metric import measure
from plica.metrics.regional import Box, measure_regions

WRIST = Grid.from_spacing((200, 400, 1), calibrated=False)
fractions = st.floats(0.05, 0.95)


def pair(shape=(40, 30, 1)):
    generator = np.random.default_rng(3)
    source = generator.integers(0, 200, shape).astype(np.uint8)
    decoded = source + generator.integers(0, 40, shape).astype(np.uint8)
    grid = Grid.from_spacing(shape)
    return Image(source[None], grid, Unit.DISPLAY), Image(decoded[None], grid, Unit.DISPLAY)


def test_psnr_in_a_box_is_that_of_the_crop_with_the_range_of_the_image():
    source, decoded = pair()
    box = Box((5, 6, 0), (17, 20, 1))

    found = measure_regions(source, decoded, [box]).pooled

    x, y = (image.pixels[0, 5:17, 6:20, 0] for image in (source, decoded))
    assert found["psnr"] == pytest.approx(peak_signal_noise_ratio(x, y, data_range=255), abs=1e-9)
    assert found.data_range == 255
    assert found.n_values == 12 * 14


def test_what_happens_outside_the_box_does_not_matter():
    source, decoded = pair()
    ruined = decoded.pixels.copy()
    ruined[0, :5] = 0
    box = Box((5, 6, 0), (17, 20, 1))

    there = measure_regions(source, decoded, [box], metrics=["psnr", "mae"])
    back = measure_regions(source, decoded.with_pixels(ruined), [box], metrics=["psnr", "mae"])

    assert there.to_json() == back.to_json()


def test_regions_are_pooled_voxel_by_voxel_and_none_counts_twice():
    source, decoded = pair()
    boxes = [Box((0, 0, 0), (10, 10, 1)), Box((5, 5, 0), (15, 15, 1))]

    found = measure_regions(source, decoded, boxes, metrics=["mae"])

    error = np.abs(decoded.pixels.astype(float) - source.pixels)[0, ..., 0]
    union = np.zeros(error.shape, bool)
    union[:10, :10] = union[5:15, 5:15] = True
    assert [one["mae"] for one in found.regions] == pytest.approx(
        [error[:10, :10].mean(), error[5:15, 5:15].mean()]
    )
    assert found.pooled["mae"] == pytest.approx(error[union].mean())
    assert found.pooled.n_values == 175
    json.dumps(found.to_json(), allow_nan=False)


def test_boxes_and_masks_of_a_volume_may_stand_beside_each_other():
    source, decoded = pair((20, 18, 16))
    mask = np.zeros((20, 18, 16), bool)
    mask[8:11, 6:11, 6:9] = True

    found = measure_regions(
        source, decoded, [Box((8, 6, 6), (11, 11, 9)), mask], metrics=["psnr", "ssim", "mae"]
    )

    assert found.regions[0].to_json() == found.regions[1].to_json() == found.pooled.to_json()


def test_the_whole_image_as_a_box_is_the_image():
    source, decoded = pair()

    found = measure_regions(source, decoded, [Box((0, 0, 0), (40, 30, 1))], metrics=["psnr"])

    assert found.pooled["psnr"] == pytest.approx(measure(source, decoded)["psnr"], rel=1e-12)


def test_a_box_in_parts_of_the_picture_holds_every_voxel_it_touches():
    # "1 0.41 0.66 0.1 0.07": from 36 … 46 % of the width, 62.5 … 69.5 % of the height.
    box = Box.from_fractions((0.41, 0.66), (0.1, 0.07), WRIST)

    assert (box.start, box.stop) == ((72, 250, 0), (92, 278, 1))


@given(st.tuples(fractions, fractions), st.tuples(fractions, fractions))
def test_a_box_in_parts_stays_in_the_picture_and_is_tight(centre, size):
    box = Box.from_fractions(centre, size, WRIST)
    region = box.mark(WRIST)

    for axis, side in enumerate(WRIST.shape[:2]):
        low, high = ((centre[axis] + sign * size[axis] / 2) * side for sign in (-1, 1))
        assert max(low, 0) - 1.01 <= box.start[axis] <= max(low, 0) + 0.01
        assert min(high, side) - 0.01 <= box.stop[axis] <= min(high, side) + 1.01
    assert region.sum() == math.prod(b - a for a, b in zip(box.start, box.stop, strict=True))


def test_boxes_that_hold_nothing_are_refused():
    with pytest.raises(InputError, match="start of at least 0"):
        Box((5, 5, 0), (5, 9, 1))
    with pytest.raises(InputError, match="start of at least 0"):
        Box((-1, 5, 0), (5, 9, 1))
    with pytest.raises(InputError, match="beyond"):
        Box((0, 0, 0), (41, 30, 1)).mark(pair()[0].grid)
    with pytest.raises(InputError, match="above 0 for its size"):
        Box.from_fractions((0.5, 0.5), (0.0, 0.1), WRIST)
    with pytest.raises(InputError, match="start of at least 0"):
        Box.from_fractions((1.5, 0.5), (0.1, 0.1), WRIST)
    with pytest.raises(InputError, match="radiographs"):
        Box.from_fractions((0.5, 0.5), (0.1, 0.1), Grid.from_spacing((9, 9, 9)))
    with pytest.raises(UnusablePixels, match="at least one box"):
        measure_regions(*pair(), [])

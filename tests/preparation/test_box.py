import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.preparation.conftest import grids, make, ramp

from plica.errors import LatentError
from plica.grid import Grid
from plica.image import Image
from plica.latent import Record
from plica.preparation.box import Box, crop, find_box, put_back


@st.composite
def boxes(draw):
    grid = draw(grids())
    start = tuple(draw(st.integers(0, side - 1)) for side in grid.shape)
    shape = tuple(draw(st.integers(1, n - a)) for a, n in zip(start, grid.shape, strict=True))
    return grid, Box(start, shape)


def cut(image, box, *, keep_border):
    nowhere = np.zeros(image.grid.shape, bool)
    return crop(image, box, "region", nowhere, keep_border=keep_border)


@given(boxes())
def test_the_slabs_outside_and_the_box_hold_every_voxel_once(case):
    grid, box = case
    count = np.zeros((1, *grid.shape), int)
    count[(slice(None), *box.slices)] += 1
    for slab in box.slabs_outside(grid.shape):
        count[slab] += 1

    assert (count == 1).all()


@given(boxes(), st.sampled_from(["i2", "u1", "f4", "f8", "?"]), st.integers(1, 3))
def test_a_kept_border_comes_back_exactly_on_any_grid(case, dtype, channels):
    grid, box = case
    pixels = np.random.default_rng(4).integers(0, 99, (channels, *grid.shape)).astype(dtype)
    image = Image(pixels, grid)
    cropped, record = cut(image, box, keep_border=True)
    back = put_back(cropped, record)

    np.testing.assert_array_equal(back.pixels, pixels)
    assert back.pixels.dtype == pixels.dtype
    assert back.grid.agrees_with(grid, 1e-6)
    assert not record.loss


@given(boxes())
def test_every_voxel_of_the_box_keeps_its_place_in_the_world(case):
    grid, box = case
    image = Image(ramp(grid)[None], grid)
    cropped, record = cut(image, box, keep_border=False)
    back = put_back(cropped, record)

    np.testing.assert_allclose(cropped.pixels[0], ramp(cropped.grid), atol=1e-6)
    inner = (slice(None), *box.slices)
    np.testing.assert_array_equal(back.pixels[inner], image.pixels[inner])
    changed = int(np.count_nonzero(back.pixels != image.pixels))
    assert record.loss.get("voxels_changed", 0) == changed


def test_what_is_left_outside_is_counted():
    pixels = np.zeros((4, 4, 4))
    pixels[0, 0, 0] = 3
    pixels[2, 2, 2] = 4
    _, record = cut(make(pixels), Box((2, 2, 2), (2, 2, 2)), keep_border=False)

    assert record.loss["voxels_changed"] == 1
    assert record.loss["largest_change"] == 3
    assert record.loss["energy_fraction"] == pytest.approx(9 / 25)
    assert record.loss["outside_fraction"] == 56 / 64


def test_each_channel_has_its_own_background():
    pixels = np.stack([np.full((3, 3, 3), level, np.uint8) for level in (5, 80, 200)])
    cropped, record = cut(make(pixels), Box((1, 1, 1), (1, 1, 1)), keep_border=False)

    np.testing.assert_array_equal(put_back(cropped, record).pixels, pixels)
    assert not record.loss


def test_a_border_that_unfolds_without_end_is_refused_before_it_does():
    cropped, record = cut(make(np.zeros((9, 9, 9))), Box((1, 1, 1), (1, 1, 1)), keep_border=True)
    bomb = np.frombuffer(zlib.compress(bytes(2**24)), np.uint8)

    with pytest.raises(LatentError, match="does not fit"):
        put_back(cropped, Record("region", record.undo, {}, {"border": bomb}))
    with pytest.raises(LatentError, match="cannot be unpacked"):
        put_back(cropped, Record("region", record.undo, {}, {"border": bomb[::-1].copy()}))


def test_a_full_grid_out_of_all_proportion_is_refused_before_memory_is_taken():
    cropped, record = cut(make(np.zeros((9, 9, 9))), Box((1, 1, 1), (1, 1, 1)), keep_border=False)
    grid = record.undo["grid"] | {"shape": [65536, 65536, 65536]}

    with pytest.raises(LatentError, match="believable"):
        put_back(cropped, Record("region", record.undo | {"grid": grid}))


def find(marked, spacing=(1, 1, 1), **settings):
    grid = Grid.from_spacing(marked.shape, spacing)
    settings = {"margin_mm": 0.0, "multiple": 1, "least_part": 0.01} | settings
    return find_box(marked, grid, **settings)


@given(
    st.tuples(*[st.integers(1, 40)] * 3),
    st.tuples(*[st.sampled_from([0.4, 0.7, 1.0, 3.0, 8.0])] * 3),
    st.data(),
)
def test_a_solid_block_is_never_cut(shape, spacing, data):
    start = [data.draw(st.integers(0, side - 1)) for side in shape]
    stop = [data.draw(st.integers(a + 1, side)) for a, side in zip(start, shape, strict=True)]
    marked = np.zeros(shape, bool)
    marked[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] = True
    multiple = data.draw(st.integers(1, 8))

    box = find(marked, spacing, multiple=multiple)

    for held, a, b, n, side in zip(box.slices, start, stop, box.shape, shape, strict=True):
        assert held.start <= a
        assert held.stop >= b
        assert n % multiple == 0 or n == side


def test_both_legs_are_kept_and_a_speck_is_not():
    marked = np.zeros((200, 100, 50), bool)
    marked[20:60, 30:70] = True
    marked[120:150, 30:60] = True
    marked[190:192, 95:97, 40:42] = True

    box = find(marked)

    assert box.start[0] <= 20
    assert 150 <= box.start[0] + box.shape[0] < 190
    assert box.start[1] + box.shape[1] < 95


def test_the_margin_is_measured_in_millimetres():
    marked = np.zeros((100, 100, 20), bool)
    marked[50:60, 50:60, 10:12] = True

    box = find(marked, (1, 2, 5), margin_mm=20.0)

    assert box.start[0] <= 30
    assert box.start[0] > 24
    assert box.start[1] in range(36, 41)
    assert box.start[2] == 6


def test_an_empty_mask_keeps_everything():
    assert find(np.zeros((5, 6, 7), bool)) == Box((0, 0, 0), (5, 6, 7))

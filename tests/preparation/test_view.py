"""Boxes of a view are boxes of the whole, forth and back, through any order of steps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plica.boxes import all_of, read_slabs
from plica.errors import UnusablePixels
from plica.grid import Grid
from plica.image import Image, Unit
from plica.preparation.cast import Cast
from plica.preparation.channels import Channels
from plica.preparation.finite import Finite
from plica.preparation.minmax import MinMax
from plica.preparation.pad import Pad
from plica.preparation.percentiles import Percentiles
from plica.preparation.planes import Planes
from plica.preparation.reorient import Reorient
from plica.preparation.resample import Resample
from plica.preparation.trail import foresee, prepare, recall, recalls, revert
from plica.preparation.view import Absent, Behind, View, push
from plica.preparation.window import Window

SHEARED = np.array([[0.9, 0.3, 0, 5], [-0.1, 0.8, 0.2, -7], [0, -0.1, 2.1, 11], [0, 0, 0, 1.0]])
PIPELINES = {
    "ct": (Finite(), Cast(), Planes("sagittal"), Window(-1024, 3071), Channels(1), Pad((4, 8, 3))),
    "clipped": (Finite(), Cast(), Reorient("SLA"), Window(-100, 100), Channels(3), Pad((4, 4, 4))),
    "mr": (Finite(), Cast(), Reorient("RAS"), Percentiles(), Channels(1), Pad((5, 5, 5), "edge")),
    "twice": (Cast(), Planes("coronal"), Reorient("LPS"), MinMax(), Pad((7, 4, 9), "reflect")),
}


def make_image(seed: int = 0, channels: int = 1, copies: int = 1) -> Image:
    pixels = np.random.default_rng(seed).integers(-1000, 2000, (channels, 13, 11, 6))
    pixels = np.repeat(pixels, copies, axis=0)
    return Image(pixels.astype(np.int16), Grid((13, 11, 6), SHEARED), Unit.HU)


@st.composite
def boxes(draw, shape):
    spans = []
    for side in shape:
        start = draw(st.integers(0, side - 1))
        spans.append(slice(start, draw(st.integers(start + 1, side))))
    return tuple(spans)


@pytest.mark.parametrize("copies", [1, 3])
@pytest.mark.parametrize("name", PIPELINES)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_box_of_the_view_is_that_of_the_prepared_image(name, copies, data):
    image = make_image(copies=copies)
    prepared, trail = prepare(image, PIPELINES[name])
    view, foreseen = foresee(View.of(image), PIPELINES[name])

    box = data.draw(boxes(view.shape))

    assert view.shape == prepared.pixels.shape
    assert view.pixels.dtype == prepared.pixels.dtype
    assert view.grid == prepared.grid
    np.testing.assert_array_equal(view.pixels[box], prepared.pixels[box])
    assert [r.undo for r in foreseen.records] == [r.undo for r in trail.records]


@pytest.mark.parametrize("copies", [1, 3])
@pytest.mark.parametrize("name", PIPELINES)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_boxes_pushed_in_any_order_are_the_reverted_image(name, copies, data):
    prepared, trail = prepare(make_image(copies=copies), PIPELINES[name])
    noise = np.random.default_rng(1).normal(0, 1e-3, prepared.pixels.shape)
    decoded = prepared.with_pixels((prepared.pixels + noise).astype(np.float32))
    expected = revert(decoded, trail)

    absent = Absent(decoded.pixels.shape, decoded.pixels.dtype)
    view = recall(View(absent, prepared.grid, prepared.unit), trail)
    target = np.zeros(view.shape, view.pixels.dtype)
    axis = data.draw(st.integers(1, 3))
    for at in data.draw(st.permutations(range(decoded.pixels.shape[axis]))):
        box = list(all_of(decoded.pixels))
        box[axis] = slice(at, at + 1)
        pushed = push(view.pixels, tuple(box), decoded.pixels[tuple(box)])
        if pushed is not None:
            target[pushed[0]] = pushed[1]

    assert recalls(trail)
    assert view.grid.agrees_with(expected.grid)
    assert view.unit is expected.unit
    np.testing.assert_array_equal(target, expected.pixels)


def test_absent_pixels_cannot_be_read():
    with pytest.raises(UnusablePixels, match="yet to be decoded"):
        Absent((1, 2, 2, 2), np.dtype(np.float32))[(slice(0, 1),) * 4]


def test_a_step_that_needs_all_voxels_is_done_at_once():
    image = make_image()

    view, trail = foresee(View.of(image), (Resample((1.0, 1.0, 4.0)), Window(-100, 100)))

    assert isinstance(view.collect().pixels, np.ndarray)
    assert not recalls(trail)


def test_what_must_be_put_back_by_place_is_not_pushed():
    pixels = make_image().pixels.astype(np.float32)
    pixels[0, 3, 4, 2] = np.nan
    image = Image(pixels, Grid((13, 11, 6), SHEARED), Unit.HU)

    _, filled = foresee(View.of(image), (Finite("background"),))
    _, kept = foresee(View.of(make_image()), (Window(-10, 10, keep_outside=True),))
    _, clipped = foresee(View.of(make_image()), (Window(-10, 10),))

    assert (recalls(filled), recalls(kept), recalls(clipped)) == (False, False, True)


def test_a_view_walks_in_the_order_its_source_lies_in(tmp_path):
    """A volume mapped from a file is read front to back, however its axes are turned."""
    np.save(tmp_path / "a.npy", np.asfortranarray(make_image().pixels))
    image = Image(np.load(tmp_path / "a.npy", mmap_mode="r"), make_image().grid, Unit.HU)

    view, _ = foresee(View.of(image), (Cast(), Planes("sagittal"), Window(-1024, 3071)))
    slabs = list(read_slabs(view.pixels, most_bytes=1))

    assert len(slabs) == 6


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_images_behind_each_other_are_one_volume(data):
    depths = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    generator = np.random.default_rng(sum(depths))
    parts = tuple(generator.integers(-9, 9, (2, 5, 4, k)).astype(np.int16) for k in depths)
    whole = np.concatenate(parts, axis=3)
    together = Behind(parts)
    box = data.draw(boxes(whole.shape))

    assert together.shape == whole.shape
    assert together.dtype == np.int16
    assert np.array_equal(together[box], whole[box])
    assert np.array_equal(np.concatenate(list(read_slabs(together, 64)), axis=3), whole)

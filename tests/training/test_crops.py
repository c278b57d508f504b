"""Crops keep what they show where it is, in its proportions and in its range."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Picture

from plica.training.crops import cut, draw_side, draw_start, least_side, vary
from plica.training.recipe import Augmentation

NOISE = np.random.default_rng(0).uniform(-1, 1, (1, 60, 50)).astype(np.float32)


def ramps(*sides):
    """One channel per axis, each the place along it."""
    return np.stack(np.meshgrid(*map(np.arange, sides), indexing="ij")).astype(np.float32)


# -- cutting -------------------------------------------------------------------------------------


def test_a_crop_of_its_own_size_is_the_arrays_own_voxels():
    assert np.array_equal(cut(NOISE, (7.0, 11.0), 16.0, 16), NOISE[:, 7:23, 11:27])
    volume = ramps(12, 11, 10)
    assert np.array_equal(cut(volume, (1.0, 2.0, 0.0), 8.0, 8), volume[:, 1:9, 2:10, :8])


@settings(deadline=None)
@given(
    start=st.tuples(st.floats(20, 40), st.floats(20, 40)),
    ratio=st.floats(0.5, 3.0),
)
def test_a_ramp_keeps_its_place_and_both_axes_their_scale(start, ratio):
    crop = 12
    resized = cut(ramps(120, 130), start, crop * ratio, crop)

    places = (np.arange(crop) + 0.5) * ratio - 0.5
    # Keys' kernel made wider gives a ramp back but for its sampling at whole voxels.
    tolerance = 1e-4 if ratio <= 1 else 0.03 * ratio
    assert np.abs(resized[0] - (start[0] + places)[:, None]).max() < tolerance
    assert np.abs(resized[1] - (start[1] + places)[None]).max() < tolerance


@settings(deadline=None)
@given(
    left=st.floats(0, 20), top=st.floats(0, 30), side=st.floats(8, 29.9), crop=st.integers(4, 24)
)
def test_resizing_is_that_of_pillow_but_for_overshoot(left, top, side, crop):
    ours = cut(NOISE, (top, left), side, crop)[0]
    theirs = np.asarray(
        Picture.fromarray(NOISE[0]).resize(
            (crop, crop), Picture.Resampling.BICUBIC, box=(left, top, left + side, top + side)
        )
    )
    assert np.abs(ours - np.clip(theirs, ours.min(), ours.max())).max() < 2e-3


def test_what_is_too_fine_for_the_crop_is_averaged_and_does_not_alias():
    stripes = np.broadcast_to(np.where(np.arange(96) % 2, 1.0, -1.0), (1, 96, 96))
    resized = cut(stripes.astype(np.float32), (8.0, 8.0), 72.0, 24)
    assert np.abs(resized).max() < 0.02


def test_resizing_never_leaves_the_range_of_what_is_resized():
    edges = np.where(ramps(40, 40)[:1] > 19, 0.9, -0.7).astype(np.float32)
    resized = cut(edges, (4.2, 4.2), 20.0, 32)
    assert resized.min() >= np.float32(-0.7)
    assert resized.max() <= np.float32(0.9)


def test_a_cube_is_resized_along_all_three_axes():
    resized = cut(ramps(40, 40, 40), (4.0, 5.0, 6.0), 16.0, 8)
    place = np.arange(8) * 2 + 0.5
    for axis, start in enumerate((4, 5, 6)):
        wanted = np.moveaxis(np.broadcast_to(start + place, (8, 8, 8)), -1, axis)
        assert np.abs(resized[axis] - wanted).max() < 0.05


# -- drawing -------------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32),
    crop=st.integers(4, 64),
    low=st.floats(0.25, 1.0),
    wider=st.floats(1.0, 4.0),
    resized=st.floats(0, 1),
    spare=st.integers(0, 100),
    data=st.data(),
)
def test_a_crop_lies_inside_its_array_and_holds_what_it_must(
    seed, crop, low, wider, resized, spare, data
):
    augmentation = Augmentation(scale=(low, low * wider), resized=resized)
    length = least_side(crop, augmentation) + spare
    held = data.draw(st.none() | st.integers(0, length - 1))
    rng = np.random.default_rng(seed)

    side = draw_side(rng, crop, augmentation, length)
    start = draw_start(rng, side, length, held)

    assert side == crop or crop * low - 1e-6 <= side <= crop * low * wider + 1e-6
    assert start >= 0
    assert start + side <= length + 1e-6
    assert held is None or start - 1e-9 <= held <= start + side - 1 + 1e-9
    assert cut(np.zeros((1, length)), (start,), side, crop).shape == (1, crop)


def test_half_and_double_are_as_likely():
    rng = np.random.default_rng(0)
    sides = [draw_side(rng, 64, Augmentation(scale=(0.5, 2.0)), 1000) for _ in range(4000)]
    assert abs(np.mean(np.array(sides) < 64) - 0.5) < 0.03


def test_the_share_that_is_not_resized_keeps_the_arrays_voxels():
    rng = np.random.default_rng(0)
    augmentation = Augmentation(scale=(1.5, 2.0), resized=0.25)
    sides = [draw_side(rng, 64, augmentation, 1000) for _ in range(4000)]
    assert abs(np.mean(np.array(sides) == 64) - 0.75) < 0.03
    assert least_side(64, augmentation) == 96
    assert least_side(64, Augmentation(scale=(0.5, 1.0))) == 32
    assert least_side(64, Augmentation(scale=(0.5, 1.0), resized=0.5)) == 64


def test_every_start_is_as_likely():
    rng = np.random.default_rng(0)
    starts = [draw_start(rng, 4.0, 8) for _ in range(5000)]
    counts = np.bincount(np.array(starts, int), minlength=5)
    assert len(counts) == 5
    assert counts.min() > 850


# -- varying -------------------------------------------------------------------------------------


def outcomes(x, augmentation, times=200):
    return {vary(np.random.default_rng(n), x, augmentation).tobytes() for n in range(times)}


def test_nothing_varies_that_was_not_asked_for():
    x = NOISE[:, :16, :16]
    assert outcomes(x, Augmentation()) == {x.tobytes()}


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_flip_mirrors_the_named_axis_and_no_other(axis):
    x = ramps(4, 4, 4)
    mirrored = np.ascontiguousarray(np.flip(x, axis + 1))
    assert outcomes(x, Augmentation(flips=(axis,))) == {x.tobytes(), mirrored.tobytes()}


def test_quarter_turns_turn_rows_and_columns():
    x = ramps(4, 4)
    turned = {np.ascontiguousarray(np.rot90(x, n, axes=(1, 2))).tobytes() for n in range(4)}
    assert outcomes(x, Augmentation(quarter_turns=True)) == turned


@settings(deadline=None)
@given(
    seed=st.integers(0, 10_000),
    gain=st.floats(0, 0.9),
    offset=st.floats(0, 1),
    gamma=st.floats(0, 2),
)
def test_jitter_stays_in_range_and_keeps_the_order_of_greys(seed, gain, offset, gamma):
    x = np.linspace(-1, 1, 64, dtype=np.float32).reshape(1, 8, 8)
    jittered = vary(
        np.random.default_rng(seed), x, Augmentation(gain=gain, offset=offset, gamma=gamma)
    )
    assert jittered.dtype == np.float32
    assert jittered.min() >= -1
    assert jittered.max() <= 1
    assert (np.diff(jittered.ravel()) >= 0).all()


def test_jitter_is_as_strong_as_asked():
    x = np.zeros((1, 4, 4), np.float32)
    x[0, 0, 0] = 0.5
    seen = [
        vary(np.random.default_rng(n), x, Augmentation(gain=0.2, offset=0.1))[0] for n in range(500)
    ]
    offsets = np.array([y[1, 1] for y in seen])
    gains = np.array([(y[0, 0] - y[1, 1]) / 0.5 for y in seen])
    assert (np.abs(offsets).max(), np.abs(gains - 1).max()) <= (0.1 + 1e-6, 0.2 + 1e-6)
    assert min(offsets.max(), -offsets.min()) > 0.095
    assert min(gains.max() - 1, 1 - gains.min()) > 0.19


def test_values_beyond_one_keep_their_room():
    x = np.full((1, 4, 4), 3.0, np.float32)
    brighter = vary(np.random.default_rng(1), x, Augmentation(gain=0.5))
    assert brighter.max() > 1

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plica.errors import SettingsError
from plica.evaluation import tones
from plica.evaluation.tones import (
    Tone,
    choose_residual_range,
    choose_ticks,
    choose_tone,
    diverge,
    format_value,
    round_up,
)
from plica.grid import Grid
from plica.image import Display, Image, Unit


def image_of(pixels, unit=Unit.RELATIVE, **display):
    pixels = np.asarray(pixels).reshape(1, -1, 1, 1)
    return Image(pixels, Grid.from_spacing(pixels.shape[1:]), unit, display=Display(**display))


def test_the_makers_linear_window_follows_the_standard():
    tone = choose_tone(image_of([0], center=40, width=400))

    assert (tone.low, tone.high) == (40 - 0.5 - 399 / 2, 40 - 0.5 + 399 / 2)
    values = np.array([tone.low - 1, tone.low, 39.5, tone.high, 999])
    assert tone(values).tolist() == [0, 0, 0.5, 1, 1]


def test_the_makers_exact_window_and_sigmoid_follow_the_standard():
    exact = choose_tone(image_of([0], center=40, width=400, function="LINEAR_EXACT"))
    sigmoid = choose_tone(image_of([0], center=40, width=400, function="SIGMOID"))

    assert (exact.low, exact.high) == (-160, 240)
    assert sigmoid(np.array([40.0, 140.0])) == pytest.approx([0.5, 1 / (1 + np.exp(-1))])


def test_the_makers_table_stands_before_its_window():
    tone = choose_tone(image_of([0], center=1, width=2, table=(0.0, 0.25, 1.0), table_first=10))

    assert tone(np.array([9, 10, 11, 12, 13])).tolist() == [0, 0, 0.25, 1, 1]


def test_low_values_are_white_where_the_maker_says_so():
    tone = choose_tone(image_of([0, 100], Unit.RELATIVE, inverted=True), window=(0, 100))

    assert tone(np.array([0.0, 25.0, 100.0])).tolist() == [1, 0.75, 0]


def test_ct_is_shown_as_soft_tissue_unless_there_is_lung():
    belly = image_of(np.r_[np.full(60, 40), np.full(40, -1000)].astype(np.int16), Unit.HU)
    lungs = np.r_[np.full(60, 40), np.full(20, -1000), np.full(20, -800)]
    chest = image_of(lungs.astype(np.int16), Unit.HU)

    assert choose_tone(belly).why == "soft tissue"
    assert choose_tone(chest).why == "lung"


def test_eight_bit_pictures_keep_their_range_and_others_take_percentiles():
    assert choose_tone(image_of(np.array([90, 100], np.uint8), Unit.DISPLAY)).high == 255
    many = choose_tone(image_of(np.r_[np.arange(1000), 1e6]))
    assert 0 < many.low < 10
    assert 990 < many.high < 1000


def test_a_constant_image_and_one_without_finite_values_have_a_window():
    for pixels in (np.full(5, 3.0), np.full(5, np.nan)):
        tone = choose_tone(image_of(pixels))
        assert tone.low < tone.high
        assert np.isfinite(tone(pixels)).all()


@pytest.mark.parametrize("window", [(1, 1), (2, 1), (np.nan, 1), (0, np.inf)])
def test_a_window_that_is_none_is_refused(window):
    with pytest.raises(SettingsError, match="low below high"):
        choose_tone(image_of([0, 1]), window)


def test_zero_is_dark_and_sides_differ_in_hue():
    low, zero, high = diverge(np.array([-1.0, 0.0, 1.0])).astype(int)

    assert zero.max() < 30
    assert low[2] - low[0] > 50
    assert high[0] - high[2] > 50
    brightness = diverge(np.linspace(0, 1, 50)).astype(int).sum(axis=-1)
    assert (np.diff(brightness) >= 0).all()


def test_the_residual_range_is_round_and_says_what_it_clips():
    residual = np.r_[np.linspace(-70, 70, 9995), np.full(5, 1000.0)].reshape(1, -1, 1, 1)

    limit, clipped = choose_residual_range(residual)

    assert limit == 80
    assert clipped == 5 / 10000
    assert choose_residual_range(np.zeros((1, 4, 4, 1))) == (0, 0)


def test_one_wrong_voxel_still_has_a_range():
    residual = np.zeros((1, 100, 100, 1))
    residual[0, 5, 5] = -3

    assert choose_residual_range(residual) == (3, 0)


def test_the_share_beyond_is_of_every_voxel_where_a_glance_sees_one_of_eight():
    residual = np.zeros((1, 1, 2049, 2049), np.float32)
    residual[..., 1, 1::2] = 50.0
    residual[..., 0, 0] = np.nan

    assert tones.glance(residual).max() == 0
    assert tones.share_beyond(residual, 40.0) == 1024 / (2049**2 - 1)
    assert choose_residual_range(residual) == (50, 0)


@given(st.floats(1e-6, 1e9))
def test_a_round_number_is_the_next_one_above(value):
    assert value * (1 - 1e-9) <= round_up(value) <= 1.51 * value


@given(st.floats(-1e5, 1e5), st.floats(1e-2, 1e5))
def test_ticks_rise_from_end_to_end(low, span):
    ticks = choose_ticks(low, low + span)

    assert ticks[0] == low
    assert ticks[-1] == low + span
    assert all(a < b for a, b in itertools.pairwise(ticks))
    assert len(ticks) <= 10


@pytest.mark.parametrize(
    ("value", "span", "text"),
    [(-160, 400, "−160"), (0.0, 2, "0"), (-0.0001, 400, "0"), (-0.00001, 0.00005, "−1e-5"),
     (0.25, 1, "0.25"), (-0.004, 400, "0"), (1e7, 1e7, "1e7"), (39.999999, 80, "40")],
)  # fmt: skip
def test_numbers_are_written_short(value, span, text):
    assert format_value(value, span) == text.replace("e-", "e−")


def test_a_tone_without_width_does_not_divide_by_zero():
    assert Tone(5.0, 5.0, "")(np.array([4.0, 5.0, 6.0])).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    "display",
    [{"center": 0.5, "width": 1.0}, {"center": 0.5, "width": 0.2}, {"table": (1.0,)}],
)
def test_a_makers_window_of_one_level_still_has_two_ends(display):
    tone = choose_tone(image_of([0.0, 0.9], **display))

    assert tone.low < tone.high
    assert len(choose_ticks(tone.low, tone.high)) >= 2

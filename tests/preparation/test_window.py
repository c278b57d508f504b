import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tests.preparation.conftest import make, there_and_back

from plica.errors import SettingsError, UnusablePixels
from plica.image import Unit
from plica.preparation.window import Window


def ct(*values):
    return make(np.array(values, np.int16).reshape(-1, 1, 1), unit=Unit.HU)


def test_the_ends_become_minus_one_and_one_and_the_middle_nought():
    prepared, _, _ = there_and_back(Window(-1000, 1000), ct(-1000, 0, 500, 1000))

    assert prepared.pixels.ravel().tolist() == [-1, 0, 0.5, 1]
    assert prepared.pixels.dtype == np.float32
    assert prepared.unit is Unit.NORMALISED


def test_what_lies_outside_is_clipped_and_counted():
    image = ct(-2000, -1025, -1024, 0, 3071, 3072, 3073, 9)
    prepared, record, back = there_and_back(Window(-1024, 3071), image)

    assert np.abs(prepared.pixels).max() == 1
    assert record.loss == {
        "clipped_fraction": 0.5,
        "voxels_below": 2,
        "voxels_above": 2,
        "source_min": -2000,
        "source_max": 3073,
    }
    assert back.pixels.ravel().tolist() == [-1024, -1024, -1024, 0, 3071, 3071, 3071, 9]


def test_nothing_outside_is_no_loss():
    _, record, _ = there_and_back(Window(-1024, 3071), ct(-1024, 3071))

    assert not record.loss


@given(arrays(np.int16, st.tuples(st.just(1), *[st.integers(1, 5)] * 3)))
def test_voxels_kept_outside_come_back_exactly(pixels):
    image = make(pixels, unit=Unit.HU)
    prepared, record, back = there_and_back(Window(-1024, 3071, keep_outside=True), image)

    assert np.abs(prepared.pixels).max() <= 1
    assert not record.loss
    np.testing.assert_array_equal(back.pixels, pixels)


def test_kept_voxels_keep_their_own_type_and_take_no_more_than_they_need():
    pixels = np.zeros((64, 64, 4), np.int16)
    pixels[3:20, 5] = 30000
    _, record, back = there_and_back(Window(-1024, 3071, keep_outside=True), make(pixels))

    assert record.arrays["values"].dtype == np.int16
    assert sum(array.nbytes for array in record.arrays.values()) < 2 * 17 * 4 + 100
    np.testing.assert_array_equal(back.pixels[0], pixels)


def test_a_decoded_value_beyond_the_window_is_brought_to_its_edge():
    prepared, record = Window(-1000, 1000).apply(ct(0, 0))
    decoded = prepared.with_pixels(np.array([1.2, -1.3], np.float32).reshape(1, 2, 1, 1))

    assert Window.revert(decoded, record).pixels.ravel().tolist() == [1000, -1000]


@given(st.integers(-30000, 30000), st.integers(1, 2500))
def test_every_whole_number_of_a_window_comes_back_exactly(low, width):
    high = min(low + width, 32767)
    values = np.arange(low, high + 1, max(1, width // 200)).astype(np.int16)
    _, _, back = there_and_back(Window(low, high), ct(*values))

    assert back.pixels.ravel().tolist() == values.tolist()


def test_a_narrow_window_far_from_zero_is_computed_exactly_enough():
    values = 1e6 + np.linspace(0, 0.5, 9)
    prepared, _, back = there_and_back(Window(1e6, 1e6 + 0.5), make(values.reshape(9, 1, 1)))

    np.testing.assert_allclose(prepared.pixels.ravel(), np.linspace(-1, 1, 9), atol=1e-6)
    np.testing.assert_allclose(back.pixels.ravel(), values, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("low", "high"), [(1, 1), (2, 1), (np.nan, 1), (0, np.inf), (-1e300, 1e300)]
)
def test_a_window_without_width_is_refused(low, high):
    with pytest.raises(SettingsError, match="low below its high"):
        Window(low, high)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(value):
    with pytest.raises(UnusablePixels, match="finite"):
        Window(0, 1).apply(make(np.array([0, value]).reshape(2, 1, 1)))

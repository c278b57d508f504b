import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tests.preparation.conftest import make, there_and_back

from plica.errors import UnusablePixels
from plica.preparation.minmax import MinMax


def test_the_smallest_value_becomes_minus_one_and_the_largest_one():
    prepared, _, _ = there_and_back(MinMax(), make(np.array([3.0, 7, 11]).reshape(3, 1, 1)))

    assert prepared.pixels.ravel().tolist() == [-1, 0, 1]


@pytest.mark.parametrize(
    ("value", "dtype"),
    [(0, "f4"), (1e-30, "f4"), (-7.25, "f4"), (1e29, "f8"), (65535, "u2"), (-1024, "i2"), (1, "?")],
)
def test_a_constant_image_becomes_nought_and_comes_back(value, dtype):
    image = make(np.full((2, 3, 4), value, dtype))
    prepared, record, back = there_and_back(MinMax(), image)

    assert not prepared.pixels.any()
    np.testing.assert_array_equal(back.pixels, image.pixels)
    assert not record.loss


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2"])
@given(data=st.data())
def test_whole_numbers_come_back_exactly(dtype, data):
    pixels = data.draw(arrays(dtype, (2, 3, 4)))
    _, record, back = there_and_back(MinMax(), make(pixels))

    np.testing.assert_array_equal(back.pixels[0], pixels)
    assert not record.loss


@given(arrays(np.float32, (2, 3, 4), elements=st.floats(-(2.0**80), 2.0**80, width=32)))
def test_real_numbers_come_back_to_float32s_precision_of_the_range(pixels):
    _, _, back = there_and_back(MinMax(), make(pixels))

    width = float(pixels.max()) - float(pixels.min())
    largest = float(np.abs(pixels).max())
    apart = np.abs(back.pixels[0].astype(float) - pixels.astype(float)).max()
    assert apart <= 3e-7 * max(width, largest)


def test_a_range_float32_cannot_step_through_is_counted():
    pixels = np.array([0, 2**31 - 1, 12345679], np.int32).reshape(3, 1, 1)
    _, record, back = there_and_back(MinMax(), make(pixels))

    assert record.loss["rounded_to"] == pytest.approx(128, rel=1e-6)
    assert np.abs(back.pixels[0].astype(np.int64) - pixels).max() <= 128


def test_denormal_ranges_do_not_overflow():
    pixels = np.array([0, 1e-42, 5e-43], np.float32).reshape(3, 1, 1)
    prepared, _, _ = there_and_back(MinMax(), make(pixels))

    assert prepared.pixels.ravel()[:2].tolist() == [-1, 1]


def test_values_too_large_to_compute_with_are_refused():
    with pytest.raises(UnusablePixels, match="1e\\+35"):
        MinMax().apply(make(np.array([0, 1e35], np.float32).reshape(2, 1, 1)))

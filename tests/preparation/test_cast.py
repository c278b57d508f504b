import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tests.preparation.conftest import make, there_and_back

from plica.errors import UnusablePixels
from plica.preparation.cast import Cast

SMALL = ("bool", "int8", "uint8", "int16", "uint16", "float16", "float32")
WIDE = ("int32", "uint32", "int64", "uint64", "float64")


@pytest.mark.parametrize("name", SMALL)
@given(data=st.data())
def test_types_float32_holds_come_back_bit_for_bit(name, data):
    elements = {"allow_nan": False, "allow_infinity": False} if name.startswith("f") else None
    pixels = data.draw(arrays(name, (2, 3, 4), elements=elements))
    prepared, record, back = there_and_back(Cast(), make(pixels))

    assert prepared.pixels.dtype == np.float32
    assert back.pixels.dtype == pixels.dtype
    np.testing.assert_array_equal(back.pixels[0], pixels)
    assert not record.loss


@pytest.mark.parametrize("name", WIDE)
def test_what_float32_cannot_hold_is_counted(name):
    pixels = np.full((2, 2, 2), 5, name)
    pixels[0, 0, 0] = 2**24 + 1 if name != "float64" else 0.1
    _, record, back = there_and_back(Cast(), make(pixels))

    assert record.loss["inexact_voxels"] == 1
    error = 1 if name != "float64" else float(np.float32(0.1)) - 0.1
    assert record.loss["largest_error"] == error
    assert back.pixels.dtype == pixels.dtype
    assert back.pixels[0, 1, 1, 1] == 5


@pytest.mark.parametrize("name", WIDE)
def test_the_ends_of_wide_types_do_not_wrap_around(name):
    limits = np.finfo("float32") if name == "float64" else np.iinfo(name)
    pixels = np.array([limits.min, limits.max], name).reshape(2, 1, 1)
    _, _, back = there_and_back(Cast(), make(pixels))

    assert np.sign(back.pixels).ravel().tolist() == np.sign(pixels).ravel().tolist()
    np.testing.assert_allclose(back.pixels.astype(float)[0], pixels.astype(float), rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "decoded", "expected"),
    [
        ("int16", [1.6, -1.6, 2.4, 4e4, -4e4], [2, -2, 2, 32767, -32768]),
        ("uint8", [254.7, -0.4, -9.0, 300.0, np.inf], [255, 0, 0, 255, 255]),
        ("bool", [0.4, 0.6, -1.0, 2.0, 1.0], [False, True, False, True, True]),
    ],
)
def test_decoded_values_are_rounded_and_kept_in_range(name, decoded, expected):
    image = make(np.zeros((5, 1, 1), name))
    prepared, record = Cast().apply(image)
    pixels = np.array(decoded, np.float32).reshape(1, 5, 1, 1)

    back = Cast.revert(prepared.with_pixels(pixels), record)

    assert back.pixels.ravel().tolist() == expected
    assert back.pixels.dtype == name


def test_a_decoded_nan_is_no_whole_number():
    prepared, record = Cast().apply(make(np.zeros((2, 1, 1), np.int16)))
    pixels = np.array([np.nan, 1], np.float32).reshape(1, 2, 1, 1)

    with pytest.raises(UnusablePixels, match="1 values that are NaN"):
        Cast.revert(prepared.with_pixels(pixels), record)


def test_float64_beyond_float32_is_refused_instead_of_becoming_infinite():
    with pytest.raises(UnusablePixels, match="1 values are beyond"):
        Cast().apply(make(np.array([1e300, 1.0]).reshape(2, 1, 1)))


def test_big_endian_pixels_are_cast_by_value():
    pixels = np.arange(-4, 4, dtype=">i2").reshape(2, 2, 2)
    prepared, _, back = there_and_back(Cast(), make(pixels))

    np.testing.assert_array_equal(prepared.pixels[0], pixels.astype(np.float32))
    np.testing.assert_array_equal(back.pixels[0], pixels)


def test_a_float32_image_is_not_copied():
    image = make(np.zeros((3, 3, 3), np.float32))

    assert np.shares_memory(Cast().apply(image)[0].pixels, image.pixels)

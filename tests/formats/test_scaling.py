import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from plica.errors import OutputError, UnsupportedFormat
from plica.formats.scaling import cast_for_writing, check_pixel_type, rescale, to_uint16

SHAPES = array_shapes(min_dims=4, max_dims=4, max_side=3)
ALL = ("uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32",
       "float64")  # fmt: skip


@given(
    stored=st.sampled_from(["i1", "u1", "i2", "u2", "i4"]).flatmap(lambda k: arrays(k, SHAPES)),
    slope=st.integers(-1000, 1000).filter(bool),
    intercept=st.integers(-(10**6), 10**6),
)
def test_whole_slopes_are_exact(stored, slope, intercept):
    real = rescale(stored, float(slope), float(intercept))
    exact = stored.astype(object) * slope + intercept
    assert (real.astype(object) == exact).all()
    assert real.dtype.kind in "iu"


@given(stored=arrays("i2", SHAPES), slope=st.floats(0.01, 100), intercept=st.floats(-1000, 1000))
def test_other_slopes_are_right_to_float32(stored, slope, intercept):
    real = rescale(stored, slope, intercept)
    exact = stored.astype(np.float64) * slope + intercept
    assert np.allclose(real, exact, rtol=1e-6, atol=1e-6 * abs(intercept))


def test_products_that_pass_64_bits_become_reals():
    stored = np.full((1, 1, 1, 1), 2**40, np.int64)
    assert rescale(stored, 2.0**40, 0.0).dtype == np.float64
    assert rescale(stored, 1e30, 0.0)[0, 0, 0, 0] == pytest.approx(2.0**40 * 1e30)


@pytest.mark.parametrize(("dtype", "value"), [("int8", 128), ("uint8", -1), ("int16", np.inf)])
def test_values_are_never_wrapped(dtype, value):
    pixels = np.full((1, 1, 1, 1), value, np.float64)
    with pytest.raises(OutputError):
        cast_for_writing(pixels, dtype, ALL)


def test_a_real_past_float32_is_refused_rather_than_made_infinite():
    with pytest.raises(OutputError, match="float32"):
        cast_for_writing(np.full((1, 1, 1, 1), 1e300), None, ALL)
    assert cast_for_writing(np.full((1, 1, 1, 1), 1e300), "float64", ALL).max() == 1e300


def test_a_type_a_format_has_not_is_named_with_those_it_has():
    with pytest.raises(OutputError, match=r"float16.*uint8"):
        cast_for_writing(np.zeros((1, 1, 1, 1)), "float16", ALL)


@given(arrays("i2", SHAPES))
def test_sixteen_bits_signed_are_kept_exactly_in_sixteen_unsigned(pixels):
    stored, slope, intercept = to_uint16(pixels)
    assert stored.dtype == np.uint16
    assert np.array_equal(stored * np.int64(slope) + np.int64(intercept), pixels)


@pytest.mark.parametrize("dtype", [complex, "U3", "longdouble", "M8[s]"])
def test_types_that_are_no_pixels_are_refused(dtype):
    with pytest.raises(UnsupportedFormat):
        check_pixel_type(np.dtype(dtype), "a.npy")


def test_values_that_are_all_unknown_stay_so_whatever_they_are_scaled_by():
    nothing = np.full((1, 2, 2, 2), np.nan, np.float32)
    scaled = rescale(nothing, 2.5, 1.0)
    assert scaled.dtype == np.float32
    assert np.isnan(scaled).all()
    assert np.isnan(cast_for_writing(nothing, "float64", ALL)).all()


def test_only_zero_and_one_become_bits():
    bits = cast_for_writing(np.array([0, 1, 1], np.int16), "bool", ("bool",))
    assert bits.tolist() == [False, True, True]
    for values in ([0.0, np.nan, 0.5], [0, -1, 2]):
        with pytest.raises(OutputError, match="2 values are neither 0 nor 1"):
            cast_for_writing(np.array(values), "bool", ("bool",))

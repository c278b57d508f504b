"""Levels are exact where they say so, and within half a step elsewhere."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from plica.codecs.levels import Levels
from plica.errors import UnusablePixels

WHOLE = [np.dtype(t) for t in ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", ">i2", ">u4")]


@given(st.data())
def test_whole_numbers_of_any_type_are_exact_within_sixteen_bits(data):
    dtype = data.draw(st.sampled_from(WHOLE))
    if dtype.kind == "b":
        elements = st.booleans()
    else:
        limits = np.iinfo(dtype)
        low = data.draw(st.integers(int(limits.min), int(limits.max)))
        elements = st.integers(low, min(low + 65535, int(limits.max)))
    pixels = data.draw(arrays.arrays(dtype, 6, elements=elements))
    levels = Levels.exact(pixels)
    back = levels.values(levels.count(pixels))
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, pixels)


@given(
    arrays.arrays(
        st.sampled_from([np.float32, np.float64]),
        8,
        elements=st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=False),
    )
)
def test_real_numbers_come_back_within_half_a_step(pixels):
    levels = Levels.spread(pixels)
    back = levels.values(levels.count(pixels))
    assert back.dtype == pixels.dtype
    rounding = 4 * np.finfo(pixels.dtype).eps * np.abs(pixels).max()
    assert np.abs(back.astype(float) - pixels).max() <= levels.step / 2 * 1.001 + rounding


@given(arrays.arrays(np.int32, 8, elements=st.integers(-(2**31), 2**31 - 1)))
def test_wide_whole_numbers_come_back_within_half_a_step_and_a_rounding(pixels):
    levels = Levels.spread(pixels)
    back = levels.values(levels.count(pixels)).astype(np.int64)
    assert np.abs(back - pixels).max() <= levels.step / 2 + 0.5


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.array([0.0, 1.0]), "no exact form"),
        (np.array([0, 65536]), "from 0 to 65536 span more than sixteen bits"),
        (np.array([-40000, 40000]), "span more than sixteen bits"),
    ],
)
def test_what_cannot_be_exact_is_refused(pixels, message):
    with pytest.raises(UnusablePixels, match=message):
        Levels.exact(pixels)


@pytest.mark.parametrize(
    "pixels",
    [
        np.array([0.0, np.nan]),
        np.array([np.inf, 0.0]),
        np.array([-1.7e308, 1.7e308]),
        np.array([0, 2**63 - 1]),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_ranges_beyond_all_numbers_are_refused(pixels):
    with pytest.raises(UnusablePixels):
        Levels.spread(pixels)

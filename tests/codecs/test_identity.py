"""Identity keeps every bit of every type."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from plica.codecs.codec import Request
from plica.codecs.identity import OFFERS
from plica.errors import LatentError, UnusablePixels
from plica.grid import Grid
from plica.image import Image, Unit

TYPES = ("b1", "i1", "<i2", ">i2", "<i4", "<i8", "u1", "<u2", "<u4", ">u8", "<f2", "<f4", ">f8")
CODEC = OFFERS["identity"].build(Request())


@given(
    st.sampled_from(TYPES).flatmap(
        lambda dtype: arrays.arrays(dtype, st.tuples(st.integers(1, 3), *[st.integers(1, 4)] * 3))
    )
)
def test_every_bit_of_every_type_comes_back(pixels):
    source = Image(pixels, Grid.from_spacing(pixels.shape[1:], (1, 2, 3)), Unit.DISPLAY)
    decoded = CODEC.decode(CODEC.encode(source))
    assert decoded.pixels.dtype == pixels.dtype
    assert decoded.pixels.tobytes() == pixels.tobytes()  # NaN payloads and minus zero, too
    assert decoded.grid == source.grid
    assert decoded.unit == source.unit


@given(st.binary(max_size=64))
def test_hostile_bytes_are_refused_or_are_an_image_of_the_grid(stream):
    grid = Grid.from_spacing((2, 3, 1))
    latent = CODEC.encode(Image(np.zeros((1, 2, 3, 1), np.int16), grid))
    codes = np.frombuffer(stream, np.uint8).reshape(1, -1, 1, 1)
    with pytest.raises(LatentError):
        CODEC.decode(replace(latent, codes=codes))


def test_a_stream_cut_off_is_refused():
    latent = CODEC.encode(Image(np.zeros((1, 2, 3, 1), np.int16), Grid.from_spacing((2, 3, 1))))
    with pytest.raises(LatentError, match="do not fill a grid"):
        CODEC.decode(replace(latent, codes=latent.codes[:, :-1]))


def test_a_type_of_this_machine_only_is_refused():
    if np.dtype(np.longdouble).itemsize == 8:
        pytest.skip("here the longest real number is a float64")
    image = Image(np.zeros((1, 2, 2, 1), np.longdouble), Grid.from_spacing((2, 2, 1)))
    with pytest.raises(UnusablePixels, match="other machines"):
        CODEC.encode(image)

"""Storage codecs keep the rate, keep whole numbers where asked, and survive hostile bytes."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plica.codecs.bitstream import _HEAD, OFFERS
from plica.codecs.codec import Codec, Request
from plica.errors import LatentError, SettingsError, UnknownName, UnusablePixels
from plica.grid import Grid
from plica.image import Image, Unit

pytest.importorskip("imagecodecs", reason="jpegxl needs imagecodecs (extra: codecs)")
NAMES = tuple(OFFERS)


def build(name, **options):
    return OFFERS[name].build(Request(options=options))


def image(shape=(1, 48, 40, 3), dtype=np.int16, seed=0, low=-1024, high=3071):
    """A smooth field with noise, in the given range."""
    rng = np.random.default_rng(seed)
    i, j, k = np.meshgrid(*[np.linspace(0, 3, side) for side in shape[1:]], indexing="ij")
    field = np.sin(i) * np.cos(j + k) + 0.02 * rng.standard_normal(shape)
    field = (field - field.min()) / max(np.ptp(field), 1e-9)
    pixels = (low + field * (high - low)).astype(dtype)
    return Image(pixels, Grid.from_spacing(shape[1:], (0.7, 0.8, 2.0)), Unit.HU)


def alter_head(latent, **parts):
    stream = latent.codes.tobytes()
    names = ("mark", "packed", "channels", "step", "offset")
    head = dict(zip(names, _HEAD.unpack_from(stream), strict=True)) | parts
    altered = _HEAD.pack(*head.values()) + stream[_HEAD.size :]
    return replace(latent, codes=np.frombuffer(altered, np.uint8).reshape(latent.codes.shape))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        (np.int16, -32768, 32767),
        (np.int16, -1024, 3071),
        (np.uint16, 0, 65535),
        (np.uint8, 0, 255),
        (np.int32, 10**6, 10**6 + 5000),
        (">i2", -1000, 1000),
        (np.bool_, 0, 1),
    ],
)
@pytest.mark.parametrize("shape", [(1, 48, 40, 3), (3, 33, 65, 1), (1, 5, 1, 2)])
def test_whole_numbers_are_kept_exactly_without_loss(name, dtype, low, high, shape):
    codec = build(name, lossless=True)
    source = image(shape, dtype, low=low, high=high)
    latent = codec.encode(source)
    assert isinstance(codec, Codec)
    assert latent.codes.dtype == np.uint8
    assert latent.codes.shape == (1, latent.codes.size, 1, 1)
    decoded = codec.decode(latent)
    assert decoded.pixels.dtype == source.pixels.dtype
    np.testing.assert_array_equal(decoded.pixels, source.pixels)
    assert decoded.grid == source.grid
    assert decoded.unit == source.unit


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rate", [0.3, 1.0, 3.0])
def test_the_rate_is_met(name, rate):
    source = image((1, 400, 384, 2), seed=4)
    noisy = source.with_pixels(
        (source.pixels + np.random.default_rng(1).normal(0, 200, source.pixels.shape)).astype("i2")
    )
    codec = build(name, rate=rate)
    latent = codec.encode(noisy)
    assert 8 * latent.codes.size / noisy.pixels.size == pytest.approx(rate, rel=0.06)
    error = codec.decode(latent).pixels.astype(float) - noisy.pixels
    assert np.abs(error).mean() < 250
    assert abs(error.mean()) < 20


@pytest.mark.parametrize("name", NAMES)
def test_more_bytes_are_nearer(name):
    source = image((1, 96, 96, 1), np.float32, low=0, high=1)
    errors = []
    for rate in (0.25, 1.0, 4.0):
        decoded = build(name, rate=rate).decode(build(name, rate=rate).encode(source))
        assert decoded.pixels.dtype == np.float32
        errors.append(float(np.abs(decoded.pixels - source.pixels).mean()))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.005


@pytest.mark.parametrize("name", NAMES)
def test_a_marked_voxel_keeps_its_place(name):
    pixels = np.zeros((2, 40, 48, 3), np.uint16)
    pixels[1, 7, 31, 2] = 60000
    source = Image(pixels, Grid.from_spacing(pixels.shape[1:]))
    decoded = build(name, rate=8.0).decode(build(name).encode(source))
    assert np.unravel_index(int(decoded.pixels.argmax()), pixels.shape) == (1, 7, 31, 2)


@pytest.mark.parametrize("name", NAMES)
def test_a_constant_image_is_kept(name):
    for dtype in (np.int16, np.float64):
        source = image((1, 40, 40, 2), dtype, low=7, high=7)
        np.testing.assert_array_equal(
            build(name).decode(build(name).encode(source)).pixels, source.pixels
        )


@pytest.mark.parametrize("name", NAMES)
def test_any_rate_is_decoded_by_any_but_another_codec_is_refused(name):
    source = image()
    latent = build(name, lossless=True).encode(source)
    np.testing.assert_array_equal(build(name, rate=0.5).decode(latent).pixels, source.pixels)
    other = build(next(other for other in NAMES if other != name))
    with pytest.raises(LatentError, match=f"made by {name}"):
        other.decode(latent)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"rates": 1}, UnknownName),
        ({"rate": 0}, SettingsError),
        ({"rate": "1"}, SettingsError),
        ({"rate": True}, SettingsError),
        ({"rate": 1.0, "lossless": True}, SettingsError),
        ({"lossless": 1}, SettingsError),
    ],
)
def test_wrong_options_are_refused(name, options, error):
    with pytest.raises(error):
        build(name, **options)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_bitstream_cannot_do_is_refused(name):
    codec = build(name)
    with pytest.raises(LatentError, match="no raw latent"):
        codec.encode(image(), kind="raw")
    with pytest.raises(LatentError, match="no posterior"):
        codec.encode(image(), seed=1)
    real = image(dtype=np.float32)
    with pytest.raises(UnusablePixels, match="no exact form"):
        build(name, lossless=True).encode(real)
    holed = real.pixels.copy()
    holed[0, 0, 0, 0] = np.nan
    with pytest.raises(UnusablePixels, match="NaN"):
        codec.encode(real.with_pixels(holed))


def test_a_jpeg2000_plane_takes_its_head_whatever_the_rate_and_says_so():
    latent = build("jpeg2000", rate=0.1).encode(image((1, 57, 67, 4), seed=4))

    taken = 8 * latent.codes.size / (57 * 67 * 4)
    assert 0.1 < taken <= 8 * 200 / (57 * 67)
    assert f"{taken:.3f} bits per pixel" in latent.provenance.steps[-1]


def test_jpegxl_says_what_it_can_reach():
    with pytest.raises(UnusablePixels, match="cannot make this image smaller than"):
        build("jpegxl", rate=1e-3).encode(image((1, 400, 400, 1)))


def test_of_rates_that_no_distance_meets_jpegxl_takes_the_nearest(monkeypatch):
    """Sizes may fall in leaps, so that halving ends between two of them."""
    from plica.codecs import jpegxl

    monkeypatch.setattr(
        jpegxl, "_encode", lambda plane, distance: bytes(900 if distance < 3 else 400)
    )
    plane = np.zeros((2, 2), np.uint16)
    assert len(jpegxl._search([plane], 600, [bytes(2000)], [bytes(100)])[0]) == 400


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_hostile_bytes_are_refused_or_decoded_and_nothing_else(name, data):
    codec = build(name)
    latent = codec.encode(image((1, 33, 34, 2)))
    stream = bytearray(latent.codes.tobytes())
    kind = data.draw(st.sampled_from(["cut", "flip", "random", "insert"]))
    place = data.draw(st.integers(0, len(stream) - 1))
    if kind == "cut":
        del stream[place:]
    elif kind == "flip":
        stream[place] ^= data.draw(st.integers(1, 255))
    elif kind == "insert":
        stream[place:place] = data.draw(st.binary(min_size=1, max_size=8))
    else:
        stream = bytearray(data.draw(st.binary(max_size=80)))
    codes = np.frombuffer(bytes(stream), np.uint8).reshape(1, -1, 1, 1)
    try:
        decoded = codec.decode(replace(latent, codes=codes))
    except LatentError:
        return
    assert decoded.grid == latent.source
    if kind == "cut":
        pytest.fail("a stream that was cut off was decoded")


@pytest.mark.parametrize("name", NAMES)
def test_a_grid_that_claims_more_than_the_stream_holds_is_refused_before_memory_is_taken(name):
    codec = build(name)
    latent = codec.encode(image((1, 33, 34, 2)))
    for shape in ((10**6, 10**6, 2), (33, 34, 10**9), (34, 33, 2), (33, 34, 1)):
        huge = Grid.from_spacing(shape)
        with pytest.raises(LatentError):
            codec.decode(replace(latent, source=huge, prepared=huge))


@pytest.mark.parametrize("name", NAMES)
def test_codes_that_are_no_bytes_are_refused(name):
    codec = build(name)
    latent = codec.encode(image())
    with pytest.raises(LatentError, match="bytes of shape"):
        codec.decode(replace(latent, codes=latent.codes.astype(np.float32)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("dtype", "step"),
    [(np.float32, 0.0), (np.float32, np.nan), (np.float32, 1e35), (np.int16, -1.0),
     (np.int16, 2.0**54)],
)  # fmt: skip
def test_levels_that_no_encoder_chooses_are_refused(name, dtype, step):
    latent = build(name).encode(image(dtype=dtype))

    with pytest.raises(LatentError, match=re.escape(f"by {step}: it is damaged")):
        build(name).decode(alter_head(latent, step=step))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("head", "words"),
    [({"packed": b"<c8\0"}, "names the pixel type '<c8', which is none: it is damaged"),
     ({"offset": np.int64(40000).tobytes()}, "lowest value 40000 is none of int16: it is damaged")],
)  # fmt: skip
def test_a_type_that_is_none_and_a_value_beyond_it_are_refused(name, head, words):
    with pytest.raises(LatentError, match=words):
        build(name).decode(alter_head(build(name).encode(image()), **head))


@pytest.mark.parametrize("name", NAMES)
def test_a_standard_has_no_weights(name):
    with pytest.raises(UnknownName, match=rf"{name} has no weights: leave out mine\.ckpt"):
        OFFERS[name].build(Request(weights="mine.ckpt"))


def test_the_head_of_a_jpegxl_codestream_gives_its_size():
    from plica.codecs.jpegxl import _read_size, encode_planes

    shapes = [(1, 1), (8, 8), (16, 256), (40, 48), (255, 256), (300, 400), (90, 160), (513, 2)]
    for shape in shapes:
        for rate in (None, 2.0):
            (stream,) = encode_planes([np.zeros(shape, np.uint16)], rate)
            assert _read_size(stream) == shape


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("dtype", "size"), [(np.float64, 1e300), (np.float32, 3.4e38), (np.float16, 65504)]
)
def test_values_as_large_as_their_type_come_back(name, dtype, size):
    pixels = np.linspace(-size / 2, size / 2, 64 * 48).astype(dtype).reshape(1, 64, 48, 1)
    scan = Image(pixels, Grid.from_spacing((64, 48, 1)))
    codec = build(name, rate=16)

    decoded = codec.decode(codec.encode(scan)).pixels

    assert decoded.dtype == dtype
    np.testing.assert_allclose(
        decoded.astype(np.float64), pixels.astype(np.float64), atol=size * 1e-3
    )

import json
import math
from functools import partial

import numpy as np
import pytest

from plica.codecs.catalogue import load
from plica.errors import InputError, SettingsError, UnusablePixels
from plica.evaluation import storage
from plica.evaluation.storage import Coding, Curve, Match, Point, Standard, store, weigh
from plica.formats import latents
from plica.grid import Grid
from plica.image import Image, Unit
from plica.metrics.metric import measure

DTYPES = ("float32", "float16", "bfloat16", "int8")


@pytest.fixture(scope="module")
def image():
    """Soft blobs, an edge and a little noise, 384 × 320, of eight bits.

    In much smaller ones a single coding pass of JPEG 2000 is more than the tolerance.
    """
    i, j = np.meshgrid(np.arange(384), np.arange(320), indexing="ij")
    clean = 120 + 50 * np.sin(i / 17) * np.cos(j / 23) + 40 * ((i - 90) ** 2 + (j - 70) ** 2 < 900)
    noisy = clean + np.random.default_rng(3).normal(0, 4, clean.shape)
    pixels = np.clip(noisy, 0, 255).astype(np.uint8)[None, :, :, None]
    return Image(pixels, Grid.from_spacing((384, 320, 1), (1.0, 1.0, 1.0)), unit=Unit.DISPLAY)


@pytest.fixture(scope="module")
def bicubic():
    codec = load("bicubic-4x-2d", device="cpu")
    return Coding("bicubic-4x-2d", codec.encode, codec.decode)


@pytest.fixture
def curve(image):
    def encode(image, rate):
        setting = {"lossless": True} if rate is None else {"rate": rate}
        return load("jpeg2000", **setting).encode(image)

    return Curve(Standard("jpeg2000", encode, load("jpeg2000").decode), image)


def test_bytes_are_those_of_real_files(image, bicubic, tmp_path):
    latent = bicubic.encode(image)
    for point in weigh(bicubic, image):
        path = tmp_path / f"{point.setting}.latent"
        latents.write(latent, path, dtype=point.setting)
        assert point.bytes == path.stat().st_size
        assert point.bits_per_pixel == 8 * path.stat().st_size / (384 * 320)


def test_codes_take_the_bytes_of_their_type(image, bicubic):
    found = {point.setting: point for point in weigh(bicubic, image)}
    codes = 96 * 80
    assert {name: point.payload / codes for name, point in found.items()} == {
        "float32": 4, "float16": 2, "bfloat16": 2, "int8": 1,
    }  # fmt: skip
    heads = [point.bytes - point.payload for point in found.values()]
    assert max(heads) - min(heads) < 300, "what a file says besides hardly depends on the type"


def test_psnr_is_of_what_the_file_holds_against_the_source(image, bicubic):
    """And not of codes that were never rounded, nor against the codec's own reconstruction."""
    seen, _ = store(bicubic.encode(image), "int8")
    expected = measure(image, bicubic.decode(seen), metrics=("psnr",))["psnr"]
    found = {point.setting: point.psnr for point in weigh(bicubic, image)}
    assert found["int8"] == expected != found["float32"]


def test_a_stream_has_no_type_of_number(image):
    codec = load("jpeg2000")
    with pytest.raises(SettingsError, match="stream of bytes"):
        weigh(Coding("jpeg2000", codec.encode, codec.decode), image)


@pytest.mark.parametrize("target", [3000, 6000, 15000, 40000])
def test_the_file_of_so_many_bytes_is_found(curve, target):
    match = curve.at_bytes(target)
    assert match.hit
    assert match.point.bytes == pytest.approx(target, rel=storage.BYTES_TOLERANCE)
    assert len(curve.points) <= 12


@pytest.mark.parametrize("target", [35.0, 36.5, 40.0, 46.0])
def test_the_file_of_so_many_decibels_is_found(curve, target):
    match = curve.at_psnr(target)
    assert match.hit
    assert match.point.psnr == pytest.approx(target, abs=storage.PSNR_TOLERANCE)


def test_files_that_were_made_are_not_made_again(curve):
    first = curve.at_bytes(6000)
    made = len(curve.points)
    assert curve.at_bytes(6050).point == curve.at_psnr(first.point.psnr).point == first.point
    assert len(curve.points) == made


def test_one_rate_is_made_once(curve):
    assert curve.at_rate(1.0) is curve.at_rate(1.0)
    assert curve.at_rate(None) is not curve.at_rate(None)


def test_a_file_that_is_found_at_the_last_try_is_found(curve, monkeypatch):
    first = curve.at_bytes(6000)
    monkeypatch.setattr(storage, "_TRIES", len(curve.points))

    assert Curve(curve.standard, curve.image).at_bytes(6000) == first
    assert first.hit


def test_what_cannot_be_reached_is_said(curve):
    for match in (curve.at_bytes(30), curve.at_psnr(90.0), curve.at_psnr(3.0)):
        assert not match.hit
        assert match.point is not None
        assert "comes no nearer" in match.why
    assert curve.at_psnr(math.inf) == Match(
        None, math.inf, False, "nothing was lost, which no rate promises"
    )


def test_without_loss_nothing_is_lost(curve):
    point = curve.at_rate(None)
    assert (point.setting, point.psnr) == ("without loss", math.inf)
    assert point.bytes < curve.image.pixels.nbytes


def refusing_below(least, image, rate):
    if rate is not None and rate < least:
        raise UnusablePixels("cannot be made so small")
    return load("jpeg2000", rate=rate).encode(image)


def test_a_codec_that_refuses_small_rates_is_asked_for_larger_ones(image):
    standard = Standard("jpeg2000", partial(refusing_below, 0.5), load("jpeg2000").decode)
    assert Curve(standard, image).at_bytes(12000).hit
    low = Curve(standard, image).at_bytes(3000)
    assert not low.hit
    assert low.point is None or low.point.rate >= 0.5


def test_a_codec_that_refuses_every_rate_has_no_file(image):
    standard = Standard("jpeg2000", partial(refusing_below, math.inf), load("jpeg2000").decode)

    match = Curve(standard, image).at_bytes(3000)

    assert match == Match(None, 3000, False, "jpeg2000 takes no rate for this image")


def test_points_and_matches_come_back_from_their_records(curve):
    exact, match = curve.at_rate(None), curve.at_bytes(6000)
    for thing, kind in ((exact, Point), (match.point, Point), (match, Match)):
        text = json.dumps(thing.to_json(), allow_nan=False)
        assert kind.from_json(json.loads(text)) == thing
    with pytest.raises(InputError, match="no record"):
        Point.from_json({"codec": "x"})

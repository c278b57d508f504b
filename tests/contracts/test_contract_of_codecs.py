"""The contract says what is wrong with a codec, once and in a sentence."""

import os
import sys
from dataclasses import replace

import numpy as np
import pytest
from _pytest.outcomes import Failed, Skipped

import plica
from plica.errors import MissingExtra, WeightsError
from plica.testing import codec as contract
from plica.testing.__main__ import main


def test_a_reach_that_is_too_small_is_named():
    codec = plica.load("compact-4x1-2d", device="cpu")
    network = type("Short", (type(codec.network),), {"encoder_reach": 0})
    told = codec.network
    told.__class__ = network

    with pytest.raises(Failed, match=r"by rms \S+ of σ: encoder_reach 0 is too small, or a layer"):
        contract.CodecContract().test_tiles_are_exact_where_the_card_says_so(
            replace(codec, network=told)
        )


def test_what_cannot_be_loaded_fails_once(monkeypatch):
    def refuse(name):
        raise WeightsError("no weights")

    monkeypatch.setattr(contract.plica, "load", refuse)
    monkeypatch.setattr(contract, "_FAILED", set())

    with pytest.raises(Failed, match="nothing cannot be loaded: no weights"):
        contract.load_once("nothing")
    with pytest.raises(Skipped, match="the first test says why"):
        contract.load_once("nothing")


class Bent:
    """A codec that gives back what `bend` makes of the pixels."""

    def __init__(self, bend):
        self.inner, self.bend = plica.load("identity"), bend
        self.card, self.fingerprint = self.inner.card, self.inner.fingerprint

    def encode(self, image, *, kind=None, seed=None):
        return self.inner.encode(image, kind=kind, seed=seed)

    def decode(self, latent):
        image = self.inner.decode(latent)
        return image.with_pixels(np.ascontiguousarray(self.bend(image.pixels)))


@pytest.mark.parametrize(
    ("bend", "words"),
    [
        (lambda pixels: np.flip(pixels, 1), "flipped along i"),
        (lambda pixels: np.flip(pixels, 2), "flipped along j"),
        (lambda pixels: np.roll(pixels, 2, 1), "shifted 2 along i"),
        (lambda pixels: np.roll(pixels, -2, 2), "shifted -2 along j"),
        (lambda pixels: (pixels - pixels.mean()) * 0.55 + pixels.mean(), "the contrast"),
        (lambda pixels: 2 * pixels, "the contrast"),
        (lambda pixels: pixels + 0.12 * np.ptp(pixels), r"mean error of 12.0% .* \(\+12.0% of it"),
    ],
)
def test_what_is_flipped_shifted_or_flattened_is_seen(bend, words):
    with pytest.raises(Failed, match=words):
        contract.CodecContract().test_a_smooth_image_is_kept(Bent(bend), "mr")


@pytest.mark.parametrize(("by", "axis"), [(2, 1), (-2, 1), (2, 2), (-2, 2)])
@pytest.mark.parametrize("kind", ["ct", "mr", "colour"])
def test_a_shift_is_seen_in_every_kind_of_image(kind, by, axis):
    bent = Bent(lambda pixels: np.roll(pixels, by, axis))
    with pytest.raises(Failed, match=f"shifted {by} along {'ij'[axis - 1]}"):
        contract.CodecContract().test_a_smooth_image_is_kept(bent, kind)


@pytest.mark.parametrize("share", [-0.09, 0.04, 0.09])
def test_what_is_a_little_too_bright_is_not_called_shifted(share):
    bent = Bent(lambda pixels: pixels + np.float32(share * np.ptp(pixels)))
    image = contract.make_own(bent, "mr")
    offset = (bent.decode(bent.encode(image)).pixels - image.pixels).mean()
    assert offset == pytest.approx(share * np.ptp(image.pixels), rel=1e-3)
    contract.CodecContract().test_a_smooth_image_is_kept(bent, "mr")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda image: replace(image, grid=plica.Grid(image.grid.shape, np.eye(4))),
            "decoded onto ",
        ),
        (lambda image: replace(image, unit=plica.Unit.RELATIVE), "decoded as .*RELATIVE"),
        (lambda image: image.with_pixels(image.pixels.astype(np.float64)), "decoded as .*float64"),
    ],
)
def test_what_comes_back_elsewhere_or_otherwise_is_seen(change, words):
    image = contract.make_own(plica.load("identity"), "ct")
    contract.check_came_back(image, image)
    with pytest.raises(Failed, match=words):
        contract.check_came_back(change(image), image)


def test_a_class_that_says_a_codecs_name_is_held_to_the_contract(tmp_path):
    file = tmp_path / "test_mine.py"
    file.write_text(
        "from plica.testing.codec import CodecContract\n\n\n"
        'class TestMine(CodecContract):\n    name = "identity"\n'
    )
    words = ["-q", "-c", os.devnull, "--rootdir", str(tmp_path), "-p", "no:cacheprovider"]
    assert pytest.main([*words, str(file), "-k", "the_same_codes"]) == 0


def test_without_pytest_the_command_says_what_it_needs(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pytest", None)
    assert main(["identity"]) == 2
    assert "the contract needs pytest: pip install pytest" in capsys.readouterr().err


def test_a_codec_of_which_nothing_could_be_tested_is_not_a_success(monkeypatch, capsys):
    def lack(name, *_, **__):
        raise MissingExtra("it", "nowhere", "foundation")

    monkeypatch.setattr(contract.plica, "load", lack)
    monkeypatch.setattr(contract, "load_once", contract.load_once.__wrapped__)
    assert main(["bicubic-4x-2d"]) == 2


def test_a_network_is_held_to_the_contract_before_it_is_trained(tmp_path):
    recipe = tmp_path / "early.toml"
    recipe.write_text(
        'name = "early"\nsummary = "Of a test."\nlicence = "Apache-2.0"\nsteps = 1\nbatch = 1\n'
        '[network]\nkind = "kl"\ndims = 2\nin_channels = 1\ncode_channels = 2\n'
        "widths = [32, 32]\nblocks = 1\n[data]\ncrop = 16\nvalidation_crop = 16\n"
    )
    codec = contract.load_once(str(recipe))
    held = contract.CodecContract()

    assert codec.card.name == "early (random weights)"
    held.test_encoding_twice_gives_the_same_codes(codec, "ct")
    held.test_the_way_back_ends_where_it_began(codec, "colour", tmp_path)
    with pytest.raises(Skipped, match="train it first"):
        held.test_a_smooth_image_is_kept(codec, "mr")
    assert main([str(tmp_path / "nowhere.toml")]) == 2

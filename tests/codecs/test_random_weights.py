"""Random weights prove a path, and say that they do."""

import numpy as np
import pytest

import plica
from plica.codecs import catalogue
from plica.codecs.catalogue import load
from plica.codecs.codec import Offer, Request
from plica.codecs.identity import OFFERS
from plica.errors import LatentError, PlicaError, UnknownName, WeightsError
from plica.registry import Registry

OFFER = Offer(OFFERS["identity"].card, lambda request: OFFERS["identity"].build(Request()))


@pytest.fixture
def picture():
    pixels = np.random.default_rng(0).normal(size=(1, 32, 32, 1)).astype(np.float32)
    return plica.Image(pixels, plica.Grid.from_spacing((32, 32, 1), (1, 1, 1), calibrated=False))


def test_a_published_network_runs_without_its_weights_and_says_so(picture):
    codec = load("medvae-8x1-2d", "random")
    latent = codec.encode(picture)
    assert latent.codec.name == "medvae-8x1-2d (random weights)"
    decoded = codec.decode(latent)
    assert np.isfinite(decoded.pixels).all()
    assert "random" in codec.card.summary


def test_the_same_weights_are_drawn_each_time(picture):
    first, second = (load("medvae-8x1-2d", "random") for _ in range(2))
    assert first.fingerprint == second.fingerprint
    second.decode(first.encode(picture))


def test_their_latents_are_not_taken_for_those_of_the_real_codec(picture):
    latent = load("medvae-8x1-2d", "random").encode(picture)
    with pytest.raises(LatentError, match="random weights"):
        load("compact-8x1-2d").decode(latent)


def test_codecs_of_ours_have_random_weights_where_they_are_trained(picture):
    codec = load("compact-4x3-2d", "random")
    assert codec.card.name == "compact-4x3-2d (random weights)"
    assert codec.decode(codec.encode(picture)).grid == picture.grid
    with pytest.raises(WeightsError, match="computed, not trained"):
        load("linear-4x3-2d", "random")


def test_what_has_no_weights_cannot_have_random_ones():
    with pytest.raises(PlicaError, match="weights"):
        load("identity", "random")


def test_nor_has_a_packages_codec_that_does_not_ask_which_weights(monkeypatch):
    table = Registry("codec", (("theirs", f"{__name__}:OFFER"),))
    monkeypatch.setattr(catalogue, "CODECS", table)
    with pytest.raises(UnknownName, match="has no weights that could be random"):
        load("theirs", "random")

"""Latent diffusion's codecs agree with an independent implementation, in both its layouts."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests.networks.made import GOLDEN, make_input, make_state

from plica.codecs.catalogue import load
from plica.codecs.latentdiffusion import _MODELS, OFFERS, _make
from plica.codecs.layouts import to_compvis
from plica.codecs.weights import fill
from plica.errors import WeightsError
from plica.grid import Grid
from plica.image import Image, Unit
from plica.networks.kl import KlAutoencoder
from plica.networks.vq import VqAutoencoder

DIFFUSERS = GOLDEN.parent / "diffusers"
# What diffusers 0.42.1 counts in the state dict of the same configuration: tensors and numbers.
COUNTED = {
    "kl-f4": (204, 55_312_063),
    "kl-f8": (248, 83_653_863),
    "vq-f4": (205, 55_322_782),
    "vq-f8": (299, 67_717_295),
}


def small(kind: str) -> torch.nn.Module:
    shared = {"dims": 2, "in_channels": 3, "code_channels": 4}
    if kind == "kl":
        return KlAutoencoder(**shared, widths=(32, 64, 64))
    return VqAutoencoder(**shared, codebook=64, widths=(32, 64), attention_levels=(1,))


@pytest.mark.parametrize("kind", ["kl", "vq"])
def test_diffusers_weights_give_diffusers_values(kind):
    golden = np.load(DIFFUSERS / f"{kind}.npz")
    theirs = make_state(json.loads((DIFFUSERS / f"{kind}.keys.json").read_text()))
    network = small(kind)
    fill(network, to_compvis(theirs), name=kind)

    with torch.inference_mode():
        z = network.encode(make_input(kind, golden["input_shape"]))
        y = network.decode(z)

    for found, expected in ((z, golden["encoded"]), (y, golden["decoded"])):
        assert found.shape == expected.shape
        assert np.abs(found.numpy() - expected).max() / np.abs(expected).max() < 1e-4


@pytest.mark.parametrize("name", OFFERS)
def test_networks_have_the_published_size(name):
    with torch.device("meta"):
        state = _make(_MODELS[name]).state_dict()

    assert (len(state), sum(value.numel() for value in state.values())) == COUNTED[name]


def test_the_published_file_is_as_large_as_the_network():
    """Safetensors adds a header of some kilobytes to four bytes per number."""
    header = OFFERS["kl-f8"].card.weights.bytes - 4 * COUNTED["kl-f8"][1]

    assert 0 < header < 100_000


@pytest.mark.parametrize("name", OFFERS)
def test_cards_agree_with_their_networks(name):
    card = OFFERS[name].card
    with torch.device("meta"):
        network = _make(_MODELS[name])

    assert (network.dims, network.factor) == (card.dims, card.factor)
    assert (network.in_channels, network.code_channels) == (card.in_channels, card.channels)


def test_a_codec_without_public_weights_asks_for_a_file():
    with pytest.raises(WeightsError, match="local file with --weights"):
        load("kl-f4", device="cpu")


def test_a_grey_and_a_colour_picture_come_back(tmp_path):
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in _make(_MODELS["vq-f4"]).state_dict().items()}
    path = tmp_path / "vq-f4.safetensors"
    save_file(make_state(shapes), path)
    codec = load("vq-f4", weights=path, device="cpu")
    path.unlink()

    for channels in (1, 3):
        ramp = np.linspace(0, 255, channels * 20 * 14).reshape(channels, 20, 14, 1)
        image = Image(ramp.astype(np.uint8), Grid.from_spacing((20, 14, 1)), Unit.DISPLAY)
        latent = codec.encode(image)
        decoded = codec.decode(latent)
        assert latent.codes.shape == (3, 5, 4, 1)
        assert decoded.pixels.shape == image.pixels.shape
        assert decoded.pixels.dtype == np.uint8

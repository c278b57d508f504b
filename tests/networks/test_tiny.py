"""The tiny autoencoders, against diffusers' own where it is installed, and in pieces."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from plica.codecs.random_weights import draw_weights
from plica.codecs.tiling import run_passes
from plica.codecs.tiny import renumber
from plica.errors import SettingsError
from plica.networks.autoencoder import Autoencoder, Passing
from plica.networks.tiny import TinyAutoencoder

MADE = {
    "taesd": {"code_channels": 4},
    "taef2": {"code_channels": 32, "pooled": True},
    "taesana": {
        "code_channels": 32,
        "decoder_widths": (64, 32, 16, 16, 16),
        "strided_stem": True,
    },
}


def make(name: str) -> TinyAutoencoder:
    network = TinyAutoencoder(**MADE[name], width=16) if name == "taesana" else None
    network = network or TinyAutoencoder(**MADE[name])
    network.load_state_dict(draw_weights(network))
    return network.eval().requires_grad_(False)


def noise(*shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32))


@pytest.mark.parametrize("name", MADE)
def test_codes_are_as_coarse_as_the_factor_says(name):
    network = make(name)
    x = noise(2, 3, 2 * network.factor, 3 * network.factor)

    z = network.encode(x)

    assert isinstance(network, Autoencoder)
    assert isinstance(network, Passing)
    assert z.shape == (2, network.code_channels, 2, 3)
    assert network.decode(z).shape == x.shape


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize(("cells", "across"), [(1, 2), (3, 5)])
def test_passes_in_tiles_give_what_the_whole_gives(name, cells, across):
    network = make(name)
    side = network.factor
    x = noise(1, 3, 23 * side if side == 8 else 9 * side, across * side)
    z = network.encode(x)

    for passes, given, whole, unit in (
        (network.encoding_passes(), x, z, side),
        (network.decoding_passes(), z, network.decode(z), 1),
    ):
        tiles, sides = [], given.shape[2:]
        for one in passes:
            cell = unit if one.factor > 1 else 1
            tiles.append(tuple(sides) if one.whole else (cells * cell,) * 2)
            sides = [round(length / one.factor) for length in sides]
        in_tiles = run_passes(passes, given.numpy(), tiles=tuple(tiles))
        np.testing.assert_allclose(in_tiles, whole, atol=1e-5 * float(whole.std()) + 2e-6)


def test_a_smaller_halo_would_be_seen():
    """Tiles are exact for their halo: with one of two cells they differ."""
    from dataclasses import replace

    network = make("taesd")
    z = noise(1, 4, 50, 2)
    (one,) = network.decoding_passes()
    whole = network.decode(z).numpy()

    nearer = replace(one, reach=2)

    assert np.abs(run_passes((one,), z.numpy(), tiles=((8, 8),)) - whole).max() < 2e-6
    assert np.abs(run_passes((nearer,), z.numpy(), tiles=((8, 8),)) - whole).max() > 2e-5


def test_the_plain_ones_are_those_of_diffusers():
    diffusers = pytest.importorskip("diffusers")
    theirs = diffusers.AutoencoderTiny(latent_channels=16).eval()
    ours = make("taesd")
    ours = TinyAutoencoder(code_channels=16).eval()
    ours.load_state_dict(renumber(theirs.state_dict()))
    x = noise(1, 3, 32, 48)

    with torch.inference_mode():
        z, codes = theirs.encode(x).latents, ours.encode(x)

        torch.testing.assert_close(codes, z, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(ours.decode(z), theirs.decode(z).sample, rtol=1e-5, atol=1e-5)


def test_networks_that_cannot_be_are_refused():
    with pytest.raises(SettingsError, match="at least one code channel"):
        TinyAutoencoder(code_channels=0)
    with pytest.raises(SettingsError, match="one level"):
        TinyAutoencoder(code_channels=4, decoder_widths=())

"""Stitched codes: slices seen by the flat encoder, a volume by the lifted decoder."""

import numpy as np
import pytest
import torch
from tests.networks.made import make_input, make_state

from plica.codecs.batches import resize_k
from plica.errors import SettingsError
from plica.networks.autoencoder import Autoencoder
from plica.networks.kl import KlAutoencoder
from plica.networks.lifting import lift
from plica.networks.stitched import Stitched, resize_last_axis

SIZES = {"in_channels": 1, "code_channels": 2, "widths": (32, 64), "blocks": 1}


def flat() -> KlAutoencoder:
    network = KlAutoencoder(dims=2, **SIZES)
    network.load_state_dict(make_state(network))
    return network.eval()


def stitched() -> Stitched:
    """As its training begins: the 2D network before the codes, the same lifted after them."""
    network = Stitched(**SIZES)
    wanted = network.state_dict()
    state = flat().state_dict()
    solid = {k: v for k, v in state.items() if v.ndim == 4 and wanted[k].ndim == 5}
    network.load_state_dict(state | lift(solid))
    return network.eval()


def test_it_is_an_autoencoder_of_volumes():
    network = stitched()
    x = make_input("volume", (2, 1, 8, 6, 4))
    z = network.encode(x)

    assert isinstance(network, Autoencoder)
    assert (network.dims, network.factor) == (3, 2)
    assert z.shape == (2, 2, 4, 3, 2)
    assert network.decode(z).shape == x.shape


def test_slices_are_seen_as_the_flat_network_sees_them():
    x = make_input("slices", (1, 1, 8, 6, 4))
    with torch.no_grad():
        codes = [flat().encode(x[..., k].transpose(2, 3)).transpose(2, 3) for k in range(4)]

    expected = resize_last_axis(torch.stack(codes, -1), 2)

    torch.testing.assert_close(stitched().encode(x), expected)


def test_codes_are_interpolated_as_the_stitched_codecs_do():
    codes = make_input("codes", (2, 3, 4, 12))

    for length in (3, 6, 12, 24):
        expected = resize_k(codes.numpy(), length)
        np.testing.assert_allclose(resize_last_axis(codes, length), expected, atol=1e-6)


def test_a_constant_stack_comes_back_as_the_flat_network_gives_it():
    picture = make_input("picture", (1, 1, 6, 8))  # row, column
    stack = picture.transpose(2, 3)[..., None].repeat(1, 1, 1, 1, 8)
    with torch.no_grad():
        network = stitched()
        y = network.decode(network.encode(stack))
        expected = flat().decode(flat().encode(picture)).transpose(2, 3)

    torch.testing.assert_close(y, expected[..., None].expand_as(y), rtol=0, atol=1e-5)


def test_only_what_sees_volumes_learns():
    network = Stitched(**SIZES)
    learning = {name.split(".")[0] for name, p in network.named_parameters() if p.requires_grad}

    assert learning == {"decoder", "post_quant_conv"}
    x = make_input("learn", (1, 1, 4, 4, 4)).requires_grad_()
    z = network.encode(x)
    assert not z.requires_grad
    network.decode(z).sum().backward()
    assert network.decoder.conv_in.weight.grad is not None


def test_many_slices_are_encoded_some_at_a_time(monkeypatch):
    network, x = stitched(), make_input("many", (1, 1, 8, 4, 6))
    whole = network.encode(x)
    monkeypatch.setattr("plica.networks.stitched.BATCH_PIXELS", 70)

    torch.testing.assert_close(network.encode(x), whole)


def test_what_makes_no_network_is_refused():
    with pytest.raises(SettingsError, match="multiples of 32"):
        Stitched(in_channels=1, code_channels=1, widths=(30,))

"""The VQ autoencoder looks up the nearest vector, in bounded memory."""

import pytest
import torch
from tests.networks.made import make_input, make_state

from plica.networks.autoencoder import Autoencoder
from plica.networks.vq import Codebook, Quantised, VqAutoencoder


def small(dims: int = 2) -> VqAutoencoder:
    network = VqAutoencoder(
        dims=dims,
        in_channels=3,
        code_channels=4,
        codebook=50,
        widths=(32, 64),
        blocks=1,
        attention_levels=(1,),
    )
    network.load_state_dict(make_state(network))
    return network.eval()


def entries_of(z, network):
    vectors = z.movedim(1, -1).reshape(-1, 1, z.shape[1])
    return (vectors == network.quantize.embedding.weight).all(2).any(1)


@pytest.mark.parametrize("table", [1, 130, 2**24])
def test_the_nearest_entry_is_found(table):
    book = Codebook(entries=60, channels=3)
    book.load_state_dict(make_state(book))
    h = make_input("codes", (2, 3, 5, 4))

    found = book.indices(h, table=table)

    distances = torch.cdist(h.movedim(1, -1).reshape(-1, 3), book.embedding.weight)
    assert torch.equal(found.reshape(-1), distances.argmin(1))
    assert torch.equal(book(h)[1, :, 2, 3], book.embedding.weight[found[1, 2, 3]])


@pytest.mark.parametrize("dims", [2, 3])
def test_codes_are_entries_of_the_codebook(dims):
    network = small(dims)
    x = make_input("vq", (2, 3, *[8] * dims))

    with torch.no_grad():
        z = network.encode(x)

    assert isinstance(network, Autoencoder)
    assert z.shape == (2, 4, *[4] * dims)
    assert entries_of(z, network).all()
    with torch.no_grad():
        assert network.decode(z).shape == x.shape


def test_decoding_makes_entries_of_any_codes():
    network = small()
    with torch.no_grad():
        z = network.encode(make_input("vq", (1, 3, 8, 8)))
        nudged = z + 1e-4 * make_input("nudge", z.shape)

        assert not entries_of(nudged, network).any()
        assert torch.equal(network.decode(nudged), network.decode(z))


def test_attention_stands_where_it_was_asked_for():
    keys = small().state_dict().keys()

    assert "encoder.down.1.attn.0.q.weight" in keys
    assert "decoder.up.1.attn.1.q.weight" in keys
    assert not any(".0.attn." in key for key in keys)


def test_the_codebook_learns():
    network = small()
    z = network.encode(make_input("learn", (1, 3, 8, 8)))
    z.sum().backward()

    assert network.quantize.embedding.weight.grad.abs().sum() > 0


def test_the_gradient_passes_by_the_look_up():
    network = small()
    codes = network.quantise(make_input("pass", (1, 3, 8, 8)))
    codes.h.retain_grad()

    torch.testing.assert_close(codes.z, codes.e)
    (codes.z * 3).sum().backward()

    assert torch.equal(codes.h.grad, torch.full_like(codes.h, 3))
    assert network.quantize.embedding.weight.grad is None


@pytest.mark.parametrize("legacy", [False, True])
def test_beta_weighs_the_commitment_of_the_encoder(legacy):
    h = make_input("h", (2, 3, 4)).requires_grad_()
    e = make_input("e", (2, 3, 4)).requires_grad_()
    Quantised(h, e, torch.zeros(2, 4)).losses(beta=0.1, legacy=legacy).sum().backward()
    gap = 2 * (h - e).detach()

    torch.testing.assert_close(h.grad, gap * (1.0 if legacy else 0.1))
    torch.testing.assert_close(e.grad, -gap * (0.1 if legacy else 1.0))


def test_the_losses_are_sums_over_each_image():
    h, e = make_input("h", (2, 3, 4)), make_input("e", (2, 3, 4))
    losses = Quantised(h, e, torch.zeros(2, 4)).losses(beta=0.5)

    torch.testing.assert_close(losses, 1.5 * (h - e).square().sum((1, 2)))


def test_usage_counts_entries():
    codes = Quantised(torch.zeros(1), torch.zeros(1), torch.tensor([[0, 0, 3, 3], [3, 0, 0, 3]]))

    assert codes.usage(8) == 0.25


def test_entries_are_decoded_as_they_are():
    network = small()
    x = make_input("vq", (1, 3, 8, 8))
    with torch.no_grad():
        torch.testing.assert_close(
            network.decode_entries(network.quantise(x).z), network.decode(network.encode(x))
        )


def test_the_nearest_entry_is_the_same_under_autocast():
    book = Codebook(entries=500, channels=3)
    book.load_state_dict(make_state(book))
    h = make_input("codes", (2, 3, 20, 20))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = book.indices(h)

    assert torch.equal(found, book.indices(h))

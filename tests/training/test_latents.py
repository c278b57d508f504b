"""Codes for training: their noise is each patch's own, and what holds them is as in the papers."""

import numpy as np
import pytest
import torch
from tests.training.small import make_batch, make_kl
from torch import nn

from plica.training.latents import Draw, describe, divergence, draw, draw_noise, generator


def test_the_divergence_is_the_closed_form():
    mean, logvar = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    p = torch.distributions.Normal(mean.double(), (logvar.double() / 2).exp())
    q = torch.distributions.Normal(torch.zeros(()).double(), torch.ones(()).double())
    expected = torch.distributions.kl_divergence(p, q).flatten(1).sum(1)

    torch.testing.assert_close(divergence(mean, logvar).double(), expected, rtol=1e-5, atol=1e-4)


def test_a_standard_normal_posterior_diverges_by_nothing():
    assert divergence(torch.zeros(2, 3), torch.zeros(2, 3)).tolist() == [0, 0]


def test_the_codes_of_a_kl_network_are_mean_plus_noise_times_deviation():
    network, batch = make_kl(), make_batch()
    codes = draw(network, batch.x, batch.seeds)
    mean, logvar = network.posterior(batch.x)
    noise = torch.stack(
        [
            torch.randn(mean.shape[1:], generator=generator(seed, "posterior"))
            for seed in batch.seeds
        ]
    )

    torch.testing.assert_close(codes.z, mean + (logvar / 2).exp() * noise)
    torch.testing.assert_close(codes.mean, network.encode(batch.x))
    assert codes.z.requires_grad


def test_a_patchs_noise_does_not_depend_on_its_neighbours_in_the_batch():
    together = draw_noise((5, 6, 7), (2, 4, 4))
    apart = torch.cat([draw_noise((5,), (2, 4, 4)), draw_noise((6, 7), (2, 4, 4))])

    assert torch.equal(together, apart)
    assert not torch.equal(together[0], together[1])


def test_noise_leaves_the_global_random_state_alone():
    before = torch.get_rng_state()
    draw_noise((1, 2), (8, 8))

    assert torch.equal(before, torch.get_rng_state())


def test_purposes_have_streams_of_their_own():
    one, other = (torch.rand(8, generator=generator(3, name)) for name in ("posterior", "slices 0"))

    assert not torch.equal(one, other)


def test_noise_is_standard_normal():
    noise = draw_noise(tuple(range(64)), (1, 32, 32)).numpy()

    assert abs(noise.mean()) < 0.01
    assert abs(noise.std() - 1) < 0.01


def test_an_autoencoder_without_a_posterior_gives_its_codes():
    class Halve(nn.Module):
        def encode(self, x):
            return x[..., ::2, ::2]

    batch = make_batch()
    codes = draw(Halve(), batch.x, batch.seeds)

    assert torch.equal(codes.z, batch.x[..., ::2, ::2])
    assert codes.kl is None
    assert codes.codebook is None


def test_active_units_are_those_that_vary_from_image_to_image():
    mean = torch.zeros(4, 3, 2, 2)
    mean[:, 0] = torch.tensor([0.0, 1, 2, 3])[:, None, None]  # differs between images
    mean[:, 1] = torch.tensor([[0.0, 1], [2, 3]])  # differs between places alone
    mean[:, 2] = 0.01 * torch.randn(4, 2, 2)
    facts = describe(Draw(mean, mean))

    assert float(facts["active_units"]) == pytest.approx(1 / 3)
    assert float(facts["active_channels"]) == 2
    deviations = mean.numpy().transpose(1, 0, 2, 3).reshape(3, -1).std(1)
    assert float(facts["latent_deviation"]) == pytest.approx(float(np.mean(deviations)), rel=1e-5)


def test_one_image_has_no_active_units_to_count():
    assert "active_units" not in describe(Draw(torch.ones(1, 2, 2, 2), torch.ones(1, 2, 2, 2)))

"""The KL autoencoder is the published one, in 2D and 3D, and keeps its promises."""

import numpy as np
import pytest
import torch
from tests.networks.made import GOLDEN, NAMES, build_medvae, make_input, make_state, read_keys

from plica.errors import LatentError
from plica.networks.autoencoder import Autoencoder, Sampling
from plica.networks.blocks import lay_out
from plica.networks.kl import KlAutoencoder
from plica.networks.lora import fold_lora

SMALL = {"in_channels": 1, "code_channels": 2, "widths": (32, 64), "blocks": 1}


def small(dims: int, **changes) -> KlAutoencoder:
    network = KlAutoencoder(dims=dims, **{**SMALL, **changes})
    network.load_state_dict(make_state(network))
    return network.eval()


def relative(found: torch.Tensor, expected: np.ndarray) -> float:
    return float(np.abs(found.numpy() - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("name", NAMES)
def test_the_published_network_gives_the_published_values(name):
    golden = np.load(GOLDEN / f"{name}.npz")
    network = build_medvae(name)
    x = make_input(name, golden["input_shape"])

    with torch.inference_mode():
        mean, logvar = network.posterior(x)
        found = {
            "mean": mean,
            "logvar": logvar,
            "projected": network.project(mean),
            "decoded": network.decode(torch.from_numpy(golden["mean"])),
        }

    for what, value in found.items():
        assert value.shape == golden[what].shape
        assert relative(value, golden[what]) < 1e-4, what


@pytest.mark.parametrize("name", NAMES)
def test_keys_and_shapes_are_the_published_ones(name):
    _, factor, channels, dims = name.split("_")
    with torch.device("meta"):
        network = KlAutoencoder(
            dims=int(dims[0]),
            in_channels=1 if channels == "1" else 3,
            code_channels=int(channels),
            widths=(128, 256, 512, 512)[: 3 if factor == "4" else 4],
            projection=True,
        )
        published = {key: torch.empty(shape) for key, shape in read_keys(name).items()}
        folded = fold_lora(published)

    assert {key: value.shape for key, value in network.state_dict().items()} == {
        key: value.shape for key, value in folded.items()
    }


@pytest.mark.parametrize("dims", [2, 3])
class TestBothDimensions:
    def test_it_is_an_autoencoder(self, dims):
        network = small(dims)

        assert isinstance(network, Autoencoder)
        assert isinstance(network, Sampling)
        assert network.factor == 2

    def test_shapes_are_as_promised(self, dims):
        network = small(dims)
        x = torch.zeros(3, 1, *(8, 6, 4)[:dims])

        z = network.encode(x)

        assert z.shape == (3, 2, *(4, 3, 2)[:dims])
        assert network.decode(z).shape == x.shape

    def test_encoding_twice_gives_the_same_bytes_and_leaves_the_input(self, dims):
        network = small(dims)
        x = make_input("twice", (1, 1, *[8] * dims))
        before = x.clone()

        with torch.no_grad():
            first, second = network.encode(x), network.encode(x)
            z = first.clone()
            network.decode(first)

        assert torch.equal(first, second)
        assert torch.equal(x, before)
        assert torch.equal(first, z)

    def test_images_of_a_batch_do_not_see_each_other(self, dims):
        network = small(dims)
        x = make_input("batch", (2, 1, *[8] * dims))

        with torch.no_grad():
            together = network.encode(x)
            alone = torch.cat([network.encode(x[:1]), network.encode(x[1:])])

        torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)

    def test_in_place_layers_change_no_result_and_break_no_gradient(self, dims):
        network = small(dims)
        x = make_input("gradient", (1, 1, *[8] * dims))

        with_gradient = network.decode(network.encode(x))
        with_gradient.square().sum().backward()
        with torch.no_grad():
            without = network.decode(network.encode(x))

        torch.testing.assert_close(with_gradient.detach(), without, rtol=1e-4, atol=1e-5)
        assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())

    def test_the_order_of_memory_changes_nothing(self, dims):
        network = small(dims)
        x = make_input("order", (1, 1, *[8] * dims))

        with torch.no_grad():
            plain = network.decode(network.encode(x))
            lay_out(network)
            laid_out = network.decode(network.encode(x))

        torch.testing.assert_close(laid_out, plain, rtol=1e-4, atol=1e-5)

    def test_it_works_in_double_precision(self, dims):
        network = small(dims)
        x = make_input("double", (1, 1, *[8] * dims))

        with torch.no_grad():
            single = network.encode(x)
            double = network.double().encode(x.double())

        assert double.dtype == torch.float64
        torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-5)


def test_a_gradient_is_right():
    network = small(2, widths=(32, 32)).double()
    z = make_input("gradcheck", (1, 2, 2, 2)).double().requires_grad_()

    assert torch.autograd.gradcheck(network.decode, z)


def test_a_network_without_projection_layers_says_so():
    with pytest.raises(LatentError, match="projected"):
        small(2).project(torch.zeros(1, 2, 4, 4))


def test_log_variance_stays_within_its_bounds():
    network = small(2)
    with torch.no_grad():
        network.quant_conv.bias.fill_(1e6)
        _, logvar = network.posterior(torch.zeros(1, 1, 8, 8))

    assert torch.equal(logvar, torch.full_like(logvar, 20.0))

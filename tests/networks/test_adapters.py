"""Adapters begin as nothing, learn alone, and fold into the convolutions they stand beside."""

import copy

import pytest
import torch
from tests.networks.made import make_input, make_state, read_keys

from plica.errors import SettingsError
from plica.networks.adapters import AdaptedConvolution, adapt
from plica.networks.kl import KlAutoencoder
from plica.networks.lora import fold_lora

SCOPES = ("blocks", "all")


def small(dims: int = 2) -> KlAutoencoder:
    network = KlAutoencoder(dims=dims, in_channels=1, code_channels=3, widths=(32, 64), blocks=1)
    network.load_state_dict(make_state(network))
    return network


def walk(network: KlAutoencoder, x: torch.Tensor) -> torch.Tensor:
    return network.decode(network.encode(x))


def stir(network: KlAutoencoder) -> None:
    """Adapters as training might leave them."""
    for name, parameter in network.named_parameters():
        if name.endswith("lora_up.weight"):
            parameter.data = 0.05 * make_input(name, parameter.shape)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("dims", [2, 3])
def test_training_begins_at_the_unadapted_network(dims, scope):
    network = small(dims)
    x = make_input("begin", (1, 1, *[8] * dims))
    before = walk(network, x)

    assert torch.equal(walk(adapt(copy.deepcopy(network), rank=4, scope=scope), x), before)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("dims", [2, 3])
def test_folded_adapters_give_the_same_output(dims, scope):
    network = adapt(small(dims), rank=4, scope=scope)
    x = make_input("fold", (1, 1, *[8] * dims)).double()
    plain = walk(small(dims).double(), x)
    stir(network)
    adapted = walk(network.double(), x)

    folded = small(dims).double()
    folded.load_state_dict(fold_lora(network.state_dict()))

    assert (adapted - plain).abs().max() > 1e-2
    torch.testing.assert_close(walk(folded, x), adapted, rtol=0, atol=1e-10)


@pytest.mark.parametrize("scope", SCOPES)
def test_only_adapters_learn(scope):
    network = adapt(small(), rank=2, scope=scope)
    frozen = {name: p.clone() for name, p in network.named_parameters() if ".lora_" not in name}
    optimiser = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):
        optimiser.zero_grad()
        walk(network, make_input("learn", (1, 1, 8, 8))).square().mean().backward()
        optimiser.step()
    found = dict(network.named_parameters())

    assert all(torch.equal(found[name], before) for name, before in frozen.items())
    changed = [p for name, p in found.items() if name.endswith("lora_up.weight")]
    assert all(parameter.abs().sum() > 0 for parameter in changed)


@pytest.mark.parametrize("name", ["medvae_4_3_2d", "medvae_8_4_2d"])
def test_keys_and_shapes_are_those_of_medvae(name):
    factor, channels = int(name[7]), int(name[9])
    with torch.device("meta"):
        network = KlAutoencoder(
            dims=2,
            in_channels=3,
            code_channels=channels,
            widths=(128, 256, 512, 512)[: {4: 3, 8: 4}[factor]],
            projection=True,
        )
        adapt(network, rank=4)

    found = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    assert found == read_keys(name)


def test_down_comes_from_the_generator_and_up_is_zero():
    twins = [adapt(small(), rank=4, generator=torch.Generator().manual_seed(5)) for _ in range(2)]
    one, other = (network.state_dict() for network in twins)
    downs = [key for key in one if "lora_down" in key]

    assert all(torch.equal(one[key], other[key]) for key in downs)
    together = torch.cat([one[key].flatten() for key in downs])
    assert together.std() == pytest.approx(1 / 4, rel=0.02)
    assert all(one[key.replace("lora_down", "lora_up")].abs().max() == 0 for key in downs)


def test_an_adapter_keeps_stride_and_padding():
    conv = torch.nn.Conv2d(3, 5, 3, stride=2, padding=1)
    adapted = AdaptedConvolution(conv, 2)
    adapted.lora_up.weight.data = make_input("up", adapted.lora_up.weight.shape)
    x = make_input("stride", (1, 3, 7, 9))

    expected = torch.nn.functional.conv2d(x, adapted.weight, adapted.bias, stride=2, padding=1)

    torch.testing.assert_close(adapted(x), expected)


@pytest.mark.parametrize("rank", [0, -1])
def test_a_rank_is_above_zero(rank):
    with pytest.raises(SettingsError, match="above zero"):
        adapt(small(), rank=rank)


def test_a_network_without_convolutions_or_with_adapters_is_refused():
    with pytest.raises(SettingsError, match="has none"):
        adapt(torch.nn.Linear(2, 2), rank=4)
    with pytest.raises(SettingsError, match="already"):
        adapt(adapt(small(), rank=4), rank=4)

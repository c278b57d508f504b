"""Half precision changes codes a little, and nothing else."""

import pytest
import torch
from tests.networks.made import make_input, make_state

from plica.errors import SettingsError
from plica.networks.blocks import lay_out
from plica.networks.compact import Compact
from plica.networks.kl import KlAutoencoder
from plica.networks.linear import Linear
from plica.networks.precision import get_precision, has_precision, is_native, set_precision
from plica.networks.schedule import plan_schedule, run_schedule
from plica.networks.vq import VqAutoencoder

# Deviations of the exact codes or image; measured: 0.01 to 0.02.
MOST = 0.05


def _make(kind, dims):
    if kind == "compact":
        network = Compact(
            dims=dims, factor=4, code_channels=3, encoder=(4, 32, 2), decoder=(4, 32, 2, 2, 16, 1)
        )
        network.adopt_linear(make_state(network))
    elif kind == "vq":
        network = VqAutoencoder(
            dims=dims, in_channels=1, code_channels=3, codebook=64, widths=(32, 64), blocks=1
        )
    else:
        network = KlAutoencoder(dims=dims, in_channels=1, code_channels=2, widths=(32, 64))
    network.load_state_dict(make_state(network))
    lay_out(network)
    return network.eval().requires_grad_(False)


def _differ(a, b):
    return float((a - b).std() / b.std())


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("kind", ["kl", "compact"])
def test_codes_and_images_are_near_the_exact_ones(kind, dims):
    exact, rounded = _make(kind, dims), _make(kind, dims)
    set_precision(rounded, "bfloat16")
    x = make_input("precision", (2, 1, *(32, 24, 16)[:dims]))

    with torch.inference_mode():
        z = exact.encode(x)
        codes, image = rounded.encode(x), rounded.decode(z)
        assert codes.dtype == image.dtype == torch.float32
        assert 0 < _differ(codes, z) < MOST
        assert 0 < _differ(image, exact.decode(z)) < MOST


def test_entries_of_a_codebook_are_looked_up_exactly():
    exact, rounded = _make("vq", 2), _make("vq", 2)
    set_precision(rounded, "bfloat16")
    x = make_input("precision", (1, 1, 64, 64))

    with torch.inference_mode():
        z = rounded.encode(x)
        assert torch.equal(exact.quantize(z), z)
        same = (z == exact.encode(x)).all(1).float().mean()
        assert same > 0.9


def test_the_image_is_not_rounded_to_eight_bits():
    rounded = _make("kl", 2)
    set_precision(rounded, "bfloat16")
    with torch.inference_mode():
        image = rounded.decode(make_input("codes", (1, 2, 16, 16)))
    assert (image.bfloat16().float() != image).float().mean() > 0.5


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("direction", ["encode", "posterior", "decode"])
def test_exact_schedules_run_in_half_precision_too(dims, direction):
    network = _make("kl", dims)
    set_precision(network, "bfloat16")
    sides = (32, 24, 16)[:dims]
    channels = 2 if direction == "decode" else 1
    x = make_input("schedule", (1, channels, *sides))

    with torch.inference_mode():
        run = getattr(network, direction)(x)
        whole = torch.cat(run, 1) if direction == "posterior" else run
    plan = plan_schedule(network, direction, sides=sides, memory=2**28, scratch=False)
    pieces = run_schedule(network, direction, x, plan=plan)

    assert pieces.dtype == torch.float32
    assert _differ(pieces, whole) < MOST


def test_weights_take_half_the_memory_and_their_order_stays():
    network = _make("kl", 2)
    before = sum(p.numel() * p.element_size() for p in network.parameters())
    set_precision(network, "bfloat16")
    after = sum(p.numel() * p.element_size() for p in network.parameters())

    assert after < 0.52 * before
    kernel = network.encoder.mid.block_1.conv1.weight
    assert kernel.is_contiguous(memory_format=torch.channels_last)
    assert get_precision(network) == "bfloat16"


def test_a_rounded_network_does_not_become_exact_again():
    network = _make("kl", 2)
    set_precision(network, "float32")
    set_precision(network, "bfloat16")
    set_precision(network, "bfloat16")
    with pytest.raises(SettingsError, match="load it anew"):
        set_precision(network, "float32")


def test_only_processors_and_cards_are_asked_whether_they_multiply_bfloat16():
    assert is_native("cpu") in (True, False)
    assert not is_native("mps")


def test_networks_without_such_layers_are_refused():
    network = Linear(dims=2, factor=4, channels=1)
    assert not has_precision(network)
    with pytest.raises(SettingsError, match="Linear has no layers"):
        set_precision(network, "bfloat16")


def test_autocast_still_chooses_types_in_training():
    network = _make("kl", 2).train().requires_grad_(True)
    x = make_input("precision", (1, 1, 16, 16))
    with torch.autocast("cpu", torch.bfloat16):
        z = network.encode(x)
    assert z.dtype == torch.bfloat16
    z.float().square().mean().backward()
    assert network.encoder.conv_in.weight.grad.dtype == torch.float32

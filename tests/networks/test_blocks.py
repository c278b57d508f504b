"""Layers do what the published ones do."""

import pytest
import torch
from tests.networks.made import make_input, make_state
from torch.nn import functional

from plica.errors import SettingsError
from plica.networks import blocks
from plica.networks.blocks import (
    Downsample,
    ResidualBlock,
    Upsample,
    activate,
    add,
    normalisation,
    normalise_and_activate,
)
from plica.networks.cost import build_shapes, count_work
from plica.networks.kl import KlAutoencoder
from plica.networks.linear import Linear
from plica.networks.vq import VqAutoencoder

CONVOLVE = {2: functional.conv2d, 3: functional.conv3d}


@pytest.mark.parametrize("dims", [2, 3])
def test_upsampling_is_repetition_and_a_convolution(dims):
    layer = Upsample(dims=dims, width=32).double()
    layer.load_state_dict(make_state(layer))
    x = make_input("up", (2, 32, *(5, 3, 4)[:dims])).double()

    repeated = functional.interpolate(x, scale_factor=2.0, mode="nearest")
    expected = CONVOLVE[dims](repeated, layer.conv.weight, layer.conv.bias, padding=1)

    torch.testing.assert_close(layer(x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dims", [2, 3])
def test_downsampling_looks_one_voxel_over_the_far_side_only(dims):
    layer = Downsample(dims=dims, width=1)
    with torch.no_grad():
        layer.conv.weight.fill_(1.0)
        layer.conv.bias.zero_()
        sums = layer(torch.ones(1, 1, *[6] * dims))

    along = torch.tensor([3.0, 3.0, 2.0])
    expected = (
        along[:, None] * along if dims == 2 else along[:, None, None] * along[:, None] * along
    )
    assert torch.equal(sums[0, 0], expected)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("width_out", [32, 64])
def test_a_residual_block_is_its_formula(dims, width_out):
    block = ResidualBlock(dims=dims, width_in=32, width_out=width_out)
    block.load_state_dict(make_state(block))
    x = make_input("block", (1, 32, *[4] * dims))

    h = block.conv1(functional.silu(block.norm1(x)))
    h = block.conv2(functional.silu(block.norm2(h)))
    expected = h + (block.nin_shortcut(x) if width_out != 32 else x)

    with torch.no_grad():
        torch.testing.assert_close(block(x), expected.detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(block(x), expected)


def test_what_gradients_need_is_not_overwritten():
    h = torch.tensor([1.0, -1.0])

    assert activate(h) is not h
    assert add(h, h) is not h
    with torch.no_grad():
        assert activate(h) is h


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"dims": 4}, "2 or 3 dims"),
        ({"widths": (16, 32)}, "multiples of 32"),
        ({"widths": ()}, "multiples of 32"),
        ({"widths": (0, 32)}, "multiples of 32"),
        ({"code_channels": 0}, "code_channels"),
        ({"blocks": 0}, "blocks"),
    ],
)
def test_settings_of_which_no_network_can_be_made_are_refused(settings, said):
    small = {"dims": 2, "in_channels": 1, "code_channels": 1, "widths": (32,), "blocks": 1}
    with pytest.raises(SettingsError, match=said):
        KlAutoencoder(**{**small, **settings})
    with pytest.raises(SettingsError, match=said):
        VqAutoencoder(codebook=4, **{**small, **settings})


@pytest.mark.parametrize("settings", [{"dims": 1}, {"factor": 0}, {"factor": 999}, {"channels": 0}])
def test_a_linear_network_that_cannot_be_is_refused(settings):
    with pytest.raises(SettingsError, match="linear autoencoder"):
        Linear(**{"dims": 2, "factor": 4, "channels": 1, **settings})


@pytest.mark.parametrize(("dims", "sides"), [(2, (512, 384)), (3, (64, 56, 48))])
def test_normalisation_keeps_its_digits_on_large_maps(dims, sides):
    """PyTorch's own does not where channels are last: 1e-5 here, 1e-4 on larger ones."""
    order = {2: torch.channels_last, 3: torch.channels_last_3d}[dims]
    x = make_input("large", (1, 32, *sides)).add_(1).contiguous(memory_format=order)
    norm = normalisation(32)
    with torch.no_grad():
        found, true = norm(x), torch.nn.GroupNorm(32, 32, eps=1e-6).double()(x.double())
    assert (found - true).abs().max() < 2e-6
    assert found.is_contiguous(memory_format=order)


def test_normalisation_of_a_batch_is_that_of_each():
    x = make_input("batch", (3, 32, 8, 6)).contiguous(memory_format=torch.channels_last)
    norm = normalisation(32)
    with torch.no_grad():
        torch.testing.assert_close(norm(x), torch.cat([norm(one[None]) for one in x]))
    torch.testing.assert_close(norm(x), torch.nn.GroupNorm(32, 32, eps=1e-6)(x))


def test_enlarging_can_be_counted_without_numbers():
    network = build_shapes(
        lambda: KlAutoencoder(dims=2, in_channels=1, code_channels=1, widths=(32, 64), blocks=1)
    )
    work = count_work(network.decoder, (1, 1, 8, 8))
    assert work.by_operation["convolution"] > 64 * 16 * 64 * 64


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("overwrite", [False, True])
def test_normalising_and_activating_at_once_is_one_after_the_other(dims, overwrite, monkeypatch):
    monkeypatch.setattr(blocks, "PIECE", 64 * 7)
    norm = normalisation(64)
    norm.load_state_dict(make_state(norm))
    order = torch.channels_last if dims == 2 else torch.channels_last_3d
    x = make_input("norm", (2, 64, *(6, 5, 4)[:dims])).contiguous(memory_format=order) * 3 + 9
    expected = functional.silu(
        functional.group_norm(x.double(), 32, norm.weight.double(), norm.bias.double(), 1e-6)
    )

    before = x.clone()
    with torch.no_grad():
        y = normalise_and_activate(norm, x, overwrite=overwrite)

    assert (y - expected).abs().max() < 1e-5
    assert (y is x) == overwrite
    assert torch.equal(x, before) != overwrite


def test_nothing_is_overwritten_where_a_gradient_is_wanted():
    norm = normalisation(32)
    x = (
        make_input("norm", (1, 32, 6, 5))
        .contiguous(memory_format=torch.channels_last)
        .requires_grad_()
    )
    before = x.clone()
    normalise_and_activate(norm, x, overwrite=True).sum().backward()
    assert torch.equal(x, before)
    assert norm.weight.grad.abs().sum() > 0

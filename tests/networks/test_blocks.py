"""Layers do what the published ones do."""

import pytest
import torch
from tests.networks.made import make_input, make_state
from torch.nn import functional

from plica.networks.blocks import Downsample, ResidualBlock, Upsample, activate, add

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

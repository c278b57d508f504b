import pytest
import torch
from torch import nn
from torch.nn import functional

from plica.networks import convolving
from plica.networks.blocks import CONVOLUTION, Upsample, lay_out
from plica.networks.convolving import convolve, convolve_core, kernel_step, pad_far, upsample_core
from plica.networks.pieces import cut, grow, scale

CASES = [(2, (13, 9), (5, 4)), (2, (6, 7), (6, 3)), (3, (7, 5, 6), (3, 5, 4))]


def make(layer, dtype=torch.float64):
    lay_out(layer)
    return layer.to(dtype).requires_grad_(False)


@pytest.mark.parametrize(("dims", "sides", "tile"), CASES)
def test_boxes_with_a_halo_of_one_are_convolved_as_the_whole(dims, sides, tile):
    layer = make(CONVOLUTION[dims](4, 6, 3, padding=1))
    x = torch.randn(1, 4, *sides, dtype=torch.float64)
    whole = layer(x)
    for core in cut(sides, tile):
        got = convolve_core(layer, x[(..., *grow(core, 1, sides))], core, sides)
        torch.testing.assert_close(got, whole[(..., *core)], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("dims", "sides", "tile"), CASES)
@pytest.mark.parametrize("step", [32, 64])
def test_boxes_are_enlarged_as_the_whole_also_some_results_at_a_time(
    dims, sides, tile, step, monkeypatch
):
    layer = make(nn.Sequential(Upsample(dims=dims, width=64)))[0]
    monkeypatch.setattr(convolving, "KERNEL", step * 64 * 4**dims * 8)
    assert kernel_step(layer, 8) == step
    x = torch.randn(1, 64, *sides, dtype=torch.float64)
    enlarged = functional.interpolate(x, scale_factor=2)
    whole = layer.conv(enlarged)
    for core in cut(sides, tile):
        got = upsample_core(layer, x[(..., *grow(core, 1, sides))], core, sides)
        torch.testing.assert_close(got, whole[(..., *scale(core, 2))], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("dims", "channels"), [(2, 1), (3, 1), (3, 32)])
def test_small_boxes_go_the_same_way_as_large_ones(dims, channels, dtype):
    """PyTorch by itself takes another way for them, with 27 times the memory."""
    layer = make(CONVOLUTION[dims](channels, 32, 3, padding=1), dtype)
    x = torch.randn(1, channels, *[5] * dims).to(dtype)
    got = convolve(layer, x, padding=(1,) * dims)
    true = layer.double()(x.double())
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    torch.testing.assert_close(got.double(), true, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("channels", "dtype"), [(512, torch.bfloat16), (128, torch.float32)])
def test_wide_boxes_go_the_faster_way(channels, dtype):
    layer = make(nn.Conv3d(channels, 128, 3, padding=1), dtype)
    sides = (8, 14, 30) if dtype == torch.float32 else (6, 5, 7)
    x = torch.randn(1, channels, *sides).to(dtype)
    true = CONVOLUTION[3](channels, 128, 3, padding=1)
    true.load_state_dict(layer.state_dict())
    whole = true.requires_grad_(False)(x.float())
    tolerance = 1e-4 if dtype == torch.float32 else 2e-2
    tile = (8, 14, 14) if dtype == torch.float32 else (3, 5, 4)
    for core in cut(sides, tile):
        got = convolve_core(layer, x[(..., *grow(core, 1, sides))], core, sides)
        torch.testing.assert_close(got.float(), whole[(..., *core)], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("channels", "dtype"), [(512, torch.bfloat16), (128, torch.float32)])
def test_faster_ways_are_counted_with_the_memory_they_take(channels, dtype):
    layer = make(nn.Conv3d(channels, channels, 3, padding=1), dtype)
    sides = (16, 16, 16)
    direct = convolving.convolution_bytes(layer, 16**3, dtype.itemsize)
    assert convolving.core_bytes(layer, sides, dtype.itemsize) > direct
    narrow = make(nn.Conv3d(32, 32, 3, padding=1), dtype)
    assert convolving.core_bytes(narrow, sides, dtype.itemsize) == (
        convolving.convolution_bytes(narrow, 16**3, dtype.itemsize)
    )


def test_zeros_are_put_beyond_the_far_ends():
    x = torch.randn(1, 2, 3, 4)
    padded = pad_far(x, (4, 5))
    assert torch.equal(padded, functional.pad(x, (0, 1, 0, 1)))
    assert pad_far(x, (3, 4)) is x


def test_some_results_at_a_time_are_counted_with_those_of_the_turn_before(monkeypatch):
    layer = make(nn.Sequential(Upsample(dims=3, width=64)))[0]
    counted = {}
    for step in (32, 64):
        monkeypatch.setattr(convolving, "KERNEL", step * 64 * 4**3 * 8)
        counted[step] = convolving.upsample_bytes(layer, 6**3, 4**3, 8)
    held, kernel = 32 * 6**3 * 2**3, 32 * 64 * 4**3
    # in halves: half of the results and of the kernel, and what is kept of the half before
    assert counted[32] == counted[64] - 8 * (held + 4 * kernel) + 8 * (held + kernel)

"""Convolutions with fewer multiplications are convolutions."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from plica.networks import winograd
from plica.networks.convolution import convolve_same

CONVOLVE = {2: functional.conv2d, 3: functional.conv3d}
CONVOLUTION = {2: nn.Conv2d, 3: nn.Conv3d}


def _make(dims, sides, *, channels=5, results=7, batch=1):
    generator = torch.Generator().manual_seed(sum(sides))
    x = torch.randn(batch, channels, *sides, generator=generator)
    weight = torch.randn(results, channels, *[3] * dims, generator=generator)
    return x, weight, torch.randn(results, generator=generator)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.integers(3, 11), min_size=2, max_size=3),
    st.sampled_from([0, 1]),
    st.sampled_from([2**9, 2**12, 2**20]),
    st.booleans(),
)
def test_any_size_in_any_boxes_is_the_direct_sum(sides, padding, work, with_bias):
    x, weight, bias = _make(len(sides), sides, batch=2)
    bias = bias if with_bias else None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winograd, "WORK", work)
        patch.setattr(winograd, "PART", work // 4)
        patch.setattr(winograd, "_FEWEST_TILES", 1)
        y = winograd.convolve(x, weight, bias, padding)

    double = None if bias is None else bias.double()
    expected = CONVOLVE[len(sides)](x.double(), weight.double(), double, padding=padding)
    assert y.shape == expected.shape
    assert (y - expected).abs().max() < 1e-4 * expected.std()
    assert (y - expected).std() < 1e-5 * expected.std()


@pytest.mark.parametrize("sides", [(48, 44), (12, 14, 16)])
def test_the_error_is_about_that_of_the_direct_sum(sides):
    x, weight, bias = _make(len(sides), sides, channels=128, results=128)
    expected = CONVOLVE[len(sides)](x.double(), weight.double(), bias.double(), padding=1)

    assert winograd.pays(x, weight)
    error = (winograd.convolve(x, weight, bias) - expected).std() / expected.std()
    assert error < 5e-6


@pytest.mark.parametrize("dims", [2, 3])
def test_the_result_lies_channels_last(dims):
    x, weight, bias = _make(dims, (8, 6, 7)[:dims])
    order = torch.channels_last if dims == 2 else torch.channels_last_3d
    assert winograd.convolve(x, weight, bias).is_contiguous(memory_format=order)


def test_it_is_taken_where_it_pays_only():
    x, weight = torch.zeros(1, 128, 64, 64), torch.zeros(128, 128, 3, 3)

    assert winograd.pays(x, weight)
    assert not winograd.pays(x, torch.zeros(64, 128, 3, 3))
    assert not winograd.pays(x[..., :5, :5], weight)
    assert not winograd.pays(x.bfloat16(), weight.bfloat16())
    assert not winograd.pays(x.double(), weight.double())


@pytest.mark.parametrize("dims", [2, 3])
def test_a_layer_keeps_its_gradient_and_learns(dims):
    layer = CONVOLUTION[dims](128, 128, 3, padding=1)
    x = torch.randn(1, 128, *(48, 48) if dims == 2 else (12, 16, 16), requires_grad=True)

    convolve_same(layer, x).square().mean().backward()
    assert layer.weight.grad.abs().sum() > 0
    assert x.grad.abs().sum() > 0

    with torch.no_grad():  # nothing of the old weights is kept
        before = convolve_same(layer, x)
        layer.weight.mul_(2.0)
        layer.bias.mul_(2.0)
        torch.testing.assert_close(convolve_same(layer, x), 2 * before, rtol=1e-5, atol=1e-5)


def test_it_works_within_inference_mode_and_then_outside():
    x, weight, bias = _make(2, (9, 9))
    winograd._matrices.cache_clear()
    with torch.inference_mode():
        first = winograd.convolve(x, weight, bias)
    assert torch.equal(winograd.convolve(x, weight, bias), first)


def test_wide_solid_convolutions_in_half_precision_are_summed_in_parts():
    layer = nn.Conv3d(512, 32, 3, padding=1).bfloat16()
    x = torch.randn(1, 512, 4, 5, 6).bfloat16()

    with torch.no_grad():
        y = convolve_same(layer, x)
        expected = layer.float()(x.float())

    assert y.dtype == torch.bfloat16
    assert (y - expected).std() < 6e-3 * expected.std()


def test_the_workspace_is_what_is_said():
    weight = torch.zeros(256, 256, 3, 3, 3)
    assert winograd.workspace(weight, (64, 64, 64)) < 2**28
    assert winograd.workspace(weight, (160, 160, 160)) < 2**28

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from plica.networks import moments
from plica.networks.moments import Moments, merge, normalise
from plica.networks.pieces import cut


def make_map(*sides, channels=64, mean=0.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(1, channels, *sides, generator=generator, dtype=torch.float64)
    # Every channel has moments of its own, or none of them would be told apart.
    width = torch.linspace(0.5, 2, channels).double().view(1, -1, *[1] * len(sides))
    return x * width + mean * width.flip(1)


def gather(x, tile):
    return merge([Moments.of(x[(..., *box)]) for box in cut(tuple(x.shape[2:]), tile)])


@settings(deadline=None, max_examples=40)
@given(st.tuples(*[st.integers(1, 9)] * 3), st.tuples(*[st.integers(1, 9)] * 3), st.integers(0, 99))
def test_pieces_have_the_moments_of_the_whole(sides, tile, seed):
    x = make_map(*sides, seed=seed, mean=3.0)
    found = gather(x, tile)
    flat = x[0].flatten(1)
    assert found.count == flat.shape[1]
    torch.testing.assert_close(found.mean, flat.mean(1), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.variance, flat.var(1, correction=0), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("sides", [(12, 10), (6, 5, 4)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_part_is_normalised_as_the_whole_would_be(sides, dtype):
    x = make_map(*sides).to(dtype)
    norm = nn.GroupNorm(32, 64, eps=1e-6).to(dtype)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
        norm.bias.uniform_(-1, 1)
        whole = norm(x)
        part = (..., slice(2, 5), slice(1, 4))
        found = normalise(x[part], norm, gather(x, (3,) * len(sides)))
    tolerance = 1e-12 if dtype == torch.float64 else 2e-6
    torch.testing.assert_close(found, whole[part], rtol=tolerance, atol=tolerance)


def test_groups_are_pooled_as_group_norm_pools_them():
    x = make_map(9, 7, mean=2.0)
    mean, variance = gather(x, (4, 4)).pool(32)
    grouped = x.reshape(32, -1)
    torch.testing.assert_close(mean[::2], grouped.mean(1))
    torch.testing.assert_close(variance[1::2], grouped.var(1, correction=0))
    assert (mean[::2] == mean[1::2]).all()


def test_a_large_mean_costs_no_digits_of_the_variance():
    """A sum of squares in single precision would have none left."""
    x = (make_map(64, 64) + 1000).float()
    true = x[0].double().flatten(1).var(1, correction=0)
    torch.testing.assert_close(gather(x, (16, 16)).variance, true, rtol=2e-5, atol=0)
    naive = x[0].flatten(1).square().mean(1) - x[0].flatten(1).mean(1).square()
    assert ((naive - true).abs() / true).max() > 1e-2


def test_half_precision_maps_are_looked_at_in_single():
    x = make_map(32, 32, mean=5.0).bfloat16()
    true = x[0].double().flatten(1)
    found = gather(x, (8, 8))
    torch.testing.assert_close(found.mean, true.mean(1), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(found.variance, true.var(1, correction=0), rtol=1e-5, atol=1e-6)
    norm = nn.GroupNorm(32, 64, eps=1e-6).bfloat16()
    with torch.no_grad():
        ours, theirs = normalise(x, norm, found), functional.group_norm(x, 32)
    assert ours.dtype == torch.bfloat16
    torch.testing.assert_close(ours, theirs, rtol=2**-6, atol=2**-8)


def test_pieces_within_a_box_are_few_values(monkeypatch):
    monkeypatch.setattr(moments, "PIECE", 64)
    x = make_map(11, 5)
    torch.testing.assert_close(Moments.of(x).mean, x[0].flatten(1).mean(1))

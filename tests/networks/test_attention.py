"""Attention equals its formula, whatever part of the table exists at a time."""

import pytest
import torch
from tests.networks.made import make_input, make_state
from torch.nn import functional

from plica.networks.attention import Attention, attend, attend_to_chunks


def dense(q, k, v):
    weights = torch.softmax(q @ k.transpose(1, 2) * q.shape[2] ** -0.5, dim=2)
    return weights @ v


def tokens(batch: int, count: int, width: int):
    return [make_input(name, (batch, count, width)) * 3 for name in "qkv"]


@pytest.mark.parametrize("table", [1, 100, 3 * 77, 2**25])
def test_any_table_gives_the_dense_result(table):
    q, k, v = tokens(2, 77, 64)

    with torch.no_grad():
        found = attend(q, k, v, table=table)

    expected = dense(q.double(), k.double(), v.double())
    assert (found - expected).abs().max() / expected.abs().max() < 1e-5


def test_published_width_and_many_tokens_give_the_dense_result():
    q, k, v = tokens(1, 2048, 512)

    with torch.no_grad():
        found = attend(q, k, v, table=2**18)

    expected = dense(q.double(), k.double(), v.double())
    assert (found - expected).abs().max() / expected.abs().max() < 1e-5


def test_large_scores_do_not_overflow():
    q, k, v = (token * 1e4 for token in tokens(1, 50, 16))

    with torch.no_grad():
        found = attend(q, k, v)

    torch.testing.assert_close(found, dense(q, k, v), rtol=1e-5, atol=1e-2)


def test_gradients_are_those_of_the_formula():
    ours = [token.double().requires_grad_() for token in tokens(1, 20, 8)]
    theirs = [token.detach().clone().requires_grad_() for token in ours]

    attend(*ours).square().sum().backward()
    dense(*theirs).square().sum().backward()

    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.grad, other.grad)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("channels_last", [False, True])
def test_the_block_attends_over_all_voxels(dims, channels_last):
    block = Attention(dims=dims, width=64)
    block.load_state_dict(make_state(block))
    x = make_input("map", (2, 64, *(5, 4, 3)[:dims]))
    if channels_last:
        order = torch.channels_last if dims == 2 else torch.channels_last_3d
        x = x.contiguous(memory_format=order)
        block.to(memory_format=order)

    h = functional.group_norm(x, 32, block.norm.weight, block.norm.bias, 1e-6)
    q, k, v = (layer(h).flatten(2).transpose(1, 2) for layer in (block.q, block.k, block.v))
    y = dense(q, k, v).transpose(1, 2).reshape(x.shape)
    expected = x + block.proj_out(y)

    with torch.no_grad():
        torch.testing.assert_close(block(x), expected.detach(), rtol=1e-4, atol=1e-5)


def test_memory_is_linear_in_the_tokens():
    """16,384 tokens: the table would be 1 GiB. What is asked of the allocator is counted."""
    q, k, v = (torch.randn(1, 16384, 8) for _ in range(3))

    with (
        torch.no_grad(),
        torch.profiler.profile(
            activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
        ) as profile,
    ):
        attend(q, k, v, table=2**20)

    largest = max(event.cpu_memory_usage for event in profile.events())
    assert largest <= 8 * 2**20


@pytest.mark.parametrize("chunk", [1, 7, 30, 77])
def test_keys_that_come_in_chunks_give_the_dense_result(chunk):
    q, k, v = (token.double() for token in tokens(1, 77, 64))

    chunks = zip(k[0].split(chunk), v[0].split(chunk), strict=True)
    found = attend_to_chunks(q[0, :20], chunks)

    torch.testing.assert_close(found, dense(q, k, v)[0, :20], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("chunk", [1, 30, 77])
def test_chunks_in_half_precision_are_weighed_by_their_sums(chunk):
    q, k, v = (token.bfloat16() for token in tokens(1, 77, 64))
    q = q * torch.linspace(0, 8, 77)[:, None].bfloat16()  # from flat weights to single ones
    exact = dense(q.double(), k.double(), v.double())[0]

    chunks = zip(k[0].split(chunk), v[0].split(chunk), strict=True)
    found = attend_to_chunks(q[0], chunks)
    whole = attend(q, k, v)[0]

    assert found.dtype == torch.bfloat16
    assert (found - exact).std() / exact.std() < 6e-3
    assert (found.double() - whole.double()).std() / exact.std() < 6e-3


def test_scores_that_grow_from_chunk_to_chunk_neither_overflow_nor_vanish():
    q, k, v = tokens(1, 60, 16)
    order = (k[0] @ q[0, 0]).argsort()
    for way in (order, order.flip(0)):
        near, far = k[0][way] * 300, v[0][way]
        chunks = zip(near.split(6), far.split(6), strict=True)
        found = attend_to_chunks(q[0, :1], chunks)
        torch.testing.assert_close(
            found, dense(q[:, :1], near[None], far[None])[0], rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_keys_are_summed_in_single(dtype):
    q, k, v = (token[0].to(dtype) for token in tokens(1, 512, 64))

    found = attend_to_chunks(q, zip(k.split(64), v.split(64), strict=True))

    true = dense(*(token.double()[None] for token in (q, k, v)))[0]
    assert found.dtype == dtype
    assert (found - true).square().mean().sqrt() < 2e-2 * true.std()

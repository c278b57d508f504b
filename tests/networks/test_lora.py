"""Folding adapters changes no result."""

import pytest
import torch
from tests.networks.made import make_input, make_tensor
from torch.nn import functional

from plica.errors import WeightsError
from plica.networks.lora import fold_lora


def adapter(name: str, kernel: int, axes: int = 2) -> dict[str, torch.Tensor]:
    shapes = {
        f"{name}.conv.weight": (6, 5, *[kernel] * axes),
        f"{name}.conv.bias": (6,),
        f"{name}.lora_down.weight": (4, 5, *[kernel] * axes),
        f"{name}.lora_up.weight": (6, 4, *[1] * axes),
    }
    return {key: make_tensor(key, shape).double() for key, shape in shapes.items()}


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("axes", [2, 3])
def test_one_folded_convolution_is_the_two_branches(kernel, axes):
    convolve = functional.conv2d if axes == 2 else functional.conv3d
    state = adapter("block.conv1", kernel, axes)
    x = make_input("lora", (2, 5, *[6] * axes)).double()

    branch = convolve(x, state["block.conv1.lora_down.weight"], padding=kernel // 2)
    branch = convolve(branch, state["block.conv1.lora_up.weight"])
    weight, bias = state["block.conv1.conv.weight"], state["block.conv1.conv.bias"]
    expected = convolve(x, weight, bias, padding=kernel // 2) + branch

    folded = fold_lora(state)
    assert set(folded) == {"block.conv1.weight", "block.conv1.bias"}
    weight, bias = folded["block.conv1.weight"], folded["block.conv1.bias"]
    torch.testing.assert_close(convolve(x, weight, bias, padding=kernel // 2), expected)


def test_a_convolution_without_bias_has_none_afterwards():
    state = adapter("block.q", 1)
    with_bias = fold_lora(state)
    del state["block.q.conv.bias"]

    folded = fold_lora(state)

    assert set(folded) == {"block.q.weight"}
    assert torch.equal(folded["block.q.weight"], with_bias["block.q.weight"])


def test_convolutions_that_are_merely_called_conv_stay():
    state = {"encoder.down.0.downsample.conv.weight": torch.ones(1, 1, 3, 3)}

    assert fold_lora(state) == state


@pytest.mark.parametrize("part", ["conv.weight", "lora_down.weight", "lora_up.weight"])
def test_a_missing_part_is_named(part):
    state = adapter("block.q", 1)
    del state[f"block.q.{part}"]

    with pytest.raises(WeightsError, match=rf"block\.q, but no block\.q\.{part}"):
        fold_lora(state)


def test_shapes_that_do_not_fit_are_named():
    state = adapter("block.q", 3)
    state["block.q.lora_up.weight"] = torch.ones(6, 3, 1, 1)

    with pytest.raises(WeightsError, match=r"\(6, 3, 1, 1\)"):
        fold_lora(state)

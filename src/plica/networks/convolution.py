"""Convolutions of side 3 that keep a map's sides, in the way that is measured to be fastest.

Where a gradient is wanted, on other devices and for small layers it is PyTorch's own. Else:

    float32, 128 channels or more    `networks.winograd`: 1.1 (128 channels) to 2 times as fast
    bfloat16, 3D, 512 channels       the sum of two convolutions of 256 channels each, as oneDNN
                                     needs 3 times as long for one of 512
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from plica.networks import winograd

_MOST_CHANNELS = 256


def convolve_same(layer: nn.Module, x: Tensor) -> Tensor:
    """What `layer(x)` is, to rounding, for a convolution of side 3, stride 1 and padding 1.

    Args:
        layer: The convolution, or what stands in its place, which is then called.
        x: (batch, channel, *space).
    """
    if torch.is_grad_enabled() or not isinstance(layer, nn.Conv2d | nn.Conv3d):
        return layer(x)
    weight, bias = layer.weight, layer.bias
    if winograd.pays(x, weight):
        return winograd.convolve(x, weight, bias)
    if x.device.type == "cpu" and x.dtype == torch.bfloat16 and _is_slow(weight):
        return _convolve_in_parts(x, weight, bias)
    return layer(x)


def _is_slow(weight: Tensor) -> bool:
    return weight.ndim == 5 and weight.shape[1] >= 2 * _MOST_CHANNELS


def _convolve_in_parts(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The sum over groups of input channels."""
    first, *others = (
        slice(at, at + _MOST_CHANNELS) for at in range(0, weight.shape[1], _MOST_CHANNELS)
    )
    y = functional.conv3d(*_take(x, weight, first), bias, padding=1)
    for part in others:
        y += functional.conv3d(*_take(x, weight, part), padding=1)
    return y


def _take(x: Tensor, weight: Tensor, part: slice) -> tuple[Tensor, Tensor]:
    order = torch.channels_last_3d
    return x[:, part].contiguous(memory_format=order), weight[:, part].contiguous(
        memory_format=order
    )

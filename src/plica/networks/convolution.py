"""Convolutions of side 3 that keep a map's sides, in the way that is measured to be fastest.

Where a gradient is wanted, on other devices and for small layers it is PyTorch's own. Else:

    float32, 128 channels or more    `networks.winograd`: 1.4 (128 channels) to 2.5 times as fast
    bfloat16, 3D, 512 channels       the sum of two convolutions of 256 channels each, as oneDNN
                                     needs 3 times as long for one of 512
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from plica.networks import winograd

_MOST_CHANNELS = 256
# Values of a map that are made float32 at a time.
_SLAB = 2**22


def convolve_same(layer: nn.Module, x: Tensor) -> Tensor:
    """What `layer(x)` is, to rounding, for a convolution of side 3, stride 1 and padding 1.

    Args:
        layer: The convolution, or what stands in its place, which is then called.
        x: (batch, channel, *space).

    Examples:
        >>> layer, x = nn.Conv2d(4, 8, 3, padding=1), torch.randn(1, 4, 16, 16)
        >>> torch.allclose(convolve_same(layer, x), layer(x), atol=1e-5)
        True
    """
    if torch.is_grad_enabled() or not isinstance(layer, nn.Conv2d | nn.Conv3d):
        return layer(x)
    weight, bias = layer.weight, layer.bias
    if winograd.pays(x, weight):
        return winograd.convolve(x, weight, bias)
    if is_slow(x, weight):
        return convolve_in_parts(x, weight, bias)
    return layer(x)


def is_slow(x: Tensor, weight: Tensor) -> bool:
    """Whether `convolve_in_parts` is measured to be faster than one convolution."""
    half = x.device.type == "cpu" and x.dtype == torch.bfloat16
    return half and weight.ndim == 5 and weight.shape[1] >= 2 * _MOST_CHANNELS


def convolve_in_parts(
    x: Tensor, weight: Tensor, bias: Tensor | None, padding: tuple[int, ...] = (1, 1, 1)
) -> Tensor:
    """The sum over groups of input channels."""
    first, *others = (
        slice(at, at + _MOST_CHANNELS) for at in range(0, weight.shape[1], _MOST_CHANNELS)
    )
    y = functional.conv3d(*_take(x, weight, first), bias, padding=padding)
    for part in others:
        y += functional.conv3d(*_take(x, weight, part), padding=padding)
    return y


def _take(x: Tensor, weight: Tensor, part: slice) -> tuple[Tensor, Tensor]:
    order = torch.channels_last_3d
    return x[:, part].contiguous(memory_format=order), weight[:, part].contiguous(
        memory_format=order
    )


def fit(x: Tensor, layer: nn.Module) -> Tensor:
    """The map in the type of a layer's weights, unless autocast chooses types."""
    dtype = next(layer.parameters()).dtype
    return x if x.dtype == dtype or torch.is_autocast_enabled(x.device.type) else x.to(dtype)


def convolve_last(layer: nn.Module, x: Tensor) -> Tensor:
    """`convolve_same` of a map in half precision by a layer that is not: a few rows at a time.

    What leaves a network is then not rounded, and no copy of its widest map need exist.
    """
    weight = next(layer.parameters())
    if x.dtype == weight.dtype or torch.is_grad_enabled() or x.device.type != "cpu":
        return layer(fit(x, layer))
    rows, step = x.shape[2], max(1, _SLAB * x.shape[2] // x.numel())
    y = x.new_empty((len(x), weight.shape[0], *x.shape[2:]), dtype=weight.dtype)
    for start in range(0, rows, step):
        stop = min(start + step, rows)
        first = max(0, start - 1)
        seen = x[:, :, first : stop + 1].to(weight.dtype)
        y[:, :, start:stop] = layer(seen)[:, :, start - first : stop - first]
    return y

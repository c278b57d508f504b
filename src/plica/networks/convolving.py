"""Convolutions of boxes: with the halo they need, zeros only where the map ends, and their memory.

On CPUs oneDNN is called by name: PyTorch by itself takes another way for boxes of few cells, which
writes out every cell's neighbourhood, 27 times the box in three dimensions.

Measured beside input and result, float32 and bfloat16, one image, channels last: as much again as
the kernel, which is put into another order (twice in bfloat16); with a single channel as much again
as the result; a transposed convolution takes two kernels and, in bfloat16, its input.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from plica.networks import winograd
from plica.networks.blocks import Upsample, interpolate
from plica.networks.convolution import convolve_in_parts, is_slow
from plica.networks.maps import empty_box
from plica.networks.pieces import Box, Sides, grow, lengths, scale, seen_from, starts, whole

_CONVOLVE: dict[int, Any] = {2: functional.conv2d, 3: functional.conv3d}
Convolution = nn.Conv2d | nn.Conv3d
_HAS_ONEDNN = bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
_TYPES = {2: torch.bfloat16, 4: torch.float32}
_BY_ONEDNN = {torch.float32, torch.bfloat16}
# Bytes a phase kernel may take; larger ones are made and used for some of the results at a time.
KERNEL = 2**24


def convolve(layer: Convolution, x: Tensor, *, padding: Sides, stride: int = 1) -> Tensor:
    """A convolution whose padding is said for the box."""
    dims = x.ndim - 2
    weight, bias = layer.weight, layer.bias
    if x.device.type == "cpu" and x.dtype in _BY_ONEDNN and _HAS_ONEDNN:
        strides, dilation = [stride] * dims, [1] * dims
        return torch.mkldnn_convolution(x, weight, bias, padding, strides, dilation, 1)
    return _CONVOLVE[dims](x, weight, bias, stride=stride, padding=padding)


def convolve_core(layer: Convolution, x: Tensor, core: Box, sides: Sides) -> Tensor:
    """A 3-wide convolution's results in a core, from the core with a halo of one.

    Along axes where the box ends with the map on either side it is padded on both, as convolutions
    are; what that makes beyond the core is cut off.

    Args:
        x: The core with its halo, which ends where the map does.
        core: Where.
        sides: Of the map.

    Examples:
        >>> layer, x = nn.Conv2d(1, 1, 3, padding=1), torch.ones(1, 1, 10, 10)
        >>> convolve_core(layer, x, (slice(1, 9), slice(1, 9)), (64, 64)).shape
        torch.Size([1, 1, 8, 8])
    """
    padding = tuple(
        int(span.start == 0 or span.stop == side) for span, side in zip(core, sides, strict=True)
    )
    if winograd.pays(x, layer.weight):
        padding = (max(padding),) * len(padding)
        y = winograd.convolve(x, layer.weight, layer.bias, padding[0])
    elif is_slow(x, layer.weight):
        y = convolve_in_parts(x, layer.weight, layer.bias, padding)
    else:
        y = convolve(layer, x, padding=padding)
    origin = [max(0, span.start - 1) + 1 - pad for span, pad in zip(core, padding, strict=True)]
    return y[(slice(None), slice(None), *seen_from(core, tuple(origin)))]


def pad_far(x: Tensor, sides: Sides) -> Tensor:
    """Zeros beyond the far ends, up to these sides."""
    if x.shape[2:] == tuple(sides):
        return x
    padded = empty_box(x.shape[1], sides, x.dtype, str(x.device)).zero_()
    padded[(slice(None), slice(None), *whole(tuple(x.shape[2:])))] = x
    return padded


def upsample_core(layer: Upsample, x: Tensor, core: Box, sides: Sides) -> Tensor:
    """`Upsample`'s results for the cells of a core, twice as long, from it with a halo of one."""
    if layer.smooth:
        return _interpolate_core(layer, x, core, sides)
    origin = starts(grow(core, 1, sides))
    place = scale(seen_from(core, origin), 2)
    width = layer.conv.out_channels
    y = empty_box(width, lengths(place), x.dtype, str(x.device))
    step = kernel_step(layer, x.dtype.itemsize)
    for at in range(0, width, step):
        part = slice(at, min(at + step, width))
        bias = None if layer.conv.bias is None else layer.conv.bias[part]
        made = layer.transpose(x, layer.kernel(part), bias, stride=2, padding=1)
        y[:, part] = made[(slice(None), slice(None), *place)]
    return y


def _interpolate_core(layer: Upsample, x: Tensor, core: Box, sides: Sides) -> Tensor:
    """The same where voxels are interpolated: of the halo's enlarged cells the nearer are right."""
    origin = scale(grow(core, 1, sides), 2)
    finer, place = tuple(2 * side for side in sides), scale(core, 2)
    seen = seen_from(grow(place, 1, finer), starts(origin))
    y = interpolate(x)[(slice(None), slice(None), *seen)]
    order = torch.channels_last if y.ndim == 4 else torch.channels_last_3d
    return convolve_core(layer.conv, y.contiguous(memory_format=order), place, finer)


def kernel_step(layer: Upsample, itemsize: int) -> int:
    """Of how many results' channels the phase kernel is made at a time."""
    width = layer.conv.in_channels
    taps = 4 ** (layer.conv.weight.ndim - 2)
    return min(layer.conv.out_channels, max(32, KERNEL // (width * taps * itemsize) // 32 * 32))


# -- memory --------------------------------------------------------------------------------------


def convolution_bytes(layer: Convolution, made: int, itemsize: int) -> int:
    """What a convolution takes beside its input: the result's box, and what oneDNN wants.

    Args:
        made: Cells of the result's box.
        itemsize: Bytes of a value.

    Examples:
        >>> convolution_bytes(nn.Conv2d(4, 8, 3, padding=1), made=256, itemsize=4) >= 8 * 256 * 4
        True
    """
    result = made * layer.weight.shape[0]
    if layer.weight.shape[1] == 1:
        result *= 2
    return itemsize * (result + 2 * layer.weight.numel())


def core_bytes(layer: Convolution, sides: Sides, itemsize: int) -> int:
    """What `convolve_core` takes beside its input, whichever way it goes.

    Args:
        sides: Of the core with its halo.
        itemsize: Bytes of a value.

    Examples:
        >>> core_bytes(nn.Conv2d(4, 8, 3, padding=1), (18, 18), itemsize=4) > 0
        True
    """
    made, weight = math.prod(sides), layer.weight
    most = convolution_bytes(layer, made, itemsize)
    # As large boxes as these may be: smaller ones take less.
    box = torch.empty((), dtype=_TYPES.get(itemsize, torch.float64))
    box = box.expand(1, weight.shape[1], *(-(-side // 4) * 4 for side in sides))
    if winograd.pays(box, weight):
        flat = len(sides) == 2
        solid = weight.unsqueeze(2) if flat else weight
        deep = (1, *box.shape[2:]) if flat else tuple(box.shape[2:])
        work = winograd.workspace(solid, deep)
        most = max(most, itemsize * made * weight.shape[0] + work)
    if is_slow(box, weight):
        most += itemsize * made * (weight.shape[0] + weight.shape[1])
    return most


def upsample_bytes(layer: Upsample, seen: int, core: int, itemsize: int) -> int:
    """What `upsample_core` takes beside its input.

    Args:
        seen: Cells of the core with its halo.
        core: Cells of the core.
        itemsize: Bytes of a value.
    """
    dims = layer.conv.weight.ndim - 2
    if layer.smooth:
        side = math.ceil(seen ** (1 / dims)) * 2
        enlarged = seen * 2**dims * layer.conv.in_channels * itemsize
        return 2 * enlarged + core_bytes(layer.conv, (side,) * dims, itemsize)
    step, width = kernel_step(layer, itemsize), layer.conv.in_channels
    kernel = step * width * 4**dims
    results = step * seen * 2**dims + layer.conv.out_channels * core * 2**dims
    if step < layer.conv.out_channels:  # of the turn before, what the allocator may have kept
        results += step * seen * 2**dims + kernel
    return itemsize * (results + width * seen + 4 * kernel)


def operations(layer: Convolution, cells: int) -> int:
    """Multiply-adds for so many cells of the result."""
    return cells * layer.weight.shape[0] * math.prod(layer.weight.shape[1:])


def upsample_operations(layer: Upsample, cells: int) -> int:
    """Multiply-adds for so many cells of what is enlarged."""
    if layer.smooth:
        return operations(layer.conv, cells * 2 ** (layer.conv.weight.ndim - 2))
    return (
        cells
        * layer.conv.weight.shape[0]
        * layer.conv.weight.shape[1]
        * 4 ** (layer.conv.weight.ndim - 2)
    )

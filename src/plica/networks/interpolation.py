"""Resampling as an autoencoder: encode makes coarser with antialiasing, decode interpolates.

For a factor f, kernel k and code i, voxel j of one axis:

    d_ij = (j + ½) / f − (i + ½)                  distance of the centres, in code cells
    z_i  = Σ_j k(d_ij) x_j / Σ_j k(d_ij)          encode
    x̂_j  = Σ_i k(d_ij) z_i / Σ_i k(d_ij)          decode: the same weights, transposed

Both sums run over what lies inside the image: at a border the kernel is cut and normalised anew.
That is the definition of Pillow's `resize` and of PyTorch's `interpolate(…, antialias=True)`, which
agree with each other; centres of the whole image stay aligned, so that a code stands in the middle
of its f voxels. Axes are done one after the other.

    kernel     k(d)                                                        |d| below
    area       1                                                           ½
    bilinear   1 − |d|                                                     1
    bicubic    Keys 1981 with a = −½                                       2
    lanczos    sinc(d) sinc(d / 3)                                         3
    nearest    encode keeps voxel f/2 of each f and decode repeats it      ½

`nearest` keeps a voxel that stands half a voxel beyond the middle of its cell, as there is none in
the middle of an even number; every decoded voxel then takes the nearest voxel that was kept.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

SUPPORT = {"nearest": 0.5, "area": 0.5, "bilinear": 1.0, "bicubic": 2.0, "lanczos": 3.0}

_CONVOLVE = {2: functional.conv2d, 3: functional.conv3d}
_TRANSPOSE = {2: functional.conv_transpose2d, 3: functional.conv_transpose3d}


class Interpolation(nn.Module):
    """Antialiased resampling by an even factor along each axis, for one channel.

    Args:
        kernel: One of `SUPPORT`.
        dims: Axes of space: 2 or 3.
        factor: How much coarser per axis; even.
    """

    analysis: Tensor
    synthesis: Tensor
    floats_per_voxel = (3.0, 3.0)

    def __init__(self, *, kernel: str, dims: int, factor: int) -> None:
        super().__init__()
        if factor % 2 or factor < 2:
            raise ValueError(f"the factor must be even, but is {factor}")
        self.dims = dims
        self.factor = factor
        self.in_channels = 1
        self.code_channels = 1
        synthesis = _taps("area" if kernel == "nearest" else kernel, factor)
        analysis = torch.eye(factor)[factor // 2] if kernel == "nearest" else synthesis
        self.register_buffer("analysis", analysis, persistent=False)
        self.register_buffer("synthesis", synthesis, persistent=False)
        self._margin = round((SUPPORT[kernel] - 0.5) * factor)
        self.encoder_reach = self.decoder_reach = math.ceil(SUPPORT[kernel] - 0.5)

    def encode(self, x: Tensor) -> Tensor:
        """Codes (batch, 1, *space / factor): weighted means around the middle of each cell."""
        for axis in range(self.dims):
            x = self._along(axis, x, self.analysis, coarser=True)
        return x

    def decode(self, z: Tensor) -> Tensor:
        """Interpolate the codes at the voxels: (batch, 1, *space)."""
        for axis in range(self.dims):
            z = self._along(axis, z, self.synthesis, coarser=False)
        return z

    def _along(self, axis: int, x: Tensor, taps: Tensor, *, coarser: bool) -> Tensor:
        """One axis: the kernel's sum over its sum of weights inside the image."""
        apply = (_CONVOLVE if coarser else _TRANSPOSE)[self.dims]
        one_line = torch.ones(
            [1, 1, *(x.shape[2 + n] if n == axis else 1 for n in range(self.dims))],
            dtype=x.dtype,
            device=x.device,
        )
        weight = taps.to(x.dtype).reshape(1, 1, *(-1 if n == axis else 1 for n in range(self.dims)))
        stride = [self.factor if n == axis else 1 for n in range(self.dims)]
        margin = [self._margin if n == axis else 0 for n in range(self.dims)]
        total = apply(one_line, weight, stride=stride, padding=margin)
        return apply(x, weight, stride=stride, padding=margin) / total


def _taps(kernel: str, factor: int) -> Tensor:
    """k(d) at the voxels within the support of one code, which is the same for all codes."""
    support = SUPPORT[kernel]
    count = round(2 * support * factor)
    taps = [_weight(kernel, (n + 0.5) / factor - support) for n in range(count)]
    return torch.tensor(taps, dtype=torch.float64).to(torch.float32)


def _weight(kernel: str, d: float) -> float:
    d = abs(d)
    if kernel == "area":
        return 1.0
    if kernel == "bilinear":
        return 1.0 - d
    if kernel == "lanczos":
        return _sinc(d) * _sinc(d / 3.0)
    if d < 1.0:  # Keys: (a + 2)d³ − (a + 3)d² + 1, with a = −½
        return 1.5 * d**3 - 2.5 * d**2 + 1.0
    return -0.5 * d**3 + 2.5 * d**2 - 4.0 * d + 2.0  # ad³ − 5ad² + 8ad − 4a


def _sinc(d: float) -> float:
    return math.sin(math.pi * d) / (math.pi * d) if d else 1.0

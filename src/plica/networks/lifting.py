"""Two-dimensional weights in a three-dimensional network, as MedVAE's 3D models were begun.

A kernel of rows and columns is laid in the middle of the new, last axis, with zeros around it: the
network then does to every slice along k what the 2D network did, until it is trained further.
Downsampling along k takes one slice of two, and upsampling repeats. Rows and columns of the kernels
fall on i and j, as in the published program, where a picture's rows run along j: what was lifted
sees slices transposed until it has learnt from volumes.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def lift(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A 3D network's state dict from that of the same network in 2D.

    Convolution kernels (out, in, k, k) become (out, in, k, k, k); 1×1 kernels get an axis of one;
    all else stays.

    Examples:
        >>> lift({"w": torch.ones(1, 1, 3, 3)})["w"][0, 0, 1, 1]
        tensor([0., 1., 0.])
    """
    return {key: _lift(value) if value.ndim == 4 else value for key, value in state.items()}


def _lift(kernel: Tensor) -> Tensor:
    size = kernel.shape[-1]
    lifted = torch.zeros(*kernel.shape, size, dtype=kernel.dtype)
    lifted[..., size // 2] = kernel
    return lifted

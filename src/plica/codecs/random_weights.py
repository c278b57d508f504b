"""Random weights: they prove a path where no real ones are at hand, and are called by name."""

from __future__ import annotations

import math
import zlib

import torch
from torch import Tensor, nn


def draw_weights(network: nn.Module) -> dict[str, Tensor]:
    """Weights for every parameter of a network, the same ones each time.

    Each is drawn by itself, from its name: matrices and kernels with variance 1/(inputs), so that
    activations keep their size; scales near 1; biases near 0.

    Args:
        network: May stand on the meta device.

    Examples:
        >>> first, again = draw_weights(nn.Linear(2, 2)), draw_weights(nn.Linear(2, 2))
        >>> torch.equal(first["weight"], again["weight"])
        True
    """
    return {key: _draw(key, tuple(value.shape)) for key, value in network.state_dict().items()}


def _draw(key: str, shape: tuple[int, ...]) -> Tensor:
    generator = torch.Generator().manual_seed(zlib.crc32(key.encode()))
    drawn = torch.randn(shape, generator=generator)
    if key.endswith("bias"):
        return drawn * 0.02
    if len(shape) <= 1 or key.endswith("gamma"):
        return 1 + 0.1 * drawn
    return drawn / math.sqrt(math.prod(shape[1:]))

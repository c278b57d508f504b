"""Windows: run a network piece by piece where its authors did."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from fractions import Fraction

import torch
from torch import Tensor

OVERLAP = Fraction(1, 4)


def run_in_windows(
    network: Callable[[Tensor], Tensor],
    x: Tensor,
    *,
    window: int,
    factor: float,
) -> Tensor:
    """The network's result on x, whole or blended from windows.

    MedVAE (Varma et al., 2025) evaluates volumes in windows of at most 160³ that overlap by a
    quarter and are blended with a Gaussian. Its released code starts them at voxels that are no
    multiple of the stride, which shifts latents by up to six voxels; here every window starts and
    ends on one.

    Args:
        network: (batch, channel, *space) → (batch, code, *space / factor).
        x: The whole input.
        window: Longest side of a window, in voxels of x; 0 runs x whole.
        factor: Voxels of x per voxel of the result; below one where the network enlarges.
    """
    sides = x.shape[2:]
    if window == 0 or max(sides) <= window:
        return network(x)
    ratio = Fraction(factor).limit_denominator(1024)
    stride = ratio.numerator  # starts are multiples of it, so they fall on voxels of the result
    total: Tensor | None = None
    weights = torch.zeros([_scaled(side, ratio) for side in sides])
    for place in _places(sides, window, stride):
        part = network(x[:, :, *place])
        target = tuple(
            slice(_scaled(span.start, ratio), _scaled(span.stop, ratio)) for span in place
        )
        bump = _gaussian(part.shape[2:])
        if total is None:
            total = torch.zeros(*part.shape[:2], *weights.shape)
        total[:, :, *target] += part.cpu() * bump
        weights[target] += bump
    assert total is not None  # a volume larger than a window has at least one place
    return (total / weights).to(x.device)


def _places(sides: torch.Size, window: int, stride: int) -> Iterator[tuple[slice, ...]]:
    """Windows that cover a box, overlap by a quarter and start on multiples of `stride`."""
    spans = []
    for side in sides:
        length = min(side, max(stride, window // stride * stride))
        step = max(stride, math.floor(length * (1 - OVERLAP)) // stride * stride)
        starts = [*range(0, side - length, step), side - length]
        spans.append([slice(start, start + length) for start in starts])
    yield from itertools.product(*spans)


def _scaled(voxels: int, ratio: Fraction) -> int:
    scaled = voxels / ratio
    if scaled.denominator != 1:
        raise ValueError(f"{voxels} voxels are no multiple of the factor {ratio}")
    return scaled.numerator


def _gaussian(sides: torch.Size) -> Tensor:
    """Weights of a window: a Gaussian of an eighth of each side, never quite zero at its rim."""
    weights = torch.ones(())
    for side in sides:
        place = torch.arange(side, dtype=torch.float32) - (side - 1) / 2
        bump = torch.exp(-0.5 * (place / (side / 8)) ** 2)
        weights = weights[..., None] * bump
    return weights.clamp_min(1e-3)

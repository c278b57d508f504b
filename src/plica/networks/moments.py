"""Moments of a feature map that is seen in pieces, for GroupNorm.

Each piece is looked at twice, for its mean and for its squares about that mean, and the pieces are
put together in float64 (Chan, Golub and LeVeque, 1979): the whole's mean is the mean of the means,
its variance the mean of the variances plus the variance of the means. Sums of squares, which one
look would do with, lose all digits where a map's mean is large beside its deviation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

# Values of a piece: few enough to stay in a core's cache between the two looks.
PIECE = 2**18


@dataclass(frozen=True)
class Moments:
    """Of every channel of a map.

    Args:
        count: Cells that were seen.
        mean: (channel,), float64.
        variance: (channel,), float64, about that mean.
    """

    count: int
    mean: Tensor
    variance: Tensor

    @classmethod
    def of(cls, x: Tensor) -> Moments:
        """Moments of one map (1, channel, *space)."""
        cells = x[0].movedim(0, -1)
        slab = max(1, PIECE * len(cells) // max(1, cells.numel()))
        return merge([_look(part) for part in torch.split(cells, slab)])

    def pool(self, groups: int) -> tuple[Tensor, Tensor]:
        """Mean and variance of each channel's group, (channel,), float64."""
        width = len(self.mean) // groups
        mean = self.mean.reshape(groups, width)
        centre = mean.mean(1, keepdim=True)
        within = self.variance.reshape(groups, width).mean(1)
        variance = within + (mean - centre).square().mean(1)
        return centre[:, 0].repeat_interleave(width), variance.repeat_interleave(width)


def merge(pieces: Sequence[Moments]) -> Moments:
    """Moments of all pieces together."""
    total = sum(piece.count for piece in pieces)
    means = torch.stack([piece.mean for piece in pieces])
    variances = torch.stack([piece.variance for piece in pieces])
    share = torch.tensor([piece.count / total for piece in pieces], dtype=torch.float64)[:, None]
    share = share.to(means.device)
    mean = (share * means).sum(0)
    variance = (share * (variances + (means - mean).square())).sum(0)
    return Moments(total, mean, variance)


def normalise(x: Tensor, norm: nn.GroupNorm, moments: Moments) -> Tensor:
    """GroupNorm of a part of a map whose moments are known."""
    # With moments given, it is the same line for each channel as batch normalisation's.
    precise = torch.promote_types(x.dtype, torch.float32)
    mean, variance = (value.to(x.device, precise) for value in moments.pool(norm.num_groups))
    weight, bias = norm.weight.to(precise), norm.bias.to(precise)
    return functional.batch_norm(x, mean, variance, weight, bias, False, 0.0, norm.eps)


def _look(cells: Tensor) -> Moments:
    rows = cells.reshape(-1, cells.shape[-1])
    rows = rows.to(torch.promote_types(rows.dtype, torch.float32))
    mean = rows.mean(0)
    variance = (rows - mean).square_().mean(0)
    return Moments(len(rows), mean.double(), variance.double())

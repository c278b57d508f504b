"""Patches of pixels as channels, and back, as video autoencoders begin and end."""

from __future__ import annotations

from torch import Tensor


def fold_patches(x: Tensor, side: int) -> Tensor:
    """Patches of side² pixels as channels: (channel, column in the patch, row in the patch).

    Args:
        x: (batch, channel, frame, row, column).
        side: Of a patch.

    Examples:
        >>> fold_patches(torch.zeros(1, 3, 4, 8, 8), 2).shape
        torch.Size([1, 12, 4, 4, 4])
    """
    batch, channels, frames, rows, columns = x.shape
    rows, columns = rows // side, columns // side
    h = x.reshape(batch, channels, frames, rows, side, columns, side)
    h = h.permute(0, 1, 6, 4, 2, 3, 5)
    return h.reshape(batch, channels * side**2, frames, rows, columns)


def unfold_patches(h: Tensor, side: int) -> Tensor:
    """What `fold_patches` folded; there may be no frames."""
    batch, channels, frames, rows, columns = h.shape
    channels //= side**2
    x = h.reshape(batch, channels, side, side, frames, rows, columns)
    x = x.permute(0, 1, 4, 5, 3, 6, 2)
    return x.reshape(batch, channels, frames, rows * side, columns * side)

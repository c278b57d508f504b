"""What layers remember of the frames before, so that a sequence can go through them in pieces.

A convolution of t taps and stride s along frames, that begins at frame n of its input, gives a
result for every window that is complete; the frames from the next window on are kept:

    kept     ▪ ▪              windows of 3, stride 1: each piece of n frames gives n more results,
    piece        ▪ ▪ ▪ ▪      only at the beginning fewer, where no frames are put before it
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Recollection:
    """The frames that layers need again, of one sequence.

    Args:
        ending: Whether the frames that come now are the last.
    """

    def __init__(self) -> None:
        self.ending = False
        self._kept: dict[tuple[nn.Module, str], Tensor] = {}

    def knows(self, layer: nn.Module, what: str = "frames") -> bool:
        """Whether a layer has seen frames before."""
        return (layer, what) in self._kept

    def append(self, layer: nn.Module, frames: Tensor, what: str = "frames") -> Tensor:
        """What a layer kept, and new frames behind it."""
        before = self._kept.get((layer, what))
        return frames if before is None else torch.cat([before, frames], dim=2)

    def keep(self, layer: nn.Module, frames: Tensor, what: str = "frames") -> None:
        """Let a layer find these frames next time; a copy, so that no larger piece is held."""
        self._kept[layer, what] = frames.clone()

    def convolve(self, layer: nn.Conv3d, x: Tensor, *, before: int, behind: int = 0) -> Tensor:
        """Continue a convolution, with its own padding of rows and columns.

        Args:
            layer: Without padding along frames.
            x: The next frames, which may be none.
            before: How often the sequence's first frame is repeated before it.
            behind: How often its last one is repeated behind it.
        """
        if not self.knows(layer):
            x = torch.cat([*[x[:, :, :1]] * before, x], dim=2)
        x = self.append(layer, x)
        if self.ending:
            x = torch.cat([x, *[x[:, :, -1:]] * behind], dim=2)
        taps, stride = layer.kernel_size[0], layer.stride[0]
        results = max(0, (x.shape[2] - taps) // stride + 1)
        if taps > 1 and x.shape[2]:
            self.keep(layer, x[:, :, results * stride :])
        if results == 0:
            return x.new_empty(x.shape[0], layer.out_channels, 0, *x.shape[3:])
        return nn.Conv3d.forward(layer, x[:, :, : (results - 1) * stride + taps])

    def delay(self, layer: nn.Module, x: Tensor, until: Tensor) -> Tensor:
        """As many frames of a shortcut as have come out of the layers beside it."""
        x = self.append(layer, x, "shortcut")
        self.keep(layer, x[:, :, until.shape[2] :], "shortcut")
        return x[:, :, : until.shape[2]]

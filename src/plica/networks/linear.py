"""The optimal linear autoencoder: the Karhunen–Loève transform of patches, and its estimate back.

A patch p of P = factor ** dims voxels, the codes z of the patch, and the codes of the patches
around it, repeated at the border:

    z = W p / √P                              W: code × P, orthonormal rows, the first constant
    p̂ = Σ_n D_n z_n                           n over the 3 ** dims patches around p, and p itself

The first code is the patch's mean, the others are in the same unit. D is the least-squares estimate
(Wiener) of the patch from the codes around it, or Wᵀ√P at the patch itself and nothing elsewhere.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from plica.errors import SettingsError

MOST_FACTOR = 256

_CONVOLVE = {2: functional.conv2d, 3: functional.conv3d}


class Linear(nn.Module):
    """Patches to codes by one matrix, and back by another, for one channel.

    Args:
        dims: Axes of space: 2 or 3.
        factor: Side of a patch; at most 256.
        channels: Codes per patch.
    """

    analysis: Tensor
    synthesis: Tensor
    encoder_reach = 0
    decoder_reach = 1
    floats_per_voxel = (2.0, 4.0)  # the image; the patches, side by side and laid out

    def __init__(self, *, dims: int, factor: int, channels: int) -> None:
        super().__init__()
        if dims not in _CONVOLVE or not 1 <= factor <= MOST_FACTOR or channels < 1:
            raise SettingsError(
                "a linear autoencoder has 2 or 3 dims, patches of a side of at most "
                f"{MOST_FACTOR} and at least one channel, but dims {dims}, factor {factor} and "
                f"channels {channels} came"
            )
        self.dims = dims
        self.factor = factor
        self.in_channels = 1
        self.code_channels = channels
        voxels = factor**dims
        self.register_buffer("analysis", torch.zeros(channels, 1, *[factor] * dims))
        self.register_buffer("synthesis", torch.zeros(voxels, channels, *[3] * dims))

    def encode(self, x: Tensor) -> Tensor:
        """Codes (batch, code, *space / factor): each patch by itself."""
        return _CONVOLVE[self.dims](x, self.analysis, stride=self.factor)

    def decode(self, z: Tensor) -> Tensor:
        """The image (batch, 1, *space): each patch from the codes around it."""
        around = functional.pad(z, [1, 1] * self.dims, mode="replicate")
        return self._lay_out(_CONVOLVE[self.dims](around, self.synthesis))

    def _lay_out(self, patches: Tensor) -> Tensor:
        """(batch, P, *cells) to (batch, 1, *space): voxels of a patch beside each other."""
        batch, _, *cells = patches.shape
        split = patches.reshape(batch, *[self.factor] * self.dims, *cells)
        order = [0]
        for axis in range(self.dims):
            order += [1 + self.dims + axis, 1 + axis]
        return split.permute(order).reshape(batch, 1, *(side * self.factor for side in cells))

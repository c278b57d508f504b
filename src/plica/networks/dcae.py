"""DC-AE, the deep compression autoencoder of pictures: 32 or 64 times coarser per axis.

Levels are halved by folding 2 × 2 cells into channels beside a convolution. The finer ones are
convolutions; the coarser ones look at their whole map through linear attention, so that no tile
gives the network's own result. In the decoder the finer ones divide by statistics of the training,
all others by each place's own.

Chen et al. 2025, "Deep compression autoencoder for efficient high-resolution diffusion models",
arXiv 2410.10733.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from plica.networks.borrowed import borrow

_CONVOLVED = 3  # levels without attention, the finest of which has no blocks at all


class DeepCompression(nn.Module):
    """A `plica.networks.autoencoder.Autoencoder` around diffusers' layers.

    Args:
        code_channels: Channels of the codes.
        widths: Channels of each level, finest first; the factor is 2 ** (levels − 1).
        blocks: Blocks of each level of the encoder, finest first.
        decoder_blocks: Of the decoder.
    """

    dims = 2
    in_channels = 3

    def __init__(
        self,
        *,
        code_channels: int,
        widths: tuple[int, ...],
        blocks: tuple[int, ...],
        decoder_blocks: tuple[int, ...],
    ) -> None:
        super().__init__()
        coarser = len(widths) - _CONVOLVED
        kinds = ("ResBlock",) * _CONVOLVED + ("EfficientViTBlock",) * coarser
        model = borrow("AutoencoderDC")(
            latent_channels=code_channels,
            encoder_block_types=kinds,
            decoder_block_types=kinds,
            encoder_block_out_channels=widths,
            decoder_block_out_channels=widths,
            encoder_layers_per_block=blocks,
            decoder_layers_per_block=decoder_blocks,
            encoder_qkv_multiscales=((),) * len(widths),
            decoder_qkv_multiscales=((),) * len(widths),
            decoder_norm_types=("batch_norm",) * _CONVOLVED + ("rms_norm",) * coarser,
            decoder_act_fns=("relu",) * _CONVOLVED + ("silu",) * coarser,
        )
        self.encoder, self.decoder = model.encoder, model.decoder
        self.factor = 2 ** (len(widths) - 1)
        self.code_channels = code_channels
        self.width = widths[1]
        for layer in list(self.modules()):
            before = getattr(layer, "norm", None)
            if isinstance(before, nn.BatchNorm2d):
                layer.norm = FixedNormalisation(before.num_features, before.eps)

    def encode(self, x: Tensor) -> Tensor:
        """Codes of x; there is no posterior."""
        return self.encoder(x)

    def decode(self, z: Tensor) -> Tensor:
        """The image of codes z, about [−1, 1]; not clamped."""
        return self.decoder(z)

    @property
    def floats_per_voxel(self) -> tuple[float, float]:
        """About how many numbers are held at once per voxel: encoding, decoding. Measured."""
        return (1.2 * self.width, 1.5 * self.width)


class FixedNormalisation(nn.Module):
    """Batch normalisation after training, with the numbers that were gathered in it.

    Exists because PyTorch's own has a counter of batches among its weights, which is none, and
    wants it back when weights are loaded.

    Args:
        width: Channels.
        eps: Is added to the variance.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each channel of x."""
        moments = (self.running_mean, self.running_var)
        return functional.batch_norm(x, *moments, self.weight, self.bias, eps=self.eps)

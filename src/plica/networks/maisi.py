"""MAISI's autoencoder of CT and MR volumes, in the layers of latent diffusion's coders.

            ┌───┐ h  ┌────────────┐ μ, log σ²        ┌─────────────────┐   ┌───┐
    x ──►───┤ E ├──►─┤ quant_conv ├──►────── z = μ ──┤ post_quant_conv ├─►─┤ D ├──►── x̂
            └───┘    └────────────┘                  └─────────────────┘   └───┘

There is no attention and no middle; the last normalisations are not activated; sides are doubled by
interpolation; and the encoder ends with as many channels as there are codes, which two convolutions
of one voxel, here one behind the other, make mean and log-variance of. Within, values run from 0 to
1: −1 … 1 are brought there and back.

Guo et al. 2024, "MAISI: Medical AI for synthetic imaging", arXiv 2409.11169. The published program
splits maps along one side, and where the number of parts does not divide it, leaves voxels out;
exact schedules (`networks.schedule`) split nothing that way.
"""

from __future__ import annotations

from torch import Tensor, nn

from plica.networks.blocks import CONVOLUTION, check_layers
from plica.networks.coders import Decoder, Encoder, Manner

MANNER = Manner(middle=False, activated=False, smooth=True)


class MaisiAutoencoder(nn.Module):
    """A network whose state-dict keys are those of `networks.kl.KlAutoencoder`.

    Args:
        dims: Axes of space: 2 or 3.
        in_channels: Channels of the image.
        code_channels: Channels of the codes.
        widths: Channels of each level, finest first, multiples of 32; the factor per axis is
            2 ** (levels − 1).
        blocks: Residual blocks per level, of encoder and decoder.
    """

    def __init__(
        self,
        *,
        dims: int,
        in_channels: int,
        code_channels: int,
        widths: tuple[int, ...],
        blocks: int = 2,
    ) -> None:
        super().__init__()
        counts = {"in_channels": in_channels, "code_channels": code_channels, "blocks": blocks}
        check_layers(dims=dims, widths=widths, attention_levels=(), **counts)
        self.dims = dims
        self.factor = 2 ** (len(widths) - 1)
        self.in_channels = in_channels
        self.code_channels = code_channels
        self.encoder = Encoder(
            dims=dims,
            in_channels=in_channels,
            out_channels=code_channels,
            widths=widths,
            blocks=blocks,
            manner=MANNER,
        )
        self.quant_conv = CONVOLUTION[dims](code_channels, 2 * code_channels, 1)
        self.post_quant_conv = CONVOLUTION[dims](code_channels, code_channels, 1)
        self.decoder = Decoder(
            dims=dims,
            in_channels=code_channels,
            out_channels=in_channels,
            widths=widths,
            blocks=blocks,
            manner=MANNER,
        )

    def encode(self, x: Tensor) -> Tensor:
        """The posterior's mean."""
        return self.posterior(x)[0]

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the codes; the latter within −30 … 20, as published."""
        mean, logvar = self.quant_conv(self.encoder(to_unit(x))).chunk(2, dim=1)
        return mean, logvar.clamp(-30.0, 20.0)

    def decode(self, z: Tensor) -> Tensor:
        """The image of codes z, about [−1, 1]; not clamped."""
        return from_unit(self.decoder(self.post_quant_conv(z)))


def to_unit(x: Tensor) -> Tensor:
    """From −1 … 1 to 0 … 1."""
    return (x + 1) / 2


def from_unit(x: Tensor) -> Tensor:
    """From 0 … 1 to −1 … 1."""
    return 2 * x - 1

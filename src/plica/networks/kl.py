"""The KL autoencoder of latent diffusion and MedVAE, for 2D and 3D.

            ┌───┐    ┌────────────┐ μ, log σ²        ┌─────────────────┐   ┌───┐
    x ──►───┤ E ├──►─┤ quant_conv ├──►────── z = μ ──┤ post_quant_conv ├─►─┤ D ├──►── x̂
            └───┘    └────────────┘                  └─────────────────┘   └───┘

`encode` gives the posterior's mean μ; drawing from it is the caller's business, with a generator of
the caller's. Rombach et al. 2022, "High-resolution image synthesis with latent diffusion models";
Varma et al. 2025, "MedVAE".
"""

from __future__ import annotations

from torch import Tensor, nn

from plica.errors import LatentError
from plica.networks.blocks import CONVOLUTION, check_layers
from plica.networks.coders import Decoder, Encoder
from plica.networks.projection import channel_ds, channel_proj


class KlAutoencoder(nn.Module):
    """One class for all published KL autoencoders; its state-dict keys are theirs.

    Args:
        dims: Axes of space: 2 or 3.
        in_channels: Channels of the image.
        code_channels: Channels of the codes.
        widths: Channels of each level, finest first, multiples of 32; the factor per axis is
            2 ** (levels − 1).
        blocks: Residual blocks per level of the encoder; the decoder has one more.
        attention_levels: Levels (0 the finest) with attention besides the middle.
        projection: Whether there are MedVAE's layers for the second latent.
    """

    def __init__(
        self,
        *,
        dims: int,
        in_channels: int,
        code_channels: int,
        widths: tuple[int, ...],
        blocks: int = 2,
        attention_levels: tuple[int, ...] = (),
        projection: bool = False,
    ) -> None:
        super().__init__()
        check_layers(
            dims=dims,
            widths=widths,
            attention_levels=attention_levels,
            in_channels=in_channels,
            code_channels=code_channels,
            blocks=blocks,
        )
        self.dims = dims
        self.factor = 2 ** (len(widths) - 1)
        self.in_channels = in_channels
        self.code_channels = code_channels
        self.projects = projection
        convolution = CONVOLUTION[dims]
        self.encoder = Encoder(
            dims=dims,
            in_channels=in_channels,
            out_channels=2 * code_channels,
            widths=widths,
            blocks=blocks,
            attention_levels=attention_levels,
        )
        self.quant_conv = convolution(2 * code_channels, 2 * code_channels, 1)
        self.post_quant_conv = convolution(code_channels, code_channels, 1)
        self.decoder = Decoder(
            dims=dims,
            in_channels=code_channels,
            out_channels=in_channels,
            widths=widths,
            blocks=blocks + 1,
            attention_levels=attention_levels,
        )
        if projection:
            self.channel_ds = channel_ds(dims, code_channels)
            self.channel_proj = channel_proj(dims, code_channels)

    def encode(self, x: Tensor) -> Tensor:
        """The posterior's mean."""
        return self.posterior(x)[0]

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the codes; the latter within −30 … 20, as published."""
        mean, logvar = self.quant_conv(self.encoder(x)).chunk(2, dim=1)
        return mean, logvar.clamp(-30.0, 20.0)

    def decode(self, z: Tensor) -> Tensor:
        """The image of codes z, about [−1, 1]; not clamped."""
        return self.decoder(self.post_quant_conv(z))

    def project(self, z: Tensor) -> Tensor:
        """The second latent of codes z; it cannot be decoded.

        Raises:
            LatentError: The network has no such layers.
        """
        if not self.projects:
            raise LatentError(
                "this network has no layers for the projected latent: ask for the raw one"
            )
        return self.channel_proj(self.channel_ds(z) + z)

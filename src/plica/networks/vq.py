"""The VQ autoencoder of latent diffusion, for 2D and 3D.

            ┌───┐    ┌────────────┐        ┌──────────┐  z   ┌─────────────────┐   ┌───┐
    x ──►───┤ E ├──►─┤ quant_conv ├──► h ──┤ codebook ├──►───┤ post_quant_conv ├─►─┤ D ├──►── x̂
            └───┘    └────────────┘        └──────────┘      └─────────────────┘   └───┘

The codes here are the quantised vectors z: what the decoder is trained on, and each of them can be
kept as one whole number. `decode` looks the nearest entries up again, as Rombach et al. (2022) do
with the output of a diffusion model: codes that came through `encode` are entries already and stay
what they are; rounded or sampled ones become entries.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from plica.networks.blocks import CONVOLUTION, check_layers
from plica.networks.coders import Decoder, Encoder

TABLE = 2**24


class Codebook(nn.Module):
    """A table of vectors, and the nearest one of each code.

    Args:
        entries: How many vectors.
        channels: Their length.
    """

    def __init__(self, *, entries: int, channels: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(entries, channels)

    def forward(self, h: Tensor, table: int = TABLE) -> Tensor:
        """The nearest entries of codes h, of h's shape."""
        return self.embedding(self.indices(h, table)).movedim(-1, 1)

    @torch.no_grad()
    def indices(self, h: Tensor, table: int = TABLE) -> Tensor:
        """Number of the nearest entry of each code, (batch, *space); the first of equals.

        |h − e|² = |h|² − 2 h·e + |e|², of which the first term is the same for all entries.

        Args:
            table: How many distances may exist at a time.
        """
        e = self.embedding.weight
        tokens = h.movedim(1, -1).reshape(-1, h.shape[1])
        squares = e.square().sum(1)
        rows = max(1, table // len(e))
        nearest = [
            torch.addmm(squares, part, e.T, alpha=-2.0).argmin(1)
            for part in torch.split(tokens, rows)
        ]
        return torch.cat(nearest).reshape(h.shape[0], *h.shape[2:])


class VqAutoencoder(nn.Module):
    """One class for the published VQ autoencoders; its state-dict keys are theirs.

    Args:
        dims: Axes of space: 2 or 3.
        in_channels: Channels of the image.
        code_channels: Channels of the codes.
        codebook: Entries of the codebook.
        widths: Channels of each level, finest first, multiples of 32; the factor per axis is
            2 ** (levels − 1).
        blocks: Residual blocks per level of the encoder; the decoder has one more.
        attention_levels: Levels (0 the finest) with attention besides the middle.
    """

    def __init__(
        self,
        *,
        dims: int,
        in_channels: int,
        code_channels: int,
        codebook: int,
        widths: tuple[int, ...],
        blocks: int = 2,
        attention_levels: tuple[int, ...] = (),
    ) -> None:
        super().__init__()
        check_layers(
            dims=dims,
            widths=widths,
            attention_levels=attention_levels,
            in_channels=in_channels,
            code_channels=code_channels,
            blocks=blocks,
            codebook=codebook,
        )
        self.dims = dims
        self.factor = 2 ** (len(widths) - 1)
        self.in_channels = in_channels
        self.code_channels = code_channels
        convolution = CONVOLUTION[dims]
        self.encoder = Encoder(
            dims=dims,
            in_channels=in_channels,
            out_channels=code_channels,
            widths=widths,
            blocks=blocks,
            attention_levels=attention_levels,
        )
        self.quant_conv = convolution(code_channels, code_channels, 1)
        self.quantize = Codebook(entries=codebook, channels=code_channels)
        self.post_quant_conv = convolution(code_channels, code_channels, 1)
        self.decoder = Decoder(
            dims=dims,
            in_channels=code_channels,
            out_channels=in_channels,
            widths=widths,
            blocks=blocks + 1,
            attention_levels=attention_levels,
        )

    def encode(self, x: Tensor) -> Tensor:
        """The nearest codebook entries of x's codes."""
        return self.quantize(self.quant_conv(self.encoder(x)))

    def decode(self, z: Tensor) -> Tensor:
        """The image of the codebook entries nearest to z, about [−1, 1]; not clamped."""
        return self.decoder(self.post_quant_conv(self.quantize(z)))

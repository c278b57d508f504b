"""The VQ autoencoder of latent diffusion, for 2D and 3D.

            ┌───┐    ┌────────────┐        ┌──────────┐  z   ┌─────────────────┐   ┌───┐
    x ──►───┤ E ├──►─┤ quant_conv ├──► h ──┤ codebook ├──►───┤ post_quant_conv ├─►─┤ D ├──►── x̂
            └───┘    └────────────┘        └──────────┘      └─────────────────┘   └───┘

The codes here are the quantised vectors z: what the decoder is trained on, and each of them can be
kept as one whole number. `decode` looks the nearest entries up again, as Rombach et al. (2022) do
with the output of a diffusion model: codes that came through `encode` are entries already and stay
what they are; rounded or sampled ones become entries.

In training the gradient passes by the look-up, and two terms draw codes and entries together
(van den Oord et al., 2017, equation 3; sg stops the gradient):

    z = h + sg(e − h)                |sg(h) − e|² + β |h − sg(e)|²

The program of Esser et al. (2021), and with it latent diffusion's published models, weighed the
first term by β instead of the second, which its authors call a bug; `legacy=True` does the same.
"""

from __future__ import annotations

from dataclasses import dataclass

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
        # As published: all entries begin nearer to each other than to most codes.
        nn.init.uniform_(self.embedding.weight, -1 / entries, 1 / entries)

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
        tokens = h.movedim(1, -1).reshape(-1, h.shape[1]).to(e.dtype)
        squares = e.square().sum(1)
        rows = max(1, table // len(e))
        # In half precision, which autocast would choose, distances are too coarse to compare.
        with torch.autocast(h.device.type, enabled=False):
            nearest = [
                torch.addmm(squares, part, e.T, alpha=-2.0).argmin(1)
                for part in torch.split(tokens, rows)
            ]
        return torch.cat(nearest).reshape(h.shape[0], *h.shape[2:])


@dataclass(frozen=True)
class Quantised:
    """Codes of a batch beside their nearest entries.

    Args:
        h: (batch, code, *space), as the encoder gave them.
        e: The nearest entries, of h's shape.
        indices: Their numbers, (batch, *space).
    """

    h: Tensor
    e: Tensor
    indices: Tensor

    @property
    def z(self) -> Tensor:
        """The entries, whose gradient goes to h as if nothing had been looked up."""
        return self.h + (self.e - self.h).detach()

    def losses(self, *, beta: float = 0.25, legacy: bool = False) -> Tensor:
        """Codebook and commitment terms of each image, (batch,): summed over its codes.

        Args:
            beta: Weight of the commitment of the encoder to its entries.
            legacy: Whether β weighs the codebook's term instead, as latent diffusion's published
                models were trained.
        """
        h, e = self.h.float(), self.e.float()
        codebook = (h.detach() - e).square().flatten(1).sum(1)
        commitment = (h - e.detach()).square().flatten(1).sum(1)
        return beta * codebook + commitment if legacy else codebook + beta * commitment

    def usage(self, entries: int) -> float:
        """Share of a codebook's entries that the batch uses."""
        return torch.unique(self.indices).numel() / entries


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
        self.codebook = codebook
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
        return self.quantize(self.continuous(x))

    def continuous(self, x: Tensor) -> Tensor:
        """The codes h of x before the nearest entries are looked up."""
        return self.quant_conv(self.encoder(x))

    def quantise(self, x: Tensor) -> Quantised:
        """The codes of x for training: what `decode_entries` is given, and what holds them."""
        h = self.continuous(x)
        indices = self.quantize.indices(h)
        return Quantised(h, self.quantize.embedding(indices).movedim(-1, 1), indices)

    def decode(self, z: Tensor) -> Tensor:
        """The image of the codebook entries nearest to z, about [−1, 1]; not clamped."""
        return self.decode_entries(self.quantize(z))

    def decode_entries(self, z: Tensor) -> Tensor:
        """The image of codes that are entries already; the gradient reaches them."""
        return self.decoder(self.post_quant_conv(z))

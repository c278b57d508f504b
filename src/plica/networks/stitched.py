"""Two-dimensional codes stitched into three-dimensional ones, and a decoder that sees volumes.

          slice by slice, 2D, frozen                                        3D
        ┌───┐    ┌────────────┐  μ_k  ┌─────────────────┐  z   ┌─────────────────┐   ┌───┐
    x ─►┤ E ├──►─┤ quant_conv ├──►────┤ f times fewer k ├──►───┤ post_quant_conv ├─►─┤ D ├─►─ x̂
        └───┘    └────────────┘       └─────────────────┘      └─────────────────┘   └───┘

The "2D MedVAE-Decoder" of Varma et al. 2025, Table 7: only the decoder learns volumes. It begins as
the 2D decoder, lifted (`networks.lifting`); the state dict's keys are those of `KlAutoencoder`,
with flat kernels before the codes and solid ones after them.

Slices are seen as every 2D network here sees them, (row, column) = (j, i), and so is the volume by
the lifted decoder: its kernels keep the orientation they were trained in.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from plica.networks.blocks import check_layers
from plica.networks.coders import Decoder, Encoder

# Pixels of the slices that are encoded at a time; the published encoder needs 14 kB for each.
BATCH_PIXELS = 2**18


class Stitched(nn.Module):
    """A volume's codes from a frozen 2D encoder; its decoder is three-dimensional.

    Args:
        in_channels: Channels of the image.
        code_channels: Channels of the codes.
        widths: Channels of each level, finest first, multiples of 32; the factor per axis is
            2 ** (levels − 1).
        blocks: Residual blocks per level of the encoder; the decoder has one more.
        attention_levels: Levels (0 the finest) with attention besides the middle.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        code_channels: int,
        widths: tuple[int, ...],
        blocks: int = 2,
        attention_levels: tuple[int, ...] = (),
    ) -> None:
        super().__init__()
        check_layers(
            dims=3,
            widths=widths,
            attention_levels=attention_levels,
            in_channels=in_channels,
            code_channels=code_channels,
            blocks=blocks,
        )
        self.dims = 3
        self.factor = 2 ** (len(widths) - 1)
        self.in_channels = in_channels
        self.code_channels = code_channels
        self.encoder = Encoder(
            dims=2,
            in_channels=in_channels,
            out_channels=2 * code_channels,
            widths=widths,
            blocks=blocks,
            attention_levels=attention_levels,
        )
        self.quant_conv = nn.Conv2d(2 * code_channels, 2 * code_channels, 1)
        self.post_quant_conv = nn.Conv3d(code_channels, code_channels, 1)
        self.decoder = Decoder(
            dims=3,
            in_channels=code_channels,
            out_channels=in_channels,
            widths=widths,
            blocks=blocks + 1,
            attention_levels=attention_levels,
        )
        self.encoder.requires_grad_(False)
        self.quant_conv.requires_grad_(False)

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """The slices' posterior means, interpolated along k; no gradient flows to them."""
        batch, channels, i, j, k = x.shape
        slices = x.permute(0, 4, 1, 3, 2).reshape(batch * k, channels, j, i)
        step = max(1, BATCH_PIXELS // (i * j))
        means = torch.cat([self._encode_slices(part) for part in torch.split(slices, step)])
        codes = means.reshape(batch, k, *means.shape[1:]).permute(0, 2, 4, 3, 1)
        return resize_last_axis(codes, k // self.factor)

    def _encode_slices(self, x: Tensor) -> Tensor:
        return self.quant_conv(self.encoder(x)).chunk(2, dim=1)[0]

    def decode(self, z: Tensor) -> Tensor:
        """The volume of codes z, about [−1, 1]; not clamped."""
        return self.decoder(self.post_quant_conv(z.transpose(2, 3))).transpose(2, 3)


def resize_last_axis(codes: Tensor, length: int) -> Tensor:
    """Linear interpolation along the last axis: centres aligned, smoothed where it gets shorter."""
    *rest, before = codes.shape
    rows = codes.reshape(1, 1, -1, before)
    resized = functional.interpolate(
        rows, size=(rows.shape[2], length), mode="bilinear", antialias=True
    )
    return resized.reshape(*rest, length)

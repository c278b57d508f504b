"""Encoder and decoder of the latent diffusion autoencoders, which KL and VQ models share.

    x ─ conv ─ [ block block ↓2 ] … [ block block ] ─ block attention block ─ norm silu conv ─► z
    z ─ conv ─ block attention block ─ [ block block block ↑2 ] … [ block block block ] ─ … ─► x̂

Layout and attribute names are those of the published checkpoints (Rombach et al., 2022; Varma et
al., 2025), so that a state dict's keys are theirs. Feature maps live only as long as the layer
that reads them: layers are walked in one flat loop that rebinds one name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn

from plica.networks.attention import Attention
from plica.networks.blocks import (
    CONVOLUTION,
    Downsample,
    ResidualBlock,
    Upsample,
    normalisation,
    normalise_and_activate,
)
from plica.networks.convolution import convolve_last, fit


@dataclass(frozen=True)
class Manner:
    """In what the coders of a family differ from those of latent diffusion.

    Args:
        middle: Whether the coarsest level has two more blocks, with attention between them.
        activated: Whether the last normalisation is followed by an activation.
        smooth: Whether sides are doubled by interpolation, not by repeating voxels.
    """

    middle: bool = True
    activated: bool = True
    smooth: bool = False


LATENT_DIFFUSION = Manner()


class Level(nn.Module):
    """The blocks of one resolution, each followed by attention where the level has it."""

    def __init__(
        self, *, dims: int, width_in: int, width: int, blocks: int, attention: bool
    ) -> None:
        super().__init__()
        widths = [width_in] + [width] * (blocks - 1)
        self.block = nn.ModuleList(
            ResidualBlock(dims=dims, width_in=before, width_out=width) for before in widths
        )
        self.attn = nn.ModuleList(
            Attention(dims=dims, width=width) for _ in range(blocks if attention else 0)
        )

    def layers(self) -> Iterator[nn.Module]:
        """The level's layers in the order they are run, resampling last."""
        for number, block in enumerate(self.block):
            yield block
            if len(self.attn) > 0:
                yield self.attn[number]
        for name in ("downsample", "upsample"):
            if hasattr(self, name):
                yield getattr(self, name)


class Middle(nn.Module):
    """The coarsest resolution: the one place where every voxel sees every other."""

    def __init__(self, *, dims: int, width: int) -> None:
        super().__init__()
        self.block_1 = ResidualBlock(dims=dims, width_in=width, width_out=width)
        self.attn_1 = Attention(dims=dims, width=width)
        self.block_2 = ResidualBlock(dims=dims, width_in=width, width_out=width)

    def layers(self) -> Iterator[nn.Module]:
        """The layers in the order they are run."""
        yield from (self.block_1, self.attn_1, self.block_2)


class Encoder(nn.Module):
    """Image → moments of the codes, 2 ** (levels − 1) coarser.

    Args:
        dims: Axes of space: 2 or 3.
        in_channels: Channels of the image.
        out_channels: Channels of the result.
        widths: Channels of each level, finest first.
        blocks: Residual blocks per level.
        attention_levels: Levels (0 the finest) with attention besides the middle.
        manner: In what its family differs.
    """

    def __init__(
        self,
        *,
        dims: int,
        in_channels: int,
        out_channels: int,
        widths: tuple[int, ...],
        blocks: int,
        attention_levels: tuple[int, ...] = (),
        manner: Manner = LATENT_DIFFUSION,
    ) -> None:
        super().__init__()
        self.manner = manner
        self.conv_in = CONVOLUTION[dims](in_channels, widths[0], 3, padding=1)
        self.down = nn.ModuleList()
        for number, (before, width) in enumerate(zip((widths[0], *widths), widths, strict=False)):
            level = Level(
                dims=dims,
                width_in=before,
                width=width,
                blocks=blocks,
                attention=number in attention_levels,
            )
            if number < len(widths) - 1:
                level.downsample = Downsample(dims=dims, width=width)
            self.down.append(level)
        if manner.middle:
            self.mid = Middle(dims=dims, width=widths[-1])
        self.norm_out = normalisation(widths[-1])
        self.conv_out = CONVOLUTION[dims](widths[-1], out_channels, 3, padding=1)

    def layers(self) -> Iterator[nn.Module]:
        """Everything between the first and the last convolution, in order."""
        for level in self.down:
            yield from cast("Level", level).layers()
        if self.manner.middle:
            yield from self.mid.layers()

    def forward(self, x: Tensor) -> Tensor:
        """Moments of the codes of x."""
        h = self.conv_in(fit(x, self.conv_in))
        for layer in self.layers():
            h = layer(h)
        return convolve_last(self.conv_out, _normalise_last(self, h))


class Decoder(nn.Module):
    """Codes → image, 2 ** (levels − 1) finer.

    Args:
        dims: Axes of space: 2 or 3.
        in_channels: Channels of the codes.
        out_channels: Channels of the image.
        widths: Channels of each level, finest first.
        blocks: Residual blocks per level.
        attention_levels: Levels (0 the finest) with attention besides the middle.
        manner: In what its family differs.
    """

    def __init__(
        self,
        *,
        dims: int,
        in_channels: int,
        out_channels: int,
        widths: tuple[int, ...],
        blocks: int,
        attention_levels: tuple[int, ...] = (),
        manner: Manner = LATENT_DIFFUSION,
    ) -> None:
        super().__init__()
        self.manner = manner
        self.conv_in = CONVOLUTION[dims](in_channels, widths[-1], 3, padding=1)
        if manner.middle:
            self.mid = Middle(dims=dims, width=widths[-1])
        self.up = nn.ModuleList()
        for number, (width, before) in enumerate(
            zip(widths, (*widths[1:], widths[-1]), strict=True)
        ):
            level = Level(
                dims=dims,
                width_in=before,
                width=width,
                blocks=blocks,
                attention=number in attention_levels,
            )
            if number > 0:
                level.upsample = Upsample(dims=dims, width=width, smooth=manner.smooth)
            self.up.append(level)
        self.norm_out = normalisation(widths[0])
        self.conv_out = CONVOLUTION[dims](widths[0], out_channels, 3, padding=1)

    def layers(self) -> Iterator[nn.Module]:
        """Everything between the first and the last convolution, in order: coarsest first."""
        if self.manner.middle:
            yield from self.mid.layers()
        for level in reversed(self.up):
            yield from cast("Level", level).layers()

    def forward(self, z: Tensor) -> Tensor:
        """The image of codes z."""
        h = self.conv_in(fit(z, self.conv_in))
        for layer in self.layers():
            h = layer(h)
        return convolve_last(self.conv_out, _normalise_last(self, h))


def _normalise_last(coder: Encoder | Decoder, h: Tensor) -> Tensor:
    if coder.manner.activated:
        return normalise_and_activate(coder.norm_out, h, overwrite=True)
    return coder.norm_out(h)

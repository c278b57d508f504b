"""HunyuanVideo's causal video autoencoder.

Its convolutions see no later frame, but groups of channels are normalised over all frames of the
sequence: no code is known before the last frame is. It therefore does not stream. The library by
default cuts sequences of more than 16 frames into overlapping ones, each with statistics of its
own, and blends them: that is another function, and is not done here.

Kong et al. 2024, "HunyuanVideo: A systematic framework for large video generative models", arXiv
2412.03603.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from plica.networks.borrowed import borrow
from plica.networks.regrouping import check_pieces, join


class HunyuanVideo(nn.Module):
    """A `plica.networks.frames.Framed` network around diffusers' layers.

    Args:
        widths: Channels of each level, finest first.
        code_channels: Channels of the codes.
        blocks: Residual blocks per level of the encoder; the decoder has one more.
    """

    factor = 8
    period = 4
    causal = True
    streams = False
    in_channels = 3
    frames_at_a_time = 0
    kept_per_code = (0.0, 0.0)

    def __init__(self, *, widths: tuple[int, ...], code_channels: int, blocks: int = 2) -> None:
        super().__init__()
        model = borrow("AutoencoderKLHunyuanVideo")(
            block_out_channels=widths, latent_channels=code_channels, layers_per_block=blocks
        )
        self.encoder, self.decoder = model.encoder, model.decoder
        self.quant_conv, self.post_quant_conv = model.quant_conv, model.post_quant_conv
        self.code_channels = code_channels
        self.width = widths[0]

    def encode(self, x: Tensor) -> Tensor:
        """Codes of a whole sequence: the posterior's mean.

        Raises:
            SettingsError: It has other channels, sides or frames than the network takes.
        """
        (x,) = check_pieces([x], channels=self.in_channels, factor=self.factor, period=self.period)
        h = _walk(self.encoder, x, before=self.encoder.down_blocks)
        return self.quant_conv(h).chunk(2, dim=1)[0]

    def decode(self, z: Tensor) -> Tensor:
        """The sequence of codes z, about [−1, 1]; not clamped.

        Raises:
            SettingsError: They have other channels than the network takes.
        """
        (z,) = check_pieces([z], channels=self.code_channels, factor=1, period=1)
        return _walk(self.decoder, self.post_quant_conv(z), after=self.decoder.up_blocks)

    def encode_stream(self, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """Codes of a sequence that comes in pieces, when all have come."""
        yield self.encode(join(frames))

    def decode_stream(self, codes: Iterable[Tensor]) -> Iterator[Tensor]:
        """The sequence of codes that come in pieces, when all have come."""
        yield self.decode(join(codes))

    @property
    def floats_per_voxel(self) -> tuple[float, float]:
        """See `Framed`; as measured of CogVideoX, whose maps are as wide and as many."""
        return (16.0 * self.width, 28.0 * self.width)


def _walk(coder: Any, h: Tensor, *, before: Any = (), after: Any = ()) -> Tensor:
    """A coder, with blocks before or after its middle."""
    h = coder.conv_in(h)
    for block in before:
        h = block(h)
    h = coder.mid_block.resnets[0](h)
    for attention, block in zip(
        coder.mid_block.attentions, coder.mid_block.resnets[1:], strict=True
    ):
        h = block(_attend_to_past(attention, h))
    for block in after:
        h = block(h)
    return coder.conv_out(coder.conv_act(coder.conv_norm_out(h)))


def _attend_to_past(layer: Any, x: Tensor) -> Tensor:
    """Attention of each frame over all cells up to its own; one head."""
    batch, channels, frames, rows, columns = x.shape
    cells = rows * columns
    tokens = x.flatten(2).transpose(1, 2)
    h = layer.group_norm(tokens.transpose(1, 2)).transpose(1, 2)
    q, k, v = (project(h)[:, None] for project in (layer.to_q, layer.to_k, layer.to_v))
    parts = []
    for end in range(cells, frames * cells + 1, cells):
        here = q[:, :, end - cells : end]
        parts.append(functional.scaled_dot_product_attention(here, k[:, :, :end], v[:, :, :end]))
    y = layer.to_out[0](torch.cat(parts, dim=2)[:, 0]) + tokens
    return y.transpose(1, 2).reshape(batch, channels, frames, rows, columns)

"""Cosmos' causal video tokenizer with continuous codes, frame group by frame group.

    frames   0 │ 1 … 8 │ 9 … 16 │ …         wavelets fold the first frame, four times repeated, and
    codes    0 │   1   │   2    │ …         then every four; the layers fold two of those into one

Normalisations see one frame, convolutions only frames before. Attention along time sees, at each
place, all code frames before: their keys and values must be kept, two numbers per channel and code
cell, in each direction. These alone grow with the sequence; nothing else does.

NVIDIA 2025, "Cosmos world foundation model platform for physical AI", arXiv 2501.03575.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from plica.networks.borrowed import borrow
from plica.networks.frames import Streaming
from plica.networks.recollection import Recollection
from plica.networks.regrouping import regroup


class Cosmos(Streaming):
    """A `plica.networks.frames.Framed` network around diffusers' layers.

    Args:
        widths: Channels of each level of the encoder, finest first.
        decoder_widths: Of the decoder.
        code_channels: Channels of the codes.
        blocks: Residual blocks per level of the encoder; the decoder has one more.
    """

    factor = 8
    period = 8
    causal = True
    frames_at_a_time = 8

    def __init__(
        self,
        *,
        widths: tuple[int, ...],
        decoder_widths: tuple[int, ...],
        code_channels: int,
        blocks: int = 2,
    ) -> None:
        super().__init__()
        model = borrow("AutoencoderKLCosmos")(
            encoder_block_out_channels=widths,
            decode_block_out_channels=decoder_widths,
            latent_channels=code_channels,
            num_layers=blocks,
        )
        self.encoder, self.decoder = model.encoder, model.decoder
        self.quant_conv, self.post_quant_conv = model.quant_conv, model.post_quant_conv
        self.code_channels = code_channels
        self.widths = (widths[0], decoder_widths[0])
        for layer in (self.encoder.patch_embed, self.decoder.unpatch_embed):
            # No weights, so that no file brings it, and lost where a network is made without them.
            layer._arange = torch.arange(2, device="cpu")

    def encode_stream(self, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """Code frames of a sequence that comes in pieces.

        Raises:
            SettingsError: It has other channels, sides or frames than the network takes.
        """
        pieces = self._check_frames(frames)
        memory = Recollection()
        for group in regroup(pieces, first=1, then=self.period):
            yield self._encode_group(group, memory)

    def decode_stream(self, codes: Iterable[Tensor]) -> Iterator[Tensor]:
        """Frames of codes that come in pieces.

        Raises:
            SettingsError: They have other channels than the network takes.
        """
        pieces = self._check_codes(codes)
        memory = Recollection()
        for number, group in enumerate(regroup(pieces, first=1, then=1)):
            yield self._decode_group(group, memory, first=number == 0)

    def _encode_group(self, x: Tensor, memory: Recollection) -> Tensor:
        coder = self.encoder
        h = _fold(coder.patch_embed, x)
        h = _project(coder.conv_in, h, memory)
        for block in coder.down_blocks:
            h = _walk_blocks(block, h, memory)
            for layer in block.downsamplers or ():
                h = _shrink(layer, h, memory)
        h = _walk_middle(coder.mid_block, h, memory)
        h = _project(coder.conv_out, functional.silu(coder.norm_out(h)), memory)
        return self.quant_conv(h)

    def _decode_group(self, z: Tensor, memory: Recollection, *, first: bool) -> Tensor:
        coder = self.decoder
        h = _project(coder.conv_in, self.post_quant_conv(z), memory)
        h = _walk_middle(coder.mid_block, h, memory)
        for block in coder.up_blocks:
            h = _walk_blocks(block, h, memory)
            for layer in block.upsamplers or ():
                h = _enlarge(layer, h, memory, first=first)
        h = _project(coder.conv_out, functional.silu(coder.norm_out(h)), memory)
        for _ in range(2):
            h = coder.unpatch_embed._idwt(h, rescale=True)
        return h[:, :, 3:] if first else h

    @property
    def kept_per_code(self) -> tuple[float, float]:
        """See `Framed`: keys and values at the codes' resolution, twice while one is added."""
        middles = (self.encoder.mid_block, self.decoder.mid_block)
        encode, decode = (
            sum(2 * 2 * layer.to_k.out_channels for layer in one.temp_attentions) for one in middles
        )
        return float(encode), float(decode)

    @property
    def floats_per_voxel(self) -> tuple[float, float]:
        """See `Framed`; measured, but for keys and values. Most of it is taken by the wavelets."""
        return (2.8 * self.widths[0], 1.4 * self.widths[1])


def _fold(layer: Any, x: Tensor) -> Tensor:
    """Wavelets, of one frame repeated four times or of every four frames."""
    h = x.repeat_interleave(4, dim=2) if x.shape[2] == 1 else x
    for _ in range(2):
        h = layer._dwt(h, rescale=True)
    return h


def _convolve(layer: Any, h: Tensor, memory: Recollection) -> Tensor:
    return memory.convolve(
        layer, functional.pad(h, layer.spatial_pad), before=layer.kernel_size[0] - 1
    )


def _project(layers: Any, h: Tensor, memory: Recollection) -> Tensor:
    return _convolve(layers.conv_t, layers.conv_s(h), memory)


def _add_block(block: Any, x: Tensor, memory: Recollection) -> Tensor:
    h = _project(block.conv1, functional.silu(block.norm1(x)), memory)
    h = _project(block.conv2, functional.silu(block.norm2(h)), memory)
    return h + block.conv_shortcut(x)


def _walk_blocks(level: Any, h: Tensor, memory: Recollection) -> Tensor:
    """A level's blocks; attention stands in the middle alone, as codes are an eighth of a side."""
    for block in level.resnets:
        h = _add_block(block, h, memory)
    return h


def _walk_middle(middle: Any, h: Tensor, memory: Recollection) -> Tensor:
    h = _add_block(middle.resnets[0], h, memory)
    for number, block in enumerate(middle.resnets[1:]):
        h = middle.attentions[number](h)
        h = _attend_to_past(middle.temp_attentions[number], h, memory)
        h = _add_block(block, h, memory)
    return h


def _attend_to_past(layer: Any, x: Tensor, memory: Recollection) -> Tensor:
    """Attention of each place over its own frames up to now; one head."""
    h = layer.norm(x)
    k = memory.append(layer, layer.to_k(h), "keys")
    v = memory.append(layer, layer.to_v(h), "values")
    memory.keep(layer, k, "keys")
    memory.keep(layer, v, "values")
    frames, known = x.shape[2], k.shape[2]
    seen = torch.ones(frames, known, dtype=torch.bool, device=x.device).tril(known - frames)
    q, k, v = (one.permute(0, 3, 4, 2, 1).flatten(0, 2)[:, None] for one in (layer.to_q(h), k, v))
    y = functional.scaled_dot_product_attention(q, k, v, attn_mask=seen)[:, 0]
    y = y.reshape(x.shape[0], *x.shape[3:], frames, -1).permute(0, 4, 3, 1, 2)
    return layer.to_out[0](y) + x


def _shrink(layer: Any, h: Tensor, memory: Recollection) -> Tensor:
    """Half the sides, and half the frames but for the sequence's first one."""
    if layer.spatial_downsample:
        h = functional.pad(h, (0, 1, 0, 1))
        h = layer.conv1(h) + functional.avg_pool3d(h, (1, 2, 2), (1, 2, 2))
    if layer.temporal_downsample:
        pairs = torch.cat([h, h], dim=2) if h.shape[2] == 1 else h
        h = _convolve(layer.conv2, h, memory) + functional.avg_pool3d(pairs, (2, 1, 1), (2, 1, 1))
    return layer.conv3(h)


def _enlarge(layer: Any, h: Tensor, memory: Recollection, *, first: bool) -> Tensor:
    """Twice the sides, and twice the frames but for the sequence's first one."""
    if layer.temporal_upsample:
        h = h if first else h.repeat_interleave(2, dim=2)
        h = _convolve(layer.conv1, h, memory) + h
    if layer.spatial_upsample:
        h = h.repeat_interleave(2, dim=3).repeat_interleave(2, dim=4)
        h = layer.conv2(h) + h
    return layer.conv3(h)

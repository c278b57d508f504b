"""LTX-Video's autoencoder: encoded causally, decoded with a look at what follows.

All normalisations see one place of one frame, and there is no attention; so that a sequence goes
through layer by layer in pieces, each convolution keeping the frames it needs again. The decoder's
convolutions see one frame ahead each: its results come later by as many, and its shortcuts wait
for them. Held are, besides one group of frames, some frames of each layer's input.

HaCohen et al. 2024, "LTX-Video: Realtime video latent diffusion", arXiv 2501.00103. The layers are
those of version 0.9.0; later versions decode with noise and a time of the diffusion.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from torch import Tensor

from plica.networks.borrowed import borrow
from plica.networks.frames import Streaming
from plica.networks.patches import fold_patches, unfold_patches
from plica.networks.recollection import Recollection
from plica.networks.regrouping import mark_last, regroup


class LtxVideo(Streaming):
    """A `plica.networks.frames.Framed` network around diffusers' layers.

    Args:
        widths: Channels of each level, finest first.
        code_channels: Channels of the codes.
        blocks: Residual blocks of each level and, last, of the middle.
    """

    factor = 32
    period = 8
    causal = True
    frames_at_a_time = 8
    kept_per_code = (0.0, 0.0)

    def __init__(
        self, *, widths: tuple[int, ...], code_channels: int, blocks: tuple[int, ...]
    ) -> None:
        super().__init__()
        model = borrow("AutoencoderKLLTXVideo")(
            block_out_channels=widths,
            decoder_block_out_channels=widths,
            latent_channels=code_channels,
            layers_per_block=blocks,
            decoder_layers_per_block=blocks,
        )
        self.encoder, self.decoder = model.encoder, model.decoder
        self.code_channels = code_channels
        self.width = widths[0]
        self.patch = int(model.encoder.patch_size)

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
        """Frames of codes that come in pieces; they lag behind by the decoder's view ahead.

        Raises:
            SettingsError: They have other channels than the network takes.
        """
        pieces = self._check_codes(codes)
        memory = Recollection()
        for group, memory.ending in mark_last(regroup(pieces, first=1, then=1)):
            x = self._decode_group(group, memory)
            if x.shape[2]:
                yield x

    def _encode_group(self, x: Tensor, memory: Recollection) -> Tensor:
        coder = self.encoder
        h = _convolve(coder.conv_in, fold_patches(x, self.patch), memory)
        for block in coder.down_blocks:
            for layer in block.resnets:
                h = _add_block(layer, h, memory)
            for layer in block.downsamplers or ():
                h = _convolve(layer, h, memory)
            if block.conv_out is not None:
                h = _add_block(block.conv_out, h, memory)
        for layer in coder.mid_block.resnets:
            h = _add_block(layer, h, memory)
        h = _convolve(coder.conv_out, coder.conv_act(_normalise(coder.norm_out, h)), memory)
        return h[:, : self.code_channels]  # the last is one log-variance, for all of them

    def _decode_group(self, z: Tensor, memory: Recollection) -> Tensor:
        coder = self.decoder
        h = _convolve(coder.conv_in, z, memory)
        for layer in coder.mid_block.resnets:
            h = _add_block(layer, h, memory)
        for block in coder.up_blocks:
            if block.conv_in is not None:
                h = _add_block(block.conv_in, h, memory)
            for layer in block.upsamplers or ():
                h = _enlarge(layer, h, memory)
            for layer in block.resnets:
                h = _add_block(layer, h, memory)
        h = _convolve(coder.conv_out, coder.conv_act(_normalise(coder.norm_out, h)), memory)
        return unfold_patches(h, self.patch)

    @property
    def floats_per_voxel(self) -> tuple[float, float]:
        """See `Framed`; measured. Most of it are the frames that layers keep, and wait for."""
        return (75.0 * self.width / self.patch**2, 275.0 * self.width / self.patch**2)


def _normalise(norm: Any, h: Tensor) -> Tensor:
    return norm(h.movedim(1, -1)).movedim(-1, 1)


def _convolve(layer: Any, h: Tensor, memory: Recollection) -> Tensor:
    taps = layer.kernel_size[0]
    if layer.is_causal:
        return memory.convolve(layer.conv, h, before=taps - 1)
    return memory.convolve(layer.conv, h, before=taps // 2, behind=taps // 2)


def _add_block(block: Any, x: Tensor, memory: Recollection) -> Tensor:
    """A residual block, the shortcut waiting for what comes out beside it."""
    h = _convolve(block.conv1, block.nonlinearity(_normalise(block.norm1, x)), memory)
    h = _convolve(block.conv2, block.nonlinearity(_normalise(block.norm2, h)), memory)
    x = memory.delay(block, x, until=h)
    if block.conv_shortcut is not None:
        x = _convolve(block.conv_shortcut, _normalise(block.norm3, x), memory)
    return h + x


def _enlarge(layer: Any, h: Tensor, memory: Recollection) -> Tensor:
    """Twice the frames, rows and columns; the sequence's first frame stays one."""
    h = _convolve(layer.conv, h, memory)
    batch, channels, frames, rows, columns = h.shape
    h = h.reshape(batch, channels // 8, 2, 2, 2, frames, rows, columns)
    h = h.permute(0, 1, 5, 2, 6, 3, 7, 4)
    h = h.reshape(batch, channels // 8, 2 * frames, 2 * rows, 2 * columns)
    if h.shape[2] == 0 or memory.knows(layer, "beginning"):
        return h
    memory.keep(layer, h[:, :, :0], "beginning")
    return h[:, :, 1:]

"""CogVideoX's video autoencoder, in the batches of frames that are part of its definition.

    frames   0 … 8 │ 9 … 16 │ 17 … 24 │ …       groups of channels are normalised over one batch;
    codes    0 1 2 │  3  4  │  5   6  │ …       of the batch before it convolutions keep two frames

So 1 frame, or 1 + 8 · n of them, are what its authors and the library run it on. 5 + 8 · n frames
are made so many by repeating the last, and what comes of those that were added is cut off again:
the library would take the odd four with the first batch, whose statistics then depend on the
length of the sequence, and would give two codes eight frames instead of five.

Yang et al. 2024, "CogVideoX: Text-to-video diffusion models with an expert transformer", arXiv
2408.06072.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from plica.networks.borrowed import borrow
from plica.networks.frames import Streaming
from plica.networks.regrouping import regroup

_CODES = 2  # of a batch, besides the first frame's own


class CogVideoX(Streaming):
    """A `plica.networks.frames.Framed` network around diffusers' layers.

    Args:
        widths: Channels of each level, finest first.
        code_channels: Channels of the codes.
        blocks: Residual blocks per level of the encoder; the decoder has one more.
    """

    factor = 8
    period = 4
    causal = True
    frames_at_a_time = 1 + _CODES * 4
    kept_per_code = (0.0, 0.0)

    def __init__(self, *, widths: tuple[int, ...], code_channels: int, blocks: int = 3) -> None:
        super().__init__()
        model = borrow("AutoencoderKLCogVideoX")(
            block_out_channels=widths, latent_channels=code_channels, layers_per_block=blocks
        )
        self.encoder, self.decoder = model.encoder, model.decoder
        self.code_channels = code_channels
        self.width = widths[0]

    def encode_stream(self, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """Code frames of a sequence that comes in pieces.

        Raises:
            SettingsError: It has other channels, sides or frames than the network takes.
        """
        pieces = self._check_frames(frames)
        kept: Any = None
        for batch, added in _batches(pieces, _CODES * self.period):
            h, kept = self.encoder(batch, conv_cache=kept)
            codes = h.chunk(2, dim=1)[0]
            yield codes[:, :, : codes.shape[2] - added // self.period]

    def decode_stream(self, codes: Iterable[Tensor]) -> Iterator[Tensor]:
        """Frames of codes that come in pieces.

        Raises:
            SettingsError: They have other channels than the network takes.
        """
        pieces = self._check_codes(codes)
        kept: Any = None
        for batch, added in _batches(pieces, _CODES):
            x, kept = self.decoder(batch, conv_cache=kept)
            yield x[:, :, : x.shape[2] - added * self.period]

    @property
    def floats_per_voxel(self) -> tuple[float, float]:
        """See `Framed`; measured."""
        return (16.0 * self.width, 28.0 * self.width)


def _batches(pieces: Iterable[Tensor], size: int) -> Iterator[tuple[Tensor, int]]:
    """Batches of 1 + size, then of size frames; and how many were added to fill the last.

    A sequence of one frame is a batch of its own.
    """
    for number, batch in enumerate(regroup(pieces, first=1 + size, then=size)):
        full = size if number or batch.shape[2] == 1 else 1 + size
        added = 0 if number == 0 and batch.shape[2] == 1 else full - batch.shape[2]
        yield _repeat_last(batch, added), added


def _repeat_last(batch: Tensor, times: int) -> Tensor:
    return torch.cat([batch, *[batch[:, :, -1:]] * times], dim=2) if times else batch

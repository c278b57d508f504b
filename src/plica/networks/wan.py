"""Wan's causal video autoencoders, 2.1 and 2.2, frame group by frame group.

    frames   0 │ 1 2 3 4 │ 5 6 7 8 │ …          a group at a time goes through all layers; of the
    codes    0 │    1    │    2    │ …          group before it each convolution keeps two frames

All normalisations see one place of one frame, and attention one frame; so that this, which is how
the library itself runs a whole sequence, needs no more memory for a longer one.

Wan Team 2025, "Wan: Open and advanced large-scale video generative models", arXiv 2503.20314.
Differences from the library, on purpose: what is decoded is not clamped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from torch import Tensor

from plica.networks.borrowed import borrow
from plica.networks.frames import Streaming
from plica.networks.patches import fold_patches, unfold_patches
from plica.networks.regrouping import regroup


class Wan(Streaming):
    """A `plica.networks.frames.Framed` network around diffusers' layers.

    Args:
        width: Channels of the encoder's finest level.
        decoder_width: Of the decoder's.
        code_channels: Channels of the codes.
        residual: Whether resampling has a shortcut, as in 2.2.
        patch: Side of the patches of pixels that are made channels at first, as in 2.2.
    """

    period = 4
    causal = True
    frames_at_a_time = 4
    kept_per_code = (0.0, 0.0)

    def __init__(
        self,
        *,
        width: int,
        decoder_width: int,
        code_channels: int,
        residual: bool = False,
        patch: int = 1,
    ) -> None:
        super().__init__()
        model = borrow("AutoencoderKLWan")(
            base_dim=width,
            decoder_base_dim=decoder_width,
            z_dim=code_channels,
            is_residual=residual,
            in_channels=self.in_channels * patch**2,
            out_channels=self.in_channels * patch**2,
        )
        self.encoder, self.decoder = model.encoder, model.decoder
        self.quant_conv, self.post_quant_conv = model.quant_conv, model.post_quant_conv
        self.code_channels = code_channels
        self.factor = 8 * patch
        self.patch = patch
        self.widths = (width, decoder_width)

    def encode_stream(self, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """Code frames of a sequence that comes in pieces.

        Raises:
            SettingsError: It has other channels, sides or frames than the network takes.
        """
        pieces = self._check_frames(frames)
        kept: list[Any] = [None] * len(list(self.encoder.modules()))
        for group in regroup(pieces, first=1, then=self.period):
            h = self.encoder(fold_patches(group, self.patch), feat_cache=kept, feat_idx=[0])
            yield self.quant_conv(h).chunk(2, dim=1)[0]

    def decode_stream(self, codes: Iterable[Tensor]) -> Iterator[Tensor]:
        """Frames of codes that come in pieces.

        Raises:
            SettingsError: They have other channels than the network takes.
        """
        pieces = self._check_codes(codes)
        kept: list[Any] = [None] * len(list(self.decoder.modules()))
        for number, group in enumerate(regroup(pieces, first=1, then=1)):
            h = self.post_quant_conv(group)
            h = self.decoder(h, feat_cache=kept, feat_idx=[0], first_chunk=number == 0)
            yield unfold_patches(h, self.patch)

    @property
    def floats_per_voxel(self) -> tuple[float, float]:
        """See `Framed`; measured, with the frames that convolutions keep."""
        before, after = (width / self.patch**2 for width in self.widths)
        # Shortcuts around resampling hold as much again, and more.
        return ((34.0 if self.patch > 1 else 13.0) * before, 32.0 * after)

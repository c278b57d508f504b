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

from torch import Tensor, nn

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
        return self.quant_conv(self.encoder(x)).chunk(2, dim=1)[0]

    def decode(self, z: Tensor) -> Tensor:
        """The sequence of codes z, about [−1, 1]; not clamped.

        Raises:
            SettingsError: They have other channels than the network takes.
        """
        (z,) = check_pieces([z], channels=self.code_channels, factor=1, period=1)
        return self.decoder(self.post_quant_conv(z))

    def encode_stream(self, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """Codes of a sequence that comes in pieces, when all have come."""
        yield self.encode(join(frames))

    def decode_stream(self, codes: Iterable[Tensor]) -> Iterator[Tensor]:
        """The sequence of codes that come in pieces, when all have come."""
        yield self.decode(join(codes))

    @property
    def floats_per_voxel(self) -> tuple[float, float]:
        """See `Framed`; measured."""
        return (6.0 * self.width, 8.0 * self.width)

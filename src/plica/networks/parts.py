"""What is done in one direction through an autoencoder: a coder, and what stands around it.

Around the coders of the published networks stand only layers that see single cells: the 1×1
convolutions beside the codes, and the codebook. They are done to each box as it comes or goes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from plica.errors import SettingsError
from plica.networks.coders import Decoder, Encoder
from plica.networks.kl import KlAutoencoder
from plica.networks.maisi import MaisiAutoencoder, from_unit, to_unit
from plica.networks.stitched import Stitched
from plica.networks.vq import Codebook, VqAutoencoder

Direction = Literal["encode", "posterior", "decode"]
# Distances of codes to entries that may exist at a time: 8 MiB.
TABLE = 2**21


@dataclass(frozen=True)
class Part:
    """One direction through a network, for one batch element.

    Args:
        coder: What needs a schedule.
        before: Done to each box that enters it.
        after: Done to each box that leaves it.
        channels: Of what enters, and of what leaves.
        axes: How the axes of space are turned before, and back after it.
        sliced: Whether the last axis is walked slice by slice, in two dimensions.
        looking: Entries of the codebook that is searched on the way.
    """

    coder: Encoder | Decoder
    before: Callable[[Tensor], Tensor]
    after: Callable[[Tensor], Tensor]
    channels: tuple[int, int]
    axes: tuple[int, ...]
    sliced: bool = False
    looking: int = 0

    @property
    def dtype(self) -> torch.dtype:
        """Type of the layers' parameters, and of every map."""
        return self.coder.conv_in.weight.dtype

    @property
    def outer(self) -> torch.dtype:
        """Type of what enters, of what leaves, and of the layers around the coder."""
        return self.coder.conv_out.weight.dtype

    @property
    def factor(self) -> int:
        """Cells of the image per cell of the codes, along each axis."""
        levels = self.coder.up if isinstance(self.coder, Decoder) else self.coder.down
        return 2 ** (len(levels) - 1)

    @property
    def enlarging(self) -> bool:
        """Whether images come out."""
        return isinstance(self.coder, Decoder)


def take_apart(network: nn.Module, direction: str) -> Part:
    """The part of a network that goes in one direction.

    Args:
        network: A KL, MAISI, VQ or stitched autoencoder, or an encoder or decoder alone.
        direction: "encode", "posterior" (mean and log-variance on one channel axis) or "decode".

    Raises:
        SettingsError: The network has no such direction, or is of another kind.

    Examples:
        >>> part = take_apart(network, "encode")
        >>> part.channels
        (1, 2)
    """
    if isinstance(network, Encoder | Decoder):
        return _bare(network)
    if isinstance(network, VqAutoencoder) and direction in {"encode", "decode"}:
        return _through_codebook(network, direction)
    if isinstance(network, KlAutoencoder | MaisiAutoencoder) and direction in {
        "encode",
        "posterior",
        "decode",
    }:
        return _around_posterior(network, direction)
    if isinstance(network, Stitched) and direction in {"encode", "decode"}:
        return _stitched(network, direction)
    raise SettingsError(
        f"exact schedules know encode and decode of KL, MAISI, VQ and stitched networks and the "
        f"posterior of the first two, but {direction!r} of {type(network).__name__} was asked for"
    )


def _bare(coder: Encoder | Decoder) -> Part:
    axes = tuple(range(coder.conv_in.weight.ndim - 2))
    channels = (coder.conv_in.in_channels, coder.conv_out.out_channels)
    return Part(coder, _leave_alone, _leave_alone, channels, axes)


def _around_posterior(network: KlAutoencoder | MaisiAutoencoder, direction: str) -> Part:
    codes, axes = network.code_channels, tuple(range(network.dims))
    outer, inner = _leave_alone, _leave_alone
    if isinstance(network, MaisiAutoencoder):
        outer, inner = from_unit, to_unit
    if direction == "decode":
        channels = (codes, network.in_channels)
        return Part(network.decoder, network.post_quant_conv, outer, channels, axes)
    end, width = {"encode": (_mean, codes), "posterior": (_moments, 2 * codes)}[direction]
    after = partial(end, network.quant_conv)
    return Part(network.encoder, inner, after, (network.in_channels, width), axes)


def _through_codebook(network: VqAutoencoder, direction: str) -> Part:
    codes, axes = network.code_channels, tuple(range(network.dims))
    if direction == "decode":
        before = partial(_look_up_first, network.quantize, network.post_quant_conv)
        channels = (codes, network.in_channels)
        return Part(network.decoder, before, _leave_alone, channels, axes, False, network.codebook)
    after = partial(_look_up_last, network.quant_conv, network.quantize)
    channels = (network.in_channels, codes)
    return Part(network.encoder, _leave_alone, after, channels, axes, False, network.codebook)


def _stitched(network: Stitched, direction: str) -> Part:
    codes = network.code_channels
    if direction == "decode":
        channels = (codes, network.in_channels)
        return Part(network.decoder, network.post_quant_conv, _leave_alone, channels, (1, 0, 2))
    after = partial(_mean, network.quant_conv)
    return Part(network.encoder, _leave_alone, after, (network.in_channels, codes), (1, 0), True)


def _leave_alone(x: Tensor) -> Tensor:
    return x


def _mean(quant_conv: nn.Module, h: Tensor) -> Tensor:
    return quant_conv(h).chunk(2, dim=1)[0]


def _moments(quant_conv: nn.Module, h: Tensor) -> Tensor:
    mean, logvar = quant_conv(h).chunk(2, dim=1)
    return torch.cat([mean, logvar.clamp(-30.0, 20.0)], dim=1)


def _look_up_first(codebook: Codebook, post_quant_conv: nn.Module, z: Tensor) -> Tensor:
    return post_quant_conv(codebook(z, TABLE))


def _look_up_last(quant_conv: nn.Module, codebook: Codebook, h: Tensor) -> Tensor:
    return codebook(quant_conv(h), TABLE)

"""What every network of sequences must do, with weights that are made."""

from __future__ import annotations

import gc
import math
import zlib
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from plica.errors import SettingsError
from plica.networks.frames import Framed

EXACT = 1e-12
"""Of the result's deviation, in double precision: nothing but rounding."""


def fill(network: nn.Module) -> nn.Module:
    """Weights that keep activations at their size, in double precision, where no layer is dead."""
    for name, parameter in network.named_parameters():
        generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        drawn = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        inputs = parameter.numel() / max(1, parameter.shape[0] if parameter.ndim else 1)
        if name.endswith("bias"):
            drawn = 0.05 * drawn
        elif inputs == 1:
            drawn = 1 + 0.2 * drawn
        else:
            drawn = drawn / math.sqrt(inputs)
        parameter.data = drawn
    return network.double().eval().requires_grad_(False)


def make_frames(channels: int, frames: int, rows: int, columns: int) -> Tensor:
    generator = torch.Generator().manual_seed(frames)
    noise = torch.rand(1, channels, frames, rows, columns, generator=generator) * 2 - 1
    return noise.double()


def differ(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference, of the deviation of what is compared with."""
    assert ours.shape == theirs.shape
    return float((ours - theirs).abs().max() / theirs.std())


def check_streams(network: Any, frames: int, *, side: int | None = None) -> None:
    """Pieces of any length give what the whole gives, there and back."""
    side = side or network.factor
    x = make_frames(network.in_channels, frames, side, side + network.factor)
    z = network.encode(x)
    y = network.decode(z)
    assert isinstance(network, Framed)
    assert z.shape[:3] == (1, network.code_channels, 1 + (frames - 1) // network.period)
    assert z.shape[3:] == (side // network.factor, 1 + side // network.factor)
    assert y.shape == x.shape
    for piece in (1, 2, 5, network.period + 3):
        assert torch.equal(torch.cat([*network.encode_stream(x.split(piece, 2))], 2), z), piece
        assert torch.equal(torch.cat([*network.decode_stream(z.split(piece, 2))], 2), y), piece


def check_library(network: Any, theirs: Any, frames: int, *, within: float = EXACT) -> None:
    """The library's own encode and decode of the whole sequence give the same."""
    x = make_frames(network.in_channels, frames, network.factor, 2 * network.factor)
    z = theirs.encode(x).latent_dist.mode()
    assert differ(network.encode(x), z) < within
    y = theirs.decode(z).sample
    # Some clamp what they decode, and some do not.
    assert differ(network.decode(z).clamp(-1, 1), y.clamp(-1, 1)) < within


def check_depends_on_the_past_alone(network: Any, frames: int) -> None:
    """Codes do not change when later frames do."""
    x = make_frames(network.in_channels, frames, network.factor, network.factor)
    later = x.clone()
    later[:, :, 1 + network.period :] *= -1
    z, changed = network.encode(x), network.encode(later)
    assert torch.equal(z[:, :, :2], changed[:, :, :2])
    assert not torch.equal(z[:, :, 2:], changed[:, :, 2:])


def check_refusals(network: Any) -> None:
    """Sides and lengths that are none of its own are refused, however they come."""
    side = network.factor
    for shape in (
        (1, network.in_channels, 1, side + 1, side),
        (1, network.in_channels, 1, side, side - 1),
        (1, network.in_channels + 1, 1, side, side),
        (1, network.in_channels, 2, side, side),
        (1, network.in_channels, side, side),
    ):
        with pytest.raises(SettingsError, match="this network takes"):
            network.encode(torch.zeros(shape, dtype=torch.float64))
    with pytest.raises(SettingsError, match="but 3 came"):
        list(network.encode_stream(make_frames(network.in_channels, 3, side, side).split(1, 2)))
    with pytest.raises(SettingsError, match="this network takes"):
        network.decode(torch.zeros(1, network.code_channels + 1, 1, 1, 1, dtype=torch.float64))


def count_held(network: Any, frames: int, direction: str) -> list[int]:
    """Bytes of tensors that are alive after each piece a stream gave, besides those before it."""
    x = make_frames(network.in_channels, frames, network.factor, network.factor)
    source = x if direction == "encode" else network.encode(x)
    pieces = (piece.clone() for piece in source.split(1, 2))
    held = []
    gc.collect()
    gc.freeze()  # what there is already is not listed
    try:
        for _ in getattr(network, f"{direction}_stream")(pieces):
            alive = {
                one.untyped_storage().data_ptr(): one.untyped_storage().nbytes()
                for one in gc.get_objects()
                if issubclass(type(one), Tensor)
            }
            held.append(sum(alive.values()))
    finally:
        gc.unfreeze()
    return held

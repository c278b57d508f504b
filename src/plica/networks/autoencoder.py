"""What an autoencoder is, for everything that uses one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class Autoencoder(Protocol):
    """A network that folds tensors into codes and back.

    Contract: x is (batch, in_channels, *space) in [−1, 1] with `dims` axes of space, each a
    multiple of `factor`; codes are (batch, code_channels, *space / factor). `encode` is
    deterministic (the posterior mean, where there is a posterior). `decode(encode(x))` has x's
    shape. Both keep the device, and compute in the parameters' type.

    Two-dimensional networks see (row, column); three-dimensional ones see (i, j, k).
    """

    dims: int
    factor: int
    in_channels: int
    code_channels: int

    def encode(self, x: Tensor) -> Tensor:
        """Codes of x: the posterior mean."""
        ...

    def decode(self, z: Tensor) -> Tensor:
        """The image of codes z, about [−1, 1]; not clamped."""
        ...


@runtime_checkable
class Sampling(Protocol):
    """An autoencoder with a posterior that can be drawn from."""

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the codes, each shaped as the codes."""
        ...


@runtime_checkable
class Projecting(Protocol):
    """An autoencoder with a second latent, made for classifiers; it cannot be decoded."""

    def project(self, z: Tensor) -> Tensor:
        """The stage-2 latent of codes z, of the same shape."""
        ...


@runtime_checkable
class Local(Protocol):
    """An autoencoder of which everything sees a finite neighbourhood, so that tiles are exact.

    Contract: a code depends on no voxel further than `encoder_reach` code cells from its own
    cell, a voxel on no code further than `decoder_reach` cells from its own, along any axis. At
    the borders of what it is given the network fills up layer by layer; so the neighbourhood must
    be there, except where the image ends.
    """

    @property
    def encoder_reach(self) -> int:
        """In code cells."""
        ...

    @property
    def decoder_reach(self) -> int:
        """In code cells."""
        ...

    @property
    def floats_per_voxel(self) -> tuple[float, float]:
        """About how many numbers are held at once per voxel of the image: encoding, decoding."""
        ...


@dataclass(frozen=True)
class Pass:
    """One of the walks over an image that, one after another, encode or decode it.

    Args:
        function: (batch, channel, *cells) → (batch, channel, *cells / factor).
        reach: How far a cell of the result sees beyond its own, in cells of the input.
        factor: Cells of the input per cell of the result; below one where it enlarges.
        floats: About how many numbers are held at once per cell of the input.
        share: Of the work of all passes.
        channels: Of the result, where another pass takes it.
        whole: Whether it looks at the whole map, and is run on it at once; only for maps as coarse
            as the codes.
    """

    function: Callable[[Tensor], Tensor]
    reach: int
    factor: float
    floats: float
    share: float = 1.0
    channels: int = 0
    whole: bool = False


@runtime_checkable
class Passing(Protocol):
    """An autoencoder run in passes, each in tiles with a halo or, on coarse maps, at once.

    Contract: the passes, one after another, give what `encode` and `decode` give.
    """

    def encoding_passes(self) -> tuple[Pass, ...]:
        """The passes from an image to codes, first to last."""
        ...

    def decoding_passes(self) -> tuple[Pass, ...]:
        """The passes from codes to an image, first to last."""
        ...


@runtime_checkable
class Staged(Protocol):
    """A local autoencoder that decodes in several passes, each with a nearer view than the whole.

    Contract: the passes, one after another, give what `decode` gives.
    """

    def decoding_passes(self) -> tuple[Pass, ...]:
        """The passes, first to last."""
        ...

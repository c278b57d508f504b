"""What an autoencoder of sequences is: frames in, code frames out, a few at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from plica.networks.regrouping import check_pieces, join


@runtime_checkable
class Framed(Protocol):
    """A network that folds sequences of frames into sequences of code frames.

    Contract: x is (batch, in_channels, frame, row, column) in [−1, 1]; rows and columns are
    multiples of `factor`. Where it is `causal`, there are 1 + period · n frames, of which the first
    has a code frame of its own, and codes are (batch, code_channels, 1 + n, rows / factor,
    columns / factor); otherwise there are period · n frames and n code frames. Encoding is
    deterministic (the posterior mean, where there is a posterior).

    The streams take pieces of a sequence, in order, each of one frame or more, and give pieces of
    the result as soon as they are known: joined they are what `encode` and `decode` give of the
    whole sequence. Where `streams` is false nothing is known before the sequence ends, and the
    streams gather it. Several sequences may not be streamed through one network at a time.
    """

    factor: int
    period: int
    causal: bool
    streams: bool
    in_channels: int
    code_channels: int

    def encode(self, x: Tensor) -> Tensor:
        """Codes of a whole sequence."""
        ...

    def decode(self, z: Tensor) -> Tensor:
        """The sequence of codes z, about [−1, 1]; not clamped."""
        ...

    def encode_stream(self, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """Code frames of a sequence that comes in pieces."""
        ...

    def decode_stream(self, codes: Iterable[Tensor]) -> Iterator[Tensor]:
        """Frames of codes that come in pieces."""
        ...

    @property
    def floats_per_voxel(self) -> tuple[float, float]:
        """About how many numbers are held at once per voxel of a group: encoding, decoding."""
        ...

    @property
    def kept_per_code(self) -> tuple[float, float]:
        """Numbers kept per code of all code frames before: encoding, decoding.

        They alone grow with the sequence.
        """
        ...

    @property
    def frames_at_a_time(self) -> int:
        """How many frames are computed at a time, as a group; 0 where all are."""
        ...


class Streaming(nn.Module, ABC):
    """A `Framed` network that is written as its streams: a whole sequence is one piece of them.

    Contract: implementations bring the two streams and the numbers of `Framed`, and leave the rest
    as it is.
    """

    streams = True
    in_channels = 3
    factor: int
    period: int
    code_channels: int

    @abstractmethod
    def encode_stream(self, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """Code frames of a sequence that comes in pieces."""

    @abstractmethod
    def decode_stream(self, codes: Iterable[Tensor]) -> Iterator[Tensor]:
        """Frames of codes that come in pieces."""

    def encode(self, x: Tensor) -> Tensor:
        """Codes of a whole sequence: the posterior's mean, where there is a posterior."""
        return join(self.encode_stream([x]))

    def decode(self, z: Tensor) -> Tensor:
        """The sequence of codes z, about [−1, 1]; not clamped."""
        return join(self.decode_stream([z]))

    def _check_frames(self, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """The pieces as they come.

        Raises:
            SettingsError: They have other channels, sides or frames than the network takes.
        """
        return check_pieces(
            frames, channels=self.in_channels, factor=self.factor, period=self.period
        )

    def _check_codes(self, codes: Iterable[Tensor]) -> Iterator[Tensor]:
        """The pieces as they come.

        Raises:
            SettingsError: They have other channels than the network takes.
        """
        return check_pieces(codes, channels=self.code_channels, factor=1, period=1)

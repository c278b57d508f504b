"""What a codec is, and what stands in the table of codecs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from plica.codecs.card import CodecCard
from plica.errors import LatentError, UnknownName, UnusablePixels
from plica.grid import Grid
from plica.image import Image, Unit
from plica.latent import Latent, LatentKind, say_settings

Begin = Callable[[Image], NDArray[Any]]
"""Is given an image without values and gives the array they are to be laid into."""
RANDOM = "random"
"""Stands in the place of a weights file where the weights are to be drawn."""


@runtime_checkable
class Codec(Protocol):
    """Folds an image into a latent and unfolds it on the source's own grid.

    Contract: `encode` is deterministic unless a seed is given; `decode(encode(image))` has the
    image's shape, grid (1e-3 mm), unit and pixel type. `decode` refuses a latent whose codec
    fingerprint is not this codec's.
    """

    @property
    def card(self) -> CodecCard:
        """The facts."""
        ...

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the weights, or over the settings of a codec without weights."""
        ...

    def encode(
        self, image: Image, *, kind: LatentKind | None = None, seed: int | None = None
    ) -> Latent:
        """Fold an image.

        Args:
            kind: One of the card's `latents`; None takes the first.
            seed: Draw from the posterior with this seed; None takes its mean.

        Raises:
            UnusablePixels: The codec does not take such an image.
        """
        ...

    def decode(self, latent: Latent) -> Image:
        """Unfold a latent.

        Raises:
            LatentError: Another codec or other weights made it, or it is of a kind that
                cannot be decoded.
        """
        ...


@runtime_checkable
class Streaming(Codec, Protocol):
    """A codec whose decoded image need not be whole in memory."""

    def decode_into(self, latent: Latent, begin: Begin) -> Image:
        """Unfold a latent into pixels of the caller's, such as those mapped from a file."""
        ...


def in_memory(outline: Image) -> NDArray[Any]:
    """An array for a decoded image's pixels; a `Begin`."""
    return np.empty(outline.pixels.shape, outline.pixels.dtype)


@dataclass(frozen=True)
class Request:
    """What a codec is built with.

    Args:
        weights: A local weights file, "hub:repo@revision", or "random"; None takes the card's own
            source.
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        options: Settings of the one codec, such as the rate of jpeg2000; unknown ones are errors.
    """

    weights: str | Path | None = None
    device: str = "auto"
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Offer:
    """A codec in the table: its card at once, the codec itself when asked for.

    Modules that hold offers import no torch at their top: listing codecs stays fast.
    """

    card: CodecCard
    build: Callable[[Request], Codec]


def check_options(request: Request, card: CodecCard, known: tuple[str, ...] = ()) -> None:
    """Refuse settings the codec does not have.

    Raises:
        UnknownName: There is one.
    """
    if unknown := sorted(set(request.options) - set(known)):
        from plica.codecs.preparing import Preparing  # thirteen steps, for a message

        shared = ", ".join(one.name for one in fields(Preparing))
        own = f"its own are: {', '.join(known)}" if known else "it has none of its own"
        raise UnknownName(
            f"{card.name} has no option {' or '.join(map(repr, unknown))}; {own}; how images are "
            f"prepared for networks is said by: {shared}"
        )


def check_image(image: Any) -> None:
    """Refuse what is not an image, before it fails somewhere inside.

    Raises:
        UnusablePixels: It is an array or a path, say.
    """
    if not isinstance(image, Image):
        raise UnusablePixels(
            f"a codec encodes a plica.Image, but got {type(image).__name__}: read one with "
            "plica.read, or make one of an array with plica.Image(pixels, grid)"
        )


def check_blendable(image: Image, card: CodecCard) -> None:
    """Refuse an image whose values name classes: what is between two classes is no class.

    Raises:
        UnusablePixels: It is one.
    """
    if image.unit is Unit.LABEL:
        raise UnusablePixels(
            f"label images are whole numbers that name classes, which {card.name} would blend: use "
            "a lossless codec (identity, or jpegxl with lossless=true), or read it in "
            "the unit 'relative' to encode its numbers as grey values all the same"
        )


def check_maker(
    latent: Any, card: CodecCard, fingerprint: str, *, any_settings: bool = False
) -> None:
    """Refuse a latent that another codec, other weights, or other settings made.

    A latent that tells no settings is taken: it was made before they were kept, or with none.

    Args:
        latent: To be decoded.
        card: Of the codec that is to decode it.
        fingerprint: Of that codec.
        any_settings: Whether decoding is the same whatever the settings are.

    Raises:
        LatentError: They did.

    Examples:
        >>> codec = plica.load("bicubic-4x-2d")
        >>> check_maker(codec.encode(image), codec.card, codec.fingerprint)
    """
    if not isinstance(latent, Latent):
        raise LatentError(
            f"a codec decodes a plica.Latent, but got {type(latent).__name__}: make one with "
            "encode, or read one with plica.read_latent"
        )
    if latent.codec.name != card.name:
        raise LatentError(
            f"the latent was made by {latent.codec.name}, not by {card.name}: decode it with that"
        )
    if latent.codec.fingerprint != fingerprint:
        raise LatentError(
            f"the latent was made by {card.name} with other weights "
            f"({latent.codec.fingerprint[:19]}… instead of {fingerprint[:19]}…): "
            "give the same weights file it was encoded with"
        )
    made_with, loaded_with = dict(latent.codec.settings), dict(card.loaded_with)
    if made_with and made_with != loaded_with and not any_settings:
        raise LatentError(
            f"the latent was made by {card.name} with {say_settings(made_with)}, but this one was "
            f"loaded with {say_settings(loaded_with)}: load it with the same"
        )


def check_way_back(decoded: Grid, source: Grid) -> None:
    """Refuse a trail that does not end on the grid it began on.

    Raises:
        LatentError: It does not: the latent file was altered.
    """
    if not decoded.agrees_with(source, tolerance_mm=1e-3):
        raise LatentError(
            f"the way back ends on a grid of {decoded.shape} voxels at {decoded.origin_mm} mm, but "
            f"the source had {source.shape} at {source.origin_mm} mm: the latent is damaged"
        )

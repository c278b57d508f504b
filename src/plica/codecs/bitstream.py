"""Bitstream codecs: images as files of a standard, plane by plane, for comparisons in bytes."""

from __future__ import annotations

import hashlib
import importlib
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.codecs.card import CodecCard, WeightsSource
from plica.codecs.codec import (
    Codec,
    Offer,
    Request,
    check_blendable,
    check_image,
    check_maker,
    check_options,
)
from plica.codecs.levels import Levels
from plica.errors import LatentError, SettingsError, UnknownName, UnusablePixels
from plica.image import Image
from plica.latent import Latent, LatentKind

Plane = NDArray[np.uint16]
EncodePlanes = Callable[[Sequence[Plane], float | None], list[bytes]]
DecodePlane = Callable[[bytes, tuple[int, int]], Plane]

DEFAULT_RATE = 1.0
# Head of the stream: mark, type, channels, step, offset in the pixels' own type; then the length
# of each plane's codestream, then these.
_HEAD = struct.Struct("<4s4sId8s")
_MARK = b"plb1"
_TYPES = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
# What may come out of few bytes: up to this size anything, above it so many times the stream.
_FREE_BYTES, _MOST_EXPANSION = 2**28, 1000


@dataclass(frozen=True)
class BitstreamCodec:
    """Every plane along k of every channel as one codestream of sixteen-bit grey.

    Args:
        card: The facts.
        encode_planes: Planes and a rate in bits per pixel (None: without loss) to codestreams.
        decode_plane: A codestream and its shape to the plane.
        rate: Bits per pixel; None keeps whole numbers exactly.
    """

    card: CodecCard
    encode_planes: EncodePlanes
    decode_plane: DecodePlane
    rate: float | None = DEFAULT_RATE

    @property
    def fingerprint(self) -> str:
        """Of the stream's form: latents of any rate can be decoded by any of these codecs."""
        return f"sha256:{hashlib.sha256(self.card.name.encode() + _MARK).hexdigest()}"

    def encode(
        self, image: Image, *, kind: LatentKind | None = None, seed: int | None = None
    ) -> Latent:
        """Fold an image; see `Codec.encode`.

        Raises:
            UnusablePixels: The pixels are not finite, or are asked to be kept exactly and cannot.
        """
        check_image(image)
        if self.rate is not None:
            check_blendable(image, self.card)
        check_bitstream_request(self.card, kind, seed)
        make_levels = Levels.exact if self.rate is None else Levels.spread
        levels = make_levels(image.pixels)
        planes = list(_planes(levels.count(image.pixels)))
        stream = _pack(levels, image.channels, self.encode_planes(planes, self.rate))
        rate = f"{8 * len(stream) / image.pixels.size:.3f} bits per pixel"
        exactly = ", without loss" if self.rate is None else ""
        return bitstream_latent(
            image,
            self.card,
            self.fingerprint,
            stream,
            f"encoded by {self.card.name} ({rate}{exactly})",
        )

    def decode(self, latent: Latent) -> Image:
        """Unfold a latent; see `Codec.decode`."""
        stream = read_bitstream(latent, self.card, self.fingerprint)
        levels, channels, streams = _unpack(stream, latent.source.shape[2])
        i, j, k = latent.source.shape
        needed = channels * i * j * k * levels.dtype.itemsize
        if needed > max(_FREE_BYTES, _MOST_EXPANSION * len(stream)):
            raise LatentError(
                f"the latent's {len(stream)} bytes claim to be {needed} bytes of pixels: "
                "it is damaged, or made to fill memory"
            )
        pixels = np.empty((channels, i, j, k), levels.dtype)
        for number, codestream in enumerate(streams):
            plane = self.decode_plane(codestream, (j, i))
            pixels[number // k, :, :, number % k] = levels.values(plane).T
        return bitstream_image(latent, pixels, self.card)


# -- what all bitstream codecs share -------------------------------------------------------------


def check_bitstream_request(card: CodecCard, kind: LatentKind | None, seed: int | None) -> None:
    """Refuse other kinds of latents, and a seed: a bitstream has no posterior.

    Raises:
        LatentError: One was asked for.
    """
    if kind not in (None, "bitstream"):
        raise LatentError(f"{card.name} has no {kind} latent; it offers bitstream")
    if seed is not None:
        raise LatentError(f"{card.name} has no posterior to sample from: leave out the seed")


def bitstream_latent(
    image: Image, card: CodecCard, fingerprint: str, stream: bytes, step: str
) -> Latent:
    """A latent that holds a stream of bytes."""
    return Latent(
        codes=np.frombuffer(stream, np.uint8).reshape(1, -1, 1, 1),
        codec=card.identify(fingerprint),
        prepared=image.grid,
        factor=(1, 1, 1),
        source=image.grid,
        unit=image.unit,
        display=image.display,
        provenance=image.provenance.after(step),
        kind="bitstream",
    )


def read_bitstream(latent: Latent, card: CodecCard, fingerprint: str) -> bytes:
    """The stream of a latent this codec made.

    Raises:
        LatentError: Another codec made it, or its codes are no bytes.
    """
    check_maker(latent, card, fingerprint, any_settings=True)  # a stream says how it was made
    codes = latent.codes
    if latent.kind != "bitstream" or codes.dtype != np.uint8 or codes.size != codes.shape[1]:
        raise LatentError(
            f"{card.name} decodes bytes of shape (1, n, 1, 1), but the latent holds {codes.dtype} "
            f"of shape {codes.shape}: it is damaged"
        )
    return codes.tobytes()


def bitstream_image(latent: Latent, pixels: NDArray[Any], card: CodecCard) -> Image:
    """The decoded image, on the source's grid."""
    return Image(
        pixels,
        latent.source,
        unit=latent.unit,
        display=latent.display,
        provenance=latent.provenance.after(f"decoded by {card.name}"),
    )


def pack_type(dtype: np.dtype[Any]) -> bytes:
    """A pixel type in four bytes: order and kind, such as b"<i2".

    Raises:
        UnusablePixels: It is none of those that mean the same on every machine.
    """
    if dtype.str[1:] not in _TYPES:
        raise UnusablePixels(
            f"pixels of type {dtype} mean something else on other machines: "
            "convert them to float64 first"
        )
    return dtype.str.encode().ljust(4, b"\0")


def unpack_type(packed: bytes) -> np.dtype[Any]:
    """Read back what `pack_type` made.

    Raises:
        LatentError: It is not a type of pixels.
    """
    text = packed.rstrip(b"\0").decode("ascii", errors="replace")
    if text[:1] not in ("<", ">", "|") or text[1:] not in _TYPES:
        raise LatentError(f"the latent names the pixel type {text!r}, which is none: it is damaged")
    return np.dtype(text)


# -- the stream ----------------------------------------------------------------------------------


def _planes(levels: NDArray[np.uint16]) -> Iterator[Plane]:
    """Planes (row, column) = (j, i), by channel, then by k."""
    for channel in levels:
        for k in range(channel.shape[2]):
            yield np.ascontiguousarray(channel[:, :, k].T)


def _pack(levels: Levels, channels: int, streams: Sequence[bytes]) -> bytes:
    wide = {"f": "<f8", "i": "<i8"}.get(levels.dtype.kind, "<u8")
    offset = np.array(levels.offset, wide).tobytes()
    head = _HEAD.pack(_MARK, pack_type(levels.dtype), channels, levels.step, offset)
    lengths = np.array([len(stream) for stream in streams], "<u4").tobytes()
    return b"".join((head, lengths, *streams))


def _unpack(stream: bytes, slices: int) -> tuple[Levels, int, list[bytes]]:
    """Levels, channels and the codestreams, whose lengths must fill the stream exactly."""
    if len(stream) < _HEAD.size or not stream.startswith(_MARK):
        raise LatentError("the latent's bytes are not a stream of planes: it is damaged")
    _, packed, channels, step, offset = _HEAD.unpack_from(stream)
    count = channels * slices
    body = _HEAD.size + 4 * count
    if not 1 <= count <= len(stream) // 4 or body > len(stream):
        raise LatentError(
            f"the latent claims {channels} channels of {slices} planes in {len(stream)} bytes: "
            "it is damaged"
        )
    lengths = np.frombuffer(stream, "<u4", count, _HEAD.size).astype(np.int64)
    ends = body + np.cumsum(lengths)
    if ends[-1] != len(stream):
        raise LatentError(
            f"the latent's planes end at byte {ends[-1]}, but it has {len(stream)}: it is cut off"
        )
    streams = [
        stream[end - length : end]
        for end, length in zip(ends.tolist(), lengths.tolist(), strict=True)
    ]
    return _unpack_levels(unpack_type(packed), step, offset), channels, streams


def _unpack_levels(dtype: np.dtype[Any], step: float, offset: bytes) -> Levels:
    wide = {"f": "<f8", "i": "<i8"}.get(dtype.kind, "<u8")
    low = np.frombuffer(offset, wide)[0].item()
    highest = low + 65535 * step
    if dtype.kind == "f":  # as far as the type goes, and rounding may lead
        reach = min(float(np.finfo(dtype).max) * (1 + 1e-9), sys.float_info.max)
        sound = step > 0 and max(abs(low), abs(highest)) <= reach
    else:
        sound = 0 < step <= 2**53  # float64 counts no further
    if not sound:
        raise LatentError(f"the latent's levels run from {low} by {step}: it is damaged")
    if dtype.kind != "f":
        bounds = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        if not bounds[0] <= low <= bounds[1]:
            raise LatentError(f"the latent's lowest value {low} is none of {dtype}: it is damaged")
    return Levels(dtype, low, step)


# -- the offers ----------------------------------------------------------------------------------


def _offer(name: str, standard: str, module: str, licence: str, **needs: Any) -> Offer:
    card = CodecCard(
        name=name,
        family=name,
        summary=f"{standard} of every plane at a chosen rate, or without loss.",
        dims=0,
        factor=1,
        channels=1,
        in_channels=1,
        expects="Any image: whole numbers are kept exactly where lossless, others in 65536 levels.",
        licence=licence,
        source=standard,
        weights=WeightsSource("none"),
        receptive_field=0,
        latents=("bitstream",),
        training_data="none",
        extras={
            "options": {"rate": "bits per pixel (1.0)", "lossless": "true or false (false)"},
            **needs,
        },
    )

    def build(request: Request) -> Codec:
        check_options(request, card, ("rate", "lossless"))
        if request.weights is not None:
            raise UnknownName(f"{card.name} has no weights: leave out {request.weights}")
        coder = importlib.import_module(module)
        return BitstreamCodec(card, coder.encode_planes, coder.decode_plane, _rate(card, request))

    return Offer(card, build)


def _rate(card: CodecCard, request: Request) -> float | None:
    lossless, rate = request.options.get("lossless", False), request.options.get("rate")
    if not isinstance(lossless, bool) or (lossless and rate is not None):
        raise SettingsError(f"{card.name}: give lossless=True or a rate, not both")
    if lossless:
        return None
    if rate is None:
        return DEFAULT_RATE
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate <= 64:
        raise SettingsError(f"{card.name}: the rate is in bits per pixel, not {rate!r}")
    return float(rate)


OFFERS: dict[str, Offer] = {
    "jpeg2000": _offer(
        "jpeg2000",
        "JPEG 2000 (ISO/IEC 15444-1, OpenJPEG)",
        "plica.codecs.jpeg2000",
        "BSD-2-Clause (OpenJPEG)",
    ),
    "jpegxl": _offer(
        "jpegxl",
        "JPEG XL (ISO/IEC 18181, libjxl)",
        "plica.codecs.jpegxl",
        "BSD-3-Clause (libjxl)",
        needs={"package": "imagecodecs", "extra": "codecs"},
    ),
}

"""Identity: the pixels themselves, byte for byte."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from plica.codecs.bitstream import (
    bitstream_image,
    bitstream_latent,
    check_bitstream_request,
    pack_type,
    read_bitstream,
    unpack_type,
)
from plica.codecs.card import CodecCard, WeightsSource
from plica.codecs.codec import Codec, Offer, Request, check_image, check_options
from plica.errors import LatentError, UnknownName
from plica.image import Image
from plica.latent import Latent, LatentKind

CARD = CodecCard(
    name="identity",
    family="identity",
    summary="Every pixel as it is: what nothing lost looks like.",
    dims=0,
    factor=1,
    channels=1,
    in_channels=1,
    expects="Any image.",
    licence="none needed",
    source="plica",
    weights=WeightsSource("none"),
    receptive_field=1,
    tileable=True,
    latents=("bitstream",),
    training_data="none",
)


@dataclass(frozen=True)
class IdentityCodec:
    """Four bytes for the type, then the pixels in order, the lowest byte of each first."""

    card: CodecCard = CARD

    @property
    def fingerprint(self) -> str:
        """Of the stream's form."""
        return f"sha256:{hashlib.sha256(b'identity 1').hexdigest()}"

    def encode(
        self, image: Image, *, kind: LatentKind | None = None, seed: int | None = None
    ) -> Latent:
        """Fold an image; see `Codec.encode`."""
        check_image(image)
        check_bitstream_request(self.card, kind, seed)
        little = image.pixels.astype(image.pixels.dtype.newbyteorder("<"))
        stream = pack_type(image.pixels.dtype) + little.tobytes()
        return bitstream_latent(
            image, self.card, self.fingerprint, stream, f"encoded by {self.card.name}"
        )

    def decode(self, latent: Latent) -> Image:
        """Unfold a latent; see `Codec.decode`."""
        stream = read_bitstream(latent, self.card, self.fingerprint)
        dtype = unpack_type(stream[:4])
        i, j, k = latent.source.shape
        body = len(stream) - 4
        channels, rest = divmod(body, i * j * k * dtype.itemsize)
        if rest or not channels:
            raise LatentError(
                f"{body} bytes do not fill a grid of {latent.source.shape} voxels with {dtype}: "
                "the latent is damaged"
            )
        little = np.frombuffer(stream, dtype.newbyteorder("<"), offset=4)
        pixels = little.reshape(channels, i, j, k).astype(dtype)
        return bitstream_image(latent, pixels, self.card)


def _build(request: Request) -> Codec:
    check_options(request, CARD)
    if request.weights is not None:
        raise UnknownName(f"identity has no weights: leave out {request.weights}")
    return IdentityCodec()


OFFERS: dict[str, Offer] = {"identity": Offer(CARD, _build)}

"""Interpolation codecs: what everybody compares with, as codecs."""

from __future__ import annotations

import hashlib
import json

from plica.codecs.card import CodecCard, WeightsSource
from plica.codecs.codec import Codec, Offer, Request, check_options
from plica.errors import UnknownName

_SIZES = ((4, 2), (8, 2), (16, 2), (4, 3), (8, 3))
# Voxels of the image per factor that one code is made of: twice the kernel's support.
_WIDTH = {"nearest": 0, "area": 1, "bilinear": 2, "bicubic": 4, "lanczos": 6}
_METHOD = {
    "nearest": "keeps voxel f/2 of each f (half a voxel beyond the middle) and repeats it",
    "area": "means over cells, repeated",
    "bilinear": "triangle kernel, linear along every axis",
    "bicubic": "Keys' kernel with a = -1/2",
    "lanczos": "Lanczos' kernel of three lobes",
}
_DEFINITION = (
    "Separable; the kernel is stretched by the factor when making coarser (antialiasing) and cut "
    "and normalised anew at borders; centres aligned. As Pillow's resize, and as PyTorch's "
    "interpolate(antialias=True) where it has the kernel."
)
# Raise it when the arithmetic changes: latents of another version are then refused.
_VERSION = 1


def _card(kernel: str, factor: int, dims: int) -> CodecCard:
    return CodecCard(
        name=f"{kernel}-{factor}x-{dims}d",
        family=kernel,
        summary=f"Resampling by {factor} per axis: {_METHOD[kernel]}.",
        dims=dims,
        factor=factor,
        channels=1,
        in_channels=1,
        expects="Any image; its full range is mapped to −1…1 (CT: −1024…3071 HU, or wider).",
        licence="none needed (a formula)",
        source="Keys 1981 (bicubic); Duchon 1979 (lanczos)",
        weights=WeightsSource("none"),
        receptive_field=max(1, _WIDTH[kernel] * factor),
        tileable=True,
        training_data="none",
        extras={"definition": _DEFINITION},
    )


def _fingerprint(card: CodecCard) -> str:
    settings = {"kernel": card.family, "factor": card.factor, "dims": card.dims, "v": _VERSION}
    return f"sha256:{hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()}"


def _offer(kernel: str, factor: int, dims: int) -> Offer:
    card = _card(kernel, factor, dims)

    def build(request: Request) -> Codec:
        from plica.codecs.device import choose_device
        from plica.codecs.networkcodec import NetworkCodec
        from plica.networks.interpolation import Interpolation
        from plica.preparation.pipelines import full_range

        check_options(request, card)
        if request.weights is not None:
            raise UnknownName(f"{card.name} has no weights: leave out {request.weights}")
        return NetworkCodec(
            card=card,
            network=Interpolation(kernel=kernel, dims=dims, factor=factor),
            fingerprint=_fingerprint(card),
            steps=full_range,
            padding="edge",  # background would darken every cell at the border
            device=choose_device(request.device),
        )

    return Offer(card, build)


OFFERS: dict[str, Offer] = {
    offer.card.name: offer
    for offer in (_offer(kernel, *size) for kernel in _METHOD for size in _SIZES)
}

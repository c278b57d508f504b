"""Linear codecs: the Karhunen–Loève transform of patches, fitted in closed form, shipped inside."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from plica.codecs.card import CodecCard, WeightsSource
from plica.codecs.codec import Codec, Offer, Request, check_options

# Weights and their index, as `python -m plica.codecs.linear_fitting` writes them.
FITTED = Path(__file__).parent / "fitted"
_SIZES = ((4, 1, 2), (4, 3, 2), (8, 1, 2), (8, 4, 2), (4, 1, 3), (8, 1, 3), (4, 4, 3))


@cache
def _index() -> dict[str, Any]:
    return json.loads((FITTED / "linear.json").read_text(encoding="utf-8"))


def _card(factor: int, channels: int, dims: int) -> CodecCard:
    name = f"linear-{factor}x{channels}-{dims}d"
    fitted = dict(_index()["codecs"][name])
    return CodecCard(
        name=name,
        family="linear",
        summary=(
            f"The optimal linear autoencoder of {factor}-voxel patches: the mean and the "
            f"{channels - 1} strongest directions, decoded by least squares."
            if channels > 1
            else f"Means of {factor}-voxel patches, decoded by least squares from their neighbours."
        ),
        dims=dims,
        factor=factor,
        channels=channels,
        in_channels=1,
        expects="Any image; its full range is mapped to −1…1 (CT: −1024…3071 HU, or wider).",
        licence="Apache-2.0",
        source="plica; Karhunen 1947, Loève 1948",
        weights=WeightsSource(
            kind="packaged",
            filename=f"{name}.safetensors",
            sha256=fitted.pop("sha256"),
            bytes=fitted.pop("bytes"),
        ),
        receptive_field=factor,
        tileable=True,
        training_data=_index()["training_data"][str(dims)],
        extras={"decoder_receptive_field_in_codes": 3, "recipe": "recipes/linear.toml", **fitted},
    )


def _offer(factor: int, channels: int, dims: int) -> Offer:
    card = _card(factor, channels, dims)

    def build(request: Request) -> Codec:
        from plica.codecs import weights
        from plica.codecs.device import choose_device
        from plica.codecs.networkcodec import NetworkCodec
        from plica.networks.linear import Linear
        from plica.preparation.pipelines import full_range

        check_options(request, card)
        own = request.weights is None
        path = (
            FITTED / card.weights.filename
            if own
            else weights.resolve(card.weights, request.weights, name=card.name)
        )
        network = Linear(dims=dims, factor=factor, channels=channels)
        state = weights.read(path, sha256=card.weights.sha256 if own else "")
        weights.fill(network, state, name=card.name)
        return NetworkCodec(
            card=card,
            network=network,
            fingerprint=weights.fingerprint(state),
            steps=full_range,
            padding="edge",  # background would darken every cell at the border
            device=choose_device(request.device),
        )

    return Offer(card, build)


OFFERS: dict[str, Offer] = {offer.card.name: offer for offer in (_offer(*s) for s in _SIZES)}

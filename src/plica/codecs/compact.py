"""Compact codecs: small trained networks that any machine can run, shipped inside."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from plica.codecs.card import CodecCard, WeightsSource
from plica.codecs.codec import Codec, Offer, Request, check_options

# Weights in half precision and their index, as `python -m plica.training.shipping` writes them.
TRAINED = Path(__file__).parent / "trained"
INDEX = "compact.json"


@cache
def _index() -> dict[str, Any]:
    index: dict[str, Any] = json.loads((TRAINED / INDEX).read_text(encoding="utf-8"))
    return index


def _card(name: str, record: dict[str, Any]) -> CodecCard:
    network, training = record["network"], record["training"]
    sources = "; ".join(row["source"] for row in training["data"] if row["split"] == "train")
    return CodecCard(
        name=name,
        family="compact",
        summary=record["summary"],
        dims=network["dims"],
        factor=network["factor"],
        channels=network["code_channels"],
        in_channels=1,
        expects="Any image; its full range is mapped to −1…1 (CT: −1024…3071 HU, or wider).",
        licence=record["licence"],
        source=f"plica; recipes/{training['recipe']}.toml",
        weights=WeightsSource(
            kind="packaged",
            filename=record["filename"],
            sha256=record["sha256"],
            bytes=record["bytes"],
        ),
        receptive_field=record["receptive_field"],
        tileable=True,
        training_data=f"The split 'train' of plica's development images: {sources}.",
        extras={
            "network": network,
            "preparation": "full_range",
            "padding": "edge",
            "training": training,
            **{name: record[name] for name in _FACTS if name in record},
        },
    )


# What the index knows beside the fields of a card.
_FACTS = (
    "parameters",
    "multiply_adds_per_voxel",
    "encoder_reach_in_codes",
    "decoder_reach_in_codes",
    "latent_statistics",
    "half_precision",
    "limit",  # what it is not for, in a few words
    "lesions_kept",  # share of the contrast by diameter, and of what; docs/faithfulness.md
    "notes",
)


def _offer(name: str, record: dict[str, Any]) -> Offer:
    card = _card(name, record)

    def build(request: Request) -> Codec:
        from plica.codecs import weights
        from plica.codecs.device import choose_device
        from plica.codecs.directory import make_network
        from plica.codecs.networkcodec import NetworkCodec
        from plica.preparation.pipelines import full_range

        check_options(request, card)
        own = request.weights is None
        network, fingerprint = weights.load_network(
            card,
            TRAINED / card.weights.filename if own else request.weights,
            make=lambda: make_network(card.extras["network"], of=f"the card of {name}"),
            convert=lambda state: state,
            sha256=card.weights.sha256 if own else "",
        )
        return NetworkCodec(
            card=card,
            network=network,
            fingerprint=fingerprint,
            steps=full_range,
            padding="edge",  # background would darken every cell at the border
            device=choose_device(request.device),
        )

    return Offer(card, build)


OFFERS: dict[str, Offer] = {
    name: _offer(name, record) for name, record in _index()["codecs"].items()
}

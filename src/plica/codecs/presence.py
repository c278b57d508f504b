"""Presence: whether a codec's weights are at hand, without loading or fetching anything."""

from __future__ import annotations

from typing import Literal

from plica.codecs.card import CodecCard

Presence = Literal["ready", "cached", "hub", "file", "missing"]
SAYS: dict[Presence, str] = {
    "ready": "ready",
    "cached": "ready, in the hub's cache",
    "hub": "fetched from the hub when first used",
    "file": "a file of yours: --weights",
    "missing": "only a card",
}


def find_presence(card: CodecCard) -> Presence:
    """How a codec's weights are come by here."""
    if "missing" in card.extras:
        return "missing"
    source = card.weights
    if source.kind in {"packaged", "none"}:
        return "ready"
    if source.kind == "file":
        return "file"
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(source.repo, source.filename, revision=source.revision or None)
    return "cached" if isinstance(found, str) else "hub"

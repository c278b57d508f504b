"""Presence: whether what a codec needs is at hand, without loading or fetching anything."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, Literal

from plica.codecs.card import CodecCard

Presence = Literal["ready", "cached", "hub", "file", "extra", "missing"]
SAYS: dict[Presence, str] = {
    "ready": "ready",
    "cached": "ready, in the hub's cache",
    "hub": "fetched from the hub when first used",
    "file": "a file of yours: --weights",
    "extra": "lacks a package",
    "missing": "only a card",
}


def find_presence(card: CodecCard) -> Presence:
    """How a codec is come by here: what it lacks first, and then its weights."""
    if "missing" in card.extras:
        return "missing"
    if find_lacking(card):
        return "extra"
    source = card.weights
    if source.kind in {"packaged", "package", "none", "unstated"}:
        return "ready"
    if source.kind == "file":
        return "file"
    from plica.codecs.fetching import find_cached

    return "hub" if find_cached(source.repo, source.filename, source.revision) is None else "cached"


def find_lacking(card: CodecCard) -> str:
    """Plica's extra that installs the package a codec needs and that is not here; else nothing."""
    package, extra = name_needs(card)
    # The top package alone: to look for one within it would import it.
    return extra if package and extra and find_spec(package.partition(".")[0]) is None else ""


def name_needs(card: CodecCard) -> tuple[str, str]:
    """The package a codec needs, and plica's extra that installs it; "" where it says neither."""
    needs = card.extras.get("needs")
    package, extra = (_word(needs, key) for key in ("package", "extra"))
    return package, extra


def _word(needs: Any, key: str) -> str:
    """What a card says of a key; "" where it, which may be another package's, says no word."""
    word = needs.get(key) if isinstance(needs, Mapping) else None
    return word if isinstance(word, str) and not word.startswith(".") else ""


def say_presence(card: CodecCard) -> str:
    """The same in words, with what to do."""
    presence = find_presence(card)
    if presence != "extra":
        return SAYS[presence]
    return f"{SAYS[presence]}: pip install 'plica[{find_lacking(card)}]'"

"""Published networks with a part of their channels, so that tests need no gigabytes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

# They name networks' classes as types, and must be imported before those are replaced.
import plica.codecs.framecodec
import plica.codecs.networkcodec  # noqa: F401
from plica.networks import cogvideox, cosmos, dcae, hunyuanvideo, kl, ltx, maisi, vq, wan

# Where a network is, and by how much it is made thinner; most have channels in groups of 32.
_THINNER: tuple[tuple[Any, str, int], ...] = (
    (kl, "KlAutoencoder", 4),
    (vq, "VqAutoencoder", 4),
    (maisi, "MaisiAutoencoder", 2),
    (wan, "Wan", 16),
    (cogvideox, "CogVideoX", 4),
    (hunyuanvideo, "HunyuanVideo", 4),
    (ltx, "LtxVideo", 16),
    (cosmos, "Cosmos", 16),
    (dcae, "DeepCompression", 8),
)
_WIDTHS = ("width", "decoder_width", "widths", "decoder_widths")


def make_thin(patch: pytest.MonkeyPatch) -> None:
    """Every network that is built from here on has fewer channels."""
    for module, name, by in _THINNER:
        patch.setattr(module, name, _thin(getattr(module, name), by))


def _thin(network: type, by: int) -> Callable[..., Any]:
    @functools.wraps(network)
    def make(**settings: Any) -> Any:
        for key in _WIDTHS:
            if key in settings:
                settings[key] = _divide(settings[key], by)
        if settings.get("codebook"):
            settings["codebook"] //= by**2
        if network in {ltx.LtxVideo, cogvideox.CogVideoX}:
            blocks = settings["blocks"]
            settings["blocks"] = 1 if isinstance(blocks, int) else (1,) * len(blocks)
        return network(**settings)

    return make


def _divide(width: Any, by: int) -> Any:
    if isinstance(width, int):
        return width // by
    return tuple(one // by for one in width)

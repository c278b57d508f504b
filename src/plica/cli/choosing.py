"""The codec for an image, as the options say; each loaded once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plica.codecs.catalogue import CODECS, default_name, load, offer
from plica.codecs.codec import Codec
from plica.errors import LatentError, SettingsError
from plica.image import Image
from plica.latent import Latent

AUTO = "auto"


@dataclass
class Chooser:
    """Loads the codecs a command needs, each once.

    Args:
        name: A codec's name or folder, or "auto".
        weights: Local weights, or "hub:repo@revision".
        device: Where networks run.
        options: Options of `plica.load`; None values count as not given.
    """

    name: str = AUTO
    weights: str | None = None
    device: str = AUTO
    options: dict[str, Any] = field(default_factory=dict)
    _loaded: dict[str, Codec] = field(default_factory=dict)

    def check(self) -> None:
        """Refuse an unknown name before any work begins."""
        bare = self.name.removeprefix("stitched:")
        if self.name != AUTO and bare not in CODECS and not Path(bare).is_dir():
            offer(bare)

    def for_image(self, image: Image) -> Codec:
        """The codec to encode an image with."""
        return self._load(default_name(image) if self.name == AUTO else self.name)

    def for_latent(self, latent: Latent) -> Codec:
        """The codec that made a latent.

        Raises:
            LatentError: It is in no table: its folder must be named.
        """
        if self.name != AUTO:
            return self._load(self.name)
        maker = latent.codec.name
        if maker.removeprefix("stitched:") not in CODECS:
            raise LatentError(
                f"the latent was made by '{maker}', which is in no table of codecs: "
                "name its folder with --codec"
            )
        return self._load(maker)

    def _load(self, name: str) -> Codec:
        if name not in self._loaded:
            self._loaded[name] = load(name, self.weights, self.device, **self.options)
        return self._loaded[name]


def parse_settings(pairs: list[str] | None) -> dict[str, Any]:
    """["rate=0.5", "lossless=true"] → {"rate": 0.5, "lossless": True}."""
    settings: dict[str, Any] = {}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise SettingsError(f"--set takes NAME=VALUE such as rate=0.5, but got '{pair}'")
        settings[name.replace("-", "_")] = _parse_value(value)
    return settings


def _parse_value(text: str) -> bool | int | float | str:
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text

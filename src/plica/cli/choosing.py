"""The codec for an image, as the options say; each loaded once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from plica.cli.console import print_note
from plica.cli.reading import parse_triple
from plica.codecs.budget import parse_memory
from plica.codecs.catalogue import (
    CODECS,
    DEFAULT_FOR_VOLUMES,
    STITCHED,
    default_name,
    find_offer,
    load,
)
from plica.codecs.codec import Codec
from plica.codecs.running import Progress
from plica.errors import LatentError, SettingsError
from plica.image import Image
from plica.latent import Latent

AUTO = "auto"
_OPTIONS_OF_THEIR_OWN = {"name": "--codec", "weights": "--weights", "device": "--device"}


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
    _watcher: Progress | None = None

    def watch(self, progress: Progress) -> None:
        """Tell this one, from now on, how far the codecs are with an image."""
        self._watcher = progress

    def check(self) -> None:
        """Refuse an unknown name, or a folder that is no codec, before any work begins."""
        if self.name != AUTO:
            find_offer(self.name.removeprefix(STITCHED))

    def load_first(self) -> None:
        """Load the codec asked for before any image is read: weights, device and options.

        What is wrong with them is wrong for all images, and is said once. Where the images
        choose, the default for volumes stands for both, unless there are weights: of which one?
        """
        if self.name != AUTO:
            self._load(self.name)
        elif self.weights is None:
            self._load(DEFAULT_FOR_VOLUMES)

    def named(self) -> Codec:
        """The codec of the name asked for, which is not "auto"."""
        return self._load(self.name)

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
        if maker.removeprefix(STITCHED) not in CODECS:
            prefix = STITCHED if maker.startswith(STITCHED) else ""
            raise LatentError(
                f"the latent was made by '{maker}', which is in no table of codecs: "
                f"name its folder with --codec {prefix}FOLDER"
            )
        return self._load(maker)

    def _load(self, name: str) -> Codec:
        if name not in self._loaded:
            codec = load(name, self.weights, self.device, progress=self._tell, **self.options)
            from plica.codecs.precision import describe_slowness  # torch is there by now

            if slowness := describe_slowness(codec):
                print_note(slowness)
            self._loaded[name] = codec
        return self._loaded[name]

    def _tell(self, done: int, total: int) -> None:
        if self._watcher is not None:
            self._watcher(done, total)


def choose(
    name: str,
    weights: str | None,
    device: str,
    settings: list[str] | None,
    preparing: dict[str, Any],
    running: dict[str, Any],
) -> Chooser:
    """A chooser of what the options say, checked before any work begins."""
    options = {**parse_settings(settings), **preparing, **running}
    chooser = Chooser(name, weights, device, options)
    chooser.check()
    return chooser


def parse_settings(pairs: list[str] | None) -> dict[str, Any]:
    """["rate=0.5", "lossless=true"] → {"rate": 0.5, "lossless": True}."""
    settings: dict[str, Any] = {}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise SettingsError(f"--set takes NAME=VALUE such as rate=0.5, but got '{pair}'")
        key = name.replace("-", "_")
        if key == "progress":
            raise SettingsError(f"--set {pair}: what is done is shown anyway; see --quiet")
        if key in _OPTIONS_OF_THEIR_OWN:
            raise SettingsError(f"--set {pair}: say {_OPTIONS_OF_THEIR_OWN[key]} instead")
        settings[key] = _parse_value(value)
    return settings


def asked_preparing(
    axis: str | None,
    fill_nonfinite: bool,
    keep_outside: bool,
    foreground: bool,
    resample: str | None,
    pipeline: str | None,
) -> dict[str, Any]:
    """Options of `Preparing` that were given; those left alone are left out."""
    asked = {
        "axis": axis,
        "fill_nonfinite": fill_nonfinite or None,
        "keep_outside": keep_outside or None,
        "foreground": foreground or None,
        "spacing_mm": parse_triple(resample, "--resample"),
        "pipeline": pipeline,
    }
    return {name: value for name, value in asked.items() if value is not None}


def asked_running(
    tile: int | None,
    memory: str | None,
    device_memory: str | None,
    tiling: str | None,
    precision: str | None = None,
) -> dict[str, Any]:
    """Options of `Running`, and the precision, that were given; those left alone are left out."""
    asked = {
        "tile": tile,
        "memory": parse_memory(memory, "--memory"),
        "device_memory": parse_memory(device_memory, "--device-memory"),
        "tiling": tiling,
        "precision": precision,
    }
    return {name: value for name, value in asked.items() if value is not None}


def _parse_value(text: str) -> bool | int | float | str:
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text

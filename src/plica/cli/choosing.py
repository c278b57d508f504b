"""The codec for an image, as the options say; each loaded once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from plica.cli import options as o
from plica.cli.console import print_note
from plica.cli.reading import parse_triple
from plica.codecs.budget import parse_memory
from plica.codecs.card import CodecCard
from plica.codecs.catalogue import (
    CODECS,
    DEFAULT_FOR_SLICES,
    DEFAULT_FOR_VOLUMES,
    STITCHED,
    default_name,
    find_offer,
    has_thick_slices,
    load,
    split_options,
)
from plica.codecs.codec import RANDOM, Codec
from plica.codecs.running import Progress
from plica.errors import LatentError, SettingsError
from plica.image import Image
from plica.latent import Latent, say_settings

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
        quiet: Whether it is left unsaid that a codec will be slow, or what it is not for.
    """

    name: str = AUTO
    weights: str | None = None
    device: str = AUTO
    options: dict[str, Any] = field(default_factory=dict)
    quiet: bool = False
    _loaded: dict[str, Codec] = field(default_factory=dict)  # by name and settings of a latent
    _noted: set[str] = field(default_factory=set)
    _watcher: Progress | None = None

    def watch(self, progress: Progress) -> None:
        """Tell this one, from now on, how far the codecs are with an image."""
        self._watcher = progress

    def check(self) -> None:
        """Refuse an unknown name, or a folder that is no codec, before any work begins."""
        if self.name != AUTO:
            find_offer(self.name.removeprefix(STITCHED))
            self._say_which_of_two()

    def _say_which_of_two(self) -> None:
        """A name is the table's before it is a folder's: of one's own run both may be there."""
        if self.quiet or self.name not in CODECS or not Path(self.name).is_dir():
            return
        from plica.codecs.directory import CARD

        if Path(self.name, CARD).is_file():
            print_note(
                f"{self.name} is the codec that `plica codecs` lists; the folder here is "
                f"-c ./{self.name}"
            )

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
        codec = self._load(default_name(image) if self.name == AUTO else self.name)
        if self.name == AUTO and not self.quiet:
            self._say_choice(codec.card, image)
        return codec

    def _say_choice(self, card: CodecCard, image: Image) -> None:
        """What a codec that nobody named is not for, or why it was chosen; each once."""
        limit, said = card.extras.get("limit"), ""
        if limit:
            said = f"{limit}; -c {DEFAULT_FOR_SLICES} keeps more"
        elif has_thick_slices(image):
            apart = " × ".join(f"{step:.3g}" for step in image.grid.spacing_mm)
            said = (
                f"slices are thick (voxels of {apart} mm) and are folded one by one; "
                f"-c {DEFAULT_FOR_VOLUMES} makes fewer numbers, and blurs such slices"
            )
        if said and card.name not in self._noted:
            self._noted.add(card.name)
            print_note(f"{card.name}, chosen by auto: {said}")

    def settle(self, latent: Latent) -> Latent:
        """The latent with the settings that are to decode it: its own, but for those asked for.

        A latent that tells none is decoded with those asked for, and there is nothing to compare.
        """
        made_with, asked = latent.codec.settings, split_options(self.options)[1]
        settings = {**made_with, **asked}
        if not made_with or settings == dict(made_with):
            return latent
        said = (
            f"made with {say_settings(made_with)}, decoded with {say_settings(settings)}, "
            "as --set says"
        )
        if not self.quiet and said not in self._noted:
            self._noted.add(said)
            print_note(said)
        return replace(latent, codec=replace(latent.codec, settings=settings))

    def for_latent(self, latent: Latent) -> Codec:
        """The codec that made a latent, loaded with the settings it was made with.

        Raises:
            LatentError: It is in no table: its folder must be named. Or its settings are no
                codec's own, and the latent is damaged.
        """
        maker, settings = latent.codec.name, _check_own(latent)
        if self.name != AUTO:
            named = self._load(self.name)
            alike = named.card.name != maker or dict(named.card.loaded_with) == settings
            return named if alike else self._load(self.name, settings)
        if maker.removeprefix(STITCHED) not in CODECS:
            prefix = STITCHED if maker.startswith(STITCHED) else ""
            raise LatentError(
                f"the latent was made by '{maker}', which is in no table of codecs: "
                "install the package that offers it; or, if its network is one of plica's, name "
                f"its folder with --codec {prefix}FOLDER"
            )
        return self._load(maker, settings)

    def _load(self, name: str, settings: Mapping[str, Any] | None = None) -> Codec:
        key = f"{name} {say_settings(settings)}" if settings else name
        if key not in self._loaded:
            options = {**(settings or {}), **self.options}
            codec = load(name, self.weights, self.device, progress=self._tell, **options)
            from plica.codecs.precision import describe_slowness  # torch is there by now

            if not self.quiet and (slowness := describe_slowness(codec)):
                print_note(slowness)
            self._loaded[key] = codec
        return self._loaded[key]

    def _tell(self, done: int, total: int) -> None:
        if self._watcher is not None:
            self._watcher(done, total)


def _check_own(latent: Latent) -> dict[str, Any]:
    """The settings a latent tells, which must be its codec's own.

    A stranger's file must not say how much memory is taken here, or which file is read.
    """
    shared, own = split_options(latent.codec.settings)
    if odd := sorted({*shared, *(own.keys() & _OPTIONS_OF_THEIR_OWN)}):
        raise LatentError(
            f"the latent tells {', '.join(odd)} as settings of {latent.codec.name}, which no "
            "codec has of its own: it is damaged"
        )
    return own


def choose(
    name: str,
    weights: str | None,
    device: str,
    settings: list[str] | None,
    preparing: dict[str, Any],
    running: dict[str, Any],
    *,
    quiet: bool,
) -> Chooser:
    """A chooser of what the options say, checked before any work begins."""
    options = {**parse_settings(settings), **preparing, **running}
    chooser = Chooser(name, weights, device, options, quiet)
    chooser.check()
    return chooser


def check_word(option: str, word: str, words: Iterable[str]) -> None:
    """Refuse what is none of the words an option takes.

    Raises:
        SettingsError: It is none; the message has all of them, and the nearest.
    """
    words = tuple(words)
    if word in words:
        return
    near = difflib.get_close_matches(word, words, n=1)
    advice = f"; did you mean {near[0]}?" if near else ""
    known = " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))
    raise SettingsError(f"{option} takes {known}, but got '{word}'{advice}")


def _check_words(*given: tuple[str, str | None, tuple[str, ...]]) -> None:
    for option, word, words in given:
        if word is not None:
            check_word(option, word, words)


def choose_weights(weights: str | None, *, random: bool) -> str | None:
    """The weights to load a codec with: a file's, drawn ones, or its own.

    Raises:
        SettingsError: Both were asked for.
    """
    if weights is not None and random:
        raise SettingsError("--weights names a file and --random-weights draws them: say one")
    return RANDOM if random else weights


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
    _check_words(("--axis", axis, o.AXES), ("--pipeline", pipeline, o.PIPELINES))
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
    _check_words(("--tiling", tiling, o.TILINGS), ("--precision", precision, o.PRECISIONS))
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

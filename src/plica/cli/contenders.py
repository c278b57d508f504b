"""Contenders: the codecs a command judges, each loaded once, under the name of its numbers."""

from __future__ import annotations

import fnmatch
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from plica.codecs.catalogue import CODECS, STITCHED, find_offer, load
from plica.codecs.codec import RANDOM, Codec
from plica.errors import SettingsError, UnknownName, WeightsError
from plica.formats.latents import write as write_latent
from plica.image import Image
from plica.latent import Latent


@dataclass(frozen=True, eq=False)
class Contender:
    """One codec among those judged.

    Args:
        name: What its numbers stand under.
        codec: Loaded, on its device.
    """

    name: str
    codec: Codec

    def takes(self, image: Image) -> bool:
        """Whether such an image is one of its kind: volumetric codecs fold volumes alone."""
        return self.codec.card.dims != 3 or image.is_volume

    def run(self, image: Image) -> tuple[Latent, Image, dict[str, Any]]:
        """Encode and decode, once, with what was counted on the way.

        Raises:
            PlicaError: The codec refuses the image.
        """
        begun = time.perf_counter()
        latent = self.codec.encode(image)
        encoded = time.perf_counter()
        decoded = self.codec.decode(latent)
        facts = {
            "encode_seconds": encoded - begun,
            "decode_seconds": time.perf_counter() - encoded,
            "latent_bytes": weigh(latent),
            "codes": int(latent.codes.size),
            "code_shape": list(latent.codes.shape),
        }
        return latent, decoded, facts


def weigh(latent: Latent) -> int:
    """Bytes of the file a latent becomes, header and all."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "weighed.latent"
        write_latent(latent, path)
        return path.stat().st_size


def name_contenders(patterns: Sequence[str]) -> tuple[str, ...]:
    """The codecs that names and patterns mean: "compact-*" is all of them.

    Raises:
        SettingsError: None was named.
        UnknownName: One is in no table, and a pattern matches nothing.
    """
    names: list[str] = []
    for pattern in patterns:
        found = fnmatch.filter(CODECS, pattern) if any(c in pattern for c in "*?[") else [pattern]
        if not found:
            raise UnknownName(f"no codec is called like '{pattern}'; see `plica codecs`")
        names += [name for name in found if name not in names]
    if not names:
        raise SettingsError("no codec to judge: name some, such as --codec bicubic-4x-2d linear-*")
    for name in names:
        find_offer(name.removeprefix(STITCHED))
    return tuple(names)


def load_contenders(
    names: Iterable[str], *, weights: Sequence[str] = (), device: str = "auto", random: bool = False
) -> tuple[Contender, ...]:
    """Load each codec, before any image is read.

    Args:
        weights: "NAME=FILE" for each codec whose weights are a local file, or "hub:…".
        random: Draw weights for those that have none at hand; their names say so.

    Raises:
        SettingsError: Weights are given for a codec that is not judged.
        WeightsError: A codec's weights are nowhere.
    """
    wanted = tuple(names)
    given = dict(_split(pair) for pair in weights)
    if unused := given.keys() - set(wanted):
        raise SettingsError(
            f"--weights {', '.join(sorted(unused))}: no such codec is judged here; "
            f"those are: {', '.join(wanted)}"
        )
    loaded = (_load(name, given.get(name), device, random=random) for name in wanted)
    return tuple(Contender(codec.card.name, codec) for codec in loaded)


def _load(name: str, weights: str | None, device: str, *, random: bool) -> Codec:
    own = find_offer(name.removeprefix(STITCHED)).card.weights
    if random and weights is None and own.kind in {"hub", "file"}:
        return load(name, RANDOM, device)
    try:
        return load(name, weights, device)
    except WeightsError as error:
        raise WeightsError(
            f"{error}. To prove the path without them, say --random-weights"
        ) from error


def _split(pair: str) -> tuple[str, str]:
    name, equals, value = pair.partition("=")
    if not (name and equals and value):
        raise SettingsError(
            f"--weights takes NAME=FILE such as medvae-4x3-2d=vae.ckpt, but got '{pair}'"
        )
    return name, value

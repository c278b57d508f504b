"""Contenders: the codecs a command judges, each loaded once, under the name of its numbers.

A codec may be judged under a policy: "taef2?windows=wide,soft&shifts=4" is taef2 as `plica
reconstruct --windows wide,soft --shifts 4` uses it.
"""

from __future__ import annotations

import fnmatch
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from plica.codecs.catalogue import CODECS, STITCHED, find_offer, load
from plica.codecs.codec import RANDOM, Codec
from plica.codecs.policy import Policy
from plica.errors import SettingsError, UnknownName, WeightsError
from plica.formats.latents import write as write_latent
from plica.image import Image
from plica.latent import Latent


def _whole(text: str) -> int:
    if not text.isdigit():
        raise SettingsError(f"shifts are a whole number, but got '{text}'")
    return int(text)


def _truth(text: str) -> bool:
    if text not in {"true", "false"}:
        raise SettingsError(f"recalibrate is true or false, but got '{text}'")
    return text == "true"


_POLICY: dict[str, Callable[[str], Any]] = {
    "windows": str,
    "shifts": _whole,
    "axes": str,
    "outside": str,
    "recalibrate": _truth,
}


@dataclass(frozen=True, eq=False)
class Contender:
    """One codec among those judged.

    Args:
        name: What its numbers stand under.
        codec: Loaded, on its device.
        policy: In which passes it is run; None is the codec itself, once.
        given: How the command called it, such as "./my-codec"; its card may call it otherwise.
    """

    name: str
    codec: Codec
    policy: Policy | None = None
    given: str = ""

    def is_called(self, name: str) -> bool:
        """Whether such a word means it: its own name, or what the command called it."""
        return name in (self.name, self.given)

    def takes(self, image: Image) -> bool:
        """Whether such an image is one of its kind: volumetric codecs fold volumes alone."""
        return self.codec.card.dims != 3 or image.is_volume

    def run(self, image: Image) -> tuple[Latent, Image, dict[str, Any]]:
        """Encode and decode, once, with what was counted on the way.

        Raises:
            PlicaError: The codec refuses the image.
        """
        begun = time.perf_counter()
        if self.policy is not None:
            return self._run_passes(image, self.policy)
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

    def _run_passes(self, image: Image, policy: Policy) -> tuple[Latent, Image, dict[str, Any]]:
        """The same in passes; of their latents one is given, its codes left out."""
        from plica.codecs.reconstruction import Reconstructor  # torch is there by now

        begun = time.perf_counter()
        codec: Any = self.codec
        latent = codec.outline_latent(image)
        came = Reconstructor(codec, policy).run(image)
        facts = {
            "encode_seconds": 0.0,
            "decode_seconds": time.perf_counter() - begun,
            "latent_bytes": policy.passes * weigh(latent),
            "codes": policy.passes * int(latent.codes.size),
            "code_shape": list(latent.codes.shape),
            "reconstruction": came.facts,
        }
        return latent, came.image, facts


def weigh(latent: Latent) -> int:
    """Bytes of the file a latent becomes, header and all."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "weighed.latent"
        write_latent(latent, path)
        return path.stat().st_size


def name_contenders(patterns: Sequence[str], *, policies: bool = False) -> tuple[str, ...]:
    """The codecs that names and patterns mean: "compact-*" is all of them.

    Args:
        policies: Whether codecs may be judged under a policy; where their latents are wanted
            there is none.

    Raises:
        SettingsError: None was named.
        UnknownName: One is in no table, and a pattern matches nothing.
    """
    names: list[str] = []
    for pattern in patterns:
        wild = "?" not in pattern and any(c in pattern for c in "*[")
        found = fnmatch.filter(CODECS, pattern) if wild else [pattern]
        if not found:
            raise UnknownName(f"no codec is called like '{pattern}'; see `plica codecs`")
        names += [name for name in found if name not in names]
    if not names:
        raise SettingsError("no codec to judge: name some, such as --codec bicubic-4x-2d linear-*")
    for name in names:
        codec, policy = split_policy(name)
        if policy is not None and not policies:
            raise SettingsError(
                f"'{name}': a policy makes an image of many latents, and here a codec's own latent "
                f"is wanted: leave out what follows {codec}"
            )
        find_offer(codec.removeprefix(STITCHED))
    return tuple(names)


def split_policy(name: str) -> tuple[str, Policy | None]:
    """A codec's name, and the policy that follows it: "taef2?windows=wide,soft&shifts=4".

    Raises:
        SettingsError: What follows is no policy.
    """
    codec, mark, query = name.partition("?")
    if not mark:
        return codec, None
    asked: dict[str, Any] = {}
    for pair in query.split("&"):
        key, equals, value = pair.partition("=")
        if key not in _POLICY or not equals or key in asked:
            raise SettingsError(
                f"'{name}': behind the ? stand settings such as windows=wide,soft&shifts=4, each "
                f"once, of {', '.join(_POLICY)}, but got '{pair}'"
            )
        asked[key] = _POLICY[key](value)
    return codec, Policy.from_options(**asked)


def load_contenders(
    names: Iterable[str], *, weights: Sequence[str] = (), device: str = "auto", random: bool = False
) -> tuple[Contender, ...]:
    """Load each codec, before any image is read.

    Folders whose cards have one name are told apart by their own: "mine (old)", "mine (new)".

    Args:
        weights: "NAME=FILE" for each codec whose weights are a local file, or "hub:…".
        random: Draw weights for those that have none at hand; their names say so.

    Raises:
        SettingsError: Weights are given for a codec that is not judged, or one folder twice.
        WeightsError: A codec's weights are nowhere.
    """
    wanted = {name: split_policy(name) for name in names}
    codecs = dict.fromkeys(codec for codec, _ in wanted.values())
    given = dict(_split(pair) for pair in weights)
    if unused := given.keys() - set(codecs):
        raise SettingsError(
            f"--weights {', '.join(sorted(unused))}: no such codec is judged here; "
            f"those are: {', '.join(codecs)}"
        )
    loaded = {name: _load(name, given.get(name), device, random=random) for name in codecs}
    for codec, policy in wanted.values():
        if policy is not None:
            from plica.codecs.reconstruction import Reconstructor  # torch is there by now

            Reconstructor(loaded[codec], policy)  # refuses before any work
    called = tell_apart({given: codec.card.name for given, codec in loaded.items()})
    return tuple(
        Contender(called[codec] + name[len(codec) :], loaded[codec], policy, name)
        for name, (codec, policy) in wanted.items()
    )


def tell_apart(cards: Mapping[str, str]) -> dict[str, str]:
    """What each codec's numbers stand under: its card's name, and where others have it, its place.

    A codec of the table keeps the name alone; of folders' paths so much is taken as is needed.

    Args:
        cards: The card's name, by what the command called the codec.

    Raises:
        SettingsError: One folder is given in two spellings.

    Examples:
        >>> tell_apart({"./old": "mine", "./new": "mine", "./other": "theirs"})
        {'./old': 'mine (old)', './new': 'mine (new)', './other': 'theirs'}
    """
    called = dict(cards)
    for name, count in Counter(cards.values()).items():
        alike = [given for given in cards if cards[given] == name]
        ours = [given for given in alike if given.removeprefix(STITCHED) in CODECS]
        if count > 1:
            ends = _shorten({given: _split_place(given) for given in alike if [given] != ours})
            called |= {given: f"{name} ({end})" for given, end in ends.items()}
    return called


def _split_place(given: str) -> tuple[str, ...]:
    """Parts of the path of a codec's folder, itself as it was called; other names are one part."""
    from plica.codecs.hub import HUB

    place = given.removeprefix(STITCHED)
    if place in CODECS or place.startswith(HUB):
        return (place,)
    return (Path(place).parent.resolve() / Path(place).name).parts


def _shorten(placed: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """The shortest ends of paths that are not the same."""
    for length in range(1, max(map(len, placed.values())) + 1):
        ends = {given: "/".join(parts[-length:]) for given, parts in placed.items()}
        if len(set(ends.values())) == len(ends):
            return ends
    raise SettingsError(f"{' and '.join(placed)} are one codec: name it once")


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

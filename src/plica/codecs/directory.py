"""Codecs in folders: a card and weights, as training writes them and a stranger may send them.

```text
my-codec/
  card.json             a CodecCard; its extras say which network, and how images are prepared
  weights.safetensors   the network's tensors by their keys
```

`extras["network"]` is {"kind": one of `NETWORKS`, …its settings}, `extras["preparation"]` one of
`PREPARATIONS`. A network of your own gets a kind by one line of a package that brings its class:

```toml
[project.entry-points."plica.networks"]
foldnet = "yourpackage.foldnet:FoldNet"
```

A card names a kind, never a class: nothing that stands in it is imported. `extras["padding"]`,
where it is there, says how incomplete cells are filled.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import GenericAlias
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from plica.codecs.card import CodecCard, WeightsSource
from plica.codecs.codec import Codec, Offer, Request, check_options
from plica.codecs.fetching import first_line
from plica.errors import PlicaError, UnknownName, WeightsError
from plica.registry import Registry

CARD = "card.json"
WEIGHTS = "weights.safetensors"


def make_table_of_networks() -> Registry:
    """Ours, and those that installed packages bring.

    Examples:
        >>> "kl" in make_table_of_networks()
        True
    """
    return Registry(
        "network",
        (
            ("kl", "plica.networks.kl:KlAutoencoder"),
            ("vq", "plica.networks.vq:VqAutoencoder"),
            ("stitched", "plica.networks.stitched:Stitched"),
            ("linear", "plica.networks.linear:Linear"),
            ("compact", "plica.networks.compact:Compact"),
        ),
        group="plica.networks",
        hint="Install the package that brings the network '{name}'; a package of yours brings its "
        "own by one line, an entry point in the group plica.networks.",
    )


NETWORKS = make_table_of_networks()
PREPARATIONS = Registry(
    "preparation",
    (
        ("full_range", "plica.preparation.pipelines:full_range"),
        ("radiograph", "plica.preparation.pipelines:radiograph"),
        ("mr", "plica.preparation.pipelines:mr"),
        ("medvae_pictures", "plica.codecs.medvae:picture_steps"),
        ("medvae_volumes", "plica.codecs.medvae:volume_steps"),
    ),
)
_MOST_CARD_BYTES = 2**20
_MOST_SETTING = 2**16  # channels, codebook entries, levels: no published network comes near it
_MOST_BLOCKS = 64
_MOST_PARTS = 16
_PADDINGS = ("background", "edge", "reflect")


def offer_directory(folder: Path) -> Offer:
    """What a folder offers: its card at once, the codec when it is built.

    Raises:
        WeightsError: The folder holds no card and weights, or the card is damaged.
    """
    card = _read_card(folder)
    _check_extras(card, folder)

    def build(request: Request) -> Codec:
        return _build(card, folder, request)

    return Offer(card, build)


def write_directory(folder: str | Path, codec: Codec, *, overwrite: bool = False) -> Path:
    """Keep a codec around a network as a folder that `plica.load` takes.

    The card says the checksum of the weights, so that one turned bit in them is an error.

    Args:
        folder: Where; it is made if it is missing.
        codec: A NetworkCodec whose card's extras say "network" and "preparation".
        overwrite: Whether a card and weights that are there may be replaced.

    Raises:
        WeightsError: The codec has no network whose weights could be kept.
        OutputError: The files are there already, or cannot be written.

    Examples:
        >>> copy = write_directory("copy", plica.load("my-codec"))
        >>> sorted(file.name for file in copy.iterdir())
        ['card.json', 'weights.safetensors']
    """
    from safetensors.torch import save

    from plica.codecs.networkcodec import NetworkCodec
    from plica.formats.atomic import new_file, refuse_existing

    folder = Path(folder)
    if not isinstance(codec, NetworkCodec) or not hasattr(codec.network, "state_dict"):
        raise WeightsError(f"{codec.card.name} has no weights to keep in a folder")
    _check_extras(codec.card, folder)
    for name in (CARD, WEIGHTS):
        refuse_existing(folder / name, overwrite=overwrite)
    state = {key: value.cpu().contiguous() for key, value in codec.network.state_dict().items()}
    weights = save(state)
    card = _seal(codec.card, weights).to_json()
    with new_file(folder / WEIGHTS, overwrite=overwrite) as file:
        file.write(weights)
    with new_file(folder / CARD, overwrite=overwrite) as file:  # last: a card means a whole folder
        file.write(json.dumps(card, indent=2, ensure_ascii=False).encode())
    return folder


def _seal(card: CodecCard, weights: bytes) -> CodecCard:
    """The card that says that the weights are here, whatever it said, and their checksum."""
    digest = hashlib.sha256(weights).hexdigest()
    here = WeightsSource("file", filename=WEIGHTS, sha256=digest, bytes=len(weights))
    return replace(card, weights=here)


def _read_card(folder: Path) -> CodecCard:
    file = folder / CARD
    if not file.is_file() or not (folder / WEIGHTS).is_file():
        raise WeightsError(
            f"{folder} is no codec: a folder with {CARD} and {WEIGHTS} was expected, or a name "
            "that `plica codecs` lists"
        )
    if file.stat().st_size > _MOST_CARD_BYTES:
        raise WeightsError(f"{file} is larger than any card: it is something else")
    try:
        return CodecCard.from_json(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise WeightsError(f"{file} is not the card of a codec: {error!r}") from error


def _check_extras(card: CodecCard, folder: Path) -> None:
    network, preparation = card.extras.get("network"), card.extras.get("preparation")
    if not isinstance(network, Mapping) or not isinstance(preparation, str):
        raise WeightsError(
            f"the card for {folder} must say in its extras which network and preparation it has, "
            'such as {"network": {"kind": "kl", "dims": 2, …}, "preparation": "full_range"}'
        )
    kind = str(network.get("kind", ""))
    if kind not in NETWORKS:
        try:
            NETWORKS[kind]
        except UnknownName as error:
            raise UnknownName(f"{folder}: {error}") from None
    if preparation not in PREPARATIONS:
        raise UnknownName(
            f"{folder}: no preparation '{preparation}'; there are: {', '.join(PREPARATIONS)}"
        )
    if card.extras.get("padding", "background") not in _PADDINGS:
        raise WeightsError(f"the card in {folder} asks for a padding that is none of {_PADDINGS}")


def _build(card: CodecCard, folder: Path, request: Request) -> Codec:
    from plica.codecs.device import choose_device
    from plica.codecs.networkcodec import NetworkCodec
    from plica.codecs.weights import load_network

    check_options(request, card)
    network, fingerprint = load_network(
        card,
        request.weights or folder / WEIGHTS,
        make=lambda: _make_network(card),
        convert=lambda state: state,
        sha256="" if request.weights or card.weights.kind != "file" else card.weights.sha256,
    )
    check_facts(card, network)
    return NetworkCodec(
        card=card,
        network=network,
        fingerprint=fingerprint,
        steps=PREPARATIONS.get_thing(card.extras["preparation"]),
        device=choose_device(request.device),
        padding=card.extras.get("padding", "background"),
    )


def _make_network(card: CodecCard) -> Any:
    return make_network(card.extras["network"], of=f"the card of {card.name}")


def make_network(
    settings: Mapping[str, Any], *, of: str, fault: type[PlicaError] = WeightsError
) -> Any:
    """The network that settings describe, with weights as its constructor makes them.

    Args:
        settings: "kind", one of `NETWORKS`, and the arguments of its constructor.
        of: Whose settings they are, for messages: "the card of my-codec".
        fault: What is raised where they describe no network.

    Raises:
        UnknownName: There is no such kind.
        SettingsError: The constructor refuses the numbers.

    Examples:
        >>> widths = {"widths": (32, 32), "in_channels": 1, "code_channels": 3}
        >>> make_network({"kind": "kl", "dims": 2, **widths}, of="my card").factor
        2
    """
    given = dict(settings)
    kind = _find_kind(str(given.pop("kind", "")), of)
    parameters = _parameters(kind)
    needed = {name for name, one in parameters.items() if one.default is one.empty}
    unknown, missing = sorted(set(given) - set(parameters)), sorted(needed - set(given))
    if unknown or missing:
        lacks = f"lacks {', '.join(missing)}" if missing else ""
        has = f"has unknown {', '.join(unknown)}" if unknown else ""
        raise fault(
            f"{of} does not describe its network: it {' and '.join(filter(None, (lacks, has)))}; "
            f"a network of this kind has {', '.join(parameters)}"
        )
    types = _types(kind, parameters, fault)
    checked = {}
    for name, value in given.items():
        checked[name] = tuple(value) if isinstance(value, list) else value
        if not _is_sound(name, checked[name], types[name]):
            raise fault(f"{of} sets {name} to {value!r}, which no network has")
    from plica.networks.contract import RAISED

    try:
        return kind(**checked)
    except PlicaError:
        raise
    except RAISED as error:
        raise fault(
            f"{of} describes a network that {kind.__qualname__} cannot make: "
            f"{type(error).__name__}: {first_line(error)}"
        ) from error


def _find_kind(name: str, of: str) -> Any:
    try:
        return NETWORKS.get_thing(name)
    except UnknownName as error:
        raise UnknownName(f"{of}: {error}") from error


def resolve_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """A network's settings with the constructor's defaults: a later change of one is then found.

    A default that no card could set is left out.

    Args:
        settings: As `make_network` takes them.

    Examples:
        >>> resolve_settings({"kind": "linear", "dims": 2, "factor": 4, "channels": 1})["factor"]
        4
    """
    kind = NETWORKS.get_thing(str(settings.get("kind", "")))
    parameters = _parameters(kind)
    types = _types(kind, parameters, WeightsError)
    defaults = {
        name: list(one.default) if isinstance(one.default, tuple) else one.default
        for name, one in parameters.items()
        if name not in settings
        and one.default is not one.empty
        and _can_stand(one.default)
        and _is_sound(name, one.default, types[name])
    }
    return {**settings, **defaults}


def _can_stand(value: Any) -> bool:
    """Whether a card gives a value back as it is: a number, a word, or a tuple of them."""
    parts = value if isinstance(value, tuple) else (value,)
    return all(part is None or isinstance(part, bool | int | float | str) for part in parts)


def _parameters(kind: Any) -> dict[str, inspect.Parameter]:
    """What may be set of a network: its constructor's parameters, each by its name."""
    named = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
    found = inspect.signature(kind).parameters
    return {name: one for name, one in found.items() if one.kind in named}


def _types(
    kind: Any, parameters: Mapping[str, inspect.Parameter], fault: type[PlicaError]
) -> dict[str, Any]:
    """Each parameter's type: as it is annotated, else that of its default."""
    try:
        types = get_type_hints(kind.__init__ if inspect.isclass(kind) else kind)
    except (NameError, TypeError) as error:
        raise fault(
            f"what {kind.__qualname__} is annotated with cannot be read ({error}): import the "
            "types of its constructor outside TYPE_CHECKING"
        ) from error
    for name, one in parameters.items():
        if name in types:
            continue
        if one.default is one.empty or one.default in (None, ()):
            raise fault(
                f"{kind.__qualname__} does not say of what type its {name} is, so that a card or "
                f"recipe cannot be checked: annotate it, such as `{name}: int`"
            )
        first = type(one.default[0]) if isinstance(one.default, tuple) else None
        types[name] = type(one.default) if first is None else GenericAlias(tuple, (first, ...))
    return types


def _is_sound(name: str, value: Any, kind: Any) -> bool:
    """Whether a setting is of the constructor's type and of a size that networks have."""
    try:
        TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError:
        return False
    parts = value if isinstance(value, tuple) else (value,)
    numbers = [part for part in parts if isinstance(part, int | float)]
    small = all(0 <= number <= _MOST_SETTING for number in numbers) and len(parts) <= _MOST_PARTS
    return small and not (name == "blocks" and value > _MOST_BLOCKS)


def check_facts(card: CodecCard, network: Any) -> None:
    """Refuse a card that promises another network than there is: it would misplace every code.

    Raises:
        WeightsError: Factor, channels, dimensions or tiles are not the network's.
    """
    from plica.networks.autoencoder import Autoencoder, Local
    from plica.networks.contract import ATTRIBUTES

    if not isinstance(network, Autoencoder):
        lacking = [name for name in ATTRIBUTES if not hasattr(network, name)]
        raise WeightsError(
            f"the network of {card.name} is no autoencoder as plica knows them: it has no "
            f"{', '.join(lacking)} (see plica.networks.autoencoder)"
        )
    said = (card.factor, card.in_channels, card.channels)
    are = (network.factor, network.in_channels, network.code_channels)
    if said != are or card.dims != network.dims:
        raise WeightsError(
            f"the card of {card.name} says factor, image and code channels {said} in {card.dims} "
            f"dimensions, but its network has {are} in {network.dims}"
        )
    if card.tileable and not isinstance(network, Local):
        raise WeightsError(
            f"the card of {card.name} says that tiles are exact, but its network looks at the "
            "whole map"
        )

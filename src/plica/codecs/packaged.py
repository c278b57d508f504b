"""Codecs of other packages: a network whose weights lie beside the module that offers it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from plica.codecs.card import CodecCard, WeightsSource
from plica.codecs.codec import Codec, Offer, Request, check_options
from plica.codecs.preparing import PadMode, Steps
from plica.errors import WeightsError


class _Packaged(Offer):
    """An offer whose card is read when it is asked for.

    Exists because a network and the offer of its weights may stand in one module, which training
    imports before there are any weights.
    """

    folder: Path

    def __init__(self, folder: Path) -> None:
        object.__setattr__(self, "folder", folder)

    @cached_property
    def exported(self) -> Offer:
        """What the folder offers by itself."""
        from plica.codecs.directory import offer_directory

        return offer_directory(self.folder)

    @cached_property
    def card(self) -> CodecCard:
        """The folder's, with the weights of the package."""
        from plica.codecs.directory import WEIGHTS

        there = self.exported.card
        size = (self.folder / WEIGHTS).stat().st_size
        source = WeightsSource(
            "package", filename=WEIGHTS, sha256=there.weights.sha256, bytes=size
        )  # fmt: skip
        return replace(there, weights=source)

    def build(self, request: Request) -> Codec:
        """The folder's codec under this card."""
        codec = self.exported.build(request)
        return replace(codec, card=self.card)  # type: ignore[type-var]  # a NetworkCodec, always


def offer_packaged(folder: Path) -> Offer:
    """What a package offers that holds a folder as `plica export` writes it.

    Its latents are those of the folder itself: one can decode the other's. The folder is looked
    into when the card is asked for or the codec is built: before that it may be missing, so that
    the network of the same module can be trained.

    Args:
        folder: `Path(__file__).parent / "…"` of the caller.

    Examples:
        >>> offer = offer_packaged(Path("my-codec"))
        >>> offer.card.name
        'small'
    """
    return _Packaged(folder)


def find_unfilled(offered: Offer, module: str) -> str:
    """What to say of a card that promises weights in its package, where they are not there.

    Exists because such a card is written by hand, and is there before the weights are: nothing
    but the file itself tells. It is looked for all over the package, so that no codec whose
    weights lie in a folder of it is said to have none.

    Args:
        offered: What stands in the table; a folder's speaks for itself.
        module: Where it stands, imported by now.

    Returns:
        A sentence; "" where they are there, or not promised.

    Examples:
        >>> from plica.codecs.catalogue import offer
        >>> find_unfilled(offer("bicubic-4x-2d"), "plica.codecs.interpolation")
        ''
    """
    source = offered.card.weights
    file = getattr(sys.modules.get(module), "__file__", None)
    if isinstance(offered, _Packaged) or source.kind != "package" or not (source.filename and file):
        return ""
    own = Path(file).parent / source.filename
    package = sys.modules.get(module.partition(".")[0])
    places = [Path(one) for one in getattr(package, "__path__", ())]
    named = Path(source.filename).name
    # A module alone lies among others' packages: only the folders beside it are looked into.
    found = [place.rglob(named) for place in places] or [own.parent.glob(f"*/{named}")]
    if own.is_file() or any(path.is_file() for paths in found for path in paths):
        return ""
    return say_unfilled(offered.card, own)


def say_unfilled(card: CodecCard, own: Path) -> str:
    """That weights are not in their package, and what to put there.

    Args:
        card: The codec's.
        own: Where they are to be.

    Examples:
        >>> card = plica.load("bicubic-4x-2d").card
        >>> say_unfilled(card, Path("mine.safetensors"))[:54]
        'bicubic-4x-2d has no weights to use yet: its package h'
    """
    return (
        f"{card.name} has no weights to use yet: its package holds no {own.name}. Put the file "
        f"beside the module, at {own}, and install the package again; or try one that lies "
        "elsewhere with --weights FILE"
    )


def build_packaged(
    card: CodecCard,
    request: Request,
    *,
    make: Callable[[], Any],
    folder: Path,
    steps: Steps,
    padding: PadMode = "background",
    options: tuple[str, ...] = (),
) -> Codec:
    """A codec around a network, with all that a request may ask for.

    The weights are those beside the module, checked against the card's SHA-256 where it says one,
    or a file, a repository of the hub, or random ones, as the request says; their fingerprint goes
    into every latent.

    Args:
        make: Makes the network; what it computes with must be parameters or persistent buffers.
        folder: Where `card.weights.filename` lies: `Path(__file__).parent` of the caller.
        steps: How an image becomes the network's input, such as `pipelines.full_range`.
        padding: How incomplete cells are filled.
        options: Settings that the caller takes from `request.options` itself.

    Raises:
        UnknownName: The request has other options.
        WeightsError: The weights are missing, damaged, of another network, or the card promises
            another network than `make` makes.

    Examples:
        >>> def build(request):
        ...     return build_packaged(
        ...         CARD, request, make=FoldNet, folder=Path(__file__).parent, steps=full_range
        ...     )
    """
    from plica.codecs.device import choose_device
    from plica.codecs.directory import check_facts
    from plica.codecs.networkcodec import NetworkCodec
    from plica.codecs.weights import load_network

    check_options(request, card, options)
    own = folder / card.weights.filename
    if request.weights is None and not own.is_file():
        raise WeightsError(say_unfilled(card, own))
    network, fingerprint = load_network(
        card, own if request.weights is None else request.weights, make=make,
        convert=lambda state: state, sha256=card.weights.sha256 if request.weights is None else "",
    )  # fmt: skip
    check_facts(card, network)
    return NetworkCodec(
        card=card,
        network=network,
        fingerprint=fingerprint,
        steps=steps,
        device=choose_device(request.device),
        padding=padding,
    )

"""The table of codecs: which there are, and how to load one."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from plica.codecs.card import LOADED_WITH, CodecCard, WeightsSource
from plica.codecs.codec import RANDOM, Codec, Offer, Request
from plica.errors import PlicaError, SettingsError, UnknownName
from plica.image import Image
from plica.importing import no_search_for_garbage
from plica.latent import MOST_OF_SETTING
from plica.registry import Registry

_KERNELS = ("nearest", "bilinear", "bicubic", "area", "lanczos")
_SIZES = ("4x-2d", "8x-2d", "16x-2d", "4x-3d", "8x-3d")

CODECS = Registry(
    "codec",
    (
        *((f"linear-{size}", "plica.codecs.linear:OFFERS")
          for size in ("4x1-2d", "4x3-2d", "8x1-2d", "8x4-2d", "4x1-3d", "8x1-3d", "4x4-3d")),
        *((f"compact-{size}", "plica.codecs.compact:OFFERS")
          for size in ("4x1-2d", "4x3-2d", "8x1-2d", "8x4-2d", "4x1-3d", "8x1-3d", "4x4-3d")),
        *((f"medvae-{size}", "plica.codecs.medvae:OFFERS")
          for size in ("4x1-2d", "4x3-2d", "8x1-2d", "8x4-2d", "4x1-3d", "8x1-3d")),
        ("kl-f4", "plica.codecs.latentdiffusion:OFFERS"),
        ("kl-f8", "plica.codecs.latentdiffusion:OFFERS"),
        ("vq-f4", "plica.codecs.latentdiffusion:OFFERS"),
        ("vq-f8", "plica.codecs.latentdiffusion:OFFERS"),
        *((name, "plica.codecs.tiny:OFFERS")
          for name in ("taesd", "taesdxl", "taesd3", "taef1", "taef2", "taesana")),
        *((name, "plica.codecs.foundation:OFFERS")
          for name in ("wan2.1", "wan2.2", "cogvideox", "ltx", "hunyuanvideo", "cosmos",
                       "dc-ae-f32c32", "dc-ae-f64c128", "sdxl", "sd3", "flux", "flux2", "maisi")),
        *((name, "plica.codecs.unavailable:OFFERS")
          for name in ("leanvae", "wf-vae", "cv-vae", "iv-vae", "videovae-plus")),
        *((f"{kernel}-{size}", "plica.codecs.interpolation:OFFERS")
          for kernel in _KERNELS for size in _SIZES),
        ("jpeg2000", "plica.codecs.bitstream:OFFERS"),
        ("jpegxl", "plica.codecs.bitstream:OFFERS"),
        ("identity", "plica.codecs.identity:OFFERS"),
    ),
    group="plica.codecs",
)  # fmt: skip

STITCHED = "stitched:"
_LIMIT_OF_STITCHED = (
    "codes of neighbouring slices are interpolated, and what slices do not share is lost: "
    "the thicker they are, the more; not for thick slices. What was measured in training is of "
    "single slices"
)
_OF_SLICES = ("lesions_kept",)
DEFAULT_FOR_SLICES, DEFAULT_FOR_VOLUMES = "compact-4x3-2d", "compact-4x1-3d"
_THICK = 3
"""How many times as far apart as their pixels slices are thick."""
DRAWN = " (random weights)"
"""At the end of a codec's name: its weights were drawn, and it keeps nothing of an image."""
_RUNNING = ("tile", "progress", "memory", "device_memory", "tiling")  # fields of `Running`
_PRECISION = "precision"


def offer(name: str) -> Offer:
    """What stands in the table under `name`.

    A table entry leads to an `Offer`, or to a mapping of names to offers.

    Raises:
        UnknownName: Nothing does, or what another package offers there has no weights yet.
    """
    thing = CODECS.get_thing(name)
    chosen = thing.get(name) if isinstance(thing, Mapping) else thing
    if not isinstance(chosen, Offer):
        raise UnknownName(
            f"the codec '{name}' leads to {CODECS[name]}, which is no plica.codecs.codec.Offer: "
            "update or uninstall the package it comes from"
        )
    try:
        _ = chosen.card  # a package's is read from its folder by now, and not before
    except PlicaError as error:
        raise CODECS.blame(name, error) from error
    return chosen


def find_offer(name: str) -> Offer:
    """What the table, else a folder or a repository of the hub, offers under a name.

    Behind "stitched:" it is the codec of slices that is offered for volumes.

    Raises:
        UnknownName: None of them does, or what is to be stitched does not fold slices.
        WeightsError: The folder or repository holds no codec.
    """
    from plica.codecs.directory import offer_directory
    from plica.codecs.hub import HUB, fetch_codec

    if name.startswith(STITCHED):
        inner = find_offer(name.removeprefix(STITCHED))
        return Offer(_stitch_card(inner.card), lambda request: _stitch(inner.build(request)))
    if name.startswith(HUB):
        return offer_directory(fetch_codec(name))
    if name and name not in CODECS and Path(name).is_dir():
        return _offer_folder(name)
    if name not in CODECS and _is_path(name):
        raise UnknownName(
            f"there is no such folder: {name}. A codec is a folder of card and weights, or one of "
            "the names that `plica codecs` lists"
        )
    return offer(name)


def _offer_folder(name: str) -> Offer:
    """What a folder offers; where a bare name led to it, errors say so."""
    from plica.codecs.directory import offer_directory

    try:
        return offer_directory(Path(name))
    except PlicaError as error:
        if _is_path(name):
            raise
        raise type(error)(
            f"{error} (this is the folder ./{name}, since no codec has that name)"
        ) from error


def _is_path(name: str) -> bool:
    """Whether a folder was meant: names in the table have no slash and no such neighbours."""
    separators = {os.sep, os.altsep or os.sep, "/"}
    return any(one in name for one in separators) or name.startswith(("~", "."))


def cards() -> tuple[CodecCard, ...]:
    """The cards of all codecs in the table, in its order; loads no network.

    A codec of another package that cannot be used is left out; `listing` says why.
    """
    return tuple(one for _, one in listing() if isinstance(one, CodecCard))


def listing() -> Iterator[tuple[str, CodecCard | UnknownName]]:
    """Each name in the table with its card, or with what is wrong with the package it is of."""
    for name in CODECS:
        try:
            yield name, offer(name).card
        except UnknownName as error:
            yield name, error


def find_empty(name: str) -> str:
    """What to say where a package's codec has a card, and not the weights it promises.

    Args:
        name: In the table.

    Returns:
        A sentence that says where the file belongs; "" where nothing is missing.

    Examples:
        >>> find_empty("compact-4x3-2d")
        ''
    """
    name = name.removeprefix(STITCHED)
    if name not in CODECS or (module := CODECS[name].partition(":")[0]).startswith("plica."):
        return ""
    from plica.codecs.packaged import find_unfilled

    return find_unfilled(offer(name), module)


def load(
    name: str | Path,
    weights: str | Path | None = None,
    device: str = "auto",
    **options: Any,
) -> Codec:
    """Load a codec.

    Args:
        name: A name in the table ("linear-4x3-2d"), one prefixed by "stitched:" (a 2d codec whose
            latents are then interpolated along the third axis), a directory that holds a card and
            weights, or such a directory on the hub ("hub:owner/name@revision").
        weights: A local weights file instead of the card's own source, or "hub:repo@revision".
            "random" draws them, to try a network's path and cost where none are at hand; the codec
            is then called by another name, and so are its latents.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        options: Fields of `Preparing`, such as `axis="coronal"`, and of `Running`, such as
            `memory="4G"`, `tiling="exact"` or `progress=print`; `precision="bfloat16"`; and
            settings of the one codec, such as `rate=0.5` of jpeg2000.

    Raises:
        UnknownName: No codec of that name, or no such option.
        WeightsError: The weights are missing, damaged or of another network.
        SettingsError: A setting of the one codec is of a kind or size that it does not take.
        MissingExtra: The codec needs a package that is not installed.

    Examples:
        >>> plica.load("bicubic-4x-2d").card.total_factor
        16
    """
    text = str(name)
    if text.startswith(STITCHED):
        return _stitch(load(text.removeprefix(STITCHED), weights, device, **options))
    chosen = find_offer(text)
    shared, own = split_options(options)
    codec = _build(chosen, Request(weights=weights, device=device, options=own))
    if own:
        codec = _remember(codec, own)
    if weights == RANDOM:
        codec = _call_random(codec)
    return _prepare_as_asked(codec, shared) if shared else codec


def _build(chosen: Offer, request: Request) -> Codec:
    """The codec; what its build cannot make of the settings given is a sentence."""
    try:
        with no_search_for_garbage():  # most builds are the first to import torch
            return chosen.build(request)
    except (ValueError, TypeError) as error:
        if not request.options:
            raise  # nobody asked for anything: a fault of the build's own
        from plica.codecs.fetching import first_line

        said = ", ".join(f"{name}={value!r}" for name, value in request.options.items())
        raise SettingsError(
            f"{chosen.card.name} cannot be built with {said} ({type(error).__name__}: "
            f"{first_line(error)}): give its settings as it takes them, or leave them out"
        ) from error


def _remember(codec: Codec, own: Mapping[str, Any]) -> Codec:
    """With the settings it accepted on its card, from where latents take them.

    A class of somebody's own that is no dataclass says them on its card itself, or not at all.
    """
    bare: Any = codec
    if not dataclasses.is_dataclass(bare) or isinstance(bare, type):
        return codec
    if not any(one.name == "card" and one.init for one in dataclasses.fields(bare)):
        return codec
    told = {name: _plain(value) for name, value in own.items()}
    card = dataclasses.replace(codec.card, extras={**codec.card.extras, LOADED_WITH: told})
    return cast(Codec, dataclasses.replace(bare, card=card))


def _plain(value: Any) -> bool | int | float | str:
    """A setting as a latent keeps it; what is no truth, number or word, as its text."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float) and not math.isfinite(value):
        value = str(value)
    return value if isinstance(value, bool | int | float) else str(value)[:MOST_OF_SETTING]


def split_options(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options of `load`: those that all codecs share, and those of the one codec.

    Args:
        options: As `load` is given them; None values count as not given.

    Examples:
        >>> split_options({"axis": "coronal", "rate": 0.5, "lossless": None})
        ({'axis': 'coronal'}, {'rate': 0.5})
    """
    from plica.codecs.preparing import Preparing

    names = {*(one.name for one in dataclasses.fields(Preparing)), *_RUNNING, _PRECISION}
    given = {key: value for key, value in options.items() if value is not None}
    shared = {key: value for key, value in given.items() if key in names}
    return shared, {key: value for key, value in given.items() if key not in names}


def _prepare_as_asked(codec: Codec, shared: Mapping[str, Any]) -> Codec:
    from plica.codecs.framecodec import FrameCodec
    from plica.codecs.networkcodec import NetworkCodec
    from plica.codecs.precision import check_precision
    from plica.codecs.preparing import Preparing
    from plica.codecs.running import Running

    own = (*_RUNNING, _PRECISION)
    preparing = {key: value for key, value in shared.items() if key not in own}
    running = Running.from_options(**{key: shared[key] for key in _RUNNING if key in shared})
    if isinstance(codec, FrameCodec):
        if shared.get(_PRECISION, "float32") != "float32":
            raise SettingsError(f"{codec.card.name} is run in float32 alone: leave out precision")
        asked_for = Preparing.from_options(preparing)
        framed = dataclasses.replace(codec, preparing=asked_for, running=running)
        framed.check()
        return framed
    if isinstance(codec, NetworkCodec):
        asked = dataclasses.replace(
            codec,
            preparing=Preparing.from_options(preparing),
            running=running,
            precision=check_precision(codec, shared.get(_PRECISION, codec.precision)),
        )
        asked.planner.check()
        return asked
    if unknown := [name for name in shared if name != "progress"]:
        raise UnknownName(
            f"{codec.card.name} keeps every pixel as it is and has no option "
            f"{' or '.join(unknown)}: leave it out"
        )
    return codec


def _call_random(codec: Codec) -> Codec:
    """Under a name that says what its numbers are worth."""
    from plica.codecs.framecodec import FrameCodec
    from plica.codecs.networkcodec import NetworkCodec

    if not isinstance(codec, NetworkCodec | FrameCodec):
        raise UnknownName(f"{codec.card.name} has no weights that could be random")
    card = dataclasses.replace(
        codec.card,
        name=f"{codec.card.name}{DRAWN}",
        summary=f"{codec.card.summary} Its weights are random: it keeps nothing of an image.",
        weights=WeightsSource("none"),
        training_data="",
    )
    return dataclasses.replace(codec, card=card)


def _stitch(codec: Codec) -> Codec:
    from plica.codecs.networkcodec import NetworkCodec

    if not isinstance(codec, NetworkCodec):
        raise _refuse_stitching(codec.card)
    return dataclasses.replace(codec, card=_stitch_card(codec.card))


def _stitch_card(card: CodecCard) -> CodecCard:
    """The card of a codec of volumes made of one of slices; what was measured of slices is not."""
    if card.dims != 2 or card.period:
        raise _refuse_stitching(card)
    kept = {key: value for key, value in card.extras.items() if key not in _OF_SLICES}
    limits = [str(card.extras["limit"])] if card.extras.get("limit") else []
    return dataclasses.replace(
        card,
        name=STITCHED + card.name,
        summary=f"{card.name} slice by slice, its codes interpolated along the third axis.",
        dims=3,
        tileable=False,
        extras={**kept, "stitched": True, "limit": "; ".join([*limits, _LIMIT_OF_STITCHED])},
    )


def _refuse_stitching(card: CodecCard) -> UnknownName:
    return UnknownName(
        f"only codecs that fold slices can be stitched, and {card.name} does not: choose a 2d codec"
    )


def default_name(image: Image) -> str:
    """The codec used where none was named: works offline, weights inside the package.

    That of slices also for volumes of thick ones: a codec of volumes folds several into one.
    """
    deep = image.is_volume and not has_thick_slices(image)
    return DEFAULT_FOR_VOLUMES if deep else DEFAULT_FOR_SLICES


def has_thick_slices(image: Image) -> bool:
    """Whether slices lie three times as far apart as their pixels or more, as far as is known.

    Examples:
        >>> grid = plica.Grid.from_spacing((4, 4, 4), (0.5, 0.5, 4.2))
        >>> has_thick_slices(plica.Image(np.zeros((1, 4, 4, 4), np.int16), grid))
        True
    """
    _, pixel, apart = sorted(image.grid.spacing_mm)
    return image.is_volume and image.grid.calibrated and apart >= _THICK * pixel

"""Trial: what a codec makes of an image in one way of running it, and what that takes."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np

from plica.codecs.codec import Codec
from plica.codecs.difference import Half, Values
from plica.codecs.framecodec import FrameCodec
from plica.codecs.networkcodec import NetworkCodec
from plica.codecs.plan import Part, Plan
from plica.errors import SettingsError, TooLarge
from plica.image import Image
from plica.latent import Latent

Runnable = NetworkCodec | FrameCodec
"""Codecs with a network, which may be run in several ways."""


def check_network(codec: Codec) -> Runnable:
    """The codec, if it has a network that could be run in several ways.

    Raises:
        SettingsError: It has none.
    """
    if not isinstance(codec, NetworkCodec | FrameCodec):
        raise SettingsError(
            f"{codec.card.name} has no network that could be run in pieces: there is nothing to "
            "verify, choose a codec with one"
        )
    return codec


def try_encoding(codec: Runnable, image: Image) -> Half:
    """Encode once."""
    plan = codec.plan_encoding(image)
    begun = time.perf_counter()
    codes = codec.encode(image).codes
    return _half(plan, codes, begun)


def try_decoding(codec: Runnable, latent: Latent, codes: Values, *, back: bool) -> Half:
    """Decode codes once.

    Args:
        codec: Whose codes they are.
        latent: Of the image, its codes not looked at.
        codes: What is decoded.
        back: Go all the way back to the image, and keep nothing of it.

    Raises:
        SettingsError: The codes are no codes of this image.

    Examples:
        >>> half = try_decoding(codec, latent, latent.codes, back=True)
        >>> half.pieces
        1
    """
    if latent.codes.shape != codes.shape:
        raise SettingsError(
            f"codes of {latent.codes.shape} are needed for this image, but {codes.shape} came"
        )
    latent = latent.with_codes(codes)
    plan = codec.plan_decoding(latent)
    begun = time.perf_counter()
    if not back:
        return _half(plan, codec.decode_prepared(latent), begun)
    codec.decode(latent)
    return _half(plan, codes[:0], begun)


def _half(plan: Plan, values: Values, begun: float) -> Half:
    return Half(values, time.perf_counter() - begun, plan.pieces, plan.describe())


def crop_centre(image: Image, side: int, slices: int) -> Image:
    """The middle of an image, of at most so many voxels along each axis and along k."""
    sides = [
        min(length, most)
        for length, most in zip(image.grid.shape, (side, side, slices), strict=True)
    ]
    start = [(length - one) // 2 for length, one in zip(image.grid.shape, sides, strict=True)]
    i, j, k = (slice(first, first + one) for first, one in zip(start, sides, strict=True))
    return dataclasses.replace(
        image, pixels=np.array(image.pixels[:, i, j, k]), grid=image.grid.window(start, sides)
    )


def choose_crop(codec: Runnable, image: Image, side: int | None) -> Image:
    """As much of the middle as runs whole in the memory there is, and in seconds.

    Raises:
        TooLarge: Not even a few cells do.
    """
    slices = _count_slices(codec)
    least = 4 * codec.card.factor
    most = side or _default_side(codec)
    whole = run_whole(codec)
    while True:
        crop = crop_centre(image, most, slices or most)
        try:
            whole.plan_decoding(whole.outline_latent(crop))
            whole.plan_encoding(crop)
        except TooLarge:
            if most <= least:
                raise
            most = max(least, most * 3 // 4)
        else:
            return crop


def _count_slices(codec: Runnable) -> int:
    """Enough slices to show what running them in pieces does; 0 where they are as rows are."""
    if isinstance(codec, FrameCodec):
        return 1 + 4 * codec.card.period
    if codec.network.dims == 3:
        return 0
    return 4 * codec.card.factor if codec.card.dims == 3 else 3


def run_whole(codec: Runnable) -> Any:
    """The codec, run in one piece."""
    return with_running(codec, tiling="whole", tile=0)


def _default_side(codec: Runnable) -> int:
    """What a few seconds suffice for on a processor."""
    if isinstance(codec, FrameCodec):
        return 8 * codec.card.factor
    if codec.network.dims == 2:
        return 500 if codec.tiles else 250
    return 122 if codec.tiles else 46


def cut_small(codec: Runnable, image: Image) -> Runnable:
    """The same codec, in so little room that the image must be cut.

    Tiles of half of its sides where it has such; else the least memory that can, and a tenth.
    Sequences are shown slice after slice.
    """
    if isinstance(codec, FrameCodec):
        return codec
    if codec.tiles:
        return (
            codec
            if codec.running.tile
            else with_running(codec, tile=max(8, -(-max(image.grid.shape) // 2)))
        )
    if codec.running.tiling in {"window", "blend", "whole"}:
        return codec
    least = max(_find_least(codec, image, part) for part in ("encode", "decode"))
    if not least:
        return codec
    return with_running(codec, memory=min(codec.planner.memory, least + least // 10))


def _find_least(codec: NetworkCodec, image: Image, part: Part) -> int:
    """The least memory an error says."""
    poor = with_running(codec, memory=1)
    try:
        if part == "decode":
            poor.plan_decoding(poor.outline_latent(image))
        else:
            poor.plan_encoding(image)
    except TooLarge as error:
        return error.least
    return 0


def with_running(codec: Runnable, **changes: Any) -> Any:
    """The codec, run otherwise."""
    return dataclasses.replace(codec, running=dataclasses.replace(codec.running, **changes))

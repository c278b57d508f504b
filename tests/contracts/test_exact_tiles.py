"""The contract of exact running, over every codec with a network: pieces change nothing.

Published networks are built with the structure of their cards and a quarter of their channels; all
weights that are not in the package are drawn.
"""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest
from tests.codecs.thin import make_thin

from plica.codecs.card import CodecCard
from plica.codecs.catalogue import CODECS, listing, load, offer
from plica.codecs.codec import RANDOM
from plica.codecs.difference import Difference
from plica.codecs.framecodec import FrameCodec
from plica.codecs.networkcodec import NetworkCodec
from plica.codecs.running import Running
from plica.codecs.trial import with_running
from plica.errors import MissingExtra, SettingsError, TooLarge, WeightsError
from plica.grid import Grid
from plica.image import Image, Unit

CARDS = {name: card for name, card in listing() if isinstance(card, CodecCard)}
THERE = [name for name, card in CARDS.items() if "missing" not in card.extras]
FRAMED = [name for name in THERE if offer(name).card.period]
WHOLE = ["dc-ae-f32c32", "dc-ae-f64c128"]
"""Seen whole: attention through layers that are another library's."""
NETWORKS = [name for name in THERE if offer(name).card.dims > 0 and name not in {*FRAMED, *WHOLE}]
OURS = [name for name in NETWORKS if CODECS[name].startswith("plica.")]
ELSEWHERE = [name for name in NETWORKS if offer(name).card.weights.kind in {"hub", "file"}]
EXACT_RMS = 1e-5
"""Of the output's deviation: what rounding of float32 may do."""
# Odd in every side, and thin.
SHAPES = {2: ((37, 27, 1), (67, 9, 2)), 3: ((29, 14, 11), (37, 6, 9))}


@pytest.fixture(scope="module")
def published():
    """Networks whose weights are not here are built thin."""
    with pytest.MonkeyPatch.context() as patch:
        make_thin(patch)
        yield


@pytest.fixture(scope="module")
def codec_of(published):
    @functools.cache
    def get(name: str) -> NetworkCodec | FrameCodec:
        try:
            codec = load(name, RANDOM if name in {*ELSEWHERE, *FRAMED, *WHOLE} else None)
        except MissingExtra as error:
            pytest.skip(str(error))
        if CODECS[name].startswith("plica."):
            assert isinstance(codec, FrameCodec if name in FRAMED else NetworkCodec)
        elif not getattr(codec, "tiles", False):
            pytest.skip(f"the network of {name} declares no encoder_reach and decoder_reach")
        return codec

    return get


def make_image(shape: tuple[int, int, int]) -> Image:
    generator = np.random.default_rng(sum(shape))
    waves = np.cumsum(generator.normal(0, 50, shape), axis=0) + generator.normal(0, 50, shape)
    return Image(waves.astype(np.float32)[None], Grid.from_spacing(shape), Unit.RELATIVE)


def ways(codec: NetworkCodec, image: Image) -> dict[str, NetworkCodec]:
    """The same codec in pieces: of several sizes, or in little memory and in a little more."""
    if codec.tiles:
        return {f"tiles of {side}": with_running(codec, tile=side) for side in (8, 20)}
    least = max(find_least(codec, image))
    amounts = {"the least memory": least + (1 << 20), "more": least + (24 << 20)}
    return {
        name: with_running(codec, tiling="exact", memory=memory) for name, memory in amounts.items()
    }


def find_least(codec: NetworkCodec, image: Image) -> tuple[int, int]:
    """What the refusals of too little memory say, there and back."""
    poor = with_running(codec, tiling="exact", memory=1)
    latent = poor.outline_latent(image)
    says = r"needs at least .* are allowed: give memory="
    with pytest.raises(TooLarge, match=says) as there:
        poor.plan_encoding(image)
    with pytest.raises(TooLarge, match=says) as back:
        poor.plan_decoding(latent)
    return there.value.least, back.value.least


@pytest.mark.parametrize("name", NETWORKS)
def test_pieces_of_any_size_give_what_the_whole_gives_there_and_back(name, codec_of):
    codec = codec_of(name)
    whole = with_running(codec, tiling="whole")
    for number, shape in enumerate(SHAPES[codec.card.dims]):
        image = make_image(shape)
        latent = whole.encode(image)
        decoded = whole.decode_prepared(latent)
        asked = list(ways(codec, image).items())
        way, pieces = asked[number]
        encoded = Difference.between(latent.codes, pieces.encode(image).codes)
        unfolded = Difference.between(decoded, pieces.decode_prepared(latent))

        assert encoded.rms <= EXACT_RMS, (shape, way)
        assert unfolded.rms <= EXACT_RMS, (shape, way)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_plan_says_how_many_pieces_and_what_they_take(name, codec_of):
    codec = codec_of(name)
    image = make_image(SHAPES[codec.card.dims][0])

    whole = with_running(codec, tiling="whole").plan_encoding(image)
    pieces = next(iter(ways(codec, image).values())).plan_encoding(image)

    assert pieces.pieces > whole.pieces
    assert whole.peak_bytes >= whole.piece_bytes > 0
    assert pieces.peak_bytes <= pieces.memory
    assert "GiB" in pieces.describe()


@pytest.mark.parametrize("name", ["medvae-4x1-2d", "vq-f4"])
def test_stitched_codecs_are_exact_too(name, codec_of):
    from plica.codecs.catalogue import _stitch

    codec = _stitch(codec_of(name))
    image = make_image((21, 18, 9))
    whole = with_running(codec, tiling="whole")
    latent = whole.encode(image)

    memory = max(find_least(codec, image)) + (24 << 20)
    pieces = with_running(codec, tiling="exact", memory=memory)

    assert Difference.between(latent.codes, pieces.encode(image).codes).rms <= EXACT_RMS
    decoded = whole.decode_prepared(latent)
    assert Difference.between(decoded, pieces.decode_prepared(latent)).rms <= EXACT_RMS


@pytest.mark.parametrize("name", FRAMED)
def test_slices_shown_a_few_at_a_time_give_what_all_at_once_give(name, codec_of):
    codec = codec_of(name)
    whole, few = (replace(codec, running=Running(tiling=tiling)) for tiling in ("whole", "auto"))
    for slices in (1, 3, 2 * codec.card.period + 3):
        image = make_image((21, 18, slices))
        latent = whole.encode(image)
        streamed = few.encode(image)

        assert Difference.between(latent.codes, streamed.codes).rms <= EXACT_RMS
        decoded = whole.decode_prepared(latent), few.decode_prepared(streamed)
        assert Difference.between(*decoded).rms <= EXACT_RMS
        assert few.decode(streamed).pixels.shape == image.pixels.shape


@pytest.mark.parametrize("name", WHOLE)
def test_what_is_seen_whole_says_so_and_is_not_cut(name, codec_of):
    image = make_image((45, 31, 1))

    with pytest.raises(SettingsError, match="choose tiling=whole"):
        with_running(codec_of(name), tiling="exact").encode(image)
    assert not offer(name).card.tileable
    decoded = codec_of(name).decode(codec_of(name).encode(image))
    assert decoded.pixels.shape == image.pixels.shape


@pytest.mark.parametrize("name", [name for name in CODECS if name not in THERE])
def test_what_has_no_implementation_says_what_is_missing(name):
    with pytest.raises(WeightsError, match=r"cannot be loaded, since .*licence"):
        load(name, RANDOM)


def test_no_card_promises_tiles_its_network_has_not(codec_of):
    for name in OURS:
        card: CodecCard = offer(name).card
        assert card.tileable == codec_of(name).tiles, name

"""The contract of exact running, over every codec with a network: pieces change nothing.

Published networks are built with the structure of their cards and a quarter of their channels; all
weights that are not in the package are drawn.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest

from plica.codecs.card import CodecCard
from plica.codecs.catalogue import CODECS, load, offer
from plica.codecs.codec import RANDOM
from plica.codecs.difference import Difference
from plica.codecs.networkcodec import NetworkCodec
from plica.codecs.trial import with_running
from plica.errors import TooLarge
from plica.grid import Grid
from plica.image import Image, Unit
from plica.networks import kl, vq

NETWORKS = [name for name in CODECS if offer(name).card.dims > 0]
ELSEWHERE = [name for name in NETWORKS if offer(name).card.weights.kind in {"hub", "file"}]
EXACT_RMS = 1e-5
"""Of the output's deviation: what rounding of float32 may do."""
# Odd in every side, and thin.
SHAPES = {2: ((45, 31, 2), (71, 9, 1)), 3: ((29, 18, 11), (41, 6, 9))}


def thin(network: type) -> object:
    """A published network with a quarter of its channels."""

    @functools.wraps(network)
    def make(*, widths: tuple[int, ...], codebook: int = 0, **settings: object) -> object:
        narrow = tuple(width // 4 for width in widths)
        books = {"codebook": codebook // 16} if codebook else {}
        return network(widths=narrow, **books, **settings)

    return make


@pytest.fixture(scope="module")
def published():
    """Networks whose weights are not here are built thin."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kl, "KlAutoencoder", thin(kl.KlAutoencoder))
        patch.setattr(vq, "VqAutoencoder", thin(vq.VqAutoencoder))
        yield


@pytest.fixture(scope="module")
def codec_of(published):
    @functools.cache
    def get(name: str) -> NetworkCodec:
        codec = load(name, RANDOM if name in ELSEWHERE else None)
        assert isinstance(codec, NetworkCodec)
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
        for way, pieces in asked if codec.tiles else asked[number : number + 1]:
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


def test_no_card_promises_tiles_its_network_has_not(codec_of):
    for name in NETWORKS:
        card: CodecCard = offer(name).card
        assert card.tileable == codec_of(name).tiles, name

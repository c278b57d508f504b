"""Trials: as much of an image as takes seconds, and so little room that it must be cut."""

import dataclasses

import numpy as np
import pytest
from tests.codecs.test_framecodec import Folding, make_ct
from tests.codecs.test_framecodec import codec_of as frame_codec
from tests.codecs.test_plan import MIB, huge, kl_codec
from tests.codecs.test_running import Cells, scan

import plica
from plica.codecs.budget import PROCESS_BYTES
from plica.codecs.plan import count_weights
from plica.codecs.trial import (
    check_network,
    choose_crop,
    cut_small,
    try_decoding,
    try_encoding,
    with_running,
)
from plica.errors import SettingsError, TooLarge


def test_what_has_no_network_cannot_be_tried():
    with pytest.raises(SettingsError, match="identity has no network that could be run in pieces"):
        check_network(plica.load("identity"))
    codec = plica.load("linear-4x1-3d")
    assert check_network(codec) is codec


def test_codes_of_another_image_are_not_decoded():
    codec = plica.load("linear-4x1-3d")
    outline = codec.outline_latent(scan((16, 16, 16)))
    codes = try_encoding(codec, scan((16, 16, 12))).values

    with pytest.raises(SettingsError, match=r"codes of \(1, 4, 4, 4\) are needed .* 3\) came"):
        try_decoding(codec, outline, codes, back=False)


@pytest.mark.parametrize(
    ("codec", "shape", "crop"),
    [
        (frame_codec(Folding()), (20, 24, 30), (16, 16, 17)),
        (plica.load("linear-4x3-2d"), (520, 510, 5), (500, 500, 3)),
        (plica.load("stitched:linear-4x3-2d"), (300, 40, 50), (250, 40, 16)),
        (kl_codec(), (300, 90, 5), (250, 90, 3)),
        (kl_codec(3), (50, 48, 40), (46, 46, 40)),
        (plica.load("linear-4x1-3d"), (130, 120, 9), (122, 120, 9)),
    ],
    ids=["frames", "tiles, 2D", "stitched", "2D", "3D", "tiles, 3D"],
)
def test_the_middle_is_as_large_as_takes_seconds(codec, shape, crop):
    image = huge(shape)
    found = choose_crop(codec, image, None)

    assert found.grid.shape == found.pixels.shape[1:] == crop
    middles = [one.to_world((np.array(one.shape) - 1) // 2) for one in (image.grid, found.grid)]
    assert np.abs(middles[0] - middles[1]).max() <= 1


def test_the_middle_is_smaller_where_there_is_less_memory_and_none_where_there_is_too_little():
    image = huge((300, 300, 3))
    room = PROCESS_BYTES + count_weights(kl_codec().network)
    sides = [
        choose_crop(kl_codec(memory=room + spare * MIB), image, None).grid.shape[0]
        for spare in (4000, 30, 8)
    ]

    assert sides == sorted(sides, reverse=True)
    assert sides[0] == 250 > sides[1] > sides[2]
    with pytest.raises(TooLarge, match="decoding codes of 4 × 4 with kl"):
        choose_crop(kl_codec(memory=MIB), image, None)


def test_what_is_cut_anyway_or_never_is_left_as_it_is():
    image = scan((40, 30, 20))
    tiled = plica.load("linear-4x1-3d", tile=8)
    blended = kl_codec(tiling="blend", tile=32)

    for codec in (frame_codec(Folding()), tiled, blended):
        assert cut_small(codec, image) is codec
    assert cut_small(plica.load("linear-4x1-3d"), image).running.tile == 20


def test_what_no_error_says_the_least_of_is_left_as_it_is():
    """A device whose memory is not the host's may have room for all."""
    card = dataclasses.replace(kl_codec(3).card, tileable=False, native_window=0, channels=1)
    codec = dataclasses.replace(kl_codec(3), card=card, network=Cells(), device="meta")

    assert cut_small(codec, make_ct((16, 16, 16))) is codec


def test_a_network_without_tiles_is_cut_by_the_least_memory_it_can_do_with():
    image = scan((40, 30, 20))
    codec = kl_codec(3)
    cut = cut_small(codec, image)

    with pytest.raises(TooLarge) as caught:
        with_running(codec, memory=1).plan_encoding(image)
    assert caught.value.least <= cut.running.memory < codec.planner.memory
    assert cut.plan_encoding(image) != codec.plan_encoding(image)

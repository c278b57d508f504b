"""The table of codecs: listed without loading networks, loaded by name, answered when misspelt."""

import subprocess
import sys

import pytest

import plica
from plica.codecs.catalogue import CODECS, cards, default_name, load
from plica.errors import UnknownName
from plica.grid import Grid
from plica.image import Image

ISSUED = [
    *(f"{family}-{size}" for family in ("linear", "medvae")
      for size in ("4x1-2d", "4x3-2d", "8x1-2d", "8x4-2d", "4x1-3d", "8x1-3d")),
    "kl-f4", "kl-f8", "vq-f4", "vq-f8", "jpeg2000", "jpegxl", "identity",
    *(f"{kernel}-{size}" for kernel in ("nearest", "bilinear", "bicubic", "area", "lanczos")
      for size in ("4x-2d", "8x-2d", "16x-2d", "4x-3d", "8x-3d")),
]  # fmt: skip


def test_every_codec_of_the_plan_is_in_the_table_and_no_name_twice():
    assert sorted(CODECS) == sorted(ISSUED)


def test_a_cards_name_is_its_name_in_the_table_and_its_record_reads_back():
    for name, card in zip(CODECS, cards(), strict=True):
        assert card.name == name
        assert type(card).from_json(card.to_json()) == card


def test_the_room_answers_with_the_cards_and_is_still_a_room():
    assert plica.codecs() == cards()
    import plica.codecs.card as module

    assert module.CodecCard is type(plica.codecs()[0])


def test_listing_codecs_loads_no_torch():
    code = "import sys, plica; plica.codecs(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_misspelt_name_is_answered_with_the_nearest():
    with pytest.raises(UnknownName, match="did you mean bicubic-4x-2d"):
        load("bicubic-4x2d")


def test_an_option_a_codec_does_not_have_is_refused_by_name():
    with pytest.raises(UnknownName, match="sharpness"):
        load("bicubic-4x-2d", sharpness=3)
    with pytest.raises(UnknownName, match="axis"):
        load("identity", axis="axial")


def test_only_slicing_codecs_can_be_stitched():
    assert load("stitched:bicubic-4x-2d").card.total_factor == 64
    with pytest.raises(UnknownName, match="choose a 2d codec"):
        load("stitched:bicubic-4x-3d")


def test_the_default_codec_follows_the_images_dimensions():
    for shape, name in (((8, 8, 1), "linear-4x3-2d"), ((8, 8, 2), "linear-4x1-3d")):
        import numpy as np

        image = Image(np.zeros((1, *shape), np.int16), Grid.from_spacing(shape))
        assert default_name(image) == name

"""Which codec is taken, and what is said of it."""

import numpy as np
import pytest

from plica.cli.choosing import choose, parse_settings
from plica.cli.reading import parse_triple
from plica.codecs import precision
from plica.errors import SettingsError, WeightsError
from plica.grid import Grid
from plica.image import Image, Unit


@pytest.mark.parametrize("quiet", [False, True])
def test_that_a_codec_will_be_slow_is_said_unless_silence_was_asked_for(monkeypatch, capsys, quiet):
    monkeypatch.setattr(precision, "describe_slowness", lambda codec: f"{codec.card.name} is slow")
    chooser = choose("bicubic-4x-2d", None, "cpu", None, {}, {}, quiet=quiet)

    assert chooser.named() is chooser.named()

    said = capsys.readouterr().err
    assert said == ("" if quiet else "note: bicubic-4x-2d is slow\n")  # once


@pytest.mark.parametrize("quiet", [False, True])
def test_what_the_codec_chosen_by_auto_is_not_for_is_said_once(capsys, quiet):
    pixels = np.zeros((1, 8, 8, 8), np.int16)
    volume = Image(pixels, Grid.from_spacing((8, 8, 8)), Unit.HU)
    picture = Image(pixels[..., :1], Grid.from_spacing((8, 8, 1)), Unit.HU)
    chooser = choose("auto", None, "cpu", None, {}, {}, quiet=quiet)

    for image in (picture, volume, volume):
        chooser.for_image(image)
    choose("compact-4x1-3d", None, "cpu", None, {}, {}, quiet=quiet).for_image(volume)

    said = capsys.readouterr().err.replace("\n", " ")
    assert said.count("chosen by auto") == (not quiet)
    assert quiet or "not for small findings; -c compact-4x3-2d keeps more" in said


def test_weights_of_a_codec_that_images_choose_wait_for_them(tmp_path):
    none = str(tmp_path / "none.safetensors")
    choose("auto", none, "cpu", None, {}, {}, quiet=True).load_first()
    with pytest.raises(WeightsError, match=r"none\.safetensors"):
        choose("compact-4x1-3d", none, "cpu", None, {}, {}, quiet=True).load_first()


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        ("rate", "--set takes NAME=VALUE such as rate=0.5, but got 'rate'"),
        ("=0.5", "--set takes NAME=VALUE"),
        ("progress=1", "see --quiet"),
        ("device=cpu", "say --device instead"),
    ],
)
def test_what_is_no_setting_is_refused(pair, said):
    with pytest.raises(SettingsError, match=said):
        parse_settings([pair])


def test_settings_are_truths_numbers_or_words():
    pairs = ["lossless=True", "tile-batch=4", "rate=0.5", "way=ward"]

    assert parse_settings(pairs) == {"lossless": True, "tile_batch": 4, "rate": 0.5, "way": "ward"}
    assert type(parse_settings(pairs)["tile_batch"]) is int


@pytest.mark.parametrize("text", ["0.7,0.7", "a,b,c", "1,2,0", "1,2,-3", "1,2,nan", "1,2,inf"])
def test_sizes_of_voxels_are_three_lengths_above_zero(text):
    assert parse_triple("0.7,0.7,5", "--spacing") == (0.7, 0.7, 5)
    with pytest.raises(SettingsError, match=r"--spacing takes .*, but got"):
        parse_triple(text, "--spacing")

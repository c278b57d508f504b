"""Which codec is taken, and what is said of it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.codecs import sharing
from typer.testing import CliRunner

import plica
from plica.cli.choosing import choose, parse_settings
from plica.cli.main import app
from plica.cli.reading import parse_triple
from plica.codecs import precision
from plica.codecs.catalogue import CODECS
from plica.errors import LatentError, OutputError, SettingsError, WeightsError
from plica.formats.store import Store
from plica.formats.store_writing import ShardWriter
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


def test_of_thick_slices_the_codec_chosen_by_auto_folds_one_by_one_and_says_why(capsys):
    pixels = np.zeros((1, 8, 8, 8), np.int16)
    thick = Image(pixels, Grid.from_spacing((8, 8, 8), (0.5, 0.5, 4.2)), Unit.HU)
    unknown = replace(thick, grid=replace(thick.grid, calibrated=False))
    chooser = choose("auto", None, "cpu", None, {}, {}, quiet=False)

    names = [chooser.for_image(image).card.name for image in (unknown, thick, thick)]

    said = " ".join(capsys.readouterr().err.split())
    assert names == ["compact-4x1-3d", "compact-4x3-2d", "compact-4x3-2d"]
    assert said.count("not for small findings") == 1
    assert said.count("slices are thick (voxels of 0.5 × 0.5 × 4.2 mm)") == 1
    assert "-c compact-4x1-3d makes fewer numbers, and blurs" in said


def test_a_folder_that_has_the_name_of_a_codec_is_said_to_be_another(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "linear-4x1-2d"
    folder.mkdir()
    choose("linear-4x1-2d", None, "cpu", None, {}, {}, quiet=False)
    assert capsys.readouterr().err == ""
    (folder / "card.json").touch()
    choose("linear-4x1-2d", None, "cpu", None, {}, {}, quiet=True)
    assert capsys.readouterr().err == ""
    choose("linear-4x1-2d", None, "cpu", None, {}, {}, quiet=False)
    assert "the folder here is -c ./linear-4x1-2d" in " ".join(capsys.readouterr().err.split())


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


@pytest.fixture
def told(monkeypatch, tmp_path):
    """A latent made with a setting, in a file, and how commands are given words."""
    monkeypatch.setitem(CODECS._table, sharing.NAME, sharing.TARGET)
    monkeypatch.chdir(tmp_path)
    pixels = np.arange(64, dtype=np.uint8).reshape(1, 8, 8, 1)
    plica.write(Image(pixels, Grid.from_spacing((8, 8, 1))), "i.nii.gz")

    def run(*words):
        done = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
        assert done.exit_code == 0, done.output
        return done

    run("encode", "i.nii.gz", "-o", "n.latent", "-c", sharing.NAME, "--set", "share=0.5")
    run("reconstruct", "i.nii.gz", "-o", "wanted.nii.gz", "-c", sharing.NAME)
    return run


def pixels(name):
    return plica.read(name).pixels


@pytest.mark.parametrize("named", [(), ("-c", sharing.NAME)])
def test_a_latent_is_decoded_with_the_settings_it_was_made_with(told, named):
    done = told("decode", "n.latent", "-o", "o.nii.gz", *named)

    np.testing.assert_array_equal(pixels("o.nii.gz"), pixels("wanted.nii.gz"))
    assert "as --set says" not in done.stderr
    assert "share=0.5" in told("inspect", "n.latent").stdout
    assert json.loads(told("inspect", "n.latent", "--json").stdout)["codec"]["settings"] == {
        "share": 0.5
    }


def test_settings_asked_for_decode_a_latent_of_others_and_that_is_said(told):
    done = told("decode", "n.latent", "-o", "o.nii.gz", "--set", "share=0.25")

    said = " ".join(done.stderr.split())
    assert "made with share=0.5, decoded with share=0.25, as --set says" in said
    assert (pixels("o.nii.gz") != pixels("wanted.nii.gz")).any()
    quiet = told("decode", "n.latent", "-o", "q.nii.gz", "--set", "share=0.25", "--quiet")
    assert "as --set says" not in quiet.stderr
    np.testing.assert_array_equal(pixels("q.nii.gz"), pixels("o.nii.gz"))
    same = told("decode", "n.latent", "-o", "p.nii.gz", "--set", "share=0.5")
    assert "as --set says" not in same.stderr


def test_a_store_tells_the_settings_of_its_latents_and_is_decoded_with_them(told):
    latent = plica.read_latent("n.latent")
    store = Store.create("of.store", codec=latent.codec, dtype="float32")
    with ShardWriter(store, "a") as shard:
        shard.add("key", latent)
        silent = replace(latent, codec=replace(latent.codec, settings={}))
        with pytest.raises(OutputError, match=r"with share=0\.5, but .* no settings of its own"):
            shard.add("other", silent)
    told("bulk", "decode", "of.store", "-o", "out/*.nii.gz")

    (made,) = Path("out").glob("*.nii.gz")
    np.testing.assert_array_equal(pixels(made), pixels("wanted.nii.gz"))
    assert "share=0.5" in told("inspect", "of.store").stdout
    assert json.loads(told("inspect", "of.store", "--json").stdout)["settings"] == {"share": 0.5}


@pytest.mark.parametrize("setting", ["memory", "weights", "axis"])
def test_a_strangers_latent_says_nothing_but_its_codecs_own(told, setting):
    latent = plica.read_latent("n.latent")
    forged = replace(latent, codec=replace(latent.codec, settings={setting: "1G"}))
    chooser = choose("auto", None, "cpu", None, {}, {}, quiet=True)

    with pytest.raises(LatentError, match=f"tells {setting} as settings"):
        chooser.for_latent(forged)

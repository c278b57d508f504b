"""Codecs named with a policy, and where no policy may stand."""

from __future__ import annotations

import numpy as np
import pytest
from tests.codecs.test_directory import make_codec

from plica.cli.contenders import load_contenders, name_contenders, split_policy, tell_apart
from plica.codecs.directory import write_directory
from plica.codecs.policy import Policy
from plica.errors import SettingsError, UnknownName, WeightsError
from plica.grid import Grid
from plica.image import Image, Unit

NAMED = "bicubic-4x-2d?windows=wide,soft&shifts=4"


def test_a_policy_follows_the_name():
    assert split_policy("taef2") == ("taef2", None)
    assert split_policy(NAMED) == ("bicubic-4x-2d", Policy(("wide", "soft"), 4))
    assert split_policy("x?recalibrate=true&outside=report&axes=axial")[1] == Policy(
        axes=("axial",), outside="report", recalibrate=True
    )


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("colour=red", "of windows, shifts, axes"),
        ("shifts=many", "shifts are a whole number"),
        ("recalibrate=perhaps", "true or false"),
        ("shifts=4&shifts=4", "each once"),
        ("windows", "got 'windows'"),
    ],
)
def test_what_is_no_policy_is_refused(query, says):
    with pytest.raises(SettingsError, match=says):
        split_policy(f"bicubic-4x-2d?{query}")


def test_names_and_patterns_stand_beside_each_other():
    names = name_contenders(["bicubic-4x*2d", NAMED], policies=True)

    assert names == ("bicubic-4x-2d", NAMED)
    with pytest.raises(UnknownName):
        name_contenders(["nothing?shifts=4"], policies=True)


def test_codecs_that_are_none_and_weights_of_others_are_refused():
    with pytest.raises(UnknownName, match=r"no codec is called like 'nothing-\*'"):
        name_contenders(["nothing-*"])
    with pytest.raises(SettingsError, match="no codec to judge"):
        name_contenders([])
    with pytest.raises(SettingsError, match="no such codec is judged here"):
        load_contenders(["identity"], weights=["taef2=a.pth"])
    for pair in ("identity", "=a.pth", "identity="):
        with pytest.raises(SettingsError, match="--weights takes NAME=FILE"):
            load_contenders(["identity"], weights=[pair])


def test_who_lacks_weights_is_told_how_to_do_without(tmp_path):
    with pytest.raises(WeightsError, match=r"none\.safetensors.*say --random-weights"):
        load_contenders(["compact-4x3-2d"], weights=[f"compact-4x3-2d={tmp_path}/none.safetensors"])


def test_where_latents_are_wanted_there_is_no_policy():
    with pytest.raises(SettingsError, match="leave out what follows bicubic-4x-2d"):
        name_contenders([NAMED])


def test_codecs_that_have_no_passes_are_refused_before_any_work():
    with pytest.raises(SettingsError, match="no network"):
        load_contenders(["identity?shifts=2"])


@pytest.mark.parametrize(
    ("cards", "called"),
    [
        ({"./one": "mine", "two/": "mine"}, ("mine (one)", "mine (two)")),
        ({"old/mine": "mine", "new/mine": "mine"}, ("mine (old/mine)", "mine (new/mine)")),
        (
            {"compact-4x3-2d": "compact-4x3-2d", "./mine": "compact-4x3-2d"},
            ("compact-4x3-2d", "compact-4x3-2d (mine)"),
        ),
        (
            {"hub:owner/mine@v1": "mine", "stitched:./mine": "stitched:mine", "mine": "mine"},
            ("mine (hub:owner/mine@v1)", "stitched:mine", "mine (mine)"),
        ),
        # Of packages, whose cards may say what they like.
        (
            {"linear-4x3-2d": "linear", "linear-8x1-2d": "linear"},
            ("linear (linear-4x3-2d)", "linear (linear-8x1-2d)"),
        ),
        ({"./one": "mine", "./two": "yours"}, ("mine", "yours")),
    ],
)
def test_codecs_whose_cards_have_one_name_are_told_apart_by_their_folders(cards, called):
    assert tuple(tell_apart(cards).values()) == called


def test_one_folder_in_two_spellings_is_refused(tmp_path, monkeypatch):
    (tmp_path / "beside").mkdir()
    monkeypatch.chdir(tmp_path)

    with pytest.raises(SettingsError, match=r"\./one and beside/\.\./one are one codec: name it"):
        tell_apart({"./one": "mine", "beside/../one": "mine"})


def test_two_checkpoints_of_one_recipe_stand_beside_each_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        write_directory(name, make_codec())

    first, second, passes = load_contenders(["./one", "./two", "./two?shifts=4"])

    name = first.codec.card.name
    assert [one.name for one in (first, second, passes)] == [
        f"{name} (one)", f"{name} (two)", f"{name} (two)?shifts=4"
    ]  # fmt: skip
    assert second.is_called("./two")
    assert not first.is_called("./two")


def test_a_contender_is_run_in_its_passes_and_loaded_once():
    plain, passes = load_contenders(["bicubic-4x-2d", NAMED])
    image = Image(
        np.random.default_rng(0).integers(-900, 900, (1, 21, 19, 1)).astype(np.int16),
        Grid((21, 19, 1), np.eye(4)), Unit.HU,
    )  # fmt: skip

    latent, decoded, facts = passes.run(image)

    assert passes.codec is plain.codec
    assert passes.name == NAMED
    assert facts["reconstruction"]["passes"] == 8
    assert facts["codes"] == 8 * plain.run(image)[0].codes.size
    assert latent.factor == (4, 4, 1)
    assert decoded.grid == image.grid
    assert not np.array_equal(decoded.pixels, plain.run(image)[1].pixels)

"""Published tables of probes: their recipe and tasks, one command, ours beside the paper's."""

import csv
import json

import numpy as np
import pytest
from PIL import Image as Picture
from tests.training.checks import draw, write_pictures
from typer.testing import CliRunner

from plica.cli.main import app
from plica.cli.posing import Asked
from plica.cli.probe_tables import find_places, follow_recipe, list_published, read_recipe
from plica.errors import InputError, OutputError, SettingsError, UnknownName
from plica.evaluation.protocol import read_protocol

GRAZ = ("filestem", "patient_id", "cast", "fracture_visible", "metal")
RECIPE = """
name = "small-table"
version = 3
title = "Fractures."
paper = "A paper"
table = "9"
metrics = ["auroc"]
dims = 2
kind = "probe"
splits = ["train", "test"]

[probe]
network = "pooled-2d"
epochs = 30
batch = 16
batch_full = 8
rate = 1e-2
seeds = 2

[[groups]]
name = "Wrist Fracture"
data = ["grazpedwri-dx"]
task = "grazpedwri-fracture"
dims = 2

[[published]]
method = "Whole"
factor = 1
channels = 1
[published.values]
"Wrist Fracture" = { auroc = [73.7, 0.1] }

[[published]]
method = "Bicubic"
factor = 16
channels = 1
codec = "bicubic-4x-2d"
[published.values]
"Wrist Fracture" = { auroc = [71.1, 0.1] }

[[published]]
method = "Areas"
factor = 16
channels = 1
codec = "area-4x-2d"
[published.values]
"Wrist Fracture" = { auroc = [65.2, 0.1] }
"""


def make_graz(root, patients=36):
    rng, rows = np.random.default_rng(0), []
    (root / "images_part1").mkdir(parents=True)
    for n in range(patients):
        stem = f"{n:04d}_01_WRI-L1_M014"
        rows.append((stem, n, "", "1" if n % 2 else "", ""))
        Picture.fromarray(draw(bool(n % 2), rng)).save(root / "images_part1" / f"{stem}.png")
    with (root / "dataset.csv").open("w", newline="") as file:
        csv.writer(file).writerows([GRAZ, *rows])
    return root


def probe(*words):
    return CliRunner().invoke(
        app, ["evaluate", "probe", *map(str, words)], catch_exceptions=False, standalone_mode=False
    )


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(RECIPE)
    return path


def test_a_table_is_run_by_one_command_and_stands_beside_the_paper(recipe, tmp_path):
    make_graz(tmp_path / "data" / "grazpedwri-dx")
    words = (
        tmp_path / "data", "--protocol", recipe, "--codec", "bicubic-4x-2d", "--size", "32x32",
        "--cache", tmp_path / "cache", "-o", tmp_path / "r",
    )  # fmt: skip
    said = json.loads(probe(*words, "--json").stdout)
    column = said["groups"]["Wrist Fracture"]

    assert said["protocol"] == {"name": "small-table", "version": 3}
    assert column["published"] == {
        "full-resolution": 73.7, "bicubic-4x-2d": 71.1, "area-4x-2d": 65.2,
    }  # fmt: skip
    assert [one["codec"] for one in column["codecs"]] == ["full-resolution", "bicubic-4x-2d"]
    assert all(len(one["seeds"]) == 2 for one in column["codecs"])
    whole = (tmp_path / "r" / "report.md").read_text()
    assert "(71.1)" in whole
    assert "– (65.2)" in whole  # of the paper alone
    own = json.loads((tmp_path / "r" / "wrist-fracture" / "report.json").read_text())
    assert "as in small-table v3" in own["setting"]["protocol"]
    assert "batches of 16 at most (8 at full resolution)" in own["setting"]["fitting"]
    assert "in the paper" in (tmp_path / "r" / "wrist-fracture" / "report.md").read_text()
    with pytest.raises(OutputError, match="--overwrite or --resume"):
        probe(*words)


def test_the_recipe_fits_any_labelled_cohort_and_departures_are_said(recipe, tmp_path):
    write_pictures(tmp_path, patients=24)
    done = probe(
        tmp_path / "pictures.csv", "--protocol", recipe, "--label", "texture", "--seeds", 1,
        "--codec", "bicubic-4x-2d", "--cache", tmp_path / "cache", "-o", tmp_path / "r", "--json",
    )  # fmt: skip
    said = json.loads(done.stdout)
    assert len(said["codecs"][0]["seeds"]) == 1
    assert (said["asked"]["epochs"], said["asked"]["protocol"]) == (30, "small-table v3")
    assert "Not as in small-table: seeds 1." in (tmp_path / "r" / "report.md").read_text()


@pytest.mark.parametrize(
    ("name", "network", "batch", "full", "seeds"),
    [("medvae-table-1-2d", "hrnet-w64", 256, 0, 3),
     ("medvae-table-1-3d", "seresnet-152", 20, 10, 3),
     ("medvae-table-4", "seresnet-152", 20, 10, 3), ("precursor-table-1", "hrnet-w64", 128, 0, 1)],
)  # fmt: skip
def test_each_published_table_has_its_recipe(name, network, batch, full, seeds, tmp_path):
    protocol = read_recipe(name)
    asked = follow_recipe(Asked("class"), protocol, {})
    assert (asked.probe, asked.batch, asked.batch_full, asked.seeds) == (
        network, batch, full, seeds,
    )  # fmt: skip
    assert (asked.rate, asked.epochs, asked.mode) == (1e-4, 100, "linear")
    assert all(list_published(protocol, group.name) for group in protocol.groups)
    with pytest.raises(InputError, match="laid out as"):
        find_places(protocol, tmp_path / "nothing", ())


def test_a_protocol_without_a_probe_leaves_what_was_asked_as_it_is():
    asked = Asked("class")
    assert follow_recipe(asked, read_protocol("medvae-table-2"), {}) is asked


def test_the_folder_of_the_one_data_set_may_be_given_itself(recipe, tmp_path):
    (place,) = find_places(read_protocol(recipe), tmp_path, ())
    assert place.root == tmp_path


def test_a_refusal_names_every_data_set_that_is_missing(tmp_path):
    (tmp_path / "cmmd").mkdir()
    with pytest.raises(InputError, match=r"vindr-mammo .*rsna-bone-age .*grazpedwri-dx ") as said:
        probe(tmp_path, "--protocol", "medvae-table-1-2d", "-c", "bicubic-4x-2d",
              "-o", tmp_path / "r")  # fmt: skip
    assert "physionet.org" in str(said.value)
    assert "cmmd (" not in str(said.value)
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        (("--protocol", "medvae-table-2"), SettingsError, "fits no probes"),
        (("--protocol", "medvae-table-1"), UnknownName, "did you mean"),
        (("--protocol", "medvae-table-4", "--group", "Skull"), UnknownName, "did you mean 'Skull"),
        (("--label", "x", "--group", "Skull"), SettingsError, "--group names columns"),
        (("--label", "x", "--margin", "auroc=1"), SettingsError, "between 0 and 1"),
    ],
)
def test_what_fits_no_table_is_refused(tmp_path, words, error, said):
    with pytest.raises(error, match=said):
        probe(tmp_path, "-c", "bicubic-4x-2d", "-o", tmp_path / "r", *words)

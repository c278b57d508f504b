"""What ships is what was trained: standardised, halved, described, and with its log."""

import dataclasses
import hashlib
import json
import runpy
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load
from tests.cli.trainings import RECIPE as KL_RECIPE
from tests.training.pictures_made import make_cohort

import plica
from plica.codecs.directory import make_network, write_directory
from plica.codecs.weights import fill
from plica.cohort import Cohort
from plica.errors import OutputError, PlicaError, SettingsError, WeightsError
from plica.settings import parse
from plica.training import shipping
from plica.training.assembly import Places, recipe_of, run_recipe
from plica.training.export import export_run, make_untrained
from plica.training.recipe import Data, Recipe, Source

RECIPE = Recipe(
    name="compact-tiny",
    summary="A tiny codec.",
    network={
        "kind": "compact", "dims": 2, "factor": 4, "code_channels": 3,
        "encoder": (4, 8, 1), "decoder": (4, 8, 1),
    },
    steps=2,
    batch=2,
    data=Data(sources=(Source("all images"),), crop=16),
    evaluate_every=2,
    checkpoint_every=2,
    licence="Apache-2.0",
)  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of two steps, its cohort, and what shipping it gave."""
    folder = tmp_path_factory.mktemp("trained")
    make_cohort(folder)
    table = folder / "images.csv"
    recipe = dataclasses.replace(
        RECIPE,
        start=dataclasses.replace(RECIPE.start, weights="linear-4x3-2d"),
        data=dataclasses.replace(RECIPE.data, cohort=str(table)),
    )
    run_recipe(recipe, Places(folder / "run", cache=folder / "cache", device="cpu"))
    record = shipping.ship(folder / "run", data=table, out=folder / "out", logs=folder / "logs")
    return folder, record


def make_shipped(folder, record):
    state = load((folder / "out" / record["filename"]).read_bytes())
    network = make_network(record["network"], of="the index")
    fill(network, state, name="compact-tiny")
    return network


def test_the_index_knows_the_file_and_the_card_its_making(trained):
    folder, record = trained
    index = json.loads((folder / "out" / "compact.json").read_text())["codecs"]["compact-tiny"]
    content = (folder / "out" / record["filename"]).read_bytes()

    assert index == record
    assert record["sha256"] == hashlib.sha256(content).hexdigest()
    assert record["bytes"] == len(content)
    assert record["training"]["steps"] == 2
    assert record["training"]["recipe"] == "compact-tiny"
    assert record["training"]["data"][0]["images"] == 6
    assert record["training"]["metrics"][0]["n"] == 1


def test_kernels_are_halved_and_the_linear_path_is_whole(trained):
    folder, record = trained
    state = load((folder / "out" / record["filename"]).read_bytes())

    halved = {key for key, value in state.items() if value.dtype == torch.float16}

    assert {key.split(".")[-1] for key in halved} == {"weight"}
    assert len(halved) == 8
    assert state["analysis"].dtype == state["synthesis"].dtype == torch.float32
    assert {value.dtype for value in make_shipped(folder, record).state_dict().values()} == {
        torch.float32
    }


def test_codes_of_the_training_images_are_standardised(trained):
    folder, record = trained
    network = make_shipped(folder, record)
    codec = plica.load("linear-4x3-2d")
    codec = dataclasses.replace(codec, network=network)

    codes = [codec.encode(plica.read(folder / f"{n}.png")).codes for n in range(6)]
    spread = np.concatenate([one.reshape(3, -1) for one in codes], axis=1)

    np.testing.assert_allclose(spread.mean(axis=1), 0, atol=2e-3)
    np.testing.assert_allclose(spread.std(axis=1), 1, atol=2e-3)
    assert record["latent_statistics"]["mean"] == network.code_mean.tolist()
    assert record["latent_statistics"]["measured_on"].startswith("6 images")


def test_what_half_precision_changes_is_measured_and_small(trained):
    _, record = trained
    assert record["half_precision"]["greatest_difference_of_codes"] < 0.02
    assert abs(record["half_precision"]["mean_change_psnr_db"]) < 0.05
    assert record["half_precision"]["n"] == 1


def test_halving_loses_no_more_than_half_precision_must():
    generator = torch.Generator().manual_seed(0)
    state = {
        "encoder.head.weight": torch.randn(8, 4, 3, 3, generator=generator),
        "encoder.head.bias": torch.randn(8, generator=generator),
        "analysis": torch.randn(3, 1, 4, 4, generator=generator),
    }
    back = {key: value.float() for key, value in shipping.halve(state).items()}
    kernel = state["encoder.head.weight"]
    assert ((back["encoder.head.weight"] - kernel).abs() <= 2**-11 * kernel.abs() + 2**-25).all()
    assert torch.equal(back["encoder.head.bias"], state["encoder.head.bias"])
    assert torch.equal(back["analysis"], state["analysis"])


def test_the_log_stays_and_no_path_of_the_machine(trained):
    folder, _ = trained
    kept = folder / "logs" / "compact-tiny"

    names = {path.name for path in kept.iterdir()}

    assert names == {
        "recipe.toml", "environment.json", "log.jsonl", "losses.csv", "evaluation.csv"
    }  # fmt: skip
    assert not [path for path in kept.iterdir() if str(folder) in path.read_text()]


def test_what_is_there_stays_unless_asked_otherwise(trained):
    folder, _ = trained
    with pytest.raises(OutputError):
        shipping.ship(folder / "run", data=folder / "images.csv", out=folder / "out")


def test_what_is_no_run_or_no_compact_codec_is_refused(trained, tmp_path):
    folder, _ = trained
    with pytest.raises(SettingsError, match="neither a run"):
        shipping.ship(tmp_path, data=folder / "images.csv", out=tmp_path)
    assert shipping.main([str(tmp_path), "--data", str(folder / "images.csv")]) == 1


def test_a_codec_that_is_not_compact_is_refused(trained, tmp_path, monkeypatch):
    folder, _ = trained
    recipe = parse(Recipe, KL_RECIPE)
    monkeypatch.setattr(shipping, "read_recipe", lambda _: recipe)
    write_directory(tmp_path / "codec", make_untrained(recipe))

    with pytest.raises(WeightsError, match="holds a kl codec; those that ship are compact"):
        shipping.ship(tmp_path / "codec", data=folder / "images.csv", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_log_of_what_is_left_of_a_run_is_kept(trained, tmp_path):
    folder, _ = trained
    shutil.copytree(folder / "run", tmp_path / "run")
    (tmp_path / "run" / "environment.json").unlink()

    shipping.keep_log(tmp_path / "run", tmp_path / "logs")

    assert {path.name for path in (tmp_path / "logs").iterdir()} == {
        "recipe.toml", "log.jsonl", "losses.csv", "evaluation.csv"
    }  # fmt: skip


def test_shipping_is_a_command_that_fails_with_a_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["shipping", str(tmp_path), "--data", str(tmp_path)])

    with pytest.raises(SystemExit, match="1"):
        runpy.run_path(shipping.__file__, run_name="__main__")
    assert "is neither a run's folder nor a codec's" in capsys.readouterr().err


def test_too_large_a_file_does_not_ship(trained, tmp_path, monkeypatch):
    folder, _ = trained
    monkeypatch.setattr(shipping, "MOST_BYTES", 1000)
    with pytest.raises(WeightsError, match="make its network narrower"):
        shipping.ship(folder / "run", data=folder / "images.csv", out=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_codec_that_was_exported_ships_beside_those_in_the_index(
    trained, tmp_path, capsys, monkeypatch
):
    folder, record = trained
    export_run(folder / "run", tmp_path / "codec")
    other = {"codecs": {"another": {"filename": "another.safetensors"}}}
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "compact.json").write_text(json.dumps(other))
    recipe = recipe_of(folder / "run")  # which is in no table of recipes
    monkeypatch.setattr(shipping, "read_recipe", {"compact-tiny": recipe}.__getitem__)
    words = [str(tmp_path / "codec"), "--data", str(folder / "images.csv")]
    assert shipping.main([*words, "--out", str(tmp_path / "out")]) == 0
    assert f"{record['filename']}: 0." in capsys.readouterr().out
    index = json.loads((tmp_path / "out" / "compact.json").read_text())["codecs"]
    assert list(index) == ["another", "compact-tiny"]
    assert index["compact-tiny"]["network"] == record["network"]


def test_a_source_that_selects_no_image_of_the_data_is_named(trained):
    folder, _ = trained
    cohort = Cohort.from_table(folder / "images.csv")
    key = next(iter(cohort.cases[0].labels))
    recipe = dataclasses.replace(
        RECIPE, data=dataclasses.replace(RECIPE.data, sources=(Source("none", {key: ("absent",)}),))
    )
    with pytest.raises(PlicaError, match=r"none|absent"):
        list(shipping.choose_cases(recipe, cohort))

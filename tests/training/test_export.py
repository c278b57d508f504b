"""What is exported is what was judged: averaged, folded, and described."""

import dataclasses
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tests.cli.trainings import RECIPE, write_cohort

import plica
from plica import settings
from plica.codecs.directory import WEIGHTS, make_network
from plica.codecs.networkcodec import NetworkCodec
from plica.codecs.weights import fill, read
from plica.errors import OutputError, SettingsError, UnreadableFile
from plica.run import Run
from plica.training import checkpoint
from plica.training.assembly import Places, recipe_of, run_recipe
from plica.training.export import _see, export_run
from plica.training.loop import CHECKPOINTS
from plica.training.recipe import Recipe
from plica.training.recipes import change
from plica.training.starting import build_network


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Trains the small recipe with changes, and gives the run's folder."""
    folder = tmp_path_factory.mktemp("runs")
    table = write_cohort(folder / "images")

    def train(name, **changes):
        given = {key.replace("__", "."): value for key, value in changes.items()}
        recipe = change(
            settings.parse(Recipe, RECIPE), {"data.cohort": str(table), "steps": 2, **given}
        )
        if not (folder / name).exists():
            run_recipe(recipe, Places(folder / name, device="cpu"))
        return folder / name

    return train


def test_a_codec_folds_as_the_network_of_the_checkpoint_does(trained, tmp_path):
    run = trained("plain")
    exported = export_run(run, tmp_path / "codec", choice="last")

    kept = checkpoint.load(run / CHECKPOINTS, 2)
    network = make_network(exported.card.extras["network"], of="the card")
    fill(network, kept.contents["network"], name="plain")
    codec = plica.load(tmp_path / "codec", device="cpu")
    assert isinstance(codec, NetworkCodec)
    x = torch.linspace(-1, 1, 1024).reshape(1, 1, 32, 32)
    with torch.no_grad():
        assert torch.equal(codec.network.encode(x), network.eval().encode(x))


def test_the_moving_average_is_what_is_exported(trained, tmp_path):
    run = trained("averaged", average=0.9)
    export_run(run, tmp_path / "codec", choice="last")

    contents = checkpoint.load(run / CHECKPOINTS, 2).contents
    exported = read(tmp_path / "codec" / WEIGHTS)
    assert all(torch.equal(exported[key], value) for key, value in contents["average"].items())
    assert any(not torch.equal(exported[key], value) for key, value in contents["network"].items())


def test_adapters_are_folded_into_their_convolutions(trained, tmp_path):
    first = trained("plain")
    run = trained("adapted", start__weights=str(first), start__adapters=2, optimiser__rate=0.05)
    export_run(run, tmp_path / "codec", choice="last")

    recipe = Run.open(run).recipe(Recipe)
    adapted = build_network(recipe)
    adapted.load_state_dict(checkpoint.load(run / CHECKPOINTS, 2).contents["network"])
    codec = plica.load(tmp_path / "codec", device="cpu")
    assert isinstance(codec, NetworkCodec)
    x = torch.linspace(-1, 1, 1024).reshape(1, 1, 32, 32)
    with torch.no_grad():
        z = adapted.eval().encode(x)
        torch.testing.assert_close(codec.network.encode(x), z, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(codec.network.decode(z), adapted.decode(z), rtol=1e-4, atol=1e-5)
    begun = read(next((first / CHECKPOINTS).glob("*/network.safetensors")))
    assert read(tmp_path / "codec" / WEIGHTS).keys() == begun.keys()


def test_best_is_the_checkpoint_with_the_best_metric_and_last_the_last(trained, tmp_path):
    run = trained("spoilt", optimiser__rate=0.3, steps=4)

    best = export_run(run, tmp_path / "best")
    last = export_run(run, tmp_path / "last", choice="last")

    assert best.step == Run.open(run).results()["best_step"]
    assert last.step == 4
    assert best.step < last.step  # a rate that high leads away
    mean = {one.step: one.metrics[0]["mean"] for one in (best, last)}
    assert mean[best.step] > mean[last.step]


@pytest.mark.parametrize("choice", ["best", "last"])
def test_a_damaged_last_checkpoint_is_said_and_no_other_is_taken_for_it(trained, tmp_path, choice):
    run = tmp_path / "run"
    shutil.copytree(trained("plain"), run)
    last = max((run / "checkpoints").iterdir())
    (last / "network.safetensors").write_bytes(b"")

    with pytest.raises(UnreadableFile, match=f"{last.name}.*delete that checkpoint"):
        export_run(run, tmp_path / "codec", choice=choice)
    assert not (tmp_path / "codec").exists()


def test_the_card_says_what_it_was_made_of_and_how_good_it_is(trained, tmp_path):
    exported = export_run(trained("plain"), tmp_path / "codec")

    card = exported.card
    told = card.extras["training"]
    assert (card.name, card.dims, card.factor, card.channels) == ("small", 2, 2, 2)
    assert (card.licence, card.posterior, card.latents) == ("CC0-1.0", "gaussian", ("raw",))
    assert [(row["split"], row["images"]) for row in told["data"]] == [
        ("train", 4),
        ("dev-test", 2),
    ]
    assert {row["metric"]: (row["unit"], row["n"]) for row in told["metrics"]}["psnr"] == ("dB", 2)
    assert told["started from"] == "scratch"
    page = (tmp_path / "codec" / "README.md").read_text()
    assert "| drawn | train | 4 | 4 | CC0-1.0 |" in page
    assert "Learned nothing." in page


def test_images_come_back_on_their_own_grid(trained, tmp_path):
    export_run(trained("plain"), tmp_path / "codec")
    codec = plica.load(tmp_path / "codec", device="cpu")
    pixels = np.linspace(0, 90, 37 * 21, dtype=np.float32).reshape(1, 37, 21, 1)
    image = plica.Image(pixels, plica.Grid.from_spacing((37, 21, 1), (0.5, 0.7, 1.0)))

    decoded = codec.decode(codec.encode(image))

    assert decoded.grid.agrees_with(image.grid)


def test_a_codec_that_is_there_is_not_replaced_unasked(trained, tmp_path):
    run = trained("plain")
    export_run(run, tmp_path / "codec")

    with pytest.raises(OutputError, match="exists"):
        export_run(run, tmp_path / "codec")
    again = export_run(run, tmp_path / "codec", overwrite=True)
    assert dataclasses.asdict(again.card) == dataclasses.asdict(again.card)


def test_what_is_no_run_or_has_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(UnreadableFile, match="no run's folder"):
        export_run(tmp_path, tmp_path / "codec")
    run = Run.start(tmp_path / "run", settings.parse(Recipe, RECIPE))
    with pytest.raises(SettingsError, match="no checkpoint yet"):
        export_run(run.folder, tmp_path / "codec")
    assert not (tmp_path / "codec").exists()


def test_judgements_of_another_kind_are_refused(trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained("plain"), run)
    (run / "evaluation.csv").write_text("step,case,warmth\n2,a,1.0\n")

    with pytest.raises(UnreadableFile, match="judgements"):
        export_run(run, tmp_path / "codec", choice="last")


def test_a_run_that_kept_no_judgements_is_exported_without_metrics(trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained("plain"), run)
    (run / "evaluation.csv").unlink()

    assert export_run(run, tmp_path / "codec", choice="last").metrics == []


def test_the_card_keeps_the_constructors_defaults(trained, tmp_path):
    run = trained("plain")
    card = export_run(run, tmp_path / "codec", choice="last").card

    given = dict(recipe_of(run).network)
    kept = {name: card.extras["network"][name] for name in given}
    assert kept == {**given, "widths": list(given["widths"])}
    assert len(card.extras["network"]) > len(given)
    assert card.receptive_field is None  # it looks at the whole map, and declares no reach


def test_how_far_a_code_sees_is_read_from_the_reach():
    reaching = SimpleNamespace(
        factor=8, encoder_reach=1, decoder_reach=1, floats_per_voxel=(1.0, 1.0)
    )
    assert _see(reaching) == 24
    reaching.receptive_field = 17
    assert _see(reaching) == 17


def test_a_checkpoint_without_a_network_is_said_to_hold_none(tmp_path):
    run = Run.start(tmp_path / "run", settings.parse(Recipe, RECIPE))
    record = checkpoint.Record(step=1, recipe="")
    checkpoint.save(run.folder / CHECKPOINTS, {"optimiser.codec": {}}, record)
    with pytest.raises(UnreadableFile, match=r"step 1 holds no network, but optimiser\.codec"):
        export_run(run.folder, tmp_path / "codec")

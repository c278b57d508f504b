"""plica train: a recipe and images become a run; what cannot be is refused in a sentence first."""

import json
import os
import signal
import subprocess
import sys

import pytest
from tests.cli.trainings import write_cohort, write_picture, write_recipe, write_table
from typer.testing import CliRunner

from plica.cli import watching
from plica.cli.main import app, main
from plica.cli.train import _rows
from plica.cli.watching import Watching
from plica.errors import InputError, OutputError, SettingsError, UnknownName, WeightsError
from plica.run import Run
from plica.training.data import Progress


def train(*words):
    """The command in this process; errors come as they are raised."""
    return CliRunner().invoke(
        app, ["train", *map(str, words)], catch_exceptions=False, standalone_mode=False
    )


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_recipe(tmp_path)
    write_cohort(tmp_path / "images")
    return tmp_path


def test_recipes_are_listed_with_what_they_train(capsys):
    listed = json.loads(train("--list", "--json").stdout)

    assert {"medvae-4x1-2d-stage1", "compact-4x3-2d"} <= {one["name"] for one in listed}
    assert all(one["summary"] and one["steps"] > 0 for one in listed)
    assert "medvae-8x1-3d" in train("--list").stdout


def test_a_recipe_and_images_become_a_run(place):
    done = train("small.toml", "--data", "images/images.csv", "--json")

    said = json.loads(done.stdout)
    run = Run.open("runs/small")
    assert (said["recipe"], said["steps"], said["run"]) == ("small", 4, "runs/small")
    assert said["best"] >= said["first"]
    assert 0 <= said["waiting"] < 1
    assert said["export"] == "plica export runs/small -o small/"
    assert run.is_finished
    assert (place / "runs" / "cache").is_dir()
    begun = next(event for event in run.events() if event["event"] == "assembled")
    assert begun["sources"] == [
        {
            "source": "drawn", "split": split, "images": n, "patients": n, "licence": "CC0-1.0",
            "attribution": "",
        }
        for split, n in (("train", 4), ("dev-test", 2))
    ]  # fmt: skip


def test_the_summary_says_where_it_is_and_what_to_do_next(place):
    done = train("small.toml", "--data", "images/images.csv", "-o", "mine", "--set", "steps=2")

    assert "Trained small" in done.stdout
    assert "plica export mine -o small/" in done.stdout
    assert "mine/checkpoints/step-0000002" in done.stdout
    assert "step 2: psnr" in done.stderr


def test_quiet_says_nothing(place):
    done = train("small.toml", "--data", "images/images.csv", "-q", "--set", "steps=1")

    assert done.output == ""


def test_a_folder_without_splits_is_trained_on_too(place):
    (place / "images" / "images.csv").unlink()

    done = train("small.toml", "--data", "images", "--json", "--set", "steps=1")

    assert json.loads(done.stdout)["steps"] == 1


def test_smoke_takes_the_recipes_own_smaller_scale(place):
    write_recipe(place, "\n[smoke]\nsteps = 1\n")

    done = train("small.toml", "--data", "images", "--smoke", "--json")

    assert json.loads(done.stdout)["steps"] == 1


def test_a_trial_leaves_the_real_runs_folder_free(place):
    write_recipe(place, "\n[smoke]\nsteps = 1\n")
    tried = train("small.toml", "--data", "images", "--smoke", "--json")

    done = train("small.toml", "--data", "images", "--set", "steps=2", "--json")

    assert json.loads(tried.stdout)["run"] == "runs/small-smoke"
    assert (json.loads(done.stdout)["run"], json.loads(done.stdout)["steps"]) == ("runs/small", 2)


# -- stopping and going on -----------------------------------------------------------------------


def test_an_interrupted_training_says_how_to_go_on_and_ends_as_if_nothing_had_been(
    place, monkeypatch, capsys
):
    whole = json.loads(train("small.toml", "--data", "images/images.csv", "--json").stdout)
    advanced = Watching.advanced

    def interrupt(self, progress):
        advanced(self, progress)
        if progress.step == 3:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Watching, "advanced", interrupt)
    words = ["small.toml", "--data", "images/images.csv", "-o", "b", "--cache", "cache", "-q"]
    monkeypatch.setattr(sys, "argv", ["plica", "train", *words])
    with pytest.raises(SystemExit) as stopped:
        main()
    said = capsys.readouterr().err
    monkeypatch.setattr(Watching, "advanced", advanced)

    assert stopped.value.code == 130
    assert "plica train --resume -o b --cache cache" in said
    resumed = json.loads(train("--resume", "-o", "b", "--cache", "cache", "--json").stdout)
    assert resumed["steps"] == 4
    assert resumed["last"] == whole["last"]


def test_stopping_before_the_first_step_says_to_run_it_again(place, monkeypatch, capsys):
    def stop(self, progress):
        raise KeyboardInterrupt

    monkeypatch.setattr(Watching, "preparing", stop)
    monkeypatch.setattr(sys, "argv", ["plica", "train", "small.toml", "--data", "images"])
    with pytest.raises(SystemExit) as stopped:
        main()

    assert stopped.value.code == 130
    assert "run the same command again" in capsys.readouterr().err
    assert not (place / "runs" / "small").exists()


@pytest.mark.slow
def test_two_processes_that_torchrun_starts_train_as_one(place):
    one = json.loads(train("small.toml", "--data", "images/images.csv", "--json").stdout)
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2")
    done = subprocess.run(
        [*torchrun, "-m", "plica", "train", "small.toml", "--data", "images/images.csv",
         "-o", "both", "--device", "cpu", "--json"],
        capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    both = json.loads(done.stdout)  # one document: the second process says nothing
    assert both["last"] == pytest.approx(one["last"], abs=1e-3)


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        ([], SettingsError, "name a recipe"),
        (["medvae-4x1-2d-stage3"], UnknownName, "did you mean medvae-4x1-2d-stage"),
        (["missing/small.toml"], UnknownName, "no recipe at missing/small.toml"),
        (["small.toml"], SettingsError, "--data"),
        (["small.toml", "--smoke"], SettingsError, r"\[smoke\]"),
        (["small.toml", "--set", "optimiser.rat=1"], SettingsError, "did you mean 'rate'"),
        (["small.toml", "--set", "batch=0"], SettingsError, "batch"),
        (["small.toml", "--set", "steps=many"], SettingsError, "steps"),
        (["small.toml", "--set", "steps.more=1"], SettingsError, "holds no others"),
        (["small.toml", "--set", "optimiser.rate"], SettingsError, "NAME=VALUE"),
        (["small.toml", "--set", "objective.divisor=2"], SettingsError, "no setting 'divisor'"),
        (["small.toml", "--data", "nowhere"], InputError, "nowhere"),
        (["--resume"], SettingsError, "or the run's folder with --out"),
        (["--resume", "-o", "images"], InputError, "no run's folder"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_before_anything_is_made(words, error, said, place):
    with pytest.raises(error, match=said):
        train(*words)
    assert not (place / "runs").exists()


def test_an_unknown_setting_in_the_recipe_is_named_with_its_file(place):
    write_recipe(place, "\n[optimiser]\nrates = 1e-3\n")

    with pytest.raises(SettingsError, match=r"small\.toml: optimiser: no setting 'rates'; did you"):
        train("small.toml", "--data", "images")


def test_a_folder_that_holds_something_is_no_new_run(place):
    with pytest.raises(OutputError, match=r"images is not empty, .*another folder with -o"):
        train("small.toml", "--data", "images/images.csv", "-o", "images")


def test_weights_that_are_not_there_are_named_by_their_path(place):
    write_recipe(place, '\n[start]\nweights = "runs/first"\n')

    with pytest.raises(WeightsError, match="runs/first"):
        train("small.toml", "--data", "images/images.csv", "--weights-dir", "weights")


def test_networks_that_judge_are_looked_for_before_images_are_prepared(place, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", str(place / "torch"))

    with pytest.raises(WeightsError, match=r"weights/vgg16-397923af\.pth"):
        train(
            "small.toml", "--data", "images/images.csv", "--weights-dir", "weights",
            "--set", "objective.perceptual=1",
        )  # fmt: skip
    assert not (place / "runs").exists()


def test_a_patient_in_two_splits_is_named(place):
    rows = [("0.png", "anna", "train", "", ""), ("1.png", "anna", "dev-test", "", "")]
    write_table(place / "images" / "images.csv", rows)

    with pytest.raises(InputError, match="anna stands in split 'train'"):
        train("small.toml", "--data", "images/images.csv")


def test_unreadable_images_are_named_and_counted_and_some_may_be_allowed(place):
    (place / "images" / "1.png").write_bytes(b"not a picture")

    with pytest.raises(InputError, match=r"1 of 6 images.*1\.png"):
        train("small.toml", "--data", "images/images.csv")
    allowed = ("--set", "data.unreadable=0.2", "--set", "steps=1")
    done = train("small.toml", "--data", "images/images.csv", *allowed)
    assert "left out: 1.png" in " ".join(done.stderr.split())
    quiet = train("small.toml", "--data", "images/images.csv", *allowed, "-o", "again", "-q")
    assert quiet.output == ""


def test_images_smaller_than_the_crop_are_named(place):
    write_picture(place / "images" / "2.png", seed=2, side=12)

    with pytest.raises(InputError, match="smaller than the crop"):
        train("small.toml", "--data", "images/images.csv")


def test_a_run_does_not_go_on_by_another_recipe(place):
    train("small.toml", "--data", "images/images.csv", "-q", "--set", "steps=2")
    (place / "runs" / "small" / "results.json").unlink()  # as if it had been stopped

    with pytest.raises(SettingsError, match=r"another recipe.*optimiser\.rate"):
        train(
            "small.toml", "--data", "images/images.csv", "--resume",
            "--set", "optimiser.rate=1e-3", "--set", "steps=2",
        )  # fmt: skip


def test_preparing_is_told_line_by_line_where_there_is_no_terminal(monkeypatch, capsys):
    monkeypatch.setattr(watching, "EVERY_SECONDS", 0.0)
    for quiet in (False, True):
        watching.Watching("small", 9, quiet=quiet).preparing(Progress(1, 163, "1.png"))

    assert capsys.readouterr().err.count("preparing image 2 of 163") == 1


def test_a_training_that_judged_nothing_shows_no_judgement():
    record = {"metric": "psnr", "steps": 4, "first": None, "last": 30.0, "best": None,
              "best_step": 0, "images_per_second": 2.0, "waiting": 0.1, "checkpoint": "c",
              "export": "plica export"}  # fmt: skip
    assert [fact for fact, _ in _rows(record, 1.0)][:3] == ["steps", "time", "last psnr"]

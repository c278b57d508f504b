"""plica evaluate probe: one command from labelled images to a report of what codecs keep."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress
from safetensors.torch import save_file
from tests.codecs.test_directory import make_codec
from tests.evaluation.reports import make_report
from tests.training.checks import write_pictures
from typer.testing import CliRunner

from plica.cli.contenders import load_contenders
from plica.cli.evaluate_probe import parse_size
from plica.cli.main import app
from plica.cli.posing import Asked
from plica.cli.probe_reports import refuse_other_weights
from plica.cli.probes import _Steps, start_folder
from plica.codecs.directory import write_directory
from plica.codecs.weights import fingerprint
from plica.errors import InputError, OutputError, SettingsError, UnknownName
from plica.evaluation.publish import publish
from plica.evaluation.record import read_record
from plica.networks.probes import build_probe

WORDS = ("--probe", "pooled-2d", "--epochs", "40", "--seeds", "2", "--cache", "cache")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("place")
    write_pictures(folder, patients=36)
    return folder


@pytest.fixture(autouse=True)
def inside(place, monkeypatch):
    monkeypatch.chdir(place)


def probe(*words):
    """The command in this process; errors come as they are raised."""
    return CliRunner().invoke(
        app,
        ["evaluate", "probe", "pictures.csv", *map(str, words)],
        catch_exceptions=False,
        standalone_mode=False,
    )


@pytest.fixture(scope="module")
def judged(place):
    before = Path.cwd()
    os.chdir(place)
    try:
        done = probe(
            "--codec", "bicubic-4x-2d", "nearest-4x-2d", "--label", "texture", *WORDS,
            "-o", "report", "--json",
        )  # fmt: skip
    finally:
        os.chdir(before)
    return json.loads(done.stdout)


def test_the_report_says_who_lost_what(judged, place):
    full, bicubic, nearest = judged["codecs"]

    assert (full["codec"], full["shown"]) == ("full-resolution", [1, 32, 32])
    assert (bicubic["codec"], bicubic["shown"]) == ("bicubic-4x-2d", [1, 8, 8])
    assert full["auroc"]["value"] == 1.0
    for lost in (bicubic, nearest):
        assert lost["auroc"]["value"] < 0.85
        assert lost["difference"]["high"] <= 0  # six patients of a class reach no further
        assert lost["retained"] < 0.85
        assert len(lost["seeds"]) == 2
    assert judged["counts"]["test"] == {"fine": [6, 6], "plain": [6, 6]}
    page = (place / "report" / "index.html").read_text(encoding="utf-8")
    assert "bicubic-4x-2d" in page
    assert "12 test images of 12 patients" in page
    assert (place / "report" / "figures" / "auroc.png").is_file()


def test_every_case_stands_in_the_table_with_its_score(judged, place):
    with (place / "report" / "cases.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))

    assert len(rows) == 12 * 3 * 2
    assert {row["metric"] for row in rows} == {"true-class-probability"}
    assert all(0 <= float(row["value"]) <= 1 for row in rows)


def test_the_same_command_gives_the_same_numbers(judged):
    words = ("--codec", "bicubic-4x-2d", "nearest-4x-2d", "--label", "texture", *WORDS)
    again = json.loads(probe(*words, "-o", "again", "--json").stdout)

    assert again["codecs"] == judged["codecs"]


def test_what_is_there_is_resumed_or_refused(judged):
    words = ("--codec", "bicubic-4x-2d", "nearest-4x-2d", "--label", "texture", "-o", "report")
    with pytest.raises(OutputError, match="--overwrite or --resume"):
        probe(*words, *WORDS)
    with pytest.raises(SettingsError, match="begun with another epochs"):
        probe(*words, *WORDS, "--resume", "--epochs", "41")
    trained = written_at(Path("report", "run"))
    resumed = json.loads(probe(*words, *WORDS, "--resume", "--json").stdout)

    assert resumed["codecs"] == judged["codecs"]
    again = written_at(Path("report", "run"))
    assert trained
    assert [path for path in trained if again[path] != trained[path]] == []


def written_at(run: Path) -> dict[Path, int]:
    """Each file of a run by when it was written."""
    return {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}


def test_folds_test_every_patient_once():
    done = probe(
        "--codec",
        "area-4x-2d",
        "--label",
        "texture",
        "--folds",
        3,
        *WORDS,
        "--seeds",
        1,
        "-o",
        "folds",
        "--json",
    )
    said = json.loads(done.stdout)

    assert said["counts"] == {"each once tested, in 3 folds": {"fine": [12, 12], "plain": [12, 12]}}
    assert said["cases"] == 24
    assert said["codecs"][0]["auroc"]["value"] > 0.95


def test_any_codec_can_be_the_baseline_and_decoded_images_can_be_shown():
    write_directory("own", make_codec())
    done = probe(
        "--codec",
        "area-4x-2d",
        "--baseline",
        "./own",
        "--decoded",
        "--label",
        "texture",
        *WORDS,
        "--epochs",
        2,
        "--seeds",
        1,
        "--where",
        "split=train|dev-test",
        "-o",
        "decoded",
        "--json",
    )
    said = json.loads(done.stdout)

    assert [one["codec"] for one in said["codecs"]] == [
        "mine-2x2-2d", "full-resolution", "area-4x-2d",
    ]  # fmt: skip
    assert {tuple(one["shown"]) for one in said["codecs"]} == {(1, 32, 32)}


def test_a_table_for_people_names_the_report_which_names_what_was_used(place, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)  # of which nothing is known

    done = probe(
        "--codec", "area-4x-2d", "--label", "texture", *WORDS, "--epochs", 1, "--seeds", 1,
        "-o", "people", "--device", "cpu",
    )  # fmt: skip

    assert "AUROC" in done.stdout
    assert "full-resolution" in done.stdout
    assert "; CPU, " in (place / "people" / "report.md").read_text()


def test_an_interrupted_command_goes_on(place):
    words = ["--label", "texture", "--codec", "area-4x-2d", "--probe", "small-2d", "--mode", "full",
             "--size", "32x32", "--epochs", "9", "--seeds", "1", "--cache", "cache",
             "-o", "cut"]  # fmt: skip
    line = [sys.executable, "-m", "plica", "evaluate", "probe", "pictures.csv", *words]
    running = subprocess.Popen(line, cwd=place, stderr=subprocess.PIPE, text=True)
    log = place / "cut" / "run"
    until = time.monotonic() + 300
    while not list(log.glob("full*/fold0-seed0/checkpoints/step-*")) and time.monotonic() < until:
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    said = running.communicate(timeout=300)[1]

    assert running.returncode == 130, said
    assert "--resume" in said
    assert not (place / "cut" / "index.html").exists()
    assert probe(*words, "--resume").exit_code == 0
    assert (place / "cut" / "index.html").is_file()


def test_a_margin_is_answered_and_codecs_ceilings_are_held_against_probes(place):
    codecs = ("--codec", "bicubic-4x-2d", "area-4x-2d")
    CliRunner().invoke(
        app,
        ["evaluate", "reconstruction", "pictures.csv", *codecs, "--metric", "psnr", "--worst", "0",
         "-o", "kept", "--quiet"],
        catch_exceptions=False, standalone_mode=False,
    )  # fmt: skip
    words = (*codecs, "--label", "texture", *WORDS, "--margin", "auroc=0.05", "--ceiling", "kept")
    said = json.loads(probe(*words, "-o", "held", "--json").stdout)

    assert said["margin"] == 0.05
    assert [one["margin"]["no_worse"] for one in said["codecs"][1:]] == [False, False]
    assert said["ceiling"]["regression"]["n"] == 24
    assert said["ceiling"]["codecs"] == ["bicubic-4x-2d", "area-4x-2d"]
    assert {rate["codec"] for rate in said["rates"]} == {
        "full-resolution", "bicubic-4x-2d", "area-4x-2d",
    }  # fmt: skip
    page = (place / "held" / "report.md").read_text(encoding="utf-8")
    assert "bicubic-4x-2d against full-resolution: not shown to be non-inferior at margin" in page
    assert "Cohen's h" in page
    assert "Does what a codec keeps say what a probe reads" in page
    with pytest.raises(InputError, match="none of the codecs nearest-4x-2d"):
        probe("--codec", "nearest-4x-2d", "--label", "texture", *WORDS, "--ceiling", "kept",
              "-o", "other")  # fmt: skip


# -- refusing ------------------------------------------------------------------------------------


def test_a_report_of_other_weights_is_no_ceiling(tmp_path):
    contenders = load_contenders(["bicubic-4x-2d"])
    codecs = [{"name": contenders[0].name, "fingerprint": "sha256:0"}]
    publish(replace(make_report(charts=False), record={"codecs": codecs}), tmp_path / "kept")
    with pytest.raises(InputError, match="judged bicubic-4x-2d with other weights than these"):
        refuse_other_weights(read_record(tmp_path / "kept"), contenders)


def test_probes_are_begun_anew_where_that_is_asked(tmp_path):
    run = start_folder(tmp_path / "r", Asked("texture"), overwrite=False)
    (run / "probe.pt").write_bytes(b"old")
    assert start_folder(tmp_path / "r", Asked("texture"), overwrite=False) == run
    assert (run / "probe.pt").is_file()
    assert start_folder(tmp_path / "r", Asked("texture"), overwrite=True) == run
    assert not (run / "probe.pt").exists()


@pytest.mark.parametrize(
    ("words", "error", "sentence"),
    [
        (("--codec", "area-4x-2d"), SettingsError, "or --task, or --protocol"),
        (("--label", "texture"), SettingsError, "no codec to judge"),
        (("--label", "textur", "--codec", "area-4x-2d"), InputError, "has the label textur"),
        (("--label", "texture", "--codec", "area-4"), UnknownName, "area-4"),
        (
            ("--label", "texture", "--codec", "area-4x-2d", "--probe", "hrnet"),
            UnknownName, "did you mean 'hrnet-w64'",
        ),
        (
            ("--label", "texture", "--codec", "area-4x-2d", "--mode", "half"),
            SettingsError, "--mode is linear or full",
        ),
        (
            ("--label", "texture", "--codec", "area-4x-2d", "--test-split", "tset"),
            InputError, "no split 'tset'",
        ),
        (
            ("--label", "texture", "--codec", "area-4x-2d", "--where", "split=none"),
            InputError, "no case has split=none",
        ),
        (
            ("--label", "texture", "--codec", "area-4x-2d", "--probe", "pooled-3d"),
            InputError, "is one slice, but the probe sees volumes",
        ),
        (("--codec", "area-4x-2d", "--task", "x"), UnknownName, "no task 'x'"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_before_any_work(words, error, sentence):
    with pytest.raises(error, match=sentence):
        probe(*words, "-o", "refused", "--cache", "cache", "--quiet", "--seeds", 1)

    assert not Path("refused").exists()


@pytest.mark.parametrize(("text", "size"), [(None, ()), ("64x32", (64, 32)), ("8×8×4", (8, 8, 4))])
def test_a_size_is_read(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["64", "64x", "ax2", "0x4", "99999x2"])
def test_a_size_that_is_none_is_refused(text):
    if text == "64":
        assert parse_size(text) == (64,)
        return
    with pytest.raises(SettingsError, match="--size takes sides"):
        parse_size(text)


LINEAR = ("--label", "texture", "--probe", "small-2d", "--mode", "linear", "--epochs", 1,
          "--seeds", 1, "--codec", "taesd", "--random-weights")  # fmt: skip


def test_a_report_says_where_a_trunk_or_a_codec_is_of_random_weights(place):
    probe(*LINEAR, "-o", "random", "--quiet")
    said = (place / "random" / "report.md").read_text(encoding="utf-8")

    assert "The trunk of small-2d is random here: no pretrained weights were given." in said
    assert "Codecs with random weights prove a path; their numbers say nothing." in said


def test_a_trunk_of_the_users_own_weights_is_said_by_its_fingerprint(place):
    trunk = build_probe("small-2d").trunk.state_dict()
    save_file(trunk, place / "trunk.safetensors")
    probe(*LINEAR, "--probe-weights", "trunk.safetensors", "-o", "given", "--quiet")

    assert "is random here" not in (place / "given" / "report.md").read_text(encoding="utf-8")
    kept = (place / "given" / "run" / "recipe.toml").read_text(encoding="utf-8")
    assert fingerprint(trunk) in kept


def test_what_a_fit_says_on_the_way_stands_above_its_bar():
    said = io.StringIO()
    bar = Progress(console=Console(file=said, width=80))
    _Steps(bar, "area-4x-2d").said("a checkpoint was damaged; it goes on from the one before")

    assert "goes on from the one before" in said.getvalue()

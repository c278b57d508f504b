"""The command as a process: its errors, its interruption, and what other programs may rely on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel
import numpy as np
import pytest
from typer.testing import CliRunner

from plica.cli.main import app, main

PLICA = (sys.executable, "-c", "from plica.cli.main import main; main()")


def start(*words: object, **options: object) -> subprocess.Popen[str]:
    # a run in the background ignores interrupts, and its children would too
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    return subprocess.Popen(
        [*PLICA[:2], heard + PLICA[2], *(str(word) for word in words)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"}, **options,
    )  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [
        ["encode", "nowhere.nii.gz", "-o", "y", "--json"],
        ["encode", ".", "-o", "y", "--json"],
        ["encode", "x", "-o", "y", "--codec", "lineer-4x1-3d", "--json"],
        ["encode", "x", "-o", "y", "--set", "name=3", "--json"],
        ["encode", "x", "-o", "y", "--resample", "1,2", "--json"],
        ["decode", ".", "-o", "y", "--json"],
        ["reconstruct", "x", "-o", "y" * 300, "--json"],
        ["compare", "a", "b", "--json"],
        ["inspect", "x", "--json"],
        ["codecs", "nothing", "--json"],
    ],
)
def test_an_error_before_the_work_is_json_for_those_who_asked(words, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["plica", *words])

    with pytest.raises(SystemExit) as stopped:
        main()

    said = capsys.readouterr()
    assert stopped.value.code == 1
    assert set(json.loads(said.out)) == {"error"}
    assert said.err == ""


def test_a_source_named_like_an_option_asks_for_nothing(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["plica", "inspect", "--", "--json"])

    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().err.startswith("error: ")


def test_an_interrupted_run_leaves_whole_files_and_is_taken_up_again(tmp_path):
    for number in range(12):
        array = np.random.default_rng(number).integers(0, 900, (96, 96, 60)).astype(np.int16)
        (tmp_path / "in").mkdir(exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), tmp_path / "in" / f"{number}.nii.gz")
    command = ("encode", tmp_path / "in", "-o", tmp_path / "out", "--resume", "--json")

    running = start(*command)
    while not list((tmp_path / "out").glob("*.latent")) and running.poll() is None:
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=300)

    assert running.returncode == 130, err
    assert "interrupted" in json.loads(out)["error"]
    assert "Traceback" not in err
    made = {path.name for path in (tmp_path / "out").iterdir()}
    assert 0 < len(made) < 12
    assert all(name.endswith(".latent") and not name.startswith(".") for name in made)

    again = start(*command)
    record = json.loads(again.communicate(timeout=300)[0])
    assert again.returncode == 0
    assert record["done"] + record["left"] == 12
    assert record["left"] == len(made)


def test_a_full_disk_is_one_sentence_and_nothing_half_written(tmp_path, uncounted):
    array = np.random.default_rng(0).integers(0, 900, (64, 64, 60)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), tmp_path / "ct.nii.gz")
    # Python keeps what it compiles even where half of it fits: the next process would stumble.
    limit = (
        "import resource, sys; sys.dont_write_bytecode = True; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048)); "
    )
    quiet = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    code = limit + quiet + PLICA[2]

    done = subprocess.run(
        [sys.executable, "-c", code, "encode", str(tmp_path / "ct.nii.gz"),
         "-o", str(tmp_path / "out" / "ct.latent"), "-c", "linear-4x1-3d"],
        capture_output=True, text=True, check=False, env=uncounted,
    )  # fmt: skip

    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_nobody_who_listens_is_no_traceback():
    running = start("codecs", "--json")
    assert running.stdout is not None
    running.stdout.close()

    assert running.stderr is not None
    assert "Traceback" not in running.stderr.read()
    running.stderr.close()
    assert running.wait(300) != 0


@pytest.mark.parametrize("words", [["codecs"], ["codecs", "--json"], ["encode", "x", "--json"]])
def test_a_full_or_closed_stdout_is_no_traceback(words):
    words = [*words, "-o", "y"] if words[0] == "encode" else words
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*PLICA, *words], stdout=full, stderr=subprocess.PIPE, text=True,
                              check=False)  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr

    line = f"exec {sys.executable} -c '{PLICA[2]}' {' '.join(words)} >&-"
    closed = subprocess.run(["sh", "-c", line], stderr=subprocess.PIPE, text=True, check=False)
    assert "Traceback" not in closed.stderr


def test_any_file_name_can_be_told_in_any_terminal(tmp_path):
    name = os.fsdecode(b"kopf-\xe9\xff \xf0\x9f\x98\x80.npy")
    np.save(tmp_path / name, np.zeros((8, 8, 8), np.int16))

    for language in ("C", "C.UTF-8"):
        environment = {**os.environ, "LC_ALL": language, "PYTHONIOENCODING": "",
                       "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}  # fmt: skip
        for more in ([], ["--json"]):
            done = subprocess.run(
                [*PLICA, "inspect", str(tmp_path / name), "--spacing", "1,1,1", *more],
                capture_output=True, check=False, env=environment,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout.decode("ascii"))["channels"] == 1


def test_progress_is_for_terminals_only(tmp_path):
    array = np.zeros((8, 8, 8), np.int16)
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), tmp_path / "ct.nii.gz")

    running = start(
        "encode", tmp_path / "ct.nii.gz", "-o", tmp_path / "a.latent", "-c", "linear-4x1-3d"
    )
    _, err = running.communicate(timeout=300)

    assert running.returncode == 0
    assert err == ""


def test_names_with_spaces_dashes_and_other_letters_are_names(tmp_path):
    array = np.zeros((8, 8, 8), np.int16)
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), tmp_path / "-Kopf größer 頭.nii.gz")

    running = start(
        "encode", "-o", "-out", "-c", "linear-4x1-3d", "--", "-Kopf größer 頭.nii.gz", cwd=tmp_path
    )
    _, err = running.communicate(timeout=300)

    assert running.returncode == 0, err
    assert Path(tmp_path, "-out", "-Kopf größer 頭.latent").is_file()


@pytest.mark.parametrize("width", [80, 120])
def test_help_says_every_option_in_its_section(width, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(sys, "argv", ["plica", "encode", "--help"])

    with pytest.raises(SystemExit):
        main()

    lines = capsys.readouterr().out.splitlines()
    heads = [line.rstrip(":") for line in lines if line.endswith(":") and line[0] != " "]
    assert set(heads) == {
        "Arguments", "Output", "Codec", "Running", "Latent", "Preparing", "Reading", "Options",
    }  # fmt: skip
    assert len(heads) == len(set(heads))
    # An example stands in one line, to be copied.
    assert max(len(line) for line in lines if "Example:" not in line) <= width


def test_a_shell_completes_commands_and_options(tmp_path):
    for typed, offered in (("plica enc", "encode"), ("plica encode --co", "--codec")):
        words = {"_PLICA_COMPLETE": "complete_bash", "COMP_WORDS": typed,
                 "COMP_CWORD": str(len(typed.split()) - 1)}  # fmt: skip
        code = "import sys; sys.argv[0] = 'plica'; " + PLICA[2]
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                              check=False, env={**os.environ, **words})  # fmt: skip
        assert done.stdout.split() == [offered]


def test_verify_of_a_latent_names_the_command_that_checks_one(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["plica", "verify", "ct.latent"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert "whether a latent is whole says plica inspect FILE.latent --check" in (
        " ".join(capsys.readouterr().err.split())
    )


def test_a_latent_inspected_at_once_says_what_the_usual_way_says(tmp_path, monkeypatch, capsys):
    array = np.random.default_rng(0).integers(0, 900, (16, 16, 12)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), tmp_path / "ct.nii.gz")
    latent = str(tmp_path / "ct.latent")
    usual = CliRunner()
    assert usual.invoke(app, ["encode", str(tmp_path / "ct.nii.gz"), "-o", latent]).exit_code == 0

    for words in (["inspect", latent], ["inspect", latent, "--json"]):
        monkeypatch.setattr(sys, "argv", ["plica", *words])
        main()
        assert capsys.readouterr().out == usual.invoke(app, words).stdout

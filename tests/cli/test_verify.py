"""`plica verify` finds what is exact exact, says what is not, and exits as it promises."""

import json
import signal
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from plica.cli import verifying
from plica.cli.main import app
from plica.cli.reading import Reading
from plica.cli.verifying import Trial
from plica.codecs.difference import Difference, Half
from plica.errors import SettingsError
from plica.formats.sources import Source


def plica(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def volume(tmp_path):
    pixels = np.random.default_rng(0).integers(-1000, 900, (31, 26, 15)).astype(np.int16)
    np.savez(tmp_path / "v.npz", pixels=pixels, spacing_mm=np.ones(3), unit=np.array("HU"))
    return tmp_path / "v.npz"


def test_a_difference_is_in_deviations_of_what_is_true():
    true = np.random.default_rng(0).normal(5, 3, 10_000).astype(np.float32)
    found = true.copy()
    found[7] += 0.3
    difference = Difference.between(true, found)

    assert difference.largest == pytest.approx(0.3 / true.std(), rel=1e-3)
    assert difference.rms == pytest.approx(0.003 / true.std(), rel=1e-3)
    span = float(np.ptp(true))
    assert difference.psnr == pytest.approx(20 * np.log10(span / 0.003), abs=0.01)
    assert Difference.between(true, true).psnr == float("inf")


def test_exact_tiles_are_found_exact_in_processes_of_their_own(volume):
    done = plica("verify", "linear-4x1-3d", volume, "--full", "--memory", "1G", "--json")

    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    rows = {(row["part"], row["how"]): row for row in record["rows"]}
    assert record["holds"] is True
    for part in ("encode", "decode"):
        pieces = rows[part, "in pieces"]
        assert pieces["pieces"] > 1
        assert pieces["rms_sigma"] <= 1e-5
        assert pieces["verdict"] == "exact"
        assert pieces["peak_bytes"] > 2**20
        assert rows[part, "all 31×26×15"]["verdict"].startswith("within")


@pytest.fixture
def tried(monkeypatch):
    """Trials that were never run: what each way gives is made up."""
    true = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    asked = []

    def fake(task):
        asked.append(task)
        error = ERRORS[task.way, task.options.get("precision")]
        half = Half(true + np.float32(error), 1.0, 1 if task.way == "whole" else 8, PLANS[task.way])
        return Trial(half, half, (2**30, 2**30), (1, 8, 8, 8), 2**30 if error < 1 else 2**29)

    monkeypatch.setattr("plica.cli.verify.run_apart", fake)
    return asked


PLANS = {"whole": "whole", "asked": "8 tiles", "full": "8 tiles"}
ERRORS = {
    ("whole", None): 0.0, ("asked", None): 2e-6, ("whole", "bfloat16"): 0.02, ("full", None): 0.0,
}  # fmt: skip


def test_half_precision_is_compared_with_single(volume, tried):
    done = plica("verify", "linear-4x1-3d", volume, "--precision", "bfloat16")

    assert done.exit_code == 0, done.output
    assert [task.options.get("precision") for task in tried] == [None, None, "bfloat16"]
    assert "rounded" in done.output
    assert tried[1].codes is not None  # what is decoded is the same everywhere


def test_quiet_says_nothing_where_all_holds(volume, tried):
    done = plica("verify", "linear-4x1-3d", volume, "--quiet")

    assert (done.exit_code, done.output) == (0, "")


@pytest.mark.parametrize(
    ("way", "error", "words", "said"),
    [(("asked", None), 1e-3, (), "not exact"),
     (("whole", "bfloat16"), 0.5, ("--precision", "bfloat16"), "not rounded"),
     (("full", None), 2.0, ("--full",), "above")],
)  # fmt: skip
def test_what_does_not_hold_is_an_error(volume, tried, monkeypatch, way, error, words, said):
    monkeypatch.setitem(ERRORS, way, error)

    done = plica("verify", "linear-4x1-3d", volume, *words)

    assert done.exit_code == 1
    assert said in done.output


def test_one_piece_against_one_piece_proves_nothing(volume, tried, monkeypatch):
    from plica.cli import verify

    half = Half(np.ones(9, np.float32), 1.0, 1, "whole")
    trial = Trial(half, half, (1, 1), (1, 3, 3, 1), 2**30)
    monkeypatch.setattr(verify, "run_apart", lambda task: trial)

    done = plica("verify", "linear-4x1-3d", volume, "--json")

    rows = json.loads(done.stdout)["rows"]
    assert done.exit_code == 0
    assert [row["verdict"] for row in rows if row["how"] == "in pieces"] == [verify.NOT_TRIED] * 2


class Mishap:
    """Something sent to another process, which does this there instead of arriving."""

    def __init__(self, does, *words):
        self.does, self.words = does, words

    def __reduce__(self):
        return self.does, self.words


@pytest.mark.parametrize(
    ("mishap", "said"),
    [
        (Mishap(signal.raise_signal, signal.SIGTERM), "less memory than it was allowed"),
        (Mishap(int, "no number"), "ended with an error, which stands above"),
    ],
    ids=["ended", "error"],
)
def test_only_what_the_system_ended_lacked_memory(mishap, said):
    options = {"here": mishap}
    task = verifying.Task("taef2", None, "cpu", options, Source("v", Path("v")), Reading(), "full")

    with pytest.raises(SettingsError, match=said):
        verifying.run_apart(task)


def test_windows_promise_nothing(volume, tried, monkeypatch):
    monkeypatch.setitem(ERRORS, ("asked", None), 0.3)
    done = plica("verify", "linear-4x1-3d", volume, "--tiling", "window")

    assert done.exit_code == 0
    assert "as its authors run it" in done.output


def test_not_a_number_is_no_small_difference(volume, tried, monkeypatch):
    monkeypatch.setitem(ERRORS, ("asked", None), float("nan"))
    assert plica("verify", "linear-4x1-3d", volume).exit_code == 1


def test_several_images_are_not_verified_at_once(volume):
    (volume.parent / "w.npz").write_bytes(volume.read_bytes())

    done = plica("verify", "linear-4x1-3d", volume.parent)

    assert "verify takes one image, and there are 2 below" in str(done.exception)


def test_a_codec_without_a_network_and_weights_said_twice_are_refused(volume):
    done = plica("verify", "identity", volume)
    assert done.exit_code == 1
    assert "no network" in str(done.exception)
    done = plica("verify", "kl-f4", volume, "--weights", "a.ckpt", "--random-weights")
    assert "say one" in str(done.exception)


def test_help_needs_no_torch():
    import subprocess
    import sys

    code = "import sys, plica.cli.verify; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_child_that_is_ended_is_a_sentence(monkeypatch, volume):
    class Ended:
        exitcode = -9

        def __init__(self, **_: object) -> None: ...
        def start(self) -> None: ...
        def join(self) -> None: ...

    import multiprocessing

    context = multiprocessing.get_context("spawn")
    monkeypatch.setattr(type(context), "Process", Ended)
    done = plica("verify", "linear-4x1-3d", volume)
    assert "the system ended a trial" in str(done.exception)
    assert verifying.run_apart is not None

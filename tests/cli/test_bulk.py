"""plica bulk, as a user types it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.bulk.conftest import CODEC, make_archive
from tests.cli.inside import plica

from plica.formats.store import Store


@pytest.fixture(scope="module")
def made_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_archive(tmp_path_factory.mktemp("made") / "archive")


@pytest.fixture(scope="module")
def store(made_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bulk") / "store"
    done = plica("bulk", "encode", made_archive, "-o", out, "-c", CODEC, "--json",
                 "--shard-series", 4)  # fmt: skip
    said = json.loads(done.stdout)
    assert done.returncode == 1  # one series failed, and is named
    assert said["done"] == 15
    assert said["failures"][0]["path"] == "broken.nii"
    assert said["run"]["shards"] == 4
    assert 0 < said["run"]["share_of_codec"] <= 1
    return out


def test_a_second_run_has_nothing_to_do(store: Path, made_archive: Path):
    done = plica("bulk", "encode", made_archive, "-o", store, "-c", CODEC, "--shard-series", 4)
    assert "in the store" in done.stdout
    assert "shards written" not in done.stdout
    assert "broken.nii: " in done.stderr


def test_status_counts_and_names(store: Path):
    said = json.loads(plica("bulk", "status", store, "--json").stdout)
    assert (said["done"], said["failed"], said["duplicate"]) == (15, 1, 1)
    assert said["driver"] is None
    shown = plica("bulk", "status", store, "--left-out").stdout
    assert "broken.nii" in shown
    assert "notes.txt" in shown


def test_a_table_joins_labels_with_latents(store: Path, tmp_path: Path):
    import csv

    done = plica("bulk", "status", store, "-o", tmp_path / "keys.csv")
    assert done.returncode == 0, done.stderr
    with (tmp_path / "keys.csv").open() as file:
        rows = list(csv.DictReader(file))
    states = [row["state"] for row in rows]
    assert (states.count("done"), states.count("failed"), states.count("duplicate")) == (15, 1, 1)
    assert "ward0/ct0.nii" in {row["path"] for row in rows}


def test_verify_says_that_all_is_well_and_what_is_not(store: Path, tmp_path: Path):
    well = plica("bulk", "verify", store, "--decode", 2)
    assert well.returncode == 0, well.stderr
    assert "15 series: as written; 2 decoded" in well.stderr
    shard = sorted((store / "shards").iterdir())[0]
    sound = shard.read_bytes()
    try:
        shard.write_bytes(sound[:-1])
        ill = plica("bulk", "verify", store, "--json")
    finally:
        shard.write_bytes(sound)
    assert ill.returncode == 1
    assert json.loads(ill.stdout)["problems"][0]["shard"] == shard.stem


def test_a_store_without_its_ledger_is_checked_as_far_as_it_can_be(store: Path, tmp_path: Path):
    copy = tmp_path / "copy.store"
    shutil.copytree(store, copy, ignore=shutil.ignore_patterns("ledger.sqlite*", "work"))
    well = plica("bulk", "verify", copy, "--decode", 1)
    assert well.returncode == 0, well.stderr
    assert "15 series: as written" in well.stderr
    assert "whether a shard is missing" in well.stderr

    shard = sorted((copy / "shards").iterdir())[0]
    sound = bytearray(shard.read_bytes())
    sound[-1] ^= 1
    shard.write_bytes(sound)
    ill = plica("bulk", "verify", copy, "--json")
    assert ill.returncode == 1
    assert json.loads(ill.stdout)["ledger"] is False
    assert json.loads(ill.stdout)["problems"][0]["kind"] == "damaged"

    shard.unlink()  # its index is there
    lacking = plica("bulk", "verify", copy, "--decode", 0)
    assert lacking.returncode == 1
    assert f"shards/{shard.name} is not there" in lacking.stderr
    assert "copy these" in " ".join(lacking.stderr.split())
    assert "are made again" not in lacking.stderr


def test_decode_gives_images_by_key(store: Path, tmp_path: Path):
    from plica import read
    from plica.formats.store import Store

    keys = Store.open(store).keys[:2]
    done = plica("bulk", "decode", store, "-o", tmp_path / "out", "--key", *keys)
    assert done.returncode == 0, done.stderr
    for key in keys:
        image = read(next((tmp_path / "out").glob(f"{key}*")))
        assert image.grid.agrees_with(Store.open(store).read(key).source)


def test_decode_takes_a_beginning_or_a_path_and_names_by_path(store: Path, tmp_path: Path):
    keys = Store.open(store).keys
    done = plica("bulk", "decode", store, "-o", tmp_path / "out", "--by-path",
                 "--key", keys[0][:6], "--key", "ward0/ct0.nii")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len([path for path in (tmp_path / "out").rglob("*") if path.is_file()]) == 2
    assert list((tmp_path / "out" / "ward0").glob("ct0.*"))


def test_what_changed_and_what_is_gone_is_listed(made_archive: Path, store: Path, tmp_path: Path):
    archive = Path(shutil.copytree(made_archive, tmp_path / "archive"))
    made = Path(shutil.copytree(store, tmp_path / "store"))
    changed, gone = "ward0/ct0.nii", "ward1/ct1.nii"
    shutil.copy(archive / "ward2" / "ct2.nii", archive / changed)
    (archive / gone).unlink()
    plica("bulk", "encode", archive, "-o", made, "-c", CODEC, "--shard-series", 4, "--moved")
    shown = plica("bulk", "status", made).stdout
    assert "changed since" in shown
    assert "deleted since" in shown
    listed = json.loads(plica("bulk", "status", made, "--json").stdout)
    assert [one["path"] for one in listed["stale"]] == sorted([changed, gone])
    assert (listed["changed"], listed["deleted"]) == (1, 1)


def test_ctrl_c_says_at_once_what_is_finished_and_one_sentence_at_the_end(
    made_archive: Path, tmp_path: Path
):
    archive = tmp_path / "archive"
    for number in range(40):
        shutil.copytree(made_archive / "ward0", archive / str(number))
    command = [sys.executable, "-m", "plica", "bulk", "encode", archive, "-o", tmp_path / "store",
               "-c", CODEC, "--shard-series", "8"]  # fmt: skip
    words = list(map(str, command))
    with subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as running:
        work = tmp_path / "store" / "work"
        while not work.is_dir() and running.poll() is None:
            time.sleep(0.01)
        running.send_signal(signal.SIGINT)
        said = running.stderr.read() if running.stderr else ""
    if running.returncode == 0:
        pytest.skip("it was done before it could be interrupted")
    assert running.returncode == 130
    assert re.search(
        r"note: (finishing \d shards?.*; Ctrl-C again loses|stopping; Ctrl-C again stops)", said
    )
    assert said.count("the same command goes on") == 1
    assert "--resume" not in said


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("more", [(), ("--quiet",)], ids=["terminal", "quiet"])
def test_on_a_terminal_it_says_at_once_that_it_starts_and_ctrl_c_what_to_do(more, tmp_path):
    import pty

    (tmp_path / "archive").mkdir()
    words = ["bulk", "encode", tmp_path / "archive", "-o", tmp_path / "store", "-c", CODEC, *more]
    # Python's own imports over, and the command's not: here they never end
    slow = (
        "import sys, time, signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "class Slow:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == 'plica.bulk.crew':\n"
        "            print('importing', flush=True); time.sleep(600)\n"
        "from plica.cli.main import main\n"
        "sys.meta_path.insert(0, Slow()); main()"
    )
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", slow, *map(str, words)], stdout=subprocess.PIPE, stderr=theirs
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"importing\n"
        running.send_signal(signal.SIGINT)
        assert running.wait(300) == 130
    said = os.read(ours, 10_000).decode()
    os.close(theirs)
    os.close(ours)
    assert said.startswith("starting …") is not bool(more)
    assert "interrupted before it encoded; run the same again" in said
    assert "Traceback" not in said
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("encode", "{archive}", "-o", "{archive}/store", "-c", CODEC), "within each other"),
        (("encode", "{archive}", "-o", "{store}", "-c", "linear-4x1-2d"), "choose another folder"),
        (("encode", "{archive}", "-o", "{new}", "-c", "linear-4x1"), "no codec"),
        (("encode", "{archive}/none", "-o", "{new}", "-c", CODEC), "there is no archive at"),
        (("encode", "{zip}", "-o", "{new}", "-c", CODEC), "is a zip: unpack it"),
        (("encode", "{archive}", "-o", "{store}", "-c", CODEC, "--keep-paths"), "leave it out"),
        (("encode", "{archive}", "-o", "{new}", "-c", CODEC, "--dtype", "f4"), "--dtype takes"),
        (
            (
                "encode",
                "{archive}",
                "-o",
                "{new}",
                "-c",
                CODEC,
                "--workers",
                "2",
                "--memory",
                "300M",
            ),
            "fewer than 2 --workers",
        ),
        (("status", "{archive}"), "store.json"),
        (("decode", "{store}", "-o", "{new}", "--key", "none"), "none"),
    ],
)
def test_what_is_asked_wrongly_is_said(
    words: tuple[str, ...],
    said: str,
    store: Path,
    made_archive: Path,
    tmp_path: Path,
):
    (tmp_path / "export.zip").write_bytes(b"PK")
    places = {"archive": made_archive, "store": store, "new": tmp_path / "new",
              "zip": tmp_path / "export.zip"}  # fmt: skip
    done = plica("bulk", *(word.format(**places) for word in words))
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr

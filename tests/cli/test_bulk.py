"""plica bulk, as a user types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.bulk.conftest import CODEC, make_archive


def plica(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "plica", *map(str, words)],
        capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "120"},
    )  # fmt: skip


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

    done = plica("bulk", "status", store, "--table", tmp_path / "keys.csv")
    assert done.returncode == 0, done.stderr
    with (tmp_path / "keys.csv").open() as file:
        rows = list(csv.DictReader(file))
    states = [row["state"] for row in rows]
    assert (states.count("done"), states.count("failed"), states.count("duplicate")) == (15, 1, 1)
    assert "ward0/ct0.nii" in {row["path"] for row in rows}


def test_verify_says_that_all_is_well_and_what_is_not(store: Path, tmp_path: Path):
    well = plica("bulk", "verify", store, "--sample", 2)
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


def test_decode_gives_images_by_key(store: Path, tmp_path: Path):
    from plica import read
    from plica.formats.store import Store

    keys = Store.open(store).keys[:2]
    done = plica("bulk", "decode", store, "-o", tmp_path / "out", "--key", *keys)
    assert done.returncode == 0, done.stderr
    for key in keys:
        image = read(next((tmp_path / "out").glob(f"{key}*")))
        assert image.grid.agrees_with(Store.open(store).read(key).source)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("encode", "{archive}", "-o", "{archive}/store", "-c", CODEC), "within each other"),
        (("encode", "{archive}", "-o", "{store}", "-c", "linear-4x1-2d"), "choose another folder"),
        (("encode", "{archive}", "-o", "{new}", "-c", "linear-4x1"), "no codec"),
        (("encode", "{archive}/none", "-o", "{new}", "-c", CODEC), "no such folder"),
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
    places = {"archive": made_archive, "store": store, "new": tmp_path / "new"}
    done = plica("bulk", *(word.format(**places) for word in words))
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr

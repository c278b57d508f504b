"""Labels find their latents by path, whether the index holds the paths or only the ledger."""

import csv
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.bulk.conftest import CODEC, make_archive
from torch.utils.data import DataLoader, Subset

import plica
from plica.bulk.crew import OwnProcess
from plica.bulk.engine import Habits, encode_archive, open_store
from plica.bulk.task import Order
from plica.bulk.worker import load_codec
from plica.errors import InputError, LatentError, SettingsError
from plica.formats.store import Store
from plica.training.store_labels import Labels

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return make_archive(tmp_path_factory.mktemp("labelled") / "archive", volumes=5)


def encode(archive, store, *, keep_paths):
    order = Order(archive, store, CODEC, device="cpu", keep_paths=keep_paths)
    open_store(store, load_codec(order), "float16", {"paths": keep_paths})
    encode_archive(order, lambda: OwnProcess(order), habits=Habits(shard_series=3))
    return store


def write_labels(path, count=5, prefix=""):
    lines = [f"{prefix}ward{n % 3}/ct{n}.nii,{n}" for n in range(count)]
    path.write_text("\n".join(["path,finding", *lines]))
    return path


@pytest.fixture(params=[False, True], ids=["ledger", "index"])
def store(request, archive, tmp_path):
    return encode(archive, tmp_path / "store", keep_paths=request.param)


def test_labels_join_by_path_with_and_without_paths_in_the_index(store, tmp_path):
    labels = Labels(write_labels(tmp_path / "labels.csv"), kinds={"finding": int}, subset=True)
    data = plica.open_store(store, labels=labels, columns=("shape",))
    found = {item["finding"]: item["shape"][0] for item in data}
    assert found == {n: 16 + n for n in range(5)}  # a made volume is as wide as its number says


def test_a_row_without_a_latent_is_told_what_became_of_it(archive, tmp_path):
    store = encode(archive, tmp_path / "store", keep_paths=False)
    (tmp_path / "labels.csv").write_text("path,finding\nbroken.nii,1\n")
    with pytest.raises(InputError, match=r"'broken.nii'; it failed: .+"):
        plica.open_store(store, labels=tmp_path / "labels.csv")
    (tmp_path / "labels.csv").write_text("path,finding\nnotes.txt,1\n")
    with pytest.raises(InputError, match="it was left out"):
        plica.open_store(store, labels=tmp_path / "labels.csv")
    labels = write_labels(tmp_path / "labels.csv", prefix="archive/")
    with pytest.raises(InputError, match=r"below the archive's folder, such as '(ward|pacs)"):
        plica.open_store(store, labels=labels)


def test_a_row_without_a_latent_is_left_out_where_that_is_asked_for(store, tmp_path):
    path = write_labels(tmp_path / "labels.csv", count=5)
    path.write_text(path.read_text() + "\nward0/absent.nii,9\nbroken.nii,9\n")
    labels = Labels(path, kinds={"finding": int}, subset=True)
    with pytest.raises(InputError, match="2 of 7 rows") as stop:
        plica.open_store(store, labels=labels)
    assert "'ward0/absent.nii'; no image of that path was in the archive when it" in str(stop.value)
    assert 'leave such rows out by Labels(..., missing="leave-out")' in str(stop.value)
    assert "below the archive's folder" not in str(stop.value)

    data = plica.open_store(store, labels=replace(labels, missing="leave-out"))
    assert sorted(item["finding"] for item in data) == list(range(5))
    assert data.labels.left_out == 2
    astray = replace(labels, table=write_labels(path, prefix="x/"), missing="leave-out")
    with pytest.raises(InputError, match=r"5 of 5 rows .*below the archive's folder"):
        plica.open_store(store, labels=astray)


def test_a_row_that_no_key_of_the_store_fits_is_compared_with_that_column(store, tmp_path):
    keys = [key for table in Store.open(store).tables(("key",)) for key in table["key"].to_pylist()]
    (tmp_path / "labels.csv").write_text(f"key,finding\n{keys[0]},1\nabsent,1\n")
    labels = Labels(tmp_path / "labels.csv", on="key", column="key", subset=True)
    with pytest.raises(InputError, match="1 of 2 rows") as stop:
        plica.open_store(store, labels=labels)
    assert "compare it with the index's column 'key'" in str(stop.value)
    assert "archive" not in str(stop.value)


def test_labels_that_are_floats_are_as_wide_as_codes(store, tmp_path):
    path = write_labels(tmp_path / "labels.csv")
    for kind, dtype in ((float, torch.float32), (np.float64, torch.float64), (int, torch.int64)):
        data = plica.open_store(store, labels=Labels(path, kinds={"finding": kind}, subset=True))
        batches = DataLoader(Subset(data, [0]), batch_size=1), DataLoader(data.stream())
        for loader in batches:
            assert next(iter(loader))["finding"].dtype == dtype


def table_of(folder, store, values, kind="csv"):
    """A table that gives the store's first latents a finding each."""
    keys = Store.open(store).keys[: len(values)]
    path = folder / f"findings.{kind}"
    if kind == "parquet":
        parquet.write_table(pyarrow.table({"key": keys, "finding": values}), path)
    else:
        path.write_text("key,finding\n" + "".join(map("{},{}\n".format, keys, values)))
    return path, keys


def findings_of(path, kind, store):
    labels = Labels(path, on="key", column="key", kinds={"finding": kind}, subset=True)
    return [item["finding"] for item in plica.open_store(store, labels=labels)]


@pytest.fixture(scope="module")
def encoded(archive, tmp_path_factory):
    return encode(archive, tmp_path_factory.mktemp("encoded") / "store", keep_paths=False)


@pytest.mark.parametrize(
    ("values", "form"),
    [
        (["0", "1", "FALSE", "true"], "csv"),
        ([False, True, False, True], "parquet"),
        ([0.0, 1.0, 0.0, 1.0], "parquet"),
        ([0, 1, 0, 1], "parquet"),
    ],
    ids=str,
)
def test_truths_are_read_as_what_they_say_and_count_as_0_and_1(encoded, tmp_path, values, form):
    path, _ = table_of(tmp_path, encoded, values, form)
    for kind in (bool, np.bool_, float, np.float64):
        assert findings_of(path, kind, encoded) == [0, 1, 0, 1]
    assert [type(one) for one in findings_of(path, bool, encoded)] == [bool] * 4
    if values[1] != 1.0 or values[1] is True:
        assert findings_of(path, int, encoded) == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("value", "kind", "form"),
    [
        ("", bool, "csv"),
        ("2", bool, "csv"),
        ("no", bool, "csv"),
        ("nan", bool, "csv"),
        (None, bool, "parquet"),
        (float("nan"), bool, "parquet"),
        ("nan", float, "csv"),
        ("-inf", float, "csv"),
        ("1e300", float, "csv"),
        ("1e10", np.float16, "csv"),
        ("300", np.int8, "csv"),
        (float("nan"), float, "parquet"),
        (float("nan"), np.float64, "parquet"),
    ],
)
def test_what_is_not_of_its_kind_is_refused_with_row_and_value(
    encoded, tmp_path, value, kind, form
):
    path, keys = table_of(tmp_path, encoded, [value], form)
    said = "" if value is None else str(value)
    with pytest.raises(InputError) as caught:
        findings_of(path, kind, encoded)
    assert f"key {keys[0]!r}: finding is {said!r}, but {kind.__name__} was" in str(caught.value)
    assert (": 0, 1, true or false" in str(caught.value)) == (kind is bool)


def test_a_kind_that_is_no_type_is_refused_at_once():
    code = (
        "from plica.training.store_labels import Labels; Labels('a.csv', kinds={'view': 'float'})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    said = (
        "SettingsError: kinds says by a type what a column is, such as {'view': float}, but it has"
    )
    assert f"{said} 'float'" in done.stderr


def test_without_ledger_and_paths_the_error_says_how_to_join_by_key(archive, tmp_path):
    store = encode(archive, tmp_path / "store", keep_paths=False)
    with closing(sqlite3.connect(store / "ledger.sqlite", isolation_level=None)) as db:
        keys = dict(db.execute("SELECT path, key FROM series").fetchall())
    (store / "ledger.sqlite").unlink()
    path = write_labels(tmp_path / "labels.csv")
    with pytest.raises(InputError, match=r"--keep-paths.*status STORE -o keys\.csv.*on=\"key\""):
        plica.open_store(store, labels=Labels(path, subset=True))
    with path.open() as file:
        rows = [{**row, "key": keys[row["path"]]} for row in csv.DictReader(file)]
    with path.open("w") as file:
        writer = csv.DictWriter(file, ("path", "finding", "key"))
        writer.writeheader()
        writer.writerows(rows)
    data = plica.open_store(store, labels=Labels(path, on="key", column="key", subset=True,
                                                 kinds={"finding": int}))  # fmt: skip
    assert sorted(item["finding"] for item in data) == list(range(5))


def test_a_ledger_that_is_none_is_said_and_not_guessed_from(archive, tmp_path):
    store = encode(archive, tmp_path / "store", keep_paths=False)
    labels = Labels(write_labels(tmp_path / "labels.csv"), subset=True)
    with closing(sqlite3.connect(store / "ledger.sqlite", isolation_level=None)) as db:
        db.execute("UPDATE facts SET value = '2' WHERE name = 'schema'")
    with pytest.raises(LatentError, match=r"newer plica .*update"):
        plica.open_store(store, labels=labels)
    for name in ("ledger.sqlite-wal", "ledger.sqlite-shm"):
        (store / name).unlink(missing_ok=True)
    (store / "ledger.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(LatentError, match="ledger"):
        plica.open_store(store, labels=labels)


def test_paths_asked_for_later_name_the_option_and_the_way_around(archive, tmp_path):
    store = encode(archive, tmp_path / "store", keep_paths=False)
    order = Order(archive, store, CODEC, device="cpu")
    codec = load_codec(order)
    with pytest.raises(SettingsError, match=r"without --keep-paths.*leave it out; labels find"):
        open_store(store, codec, "float16", {"paths": True})
    kept = encode(archive, tmp_path / "kept", keep_paths=True)
    with pytest.raises(SettingsError, match=r"with --keep-paths.*give it again"):
        open_store(kept, load_codec(replace(order, store=kept)), "float16", {"paths": False})

import sqlite3
from contextlib import closing

import pytest
from tests.formats.stored import CODEC, fill, key_of, made

from plica.errors import InputError, LatentError, UnknownName
from plica.formats.store import Store
from plica.formats.store_naming import find_key, name_series, paths_of
from plica.formats.store_paths import LEDGER, open_paths
from plica.formats.store_writing import ShardWriter

pytest.importorskip("pyarrow")


def fill_with(folder, paths):
    """A store of one latent for each path; keys begin with "a" and their number."""
    store = Store.create(folder, codec=CODEC, dtype="float32")
    with ShardWriter(store, "s0") as writer:
        for number, path in enumerate(paths):
            writer.add(f"a{number}", made(number), {"source": path})
    return Store.open(folder)


def lay_ledger(folder, schema="1", series=(), left_out=()):
    with closing(sqlite3.connect(folder / LEDGER)) as db, db:
        db.execute("CREATE TABLE facts (name TEXT, value TEXT)")
        db.execute("CREATE TABLE series (key, path, state, reason, shard)")
        db.execute("CREATE TABLE left_out (path, reason)")
        if schema is not None:
            db.execute("INSERT INTO facts VALUES ('schema', ?)", (schema,))
        db.executemany("INSERT INTO series VALUES (?, ?, ?, ?, ?)", series)
        db.executemany("INSERT INTO left_out VALUES (?, ?)", left_out)


def test_a_latent_is_found_by_its_key_its_beginning_or_its_path(tmp_path):
    store, _ = fill(tmp_path / "store")
    for said in (key_of(3), key_of(3)[:12], "site/3.nii.gz"):
        assert find_key(store, said) == key_of(3)
    with pytest.raises(UnknownName, match="no latent of the store has the key"):
        find_key(store, "gone")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("hip", r"hip/ is a folder of 2 series, give one, such as hip/1.png or hip/2.png; the col"),
        ("hip/", r"hip/ is a folder of 2 series"),
        ("hip/1.jpg", r"near it: hip/1.png or hip/2.png; "),
        ("qqqq", r"paths begin below the archive's folder, such as ct; "),
    ],
)
def test_a_path_of_none_is_answered_with_the_nearest(tmp_path, said, words):
    store = fill_with(tmp_path / "store", ["hip/2.png", "hip/1.png", "ct"])
    assert find_key(store, "ct") == "a2"  # the folder of a DICOM series
    with pytest.raises(UnknownName, match=words) as caught:
        find_key(store, said)
    assert "bulk status" not in str(caught.value)  # which wants a ledger
    lay_ledger(store.folder, series=[("a0", "hip/2.png", "done", "", "s0")])
    with pytest.raises(UnknownName, match=r"bulk status STORE -o keys.csv` lists keys and paths"):
        find_key(store, said)


def test_without_paths_it_is_said_that_keys_alone_name_latents(tmp_path):
    store = fill_with(tmp_path / "store", ["", ""])
    with pytest.raises(UnknownName, match=r"keys alone name its latents, such as a0; ") as caught:
        find_key(store, "dcm/x.dcm")
    assert "bulk status" not in str(caught.value)
    assert 'Store.open("STORE").keys' in str(caught.value)


@pytest.mark.parametrize("said", ["a", "x.nii"])
def test_a_beginning_or_path_of_several_asks_for_more(tmp_path, said):
    store = fill_with(tmp_path / "store", ["x.nii", "x.nii"])
    with pytest.raises(InputError, match="stands for 2 latents, such as a0 and a1"):
        find_key(store, said)


def test_names_are_paths_without_endings_and_keys_tell_equal_ones_apart(tmp_path):
    store = fill_with(tmp_path / "store", ["x.nii.gz", "x.nii", "y/z.nii"])
    assert name_series(store, store.keys) == {"x-a0": "a0", "x-a1": "a1", "y/z": "a2"}


def test_paths_that_nobody_knows_or_that_lead_out_name_nothing(tmp_path):
    store = fill_with(tmp_path / "store", ["x.nii", ""])
    with pytest.raises(InputError, match="of 1 latents the path is not known, such as a1"):
        name_series(store, store.keys)
    for at, path in enumerate(("../x.nii", "/etc/x.nii", "a/../../x.nii")):
        store = fill_with(tmp_path / str(at), [path])
        with pytest.raises(InputError, match="leads out of any folder"):
            name_series(store, store.keys)


def test_a_ledger_beside_knows_the_paths_that_the_index_does_not(tmp_path):
    store = fill_with(tmp_path / "store", ["x.nii", ""])
    lay_ledger(
        store.folder,
        series=[("a0", "other.nii", "done", "", "s0"), ("a1", "y.nii", "done", "", "s0")],
    )
    assert paths_of(store) == {"a0": "x.nii", "a1": "y.nii"}


def test_a_ledger_gives_one_path_as_an_example_where_there_is_one(tmp_path):
    store = fill_with(tmp_path / "store", ["x.nii"])
    lay_ledger(store.folder, series=[("a0", "x.nii", "failed", "", "s0")])
    with open_paths(store.folder) as paths:
        assert paths.example() == ""
    (store.folder / LEDGER).unlink()
    lay_ledger(store.folder, series=[("a0", "x.nii", "done", "", "s0")])
    with open_paths(store.folder) as paths:
        assert paths.example() == "x.nii"


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ("2", r"newer plica \(schema 2; this one knows 1\); update"),
        ("0", "'0', and 1 was expected"),
        ("one", "'one', and 1 was expected"),
        (None, "None, and 1 was expected"),
    ],
)
def test_a_ledger_of_another_schema_is_refused(tmp_path, schema, words):
    store = fill_with(tmp_path / "store", [""])
    lay_ledger(store.folder, schema=schema)
    with pytest.raises(LatentError, match=words):
        paths_of(store)


def test_a_ledger_that_is_no_database_is_refused(tmp_path):
    store = fill_with(tmp_path / "store", [""])
    (store.folder / LEDGER).write_bytes(b"not a database" * 100)
    with pytest.raises(LatentError, match="cannot be read"):
        paths_of(store)

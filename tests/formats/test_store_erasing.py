"""A patient taken out of a store: nothing of theirs is in it, and all else is as it was."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from tests.cli.inside import plica as run
from tests.formats.dicom_scenes import make_slice, save_all
from tests.formats.stored import CODEC, bitstream, fill, key_of

import plica
from plica.errors import InputError, LatentError, OutputError, UnknownName
from plica.formats.dicom_series import pseudonym
from plica.formats.store import Store
from plica.formats.store_checking import check_shard
from plica.formats.store_erasing import write_without
from plica.formats.store_naming import find_below, find_marked
from plica.formats.store_paths import LEDGER
from plica.formats.store_shard import Shard

pytest.importorskip("pyarrow")

SERIES = {
    "3a": "SMITH_JOHN_3", "3b": "SMITH_JOHN_3", "3c": "SMITH_JOHN_3/later/ct",
    "30": "SMITH_JOHN_30", "x1": "mixed", "x2": "mixed", "y1": "mixed",
    # Met first where it is no patient's folder, and in the patient's as a copy.
    "3d": "A_TO_BE_SORTED",
}  # fmt: skip


def uid_of(name):
    return "1.2.840." + ".".join(str(ord(letter)) for letter in name)


def lay_archive(folder):
    """Two series lie directly in a patient's folder, and two patients in another."""
    chance = np.random.default_rng(3)
    for name, where in SERIES.items():
        slices = [make_slice(at, SeriesInstanceUID=uid_of(name)) for at in range(3)]
        for one in slices:
            shape = (one.Rows, one.Columns)
            one.PixelData = chance.integers(0, 900, shape).astype(np.int16).tobytes()
        for at, path in enumerate(sorted(save_all(slices, folder / "one" / name).iterdir())):
            (folder / "archive" / where).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder / "archive" / where / f"{name}-{at}.dcm")
    shutil.copytree(folder / "archive/A_TO_BE_SORTED", folder / "archive/SMITH_JOHN_3/sent")


@pytest.fixture(scope="module")
def made(once):
    def make(folder):
        lay_archive(folder)
        words = ("encode", folder / "archive", "-o", folder / "archive.store", "-c")
        done = run("bulk", *words, "linear-4x1-2d", "--dtype", "int8", "--shard-series", "3")
        assert done.returncode == 0, done.output

    return once("erasing", make)


@pytest.fixture
def store(made):
    return Store.open(made / "archive.store")


def names_of(store, keys):
    """The series of some keys, as they are called here."""
    marks = {pseudonym(uid_of(name)): name for name in SERIES}
    rows = store.rows(["key", "series"]).to_pylist()
    return sorted(marks[row["series"]] for row in rows if row["key"] in keys)


def check_gone(store, rest, gone):
    """No byte of the new store tells of them, and of the others each is what it was."""
    marks = {row["key"]: row["series"] for row in store.rows(["key", "series"]).to_pylist()}
    told = {*gone, *(marks[key] for key in gone), *store.shards}
    for path in (path for path in rest.folder.rglob("*") if path.is_file()):
        whole = path.read_bytes() + path.name.encode()
        assert not [word for word in told if word.encode() in whole], path
    for table in (rest.rows([name]) for name in ("key", "series", "sha256", "source_hash")):
        (name,) = table.column_names
        rows = store.rows(["key", name] if name != "key" else ["key"]).to_pylist()
        left = sorted(row[name] for row in rows if row["key"] not in gone)
        assert sorted(table.column(0).to_pylist()) == left
    for key in rest.keys:
        assert rest.check(key) == store.check(key)
        assert np.array_equal(rest.codes(key), store.codes(key))
        ours, its = rest.read(key), store.read(key)
        assert (ours.stored, ours.provenance, ours.trail.losses) == (
            its.stored, its.provenance, its.trail.losses)  # fmt: skip
    assert [fault for name in rest.shards for fault in check_shard(rest, name)] == []


@pytest.mark.parametrize("said", ["SMITH_JOHN_3", "SMITH_JOHN_3/", "./SMITH_JOHN_3"])
def test_all_series_of_a_patients_folder_are_found_with_copies_and_no_siblings(store, said):
    assert names_of(store, find_below(store, said)) == ["3a", "3b", "3c", "3d"]


def test_a_patients_folder_is_gone_from_every_byte(store, tmp_path):
    gone = find_below(store, "SMITH_JOHN_3")
    rest = write_without(store, gone, tmp_path / "rest.store")
    check_gone(store, rest, gone)
    assert names_of(rest, set(rest.keys)) == ["30", "x1", "x2", "y1"]
    assert len(plica.open_store(tmp_path / "rest.store")) == 4
    assert not (tmp_path / "rest.store" / LEDGER).exists()


def test_one_patient_of_a_mixed_folder_is_found_by_marks(store, made, tmp_path):
    from plica.formats.dicom_survey import survey

    listed = {one.mark for one in survey(made / "archive" / "mixed").series}
    theirs = {pseudonym(uid_of(name)) for name in ("x1", "x2")}
    assert theirs < listed
    gone = set().union(*(find_marked(store, mark) for mark in theirs))
    rest = write_without(store, gone, tmp_path / "rest.store")
    check_gone(store, rest, gone)
    assert names_of(rest, set(rest.keys)) == ["30", "3a", "3b", "3c", "3d", "y1"]
    assert names_of(store, find_marked(store, f"{pseudonym(uid_of('x1'))}.2")) == ["x1"]


def test_of_a_store_without_a_ledger_marks_are_found_and_folders_refused(made, tmp_path):
    shutil.copytree(
        made / "archive.store", tmp_path / "copy", ignore=shutil.ignore_patterns(f"{LEDGER}*")
    )
    copy = Store.open(tmp_path / "copy")
    assert names_of(copy, find_marked(copy, pseudonym(uid_of("30")))) == ["30"]
    with pytest.raises(
        InputError, match="of 8 of 8 latents no ledger knows where their images lie"
    ):
        find_below(copy, "SMITH_JOHN_3")


def test_a_ledger_that_knows_only_some_of_the_latents_is_refused(made, tmp_path):
    shutil.copytree(made / "archive.store", tmp_path / "copy")
    with closing(sqlite3.connect(tmp_path / "copy" / LEDGER)) as db, db:
        db.execute("UPDATE series SET state = 'waiting' WHERE path = 'SMITH_JOHN_30'")
    with pytest.raises(InputError, match="of 1 of 8 latents no ledger knows"):
        find_below(Store.open(tmp_path / "copy"), "SMITH_JOHN_3")


@pytest.mark.parametrize("said", ["SMITH_JOHN", "archive/SMITH_JOHN_3", "smith_john_3", "%"])
def test_a_folder_of_no_latent_is_an_error(store, said):
    with pytest.raises(UnknownName, match="no latent of the store is of"):
        find_below(store, said)


@pytest.mark.parametrize("said", ["", ".", "./"])
def test_the_archive_itself_is_no_folder_to_be_found(store, said):
    with pytest.raises(InputError, match="give a folder below the archive"):
        find_below(store, said)


@pytest.mark.parametrize("said", ["", ".", "0123456789abcdef", pseudonym(uid_of("x1"))[:8]])
def test_a_mark_of_no_latent_is_an_error(store, said):
    with pytest.raises(UnknownName, match="no latent of the store has the mark"):
        find_marked(store, said)


def test_latents_without_marks_are_not_taken_for_one_another(tmp_path):
    from dataclasses import replace

    from tests.formats.stored import made as latent_of

    def bare(number):
        latent = latent_of(number)
        return replace(latent, provenance=latent.provenance.without_marks())

    store, _ = fill(tmp_path / "store", latent=bare)
    with pytest.raises(UnknownName, match="no latent of the store has the mark ''"):
        find_marked(store, "")


@pytest.mark.parametrize(
    ("dtype", "latent"),
    [("float32", None), ("bfloat16", None), ("int8", None), ("float32", bitstream)],
)
def test_every_kind_of_latent_is_copied_as_it_stands(tmp_path, dtype, latent):
    more = {"latent": latent} if latent else {}
    store, seen = fill(tmp_path / "store", counts=(3, 2), dtype=dtype, **more)
    rest = write_without(store, [key_of(1), key_of(3), key_of(4)], tmp_path / "rest")
    assert sorted(rest.keys) == sorted(map(key_of, (0, 2)))
    assert (rest.codec, rest.dtype, rest.settings) == (CODEC, dtype, store.settings)
    for key in rest.keys:
        assert np.array_equal(rest.read(key).codes, seen[key].codes)
        assert np.array_equal(rest.codes(key), store.codes(key))
        assert rest.read(key).stored == seen[key].stored


def test_what_cannot_be_meant_is_refused_and_nothing_is_written(tmp_path):
    store, _ = fill(tmp_path / "store")
    for keys, error, said in (
        ([], InputError, "no keys were given"),
        ([key_of(0), "strange"], UnknownName, "no latent of 1 of the 2 keys, such as 'strange'"),
        (store.keys, InputError, "no latent would be left"),
    ):
        with pytest.raises(error, match=said):
            write_without(store, keys, tmp_path / "rest")
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
    with pytest.raises(OutputError, match="exists"):
        write_without(store, [key_of(0)], store.folder)


def test_damage_to_what_is_kept_leaves_no_store_behind(tmp_path):
    store, _ = fill(tmp_path / "store")
    path: Path = store.shard_path("s1")
    whole = bytearray(path.read_bytes())
    whole[-1] ^= 1
    path.write_bytes(whole)
    with pytest.raises(LatentError, match="was damaged"):
        write_without(store, [key_of(0)], tmp_path / "rest")
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_an_index_of_other_checksums_is_damage(tmp_path, monkeypatch):
    store, _ = fill(tmp_path / "store")
    monkeypatch.setattr(Shard, "check", lambda shard, key: "0" * 64)
    with pytest.raises(LatentError, match="the index has another checksum"):
        write_without(store, [key_of(0)], tmp_path / "rest")
    assert [path.name for path in tmp_path.iterdir()] == ["store"]

import hashlib
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.formats.stored import CODEC, bitstream, fill, key_of, made, renamed
from tests.formats.test_latents import assert_same, take_apart

from plica.errors import (
    InputError,
    LatentError,
    MissingExtra,
    OutputError,
    PlicaError,
    TooLarge,
    UnknownName,
    UnreadableFile,
)
from plica.formats import latents
from plica.formats.codes import STORAGE_TYPES
from plica.formats.store import Store
from plica.formats.store_checking import check_shard
from plica.formats.store_index import COLUMNS, no_rows, read_facts, read_rows, write_rows
from plica.formats.store_places import COLUMNS as PLACES
from plica.formats.store_places import Places
from plica.formats.store_writing import ShardWriter
from plica.latent import Trail

pytest.importorskip("pyarrow")
MANY = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def find_faults(store):
    return [str(error) for name in store.shards for error in check_shard(store, name)]


def flip(path, at, bits=0xFF):
    data = bytearray(path.read_bytes())
    data[at] ^= bits
    path.write_bytes(data)


# -- round trips ---------------------------------------------------------------------------------


@pytest.mark.parametrize("latent", [made, bitstream], ids=["codes", "bitstream"])
@pytest.mark.parametrize("dtype", STORAGE_TYPES)
def test_a_latent_of_a_store_is_the_latent_of_a_file(tmp_path, dtype, latent):
    store, seen = fill(tmp_path / "store", dtype=dtype, latent=latent)
    for number, key in enumerate(seen):
        latents.write(latent(number), tmp_path / "a.latent", dtype=dtype, overwrite=True)
        alone, stored = latents.read(tmp_path / "a.latent"), store.read(key)

        assert_same(stored, alone)
        assert stored.codes.dtype == alone.codes.dtype
        assert dict(stored.stored) == dict(alone.stored)
        for codes in (stored.codes, store.codes(key), seen[key].codes):
            assert np.array_equal(codes, alone.codes)
    assert find_faults(store) == []


@pytest.mark.parametrize("kind", ["raw", "projected"])
def test_other_kinds_and_short_trails_come_back(tmp_path, kind):
    store, seen = fill(
        tmp_path / "s", latent=lambda n: made(n, kind=kind, trail=Trail(), codes=codes_of(n))
    )
    for key, latent in seen.items():
        assert_same(store.read(key), latent)
        assert store.read(key).kind == kind


def codes_of(number):
    """Some that are not finite, one that is not contiguous."""
    codes = np.full((1, 1, 3, 2), np.float32(number)).transpose(0, 3, 2, 1)
    codes[0, 0, :2, 0] = [np.nan, -np.inf]
    return codes


def test_the_checksum_of_a_record_is_that_of_its_file(tmp_path):
    store, seen = fill(tmp_path / "store", dtype="int8")
    key = key_of(3)
    latents.write(made(3), tmp_path / "a.latent", dtype="int8")
    data = (tmp_path / "a.latent").read_bytes()
    size = int.from_bytes(data[:8], "little")
    said = json.loads(data[8 : 8 + size])["__metadata__"]["sha256"]

    assert store.check(key) == said
    assert store.rows(["key", "sha256"]).to_pylist()[3] == {"key": key, "sha256": said}
    assert len(seen) == 5


def test_a_card_stands_once_in_a_shard_and_every_latent_has_it(tmp_path):
    long = replace(CODEC, card={**CODEC.card, "notes": "x" * 5000, "nested": {"b": [1, 2], "a": 3}})
    store, seen = fill(tmp_path / "store", latent=lambda n: replace(made(n), codec=long))
    assert store.shard_path("s0").read_bytes().count(b"x" * 5000) == 1
    for key, latent in seen.items():
        assert_same(store.read(key), latent)
        assert store.read(key).codec == long
        assert list(store.read(key).codec.card) == list(long.card)
    assert find_faults(store) == []


def test_a_latent_with_a_card_of_its_own_keeps_it(tmp_path):
    other = replace(CODEC, card={**CODEC.card, "licence": "of a newer plica"})
    pair = [made(0), replace(made(1), codec=other)]
    store, _ = fill(tmp_path / "store", counts=(2,), latent=lambda n: pair[n])
    assert [store.read(key_of(n)).codec for n in (0, 1)] == [CODEC, other]
    assert find_faults(store) == []


def test_a_store_of_an_older_plica_is_read_and_written_on(tmp_path):
    """Its shard was written when each latent held its codec's card."""
    old = Path(__file__).parent.parent / "golden" / "store-1"
    shutil.copytree(old, tmp_path / "store")
    store, (_, now) = Store.open(tmp_path / "store"), fill(tmp_path / "now", (2,), "float16")
    for key, latent in now.items():
        assert_same(store.read(key), latent)
        assert store.read(key).codec == CODEC
    assert find_faults(store) == []
    with ShardWriter(store, "s1") as writer:
        added = writer.add(key_of(2), made(2))
    both = Store.open(tmp_path / "store")
    assert_same(both.read(key_of(2)), added)
    assert len(both) == 3


@pytest.mark.parametrize("where", ["store.json", "index", "record"])
def test_what_a_newer_plica_wrote_is_refused_with_a_sentence(tmp_path, where, monkeypatch):
    if where == "record":
        monkeypatch.setattr("plica.formats.latent_record.APART", 3)
    if where == "index":
        monkeypatch.setattr("plica.formats.store_index.SCHEMA", 2)
    store, _ = fill(tmp_path / "store", counts=(1,))
    monkeypatch.undo()
    if where == "store.json":
        facts = store.folder / "store.json"
        facts.write_text(facts.read_text().replace('"schema": 1', '"schema": 2'))
    with pytest.raises(LatentError, match=r"newer plica \(schema \d; this one knows \d\); update"):
        Store.open(store.folder).read(key_of(0))


def test_a_shard_is_read_by_safetensors_itself(tmp_path):
    numpy = pytest.importorskip("safetensors.numpy")
    store, seen = fill(tmp_path / "store")
    found = numpy.load_file(store.shard_path("s0"))
    for key in list(seen)[:3]:
        assert np.array_equal(found[f"{key}/codes"], seen[key].codes)
    torch = pytest.importorskip("safetensors.torch")
    for dtype in ("bfloat16", "int8"):
        store, seen = fill(tmp_path / dtype, dtype=dtype)
        assert torch.load_file(store.shard_path("s1"))[f"{key_of(3)}/codes"].shape == (2, 2, 3, 1)


@MANY
@given(
    keys=st.lists(
        st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:+=-]{0,199}", fullmatch=True),
        min_size=1,
        max_size=6,
        unique=True,
    )
)
def test_any_key_names_its_own_latent(tmp_path, keys):
    folder = tmp_path / "store"
    shutil.rmtree(folder, ignore_errors=True)
    store = Store.create(folder, codec=CODEC, dtype="float32")
    with ShardWriter(store) as writer:
        for number, key in enumerate(keys):
            writer.add(key, made(number))
    store = Store.open(folder)

    assert store.keys == keys
    for number, key in enumerate(keys):
        assert store.number(key) == number
        assert store.key(number) == key
        assert np.array_equal(store.codes(key), made(number).codes)


@MANY
@given(key=st.text(max_size=210))
def test_other_keys_are_refused(tmp_path, key):
    shutil.rmtree(tmp_path / "store", ignore_errors=True)
    store = Store.create(tmp_path / "store", codec=CODEC, dtype="float32")
    writer = ShardWriter(store)
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:+=-]{0,199}", key):
        writer.add(key, made(0))
        writer.close()
        assert Store.open(tmp_path / "store").keys == [key]
    else:
        with pytest.raises(InputError, match="key"):
            writer.add(key, made(0))


# -- the index -----------------------------------------------------------------------------------


def test_the_index_says_what_each_latent_is(tmp_path):
    store, seen = fill(tmp_path / "store", dtype="float16")
    rows = store.rows().to_pylist()

    assert [row["key"] for row in rows] == list(seen) == store.keys
    row, latent = rows[1], seen[key_of(1)]
    assert set(row) == set(COLUMNS)
    assert row["source"] == "site/1.nii.gz"
    assert (row["modality"], row["series"], row["unit"]) == ("MR", "sha256:1", "HU")
    assert (row["codec"], row["fingerprint"]) == (CODEC.name, CODEC.fingerprint)
    assert row["shape"] == list(latent.source.shape)
    assert np.array_equal(np.reshape(row["affine"], (4, 4)), latent.source.affine)
    assert row["spacing_mm"] == list(latent.source.spacing_mm)
    assert np.array_equal(np.reshape(row["codes_affine"], (4, 4)), latent.grid.affine)
    losses = json.loads(row["losses"])
    assert losses["window"] == {"clipped_fraction": 0.25}
    assert losses["stored"]["rms_error"] == latent.stored["rms_error"]
    assert (row["shard"], row["status"], row["dtype"]) == ("s0", "done", "float16")


def test_columns_and_shards_are_read_as_asked_and_unknown_ones_refused(tmp_path):
    store, _ = fill(tmp_path / "store")
    assert store.rows(["modality"], shards=["s1"]).to_pydict() == {"modality": ["MR", "CT"]}
    assert [table.num_rows for table in store.tables(("key",))] == [3, 2]
    with pytest.raises(InputError, match="patient"):
        store.rows(["patient"])
    assert len(store) == 5
    assert store.counts == (3, 2)


def test_an_empty_store_has_no_rows(tmp_path):
    store = Store.create(tmp_path / "store", codec=CODEC)
    assert (len(store), store.keys, store.shards) == (0, [], ())
    assert store.rows(["key"]).num_rows == 0
    with pytest.raises(UnknownName):
        store.read("a")


def test_a_key_that_is_not_there_is_said(tmp_path):
    store, _ = fill(tmp_path / "store")
    for key in ("gone", "", "é", key_of(0)[:-1]):
        with pytest.raises(UnknownName, match="no latent of the key"):
            store.read(key)


def test_no_identity_stands_anywhere_in_a_store(tmp_path):
    with_identity = made(0).provenance.__class__("r", "CT", identity={"PatientName": "Some^Body"})
    store, _ = fill(tmp_path / "store", latent=lambda n: made(n, trail=Trail())
                    if n else made(0, trail=Trail()).with_codes(
                        made(0).codes, provenance=with_identity))  # fmt: skip
    files = [path for path in store.folder.rglob("*") if path.is_file()]
    assert len(files) == 5
    assert not [path for path in files if b"Body" in path.read_bytes()]


def test_an_index_of_nothing_adds_nothing(tmp_path):
    store, _ = fill(tmp_path / "store")
    tables = list(store.tables(PLACES))
    places = Places.gather([tables[0], no_rows(PLACES), tables[1]])
    assert len(places) == 5
    assert places.locate(3) == (2, 0)


@pytest.mark.parametrize("number", [-1, 5])
def test_a_number_past_the_latents_is_an_index_error(tmp_path, number):
    store, _ = fill(tmp_path / "store")
    with pytest.raises(IndexError, match=f"no latent number {number} among 5"):
        store.key(number)
    with pytest.raises(IndexError, match="among 5"):
        store.packed(number)


def test_keys_that_share_a_hash_are_told_apart_by_their_names(tmp_path):
    store, _ = fill(tmp_path / "store", counts=(1,))
    (table,) = store.tables(PLACES)
    places = Places.gather([table, table])
    names = ["one", "other"]
    assert places.find_twice(lambda number: names[number]) is None
    assert places.find_twice(lambda number: "one") == ("one", 0, 1)
    with pytest.raises(UnknownName, match="no latent of the key"):
        places.find(key_of(0), lambda number: names[number])


# -- writing -------------------------------------------------------------------------------------


def test_nothing_appears_before_a_shard_is_closed_or_after_it_failed(tmp_path):
    store = Store.create(tmp_path / "store", codec=CODEC)
    writer = ShardWriter(store)
    writer.add("a", made(0))
    assert not list(store.shards_folder.iterdir())
    writer.abandon()
    other = ShardWriter(store)
    other.add("a", made(0))
    other.__exit__(RuntimeError, RuntimeError("stop"), None)
    with ShardWriter(store) as idle:
        assert len(idle) == 0
    assert not list(store.shards_folder.iterdir())
    assert not list(store.index_folder.iterdir())


def test_a_shard_that_cannot_have_its_index_goes_again(tmp_path):
    store = Store.create(tmp_path / "store", codec=CODEC)
    store.index_path("a").mkdir()
    (store.index_path("a") / "file").touch()
    writer = ShardWriter(store, "a")
    writer.add("k", made(0))
    with pytest.raises(OutputError):
        writer.close()
    assert not list(store.shards_folder.iterdir())


def test_a_shard_is_never_written_over(tmp_path):
    store, _ = fill(tmp_path / "store", counts=(1,))
    before = store.shard_path("s0").read_bytes()
    writer = ShardWriter(store, "s0")
    writer.add("other", made(9))
    with pytest.raises(OutputError, match="exists"):
        writer.close()
    assert store.shard_path("s0").read_bytes() == before
    assert find_faults(Store.open(store.folder)) == []


def test_the_meta_of_a_shard_says_what_was_written(tmp_path):
    store = Store.create(tmp_path / "store", codec=CODEC, dtype="int8")
    writer = ShardWriter(store)
    for number in range(4):
        writer.add(key_of(number), made(number))
    foretold = writer.size
    meta = writer.close()
    assert meta.name == writer.name
    assert meta.keys == tuple(map(key_of, range(4)))
    assert meta.bytes == store.shard_path(meta.name).stat().st_size <= foretold
    assert len(meta.index_sha256) == 64


@pytest.mark.parametrize(
    ("act", "error", "words"),
    [
        (lambda w: w.add("a", made(1)), InputError, "before"),
        (lambda w: w.add("b", renamed(made(1))), OutputError, "store of its own"),
        (lambda w: w.add("b", made(1), {"patient": "x"}), InputError, "patient"),
        (lambda w: w.add("b/c", made(1)), InputError, "key"),
        (lambda w: w.add("b", made(1, codes=np.full((2, 2, 3, 1), 1e6, np.float32))),
         OutputError, "float16"),
    ],
)  # fmt: skip
def test_what_does_not_belong_into_a_shard_is_refused_and_the_rest_kept(
    tmp_path, act, error, words
):
    store = Store.create(tmp_path / "store", codec=CODEC, dtype="float16")
    writer = ShardWriter(store)
    writer.add("a", made(0))
    with pytest.raises(error, match=words):
        act(writer)
    writer.close()
    with pytest.raises(OutputError, match="closed"):
        writer.close()
    with pytest.raises(OutputError, match="closed"):
        writer.add("c", made(1))
    assert Store.open(store.folder).keys == ["a"]


def test_a_full_header_is_refused_before_it_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr("plica.formats.store_writing.MAX_HEADER", 4000)
    store = Store.create(tmp_path / "store", codec=CODEC)
    with ShardWriter(store, "a") as writer:
        writer.add("a", made(0))
        with pytest.raises(OutputError, match="full"):
            [writer.add(key_of(number), made(number)) for number in range(9)]
    found = Store.open(store.folder)
    assert found.keys[0] == "a"
    assert find_faults(found) == []


def test_names_that_are_no_files_and_settings_that_are_no_json_are_refused(tmp_path):
    store = Store.create(tmp_path / "store", codec=CODEC)
    for name in ("../a", "a/b", ".a", "a" * 200):
        with pytest.raises(InputError, match="name"):
            ShardWriter(store, name)
    with pytest.raises(OutputError, match="JSON"):
        Store.create(tmp_path / "b", codec=CODEC, settings={"x": object()})
    with pytest.raises(OutputError, match="not empty"):
        Store.create(tmp_path / "store", codec=CODEC)


def test_a_store_cannot_stand_below_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be made"):
        Store.create(tmp_path / "file" / "store", codec=CODEC)


def test_a_shard_whose_folder_went_away_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr("plica.formats.store_writing._IN_MEMORY", 1)
    store = Store.create(tmp_path / "store", codec=CODEC)
    writer = ShardWriter(store, "a")
    shutil.rmtree(store.shards_folder)
    with pytest.raises(OutputError, match="shard a cannot be written"):
        writer.add("k", made(0))
    assert writer.closed


def test_a_shard_that_cannot_be_removed_is_said(tmp_path):
    store, _ = fill(tmp_path / "store")
    store.index_path("s0").unlink()
    store.index_path("s0").mkdir()
    with pytest.raises(OutputError, match="shard s0 cannot be removed"):
        store.discard("s0")


def test_much_waits_on_the_disk_and_comes_out_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr("plica.formats.store_writing._IN_MEMORY", 64)
    store, seen = fill(tmp_path / "store", dtype="int8")
    assert find_faults(store) == []
    for key, latent in seen.items():
        assert_same(store.read(key), latent)


# -- damage --------------------------------------------------------------------------------------


def test_a_truncated_shard_is_found_wherever_it_is_asked(tmp_path):
    store, _ = fill(tmp_path / "store")
    os.truncate(store.shard_path("s1"), store.shard_path("s1").stat().st_size - 1)
    for look in (store.read, store.check, store.codes):
        with pytest.raises(LatentError, match=r"shard s1.*truncated"):
            look(key_of(4))
        look(key_of(0))
    assert len(find_faults(store)) == 1


def test_damage_to_codes_is_found_by_their_checksum_alone(tmp_path):
    store, _ = fill(tmp_path / "store", counts=(1,))
    flip(store.shard_path("s0"), -1)
    with pytest.raises(LatentError, match=f"shard s0, key {key_of(0)} was damaged"):
        store.check(key_of(0))


def test_a_store_without_its_index_is_damaged_and_not_empty(tmp_path):
    store, _ = fill(tmp_path / "store")
    shutil.rmtree(store.index_folder)
    with pytest.raises(LatentError, match="lacks its index"):
        len(Store.open(store.folder))


def test_a_missing_shard_or_index_is_found(tmp_path):
    store, _ = fill(tmp_path / "store")
    store.shard_path("s0").unlink()
    with pytest.raises(LatentError, match="shard s0 is in the index, but"):
        store.codes(key_of(0))
    store.index_path("s1").unlink()
    with pytest.raises(LatentError, match=r"index of shard s1.*missing"):
        store.read(key_of(4))
    found = Store.open(store.folder)
    assert found.shards == ("s0",)


def test_a_shard_without_an_index_is_not_seen(tmp_path):
    store, _ = fill(tmp_path / "store")
    store.index_path("s1").unlink()
    found = Store.open(store.folder)
    assert (found.shards, len(found)) == (("s0",), 3)


def test_each_flipped_byte_of_a_shard_is_found(tmp_path):
    store, _ = fill(tmp_path / "store", counts=(2,), dtype="int8")
    path = store.shard_path("s0")
    whole = path.read_bytes()
    for at in [*range(0, len(whole), 61), len(whole) - 1]:
        flip(path, at, 1 << (at % 8))
        faults = find_faults(Store.open(store.folder))
        assert faults, at
        assert all("shard s0" in fault for fault in faults)
        path.write_bytes(whole)
    assert find_faults(Store.open(store.folder)) == []


def test_a_flipped_code_names_shard_and_key(tmp_path):
    store, _ = fill(tmp_path / "store", counts=(2,))
    flip(store.shard_path("s0"), -1)
    found = store.rows(["key", "codes_at"]).to_pylist()
    assert found
    faults = find_faults(store)
    assert len(faults) == 1
    key = next(key for key in store.keys if key in faults[0])
    with pytest.raises(LatentError, match=f"shard s0, key {key} was damaged"):
        store.read(key)


@MANY
@given(
    flips=st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 255)), min_size=1, max_size=3),
    cut=st.none() | st.integers(0, 10**6),
)
def test_a_damaged_index_is_found_or_harmless(tmp_path, flips, cut):
    if not (tmp_path / "store").exists():
        fill(tmp_path / "store", counts=(2,))
        shutil.copy(tmp_path / "store/index/s0.parquet", tmp_path / "whole")
    path = tmp_path / "store/index/s0.parquet"
    data = bytearray((tmp_path / "whole").read_bytes())
    for at, bits in flips:
        data[at % len(data)] ^= bits
    path.write_bytes(data if cut is None else data[: cut % len(data)])
    store = Store.open(tmp_path / "store")
    for number in range(2):
        with suppress(PlicaError):
            assert np.array_equal(store.codes(key_of(number)), made(number).codes)
    try:
        told = store.rows().to_pylist()
    except PlicaError:
        return
    rows = Store.open(tmp_path / "store").rows().to_pylist()
    assert rows == told
    if not find_faults(store):
        (tmp_path / "store/index/s0.parquet").write_bytes((tmp_path / "whole").read_bytes())
        assert told == Store.open(tmp_path / "store").rows().to_pylist()


def rewrite_index(store, name, change):
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(store.index_path(name))
    rows = table.to_pylist()
    change(rows)
    pyarrow.parquet.write_table(
        pyarrow.Table.from_pylist(rows, schema=table.schema), store.index_path(name)
    )


def relabel(store, name, rows=None, **facts):
    """Write a shard's index anew, with other facts about the shard."""
    path = store.index_path(name)
    kept = read_rows(path, tuple(COLUMNS)).to_pylist() if rows is None else rows
    said = replace(read_facts(path), **facts)
    with path.open("wb") as file:
        write_rows(file, kept, said)


def reshape(store, name, change):
    """Change a shard's header as `change(header)` does, and what its index says of it."""
    header, tensors = take_apart(store.shard_path(name).read_bytes())
    change(header)
    text = json.dumps(header).encode()
    begin = len(text).to_bytes(8, "little") + text
    store.shard_path(name).write_bytes(begin + tensors)
    digest = hashlib.sha256(begin).hexdigest()
    relabel(store, name, bytes=len(begin + tensors), header=digest)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda header: header["__metadata__"].update(format="weights"), "no shard of latents"),
        (lambda header: header.update(
            extra={"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}),
         "the tensor 'extra' that no record speaks of"),
        (lambda header: header["__metadata__"].pop(f"{key_of(0)}/sha256"),
         "record or checksum is missing"),
    ],
)  # fmt: skip
def test_a_shard_that_agrees_with_its_index_and_not_with_itself_is_refused(tmp_path, change, words):
    store, _ = fill(tmp_path / "store", counts=(1,))
    reshape(store, "s0", change)
    (fault,) = find_faults(store)
    assert words in fault
    with pytest.raises(LatentError, match="shard s0"):
        store.read(key_of(0))


def test_a_shard_of_no_bytes_is_found_even_if_its_index_says_so(tmp_path):
    store, _ = fill(tmp_path / "store", counts=(1,))
    store.shard_path("s0").write_bytes(b"")
    relabel(store, "s0", bytes=0)
    with pytest.raises(LatentError, match="shard s0 cannot be mapped"):
        store.codes(key_of(0))


def test_an_index_that_does_not_name_its_shard_is_refused(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    store, _ = fill(tmp_path / "store", counts=(1,))
    table = parquet.read_table(store.index_path("s0"))
    parquet.write_table(table.replace_schema_metadata(), store.index_path("s0"))
    with pytest.raises(LatentError, match="does not name its shard"):
        store.rows()


def test_an_index_of_a_schema_that_never_was_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("plica.formats.store_index.SCHEMA", 0)
    store, _ = fill(tmp_path / "store", counts=(1,))
    monkeypatch.undo()
    with pytest.raises(LatentError, match="schema is 0, but 1 was expected"):
        store.rows()


def test_an_index_larger_than_any_is_refused_before_it_is_opened(tmp_path, monkeypatch):
    store, _ = fill(tmp_path / "store", counts=(2, 1))
    os.truncate(store.index_path("s1"), (1 << 28) + 1)
    with pytest.raises(LatentError, match="268435456 are the limit"):
        store.rows(shards=["s1"])
    monkeypatch.setattr("plica.formats.store_index._MOST_ROWS", 1)
    with pytest.raises(LatentError, match="beyond any shard's"):
        store.rows(shards=["s0"])


def test_an_index_whose_footer_counts_rows_that_are_not_there_is_refused(tmp_path):
    store, _ = fill(tmp_path / "store", counts=(2,))
    relabel(store, "s0", rows=store.rows().to_pylist())
    path = store.index_path("s0")
    said = replace(read_facts(path), rows=3)
    rows = store.rows().to_pylist()
    with path.open("wb") as file:
        write_rows(file, rows, said)
    # Thrift's compact spelling of FileMetaData: num_rows = 2, then a list of one row group.
    data, counted = path.read_bytes(), b"\x16\x04\x19\x1c"
    assert data.count(counted) == 1
    path.write_bytes(data.replace(counted, b"\x16\x06\x19\x1c"))
    with pytest.raises(LatentError, match="lost rows"):
        store.rows()


def test_a_latent_of_another_codec_in_a_store_is_found(tmp_path):
    other = replace(CODEC, fingerprint="sha256:def")
    store, _ = fill(tmp_path / "store", counts=(1,))
    strange = Store.create(tmp_path / "strange", codec=other, dtype="float32")
    shutil.copytree(store.shards_folder, strange.shards_folder, dirs_exist_ok=True)
    shutil.copytree(store.index_folder, strange.index_folder, dirs_exist_ok=True)
    (fault,) = find_faults(strange)
    assert f"{CODEC.name} made it, which is not the store's codec" in fault


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("codes_at", 10**15), ("codes_at", -1), ("codes_at", 16), ("codes_shape", [2, 2, 3, 10**9]),
        ("codes_shape", [-2, 2, 3, 1]), ("codes_shape", [10**18, 10**18, 10**18, 10**18]),
        ("dtype", "float16"), ("dtype", "object"), ("codes_at", None), ("scale_at", 0),
        ("unit", "Gy"), ("sha256", "0" * 64), ("shape", [1, 2, 3]), ("key", "other"),
        ("kind", None), ("losses", "{}"), ("affine", [float("nan")] * 16),
    ],
)  # fmt: skip
def test_a_lying_index_is_found_and_takes_no_memory(tmp_path, column, value):
    store, _ = fill(tmp_path / "store", counts=(2,), dtype="int8")
    rewrite_index(store, "s0", lambda rows: rows[1].update({column: value}))
    store = Store.open(store.folder)

    assert find_faults(store)
    with suppress(LatentError, UnknownName):
        codes = store.codes(key_of(1))
        assert codes.size < 100


def test_a_key_that_stands_twice_is_found(tmp_path):
    store, _ = fill(tmp_path / "store")
    with ShardWriter(store, "again") as writer:
        writer.add(key_of(4), made(4))
    with pytest.raises(LatentError, match=f"{key_of(4)} stands twice.*again and s1"):
        Store.open(store.folder).codes(key_of(0))


def test_an_index_of_another_shard_is_refused(tmp_path):
    store, _ = fill(tmp_path / "store")
    shutil.copy(store.index_path("s1"), store.index_path("s0"))
    with pytest.raises(LatentError, match="renamed"):
        store.rows()
    pyarrow = pytest.importorskip("pyarrow.parquet")
    import pyarrow as arrow

    pyarrow.write_table(arrow.table({"a": [1]}), store.index_path("s0"))
    with pytest.raises(LatentError, match="other columns"):
        store.rows()


def test_a_safetensors_file_that_is_no_shard_is_refused(tmp_path):
    store, _ = fill(tmp_path / "store", counts=(1,))
    latents.write(made(0), tmp_path / "a.latent")
    shutil.copy(tmp_path / "a.latent", store.shard_path("s0"))
    assert len(find_faults(store)) == 1


def test_the_limit_of_a_latent_is_kept(tmp_path):
    store, _ = fill(tmp_path / "store")
    with pytest.raises(TooLarge):
        store.read(key_of(0), max_bytes=100)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (None, UnreadableFile), ("{}", UnreadableFile), ("[1]", LatentError), ("", LatentError),
        ('{"format": "plica store", "schema": 9}', LatentError),
        ('{"format": "plica store", "schema": 0}', LatentError),
        ('{"format": "plica store", "schema": 1, "codec": {}, "dtype": "int4", "settings": {}}',
         LatentError),
        (" " * ((1 << 22) + 1), LatentError),
        ('{"format": "plica store", "schema": 1}', LatentError),
        ('{"format": "plica store", "schema": true}', LatentError),
        ("[" * 100_000, LatentError), (b"\xff\xfe", LatentError),
    ],
)  # fmt: skip
def test_a_folder_that_is_no_store_is_refused_with_a_sentence(tmp_path, text, error):
    if text is not None:
        data = text if isinstance(text, bytes) else text.encode()
        (tmp_path / "store.json").write_bytes(data)
    with pytest.raises(error) as found:
        Store.open(tmp_path)
    assert len(str(found.value)) < 400
    with pytest.raises(UnreadableFile, match="no store"):
        Store.open(tmp_path / "gone")


@MANY
@given(data=st.data())
def test_any_value_in_a_stores_record_gives_a_store_or_our_own_error(tmp_path, data):
    shutil.rmtree(tmp_path / "store", ignore_errors=True)
    Store.create(tmp_path / "store", codec=CODEC)
    path = tmp_path / "store/store.json"
    record = json.loads(path.read_text())
    place = data.draw(st.sampled_from([record, record["codec"]]))
    place[data.draw(st.sampled_from(sorted(place)))] = data.draw(
        st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.lists(st.none())
    )
    path.write_text(json.dumps(record))
    with suppress(PlicaError):
        assert Store.open(tmp_path / "store").dtype in STORAGE_TYPES


def test_no_word_of_a_stores_record_can_be_changed_unseen(tmp_path):
    Store.create(tmp_path / "store", codec=CODEC, settings={"options": {"axis": "axial"}})
    path = tmp_path / "store/store.json"
    text = path.read_text()
    assert Store.open(tmp_path / "store").settings == {"options": {"axis": "axial"}}
    for place, letter in enumerate(text):
        if letter.isalnum():
            path.write_text(text[:place] + ("b" if letter == "a" else "a") + text[place + 1 :])
            with pytest.raises(PlicaError):
                Store.open(tmp_path / "store")
    bare = {name: value for name, value in json.loads(text).items() if name != "sha256"}
    path.write_text(json.dumps(bare))  # as it was written before there was a sum
    assert Store.open(tmp_path / "store").settings == {"options": {"axis": "axial"}}


# -- together ------------------------------------------------------------------------------------


def test_many_threads_read_one_store(tmp_path, monkeypatch):
    for most in ("_HEADERS", "_MAPPED", "_INDICES"):
        monkeypatch.setattr(f"plica.formats.store.{most}", 2)
    store, seen = fill(tmp_path / "store", counts=(3,) * 6)

    def look(number):
        key = key_of(number % 18)
        assert np.array_equal(store.read(key).codes, seen[key].codes)
        assert np.array_equal(store.codes(key), seen[key].codes)
        return store.check(key)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(look, range(90)))
    assert len(set(found)) == 18


def test_other_processes_read_while_shards_are_added(tmp_path):
    store, seen = fill(tmp_path / "store")
    code = (
        "import sys; from plica.formats.store import Store\n"
        "for _ in range(10):\n"
        "    store = Store.open(sys.argv[1])\n"
        "    for key in store.keys: store.check(key)\n"
        "print(len(store))"
    )
    readers = [
        subprocess.Popen([sys.executable, "-c", code, store.folder], stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    for number in range(5, 15):
        with ShardWriter(store) as writer:
            writer.add(key_of(number), made(number))
    assert [reader.communicate()[0] != b"" and reader.returncode for reader in readers] == [0, 0]
    assert len(Store.open(store.folder)) == 15
    assert len(seen) == 5


def test_a_store_travels_to_another_process(tmp_path):
    store, seen = fill(tmp_path / "store")
    store.codes(key_of(0))
    store.read(key_of(0))
    moved = pickle.loads(pickle.dumps(store))
    assert "places" in vars(moved)
    assert np.array_equal(moved.codes(key_of(4)), seen[key_of(4)].codes)


def test_views_are_of_the_file_and_cannot_be_written(tmp_path):
    store, _ = fill(tmp_path / "store")
    codes = store.codes(key_of(0))
    assert not codes.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        codes[0] = 1


def test_a_discarded_shard_is_gone_with_its_index(tmp_path):
    store, _ = fill(tmp_path / "store")
    store.discard("s0")
    store.discard("s0")
    assert Store.open(store.folder).keys == [key_of(3), key_of(4)]
    assert not store.shard_path("s0").exists()


def test_a_missing_pyarrow_is_said_before_any_work(tmp_path, monkeypatch):
    store, _ = fill(tmp_path / "store")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    acts = (lambda: ShardWriter(store), lambda: store.codes("a"), lambda: store.rows(["key"]))
    for act in acts:
        with pytest.raises(MissingExtra, match="tables"):
            act()

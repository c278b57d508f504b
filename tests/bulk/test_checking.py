"""Verifying: whatever is wrong with a store is found and named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.bulk.conftest import CODEC

import plica
from plica.bulk.checking import decode_sample, verify, verify_alone
from plica.bulk.crew import OwnProcess
from plica.bulk.engine import Habits, encode_archive, reading_only
from plica.bulk.task import Order
from plica.errors import LatentError, OutputError
from plica.formats.store import Store
from plica.grid import Grid
from plica.image import Image


@pytest.fixture
def store(order: Callable[..., Order]) -> Path:
    made = order()
    encode_archive(made, lambda: OwnProcess(made), habits=Habits(shard_series=4))
    return made.store


def faults(folder: Path) -> list[tuple[str, str]]:
    with reading_only(folder) as (store, ledger):
        return [(one.kind, one.shard) for one in verify(store, ledger)]


def test_a_sound_store_has_no_fault(store: Path):
    told: list[tuple[int, int]] = []
    with reading_only(store) as (opened, ledger):
        assert list(verify(opened, ledger, lambda *at: told.append(at))) == []
        codec = plica.load(CODEC)
        assert list(decode_sample(opened, codec.decode, n=5)) == []
    assert told[-1] == (4, 4)


@pytest.mark.parametrize("place", [0.02, 0.5, 0.98])
def test_a_flipped_bit_is_found(store: Path, place: float):
    shard = sorted((store / "shards").iterdir())[1]
    data = bytearray(shard.read_bytes())
    data[int(len(data) * place)] ^= 4
    shard.write_bytes(data)
    assert {(kind, name) for kind, name in faults(store)} == {("damaged", shard.stem)}


def test_truncated_missing_extra_and_swapped_shards_are_found(store: Path):
    names = Store.open(store).shards
    first, second, third, last = (store / "shards" / f"{name}.safetensors" for name in names)
    first.write_bytes(first.read_bytes()[:-9])
    second.unlink()
    (store / "index" / f"{names[2]}.parquet").unlink()
    (store / "shards" / "0000.safetensors").write_bytes(last.read_bytes())
    found = set(faults(store))
    assert {("damaged", names[0]), ("missing", names[1]), ("missing", names[2])} <= found
    assert ("extra", "0000") in found
    assert third.is_file()


@pytest.mark.parametrize("part", ["shards", "index"])
def test_without_its_ledger_half_a_shard_is_missed(store: Path, part: str):
    opened = Store.open(store)
    lost = opened.shards[0]
    path = {"shards": opened.shard_path, "index": opened.index_path}[part](lost)
    kept = path.read_bytes()
    path.unlink()
    try:
        problems = list(verify_alone(Store.open(store)))
    finally:
        path.write_bytes(kept)
    said = f"{part}/{path.name} is not there"
    assert [(one.shard, one.kind, one.what) for one in problems] == [(lost, "missing", said)]


def test_what_cannot_be_decoded_is_named(store: Path):
    def refuse(latent: object) -> plica.Image:
        raise LatentError("it is of other weights")

    with reading_only(store) as (opened, _):
        found = list(decode_sample(opened, refuse, n=2))
    assert [one.kind for one in found] == ["decoding"] * 2
    assert "other weights" in found[0].what


def test_a_store_without_a_ledger_is_said_to_have_none(tmp_path: Path, store: Path):
    (store / "ledger.sqlite").unlink()
    with pytest.raises(OutputError, match="no ledger"), reading_only(store):
        pass


def test_an_index_that_was_written_anew_and_keys_that_are_elsewhere_are_found(store: Path):
    opened = Store.open(store)
    first, second, third = opened.shards[:3]
    opened.index_path(third).write_bytes(b"no Parquet")
    with reading_only(store) as (_, ledger), ledger.transaction():
        ledger._db.execute(
            "UPDATE series SET shard = ? WHERE key = ?", (second, ledger.keys(first)[0])
        )
    with reading_only(store) as (again, ledger):
        said = {(one.shard, one.kind): one.what for one in verify(again, ledger)}
    assert set(said) == {(first, "keys"), (second, "keys"), (third, "damaged")}
    assert said[first, "keys"] == "shard and ledger hold different series"


def test_an_image_that_comes_back_on_another_grid_is_named(store: Path):
    small = Image(np.zeros((1, 2, 2, 2), np.float32), Grid.from_spacing((2, 2, 2), (1, 1, 1)))
    found = list(decode_sample(Store.open(store), lambda _: small, n=2))
    assert [one.kind for one in found] == ["decoding"] * 2
    assert all(one.what.endswith("decoded to (2, 2, 2) voxels") for one in found)

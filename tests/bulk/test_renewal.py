"""Encoding again what changed: whatever comes in between, no latent is lost, and none is twice."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.bulk.conftest import CODEC
from tests.bulk.stores import contents
from tests.bulk.test_mishaps import make_slices, make_volume

from plica.bulk.checking import verify
from plica.bulk.crew import Crew, OwnProcess
from plica.bulk.engine import Habits, Ran, Watcher, encode_archive, open_store
from plica.bulk.ledger import DELETED, RENEWED, STAYS, Ledger
from plica.bulk.look import SPREAD
from plica.bulk.task import Death, Order, Task
from plica.bulk.worker import load_codec
from plica.errors import MissingExtra, OutputError
from plica.formats.store import Store

N = 6
RENEW = Habits(shard_series=2, renew=True)


@pytest.fixture
def order(tmp_path: Path) -> Order:
    """Six volumes, not encoded yet."""
    order = Order(tmp_path / "archive", tmp_path / "store", CODEC, device="cpu")
    for number in range(N):
        make_volume(order.archive / f"{number}.nii", 16 + number)
    open_store(order.store, load_codec(order), "float16", {})
    return order


def run(
    order: Order,
    habits: Habits = RENEW,
    watcher: Watcher | None = None,
    hire: Callable[[], Crew] | None = None,
) -> Ran:
    return encode_archive(
        order, hire or (lambda: OwnProcess(order)), habits=habits, watcher=watcher
    )


def change(order: Order, *numbers: int) -> None:
    """These volumes are larger from now on: 32 and a few voxels long."""
    for number in numbers:
        (order.archive / f"{number}.nii").unlink()
        make_volume(order.archive / f"{number}.nii", 32 + number)


def sides(order: Order) -> dict[str, int]:
    """How long each volume was that is in the store; a key that stood twice would be refused."""
    with Ledger(order.store) as ledger:
        path_of = {key: path for key, path, _ in ledger.others("done")}
        assert list(verify(Store.open(order.store), ledger)) == []
    store = Store.open(order.store)
    assert sorted(store.keys) == sorted(path_of)
    return {path_of[key]: store.read(key).source.shape[0] for key in store.keys}


def old_sides() -> dict[str, int]:
    return {f"{number}.nii": 16 + number for number in range(N)}


def why(order: Order) -> dict[str, str]:
    with Ledger(order.store) as ledger:
        return {path: reason for _, path, reason in ledger.changed()}


def test_what_changed_is_encoded_again_where_that_is_asked(order: Order):
    run(order)
    change(order, 1, 4)
    assert run(order, Habits(shard_series=2)).done == 0
    assert sides(order) == old_sides()
    assert why(order) == {"1.nii": RENEWED, "4.nii": RENEWED}

    ran = run(order)

    assert sides(order) == old_sides() | {"1.nii": 33, "4.nii": 36}
    assert ran.done in {2, 4}  # with those that share their shards
    assert ran.kept == []
    assert why(order) == {}
    assert run(order).done == 0
    change(order, 1)  # a second time
    assert run(order).done in {1, 2}
    assert sides(order) == old_sides() | {"1.nii": 33, "4.nii": 36}


def test_without_anybody_to_encode_them_shards_stay(order: Order):
    run(order)
    change(order, 1)
    before = contents(order.store)

    def hire() -> Crew:
        raise MissingExtra("encoding with several workers", "ray", "bulk")

    with pytest.raises(MissingExtra):
        run(order, hire=hire)

    assert contents(order.store) == before


def test_no_more_is_encoded_again_than_the_limit_says(order: Order):
    run(order, Habits(shard_series=1))
    change(order, *range(N))

    ran = run(order, Habits(shard_series=1, renew=True, limit=2))

    assert ran.done == 2
    assert len(sides(order)) == N
    assert sum(side >= 32 for side in sides(order).values()) == 2
    assert set(why(order).values()) == {RENEWED}
    assert len(why(order)) == 4


def test_what_is_not_in_the_store_yet_comes_first(order: Order):
    run(order, Habits(shard_series=1))
    change(order, 0)
    make_volume(order.archive / "new.nii", 40)

    run(order, Habits(shard_series=1, renew=True, limit=1))

    assert sides(order) == old_sides() | {"new.nii": 40}


@pytest.mark.parametrize("signals", [1, 2], ids=["finishing", "at once"])
def test_an_interruption_leaves_each_series_in_the_store_once(order: Order, signals: int):
    run(order, Habits(shard_series=1))
    change(order, *range(N))
    told = iter([signal.SIGINT] * signals)

    def stop(_: object) -> None:
        for number in told:
            os.kill(os.getpid(), number)

    if signals == 1:
        assert run(order, watcher=Watcher(booked=stop)).interrupted
    else:
        with pytest.raises(KeyboardInterrupt):
            run(order, watcher=Watcher(booked=stop))

    between = sides(order)
    assert len(between) == N
    assert 1 <= sum(side >= 32 for side in between.values()) < N
    run(order)
    assert sides(order) == {f"{number}.nii": 32 + number for number in range(N)}


def test_a_run_that_was_broken_off_between_old_and_new_is_mended_by_the_next(
    order: Order, monkeypatch: pytest.MonkeyPatch
):
    """Both are on the disk, and the ledger knows the new one."""
    run(order, Habits(shard_series=N))
    change(order, 1)

    def fail(*_: object) -> None:
        raise OutputError("it cannot be booked")

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "replace", fail)
        with pytest.raises(OutputError, match="booked"):
            run(order)  # the new one is written: it goes, and the old one counts
    assert sides(order) == old_sides()

    real = Store.discard

    def refuse(store: Store, name: str) -> None:
        if store.index_path(name).is_file():
            raise OutputError("it cannot be removed")
        real(store, name)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "discard", refuse)
        with pytest.raises(OutputError, match="removed"):
            run(order)
    assert len(list((order.store / "shards").iterdir())) == 2
    run(order, Habits())
    assert sides(order) == old_sides() | {"1.nii": 33}


def test_a_latent_that_cannot_be_made_again_stays(order: Order):
    run(order, Habits(shard_series=N))
    before = contents(order.store)["shards"]
    change(order, 1, 2)
    (order.archive / "1.nii").write_bytes(b"\x5c\x01\x00\x00" + b"\x00" * 400)

    ran = run(order)

    assert contents(order.store)["shards"] == before
    assert [(one.path, bool(one.reason)) for one in ran.kept] == [("1.nii", True)]
    assert (ran.done, ran.failed, ran.shards) == (1, 1, 0)
    with Ledger(order.store) as ledger:
        assert ledger.count()["done"] == N
    change(order, 1)  # it can be read now
    assert run(order).kept == []
    assert sides(order) == old_sides() | {"1.nii": 33, "2.nii": 34}


def test_a_latent_of_files_that_are_gone_holds_its_shard(order: Order):
    run(order, Habits(shard_series=N))
    change(order, 1)
    (order.archive / "2.nii").unlink()

    assert run(order).done == 0

    assert sides(order) == old_sides()
    assert why(order) == {"1.nii": STAYS, "2.nii": DELETED}
    with Ledger(order.store) as ledger:
        assert (ledger.count_changed(), ledger.count_renewable()) == (1, 0)


def test_a_latent_of_files_that_are_gone_holds_no_other_shard(order: Order):
    run(order, Habits(shard_series=1))
    change(order, 1)
    (order.archive / "2.nii").unlink()
    run(order, Habits(shard_series=1))
    assert why(order) == {"1.nii": RENEWED, "2.nii": DELETED}

    assert run(order).done == 1

    assert sides(order) == old_sides() | {"1.nii": 33}


def test_a_series_that_came_to_lie_in_several_folders_is_not_made_again_of_one(order: Order):
    make_slices(order.archive / "a", range(3))
    run(order, Habits(shard_series=1))
    make_slices(order.archive / "b", range(3, 6))

    for _ in range(2):
        assert run(order).done == 0
        assert why(order) == {"a": SPREAD}
        with Ledger(order.store) as ledger:
            assert (ledger.count_changed(), ledger.count_renewable()) == (1, 0)

    shutil.rmtree(order.archive / "b")  # a mistake, and mended
    run(order)
    assert why(order) == {}
    make_slices(order.archive / "b", range(3, 6))
    run(order)
    for file in (order.archive / "b").iterdir():
        file.rename(order.archive / "a" / file.name)
    assert run(order).done == 1
    assert why(order) == {}
    rows = Store.open(order.store).rows(("shape",)).column(0).to_pylist()
    assert 6 in [shape[2] for shape in rows]


def test_whoever_kills_workers_keeps_its_old_latent(order: Order):
    run(order, Habits(shard_series=N))
    change(order, 1, 2)

    class Dying(OwnProcess):
        """Its worker dies over one series: first among others, then alone."""

        def submit(self, task: Task) -> bool:
            poison = next(item for item in task.items if item.path == "1.nii")
            at = (poison,) if poison.suspect else task.items
            deaths.append(Death(task.shard, tuple(item.key for item in at), poison.suspect))
            return True

        def collect(self, seconds: float):
            return [deaths[-1]]

    deaths: list[Death] = []
    ran = run(order, hire=lambda: Dying(order))

    assert len(deaths) == 4
    assert [(one.path, one.reason) for one in ran.kept] == [
        ("1.nii", "the worker died 3 times over it")
    ]
    assert sides(order) == old_sides()
    run(order)
    assert sides(order) == old_sides() | {"1.nii": 33, "2.nii": 34}

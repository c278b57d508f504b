"""The engine in one process: what it makes, and what it makes of what goes wrong."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.bulk.conftest import CODEC
from tests.bulk.stores import contents

import plica
from plica.bulk import worker
from plica.bulk.crew import OwnProcess
from plica.bulk.engine import (
    Habits,
    Ran,
    Watcher,
    clean,
    encode_archive,
    open_store,
    reading_only,
)
from plica.bulk.ledger import Ledger
from plica.bulk.lock import find_driver, hold
from plica.bulk.task import Clock, Death, Order, Task, Unbegun
from plica.bulk.worker import CHANGED, load_codec
from plica.errors import LatentError, OutputError, SettingsError
from plica.formats.store import Store
from plica.image import Image
from plica.latent import Latent

Orders = Callable[..., Order]
SMALL = Habits(shard_series=4)


def run(order: Order, habits: Habits = SMALL, watcher: Watcher | None = None):
    return encode_archive(order, lambda: OwnProcess(order), habits=habits, watcher=watcher)


def states(order: Order) -> dict[str, int]:
    with Ledger(order.store) as ledger:
        return {state: n for state, n in ledger.count().items() if n}


def test_an_archive_becomes_a_store(order: Orders):
    made = order()
    ran = run(made)
    assert states(made) == {"done": 15, "failed": 1, "duplicate": 1}
    assert (ran.done, ran.failed, ran.shards) == (16, 1, 4)
    store = Store.open(made.store)
    assert len(store) == 15
    codec = plica.load(CODEC)
    with Ledger(made.store) as ledger:
        key = next(k for k, path, _ in ledger.others("done") if path == "ward0/ct0.nii")
        failed = [(path, reason) for _, path, reason in ledger.failures()]
    assert [path for path, _ in failed] == ["broken.nii"]
    alone = codec.encode(plica.read(made.archive / "ward0" / "ct0.nii"))
    assert np.array_equal(store.read(key).codes, alone.codes.astype(np.float16))
    assert codec.decode(store.read(key)).grid.agrees_with(alone.source)


def test_nothing_is_done_twice(order: Orders):
    made = order()
    run(made)
    before = contents(made.store)
    assert run(made).done == 0
    assert contents(made.store) == before


def test_stores_do_not_depend_on_how_the_work_was_cut(order: Orders):
    one, other = order("one"), order("other", readers=1, ahead=1)
    run(one)
    run(other)
    assert contents(one.store) == contents(other.store)


def test_images_encoded_together_are_those_encoded_alone(order: Orders, monkeypatch):
    one, other = order("one"), order("other", batch=4)
    codec = type(load_codec(one))
    sizes = []
    together = codec.encode_together
    monkeypatch.setattr(
        codec, "encode_together",
        lambda self, images, **how: sizes.append(len(images)) or together(self, images, **how),
    )  # fmt: skip
    run(one)
    assert not sizes
    run(other)
    assert max(sizes) == 4
    assert states(other) == states(one)
    alone, batched = Store.open(one.store), Store.open(other.store)
    assert alone.keys == batched.keys
    for key in alone.keys:
        a, b = alone.read(key), batched.read(key)
        assert np.allclose(a.codes, b.codes, rtol=2e-3, atol=1e-3)
        assert a.source == b.source


def test_one_that_cannot_be_encoded_leaves_its_batch_to_the_others(order: Orders):
    made = order(batch=4)
    hole = np.full((16, 12, 3), np.nan, np.float32)
    for ward in range(3):
        plica.write(
            plica.Image(hole[None], plica.Grid.from_spacing(hole.shape)),
            made.archive / f"ward{ward}" / "hole.nii",
        )
    run(made)
    assert states(made) == {"done": 15, "failed": 4, "duplicate": 1}


def test_what_comes_later_is_encoded_later(order: Orders):
    made = order()
    run(made)
    (made.archive / "later.nii").write_bytes((made.archive / "ward0" / "ct0.nii").read_bytes())
    assert run(made).done == 1
    assert states(made)["done"] == 16


def test_failures_are_tried_again_only_when_asked(order: Orders):
    made = order()
    run(made)
    good = (made.archive / "ward1" / "ct1.nii").read_bytes()
    assert run(made).done == 0
    assert run(made, Habits(retry_failed=True)).failed == 1
    (made.archive / "broken.nii").write_bytes(good)
    assert run(made).done == 1  # it changed: that is reason enough
    assert "failed" not in states(made)


def test_no_path_and_no_name_is_in_the_store_unless_asked(order: Orders):
    made, open_ = order("closed"), order("open", keep_paths=True)
    run(made)
    run(open_)
    rows = Store.open(made.store).rows(("source",)).column(0).to_pylist()
    assert set(rows) == {""}
    assert "ward0/ct0.nii" in Store.open(open_.store).rows(("source",)).column(0).to_pylist()
    for path in (made.store / "shards").iterdir():
        assert b"ward0" not in path.read_bytes()
        assert b"CompressedSamples" not in path.read_bytes()  # CT_small's patient


def test_a_source_that_changes_while_it_is_read_fails_and_is_done_next_time(
    order: Orders, monkeypatch: pytest.MonkeyPatch
):
    made = order()
    changing = made.archive / "ward2" / "ct2.nii"
    before = worker.read_item

    def read(archive, item, **how):
        image = before(archive, item, **how)
        if archive / item.path == changing:
            os.utime(changing, ns=(5, 5))
        return image

    monkeypatch.setattr(worker, "read_item", read)
    run(made)
    with Ledger(made.store) as ledger:
        assert ("ward2/ct2.nii", CHANGED) in [(p, reason) for _, p, reason in ledger.failures()]
    monkeypatch.setattr(worker, "read_item", before)
    run(made)
    assert states(made) == {"done": 15, "failed": 1, "duplicate": 1}


def test_a_source_that_changed_later_is_counted_and_its_latent_kept(order: Orders):
    made = order()
    run(made)
    before = contents(made.store)
    os.utime(made.archive / "ward0" / "ct0.nii", ns=(7, 7))
    run(made)
    with Ledger(made.store) as ledger:
        assert ledger.count_changed() == 1
    assert contents(made.store) == before


def test_a_full_disk_loses_nothing(order: Orders, monkeypatch: pytest.MonkeyPatch):
    made, undisturbed = order(), order("undisturbed")
    run(undisturbed)
    written = []
    real = os.fsync

    def fsync(handle: int) -> None:
        written.append(handle)
        if len(written) > 8:
            raise OSError(28, "No space left on device")
        real(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(OutputError, match="No space left"):
            run(made)
    assert 0 < states(made)["done"] < 15
    run(made)
    assert contents(made.store) == contents(undisturbed.store)


def test_what_a_broken_run_left_is_removed_and_what_is_missing_made_again(order: Orders):
    made = order()
    run(made)
    before = contents(made.store)
    store = Store.open(made.store)
    lost, other = store.shards[:2]
    (store.shards_folder / "debris.safetensors").write_bytes(b"half")
    (store.shards_folder / ".half-written").write_bytes(b"half")
    store.shard_path(lost).unlink()
    with Ledger(made.store) as ledger:
        assert clean(made.store, ledger) == (["debris"], [lost])
    assert store.shard_path(other).is_file()
    run(made)
    assert contents(made.store) == before


def test_a_lost_shard_is_made_of_what_its_files_are_now(order: Orders):
    made = order()
    run(made)
    with Ledger(made.store) as ledger:
        key = next(k for k, path, _ in ledger.others("done") if path == "ward0/ct0.nii")
    other = (made.archive / "ward1" / "ct1.nii").read_bytes()
    (made.archive / "ward0" / "ct0.nii").write_bytes(other)
    run(made)
    with Ledger(made.store) as ledger:
        assert ledger.count_changed() == 1
    store = Store.open(made.store)
    for name in store.shards:
        store.shard_path(name).unlink()
    run(made)
    assert states(made)["done"] == 15
    with Ledger(made.store) as ledger:
        assert ledger.count_changed() == 0
    codes = plica.load(CODEC).encode(plica.read(made.archive / "ward0" / "ct0.nii")).codes
    assert np.array_equal(Store.open(made.store).read(key).codes, codes.astype(np.float16))


def test_a_store_whose_making_was_broken_off_is_made_again(order: Orders):
    made = order()
    (made.store / "store.json").unlink()
    (made.store / ".store.json.12ab34cd.part").write_text("{")
    open_store(made.store, load_codec(made), "float16", {})
    assert run(made).done == 16
    (made.store / "store.json").unlink()
    with pytest.raises(OutputError, match="not empty"):
        open_store(made.store, load_codec(made), "float16", {})


def test_a_run_that_is_ended_writes_no_shard_more(order: Orders):
    made = order()
    crew = OwnProcess(made)
    crew._worker.abandon()
    with pytest.raises(OutputError, match="was ended"):
        encode_archive(made, lambda: crew, habits=SMALL)
    assert states(made)["waiting"] > 0
    assert run(made).done == 16


def test_a_damaged_ledger_is_named(order: Orders):
    made = order()
    run(made)
    ledger = made.store / "ledger.sqlite"
    data = bytearray(ledger.read_bytes())
    data[4096:] = b"\x5a" * (len(data) - 4096)
    ledger.write_bytes(data)
    with pytest.raises((LatentError, OutputError), match="ledger"), reading_only(made.store) as (
        _, found,
    ):  # fmt: skip
        list(found.failures())


def test_two_drivers_refuse_each_other(order: Orders):
    made = order()
    assert find_driver(made.store) == {}
    with hold(made.store):
        assert find_driver(made.store)["pid"] == os.getpid()
        with pytest.raises(OutputError, match=f"another driver.*process {os.getpid()}"):
            run(made)
    assert find_driver(made.store) == {}
    assert run(made).done == 16


def test_another_archive_codec_or_setting_needs_a_store_of_its_own(order: Orders, tmp_path: Path):
    made = order()
    run(made)
    elsewhere = Order(tmp_path, made.store, CODEC)
    with pytest.raises(SettingsError, match="another archive"):
        run(elsewhere)
    other = Order(made.archive, made.store, "linear-4x1-2d")
    with pytest.raises(SettingsError, match="codec 'bicubic-4x-2d'"):
        open_store(other.store, load_codec(other), "float16", {})
    with pytest.raises(SettingsError, match="dtype 'float16'"):
        open_store(made.store, load_codec(made), "int8", {})


def test_an_archive_that_was_moved_goes_on(order: Orders):
    made = order()
    run(made)
    moved = made.archive.rename(made.archive.with_name("moved"))
    again = Order(moved, made.store, CODEC)
    assert run(again, Habits(moved=True)).done == 0


def test_the_first_signal_lets_shards_be_finished(order: Orders):
    made, undisturbed = order(), order("undisturbed")
    run(undisturbed)
    told = iter([signal.SIGTERM])

    def stop(_: object) -> None:
        for number in told:
            os.kill(os.getpid(), number)

    ran = run(made, Habits(shard_series=2), Watcher(booked=stop))
    assert ran.interrupted
    assert 0 < states(made)["waiting"] < 16
    assert threading.active_count() < 20
    assert not run(made, Habits(shard_series=2)).interrupted
    assert contents(made.store)["index"] is not None
    assert states(made) == states(undisturbed)


def test_who_stops_is_told_at_once_what_is_finished_and_nothing_else_is_begun(order: Orders):
    made, told = order(), []
    crew = OwnProcess(made)
    crew._worker.codec = SlowCodec(crew._worker.codec, [])  # type: ignore[assignment]

    def stop(series: int, size: int) -> None:
        if series and not told:
            os.kill(os.getpid(), signal.SIGINT)
            assert len(told) == 1  # within the call: nothing was waited for

    watcher = Watcher(through=stop, stopping=lambda shards, left: told.append((shards, left)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("plica.bulk.engine._PATIENCE_S", 0.01)
        patch.setattr("plica.bulk.engine._LOOKING", 0)
        ran = encode_archive(made, lambda: crew, habits=Habits(shard_series=8), watcher=watcher)
    assert ran.interrupted
    [(shards, left)] = told
    assert (shards, left < 8) == (1, True)
    assert states(made)["waiting"] == 8  # the shard that was only read ahead was given back
    assert not list((made.store / "work").iterdir())
    assert not run(made, Habits(shard_series=8)).interrupted
    assert states(made) == {"done": 15, "failed": 1, "duplicate": 1}


@pytest.mark.parametrize("limit", [None, 10])
def test_a_run_that_is_stopped_at_its_last_shard_has_ended(order: Orders, limit: int | None):
    made = order()
    last = 16 if limit is None else 10
    through = [0]

    def stop(made_: object) -> None:
        through[0] += len(made_.outcomes)  # type: ignore[attr-defined]
        if through[0] == last:
            os.kill(os.getpid(), signal.SIGINT)

    ran = run(made, Habits(shard_series=5, limit=limit), Watcher(booked=stop))
    assert ran.done == last
    assert not ran.interrupted
    again = run(made, Habits(shard_series=5))
    assert again.done == 16 - last


def test_a_worker_that_was_told_to_halt_begins_nothing(order: Orders):
    made = order()
    crew = OwnProcess(made)
    crew.halt()
    assert crew.submit(Task("s", ()))
    assert crew.collect(5) == [Unbegun("s")]
    crew.close()


def test_a_shard_is_encoded_before_the_next_is_begun(order: Orders, monkeypatch):
    """So that a death costs one shard, though the next one's images are read meanwhile."""
    made, codec, seen = order(), load_codec(order("other")), []
    crew = OwnProcess(made)
    monkeypatch.setattr(crew._worker, "codec", SlowCodec(codec, seen))
    encode_archive(made, lambda: crew, habits=SMALL)
    with Ledger(made.store) as ledger:
        shards = [row.name for row in ledger.shards()]
    store = Store.open(made.store)
    hashes = {row["source_hash"]: row["shard"]
              for row in store.rows(("source_hash", "shard")).to_pylist()}  # fmt: skip
    order_of = [hashes[one] for one in seen if one in hashes]
    assert len(shards) > 2
    runs = [name for n, name in enumerate(order_of) if n == 0 or order_of[n - 1] != name]
    assert len(runs) == len(set(runs))


class SlowCodec:
    """A codec that notes what it encodes and lets others have their turn meanwhile."""

    def __init__(self, codec: object, seen: list[str]) -> None:
        self._codec, self._seen = codec, seen

    def encode(self, image: Image, *, kind: str | None = None) -> Latent:
        self._seen.append(image.provenance.content)
        time.sleep(0.05)
        return self._codec.encode(image, kind=kind)  # type: ignore[attr-defined]


def test_series_are_counted_as_they_are_encoded(order: Orders):
    """All sixteen are one shard, and yet the bar moves."""
    made, seen = order(), []
    crew = OwnProcess(made)
    crew._worker.codec = SlowCodec(crew._worker.codec, [])  # type: ignore[assignment]
    begun = time.monotonic()

    def through(series: int, size: int) -> None:
        seen.append((series, size))

    slow = Watcher(through=through, planned=lambda waiting, done: seen.append((waiting, 0)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("plica.bulk.engine._PATIENCE_S", 0.02)
        patch.setattr("plica.bulk.engine._LOOKING", 0)
        encode_archive(made, lambda: crew, watcher=slow)
    counts = [series for series, _ in seen[1:]]
    assert time.monotonic() - begun > 0.3
    assert any(0 < one < 16 for one in counts)
    assert counts[-1] == 0  # the shard is booked
    assert all(size > 0 for series, size in seen[1:] if series > 2)


def test_a_limit_is_kept_and_the_rest_comes_without_it(order: Orders):
    made, whole = order(), order("whole")
    run(whole)
    assert run(made, Habits(shard_series=4, limit=6)).done == 6
    assert states(made)["waiting"] == 10
    assert run(made, Habits(shard_series=4, limit=3)).done == 3
    run(made)
    assert states(made) == states(whole)
    one, other = Store.open(made.store), Store.open(whole.store)
    assert sorted(one.keys) == sorted(other.keys)
    assert all(np.array_equal(one.codes(key), other.codes(key)) for key in one.keys)
    with pytest.raises(SettingsError, match="limit"):
        Habits(limit=0)


def test_a_store_begins_with_small_shards(order: Orders, monkeypatch):
    monkeypatch.setattr("plica.bulk.ledger.FIRST_SERIES", 2)
    made = order()
    run(made, Habits(shard_series=8))
    counts = {row.name: 0 for row in made_shards(made)}
    with Ledger(made.store) as ledger:
        sizes = sorted(len(ledger.keys(name)) for name in counts)
    assert len(sizes) == 4  # of 2, 4, 8 and the 3 that are left, less those that failed
    assert sizes[-1] <= 8
    assert sizes[0] <= 2


def made_shards(order: Order):
    with Ledger(order.store) as ledger:
        return list(ledger.shards())


def test_who_kills_workers_is_found_and_set_aside(order: Orders):
    """A crew whose worker dies whenever it is at one series, whichever shard that is in."""
    made = order()
    run_until = OwnProcess(made)

    class Dying:
        size = 1

        def __init__(self) -> None:
            self.events: list[object] = []
            self.deaths = 0

        def submit(self, task) -> bool:
            poison = [i for i in task.items if i.path == "ward1/ct4.nii"]
            if not poison:
                return run_until.submit(task)
            self.deaths += 1
            alone = poison[0].suspect
            at = poison if alone else task.items[:2] + tuple(poison)
            keys = tuple(dict.fromkeys(i.key for i in at))
            self.events.append(Death(task.shard, keys, alone))
            return True

        def collect(self, seconds: float):
            ready, self.events = self.events, []
            return ready or run_until.collect(seconds)

        def halt(self) -> None:
            run_until.halt()

        def close(self) -> None:
            run_until.close()

    crew = Dying()
    encode_archive(made, lambda: crew, habits=Habits(shard_series=6, most_deaths=3))
    with Ledger(made.store) as ledger:
        failed = {path: reason for _, path, reason in ledger.failures()}
    assert failed["ward1/ct4.nii"] == "the worker died 3 times over it"
    assert set(failed) == {"ward1/ct4.nii", "broken.nii"}
    assert crew.deaths == 4  # once with others, then three times alone
    assert states(made)["done"] == 14


@pytest.mark.parametrize("name", ["shard_series", "shard_bytes", "most_deaths", "lookers"])
def test_habits_that_would_do_nothing_are_refused(name: str):
    with pytest.raises(SettingsError, match=f"{name} is at least 1, but got 0"):
        Habits(**{name: 0})


def test_where_the_codec_works_all_the_time_it_is_the_bottleneck():
    assert Ran(clock=Clock(encoding=19.0, writing=1.0), wall=10.0, workers=2).bottleneck == (
        "the codec"
    )


@pytest.mark.parametrize(
    ("clock", "said"),
    [
        (Clock(encoding=2.2, waiting=0.1, writing=0.7), "the codec; besides it writing"),
        (Clock(encoding=1.6, waiting=1.2, writing=0.1), "the codec; besides it reading"),
        (Clock(encoding=1.8), "the codec; besides it starting and handing out"),
        (Clock(encoding=1.0, waiting=1.9, writing=0.1), "reading"),
    ],
)
def test_what_works_most_of_the_time_is_the_bottleneck(clock: Clock, said: str):
    assert Ran(clock=clock, wall=3.0).bottleneck == said


def test_a_run_that_is_stopped_while_it_looks_encodes_nothing_and_may_be_no_main_thread(
    order: Orders,
):
    made, ran = order(), []

    def stop(folders: int, files: int) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    stopped = run(made, watcher=Watcher(looked=stop))
    assert stopped.interrupted
    assert (stopped.done, stopped.wall) == (0, 0)
    thread = threading.Thread(target=lambda: ran.append(run(made)))  # signals are others'
    thread.start()
    thread.join()
    assert ran[0].done == 16

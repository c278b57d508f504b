"""What archives do to those who read them: nothing is lost, nothing blamed that is not to blame."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from tests.bulk.conftest import CODEC
from tests.bulk.stores import contents, needs_ray

from plica.bulk import discovery, worker
from plica.bulk.crew import OwnProcess, RayCrew
from plica.bulk.discovery import NO_TEXT, discover
from plica.bulk.engine import Habits, Watcher, encode_archive, open_store
from plica.bulk.ledger import BEGUN, LOOKING, Ledger
from plica.bulk.look import SCATTERED
from plica.bulk.planning import group
from plica.bulk.task import Death, Found, Made, Order, Outcome
from plica.bulk.worker import Worker, load_codec
from plica.errors import OutputError, SettingsError
from plica.formats.doors import read, write
from plica.formats.store import Store
from plica.formats.store_paths import LEDGER
from plica.grid import Grid
from plica.image import Image, Unit


@pytest.fixture
def empty(tmp_path: Path) -> Order:
    """An order for an archive that has nothing in it yet."""
    (tmp_path / "archive").mkdir()
    order = Order(tmp_path / "archive", tmp_path / "store", CODEC, device="cpu")
    open_store(order.store, load_codec(order), "float16", {})
    return order


def run(order: Order, habits: Habits | None = None):
    return encode_archive(order, lambda: OwnProcess(order), habits=habits or Habits())


def states(order: Order) -> dict[str, str]:
    """What became of each path."""
    with Ledger(order.store) as ledger:
        names = ledger.count()
        return {path: state for state in names for _, path, _ in ledger.others(state)}


def reasons(order: Order) -> dict[str, str]:
    with Ledger(order.store) as ledger:
        return {path: reason for _, path, reason in ledger.failures()}


def make_volume(path: Path, side: int = 16) -> None:
    pixels = np.random.default_rng(side).normal(0, 100, (1, side, 12, 3)).astype(np.float32)
    write(Image(pixels, Grid.from_spacing(pixels.shape[1:], (1, 1, 2)), unit=Unit.HU), path)


def make_slices(folder: Path, numbers: range, series: str = "1.2.7") -> None:
    """Slices of one series, by their numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    first = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    for number in numbers:
        one = first.copy()
        one.SeriesInstanceUID = series
        one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = f"1.2.8{series}.{number}"
        one.ImagePositionPatient = [0, 0, 5.0 * number]
        one.save_as(folder / f"{series or 'none'}-{number}.dcm")


# -- where series lie ------------------------------------------------------------------------------


def test_a_folder_that_was_renamed_before_it_was_read_is_read_where_it_is(empty: Order):
    make_slices(empty.archive / "p1", range(3))
    with Ledger(empty.store) as ledger:
        discover(empty.archive, ledger)
    (empty.archive / "p1").rename(empty.archive / "p0")
    run(empty)
    assert states(empty) == {"p0": "done"}


def test_a_copy_takes_the_place_of_a_series_that_is_gone(empty: Order):
    make_slices(empty.archive / "p1", range(3))
    shutil.copytree(empty.archive / "p1", empty.archive / "p2")
    with Ledger(empty.store) as ledger:
        discover(empty.archive, ledger)
    assert states(empty) == {"p1": "waiting", "p2": "duplicate"}
    shutil.rmtree(empty.archive / "p1")
    run(empty)
    assert states(empty) == {"p2": "done"}


def test_a_folder_that_changed_keeps_its_copies(empty: Order):
    make_slices(empty.archive / "p1", range(3))
    shutil.copytree(empty.archive / "p1", empty.archive / "p2")
    run(empty)
    (empty.archive / "p2" / "notes.txt").write_text("later")
    run(empty)
    assert states(empty) == {"p1": "done", "p2": "duplicate"}


def test_a_series_in_several_folders_is_no_copy_and_not_encoded_by_halves(empty: Order):
    make_slices(empty.archive / "part0", range(3))
    make_slices(empty.archive / "part1", range(3, 6))
    run(empty)
    assert states(empty) == {"part0": "scattered", "part1": "scattered"}
    with Ledger(empty.store) as ledger:
        assert {reason for _, _, reason in ledger.others("scattered")} == {SCATTERED}
    for file in (empty.archive / "part1").iterdir():
        file.rename(empty.archive / "part0" / file.name)
    run(empty)
    assert states(empty) == {"part0": "done"}
    assert Store.open(empty.store).rows(("shape",)).column(0).to_pylist()[0][2] == 6


def test_images_that_were_stripped_of_their_uids_are_not_taken_for_copies(empty: Order):
    for number in range(3):
        make_slices(empty.archive / f"p{number}", range(number, number + 1), series="")
    run(empty)
    assert set(states(empty).values()) == {"done"}
    assert len(states(empty)) == 3


def test_series_in_folders_below_do_not_mix_with_those_above(empty: Order):
    make_slices(empty.archive / "p", range(3), "1.2.7.1")
    make_slices(empty.archive / "p" / "below", range(4), "1.2.7.2")
    run(empty)
    assert states(empty) == {"p": "done", "p/below": "done"}
    shapes = Store.open(empty.store).rows(("shape",)).column(0).to_pylist()
    assert sorted(shape[2] for shape in shapes) == [3, 4]


def test_series_of_one_folder_are_read_from_their_own_files(empty: Order):
    make_slices(empty.archive / "p", range(3), "1.2.7.1")
    make_slices(empty.archive / "p", range(4), "1.2.7.2")
    with Ledger(empty.store) as ledger:
        discover(empty.archive, ledger)
        ledger.plan(most_series=9, most_bytes=1 << 30)
        items = next(ledger.tasks()).items
    assert sorted(len(item.files) for item in items) == [3, 4]
    # What comes and goes beside them is none of their business.
    (empty.archive / "p" / "notes.txt").write_text("later")
    one, other = items
    loaded = [worker.read_item(empty.archive, item, max_bytes=1 << 30) for item in (one, other)]
    whole = read(empty.archive / "p", series=one.series)
    assert np.array_equal(loaded[0].pixels, whole.pixels)
    assert loaded[0].provenance.content == whole.provenance.content
    assert worker.sign(empty.archive / "p", one.files) == one.signature


# -- what file systems do --------------------------------------------------------------------------


def test_a_name_that_is_no_text_is_left_out_by_name(empty: Order):
    make_volume(empty.archive / "good.nii")
    shutil.copy(empty.archive / "good.nii", os.fsencode(empty.archive) + b"/scan\xe9.nii")
    run(empty)
    assert states(empty) == {"good.nii": "done"}
    with Ledger(empty.store) as ledger:
        assert list(ledger.left_out()) == [("scan\\xe9.nii", NO_TEXT)]


def test_a_folder_that_cannot_be_listed_stops_nothing_and_loses_nothing(
    empty: Order, monkeypatch: pytest.MonkeyPatch
):
    make_volume(empty.archive / "a" / "one.nii")
    make_volume(empty.archive / "b" / "below" / "two.nii", 17)
    with Ledger(empty.store) as ledger:
        discover(empty.archive, ledger)
    real = os.scandir

    def scandir(path: Path):
        if Path(path).name == "b":
            raise PermissionError(13, "Permission denied")
        return real(path)

    with monkeypatch.context() as patch:
        patch.setattr(discovery.os, "scandir", scandir)
        with Ledger(empty.store) as ledger:
            discover(empty.archive, ledger)
            assert list(ledger.left_out()) == [("b", "cannot be listed: Permission denied")]
            assert ledger.count()["waiting"] == 2
    run(empty)
    assert set(states(empty).values()) == {"done"}
    with Ledger(empty.store) as ledger:
        assert list(ledger.left_out()) == []


def test_a_discovery_that_is_told_to_stop_loses_nothing(
    empty: Order, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(discovery, "_AT_ONCE", 1)
    for number in range(4):
        make_volume(empty.archive / f"p{number}" / "a.nii", 16 + number)
    with Ledger(empty.store) as ledger:
        assert not discover(empty.archive, ledger, stopped=lambda: True)
        assert ledger.count()["waiting"] == 1
        assert discover(empty.archive, ledger)
        assert ledger.count()["waiting"] == 4


def test_shards_without_a_ledger_are_not_taken_for_debris(empty: Order):
    make_volume(empty.archive / "one.nii")
    run(empty)
    before = contents(empty.store)["shards"]
    for file in empty.store.glob(f"{LEDGER}*"):
        file.unlink()
    with pytest.raises(OutputError, match="shards and no ledger"):
        run(empty)
    assert {p.name: p.read_bytes() for p in (empty.store / "shards").iterdir()} == before


def test_a_disk_without_room_for_a_marker_is_said_as_such(
    empty: Order, monkeypatch: pytest.MonkeyPatch
):
    make_volume(empty.archive / "one.nii")

    def pwrite(handle: int, text: bytes, offset: int) -> int:
        if b'"at"' in text:
            raise OSError(28, "No space left on device")
        return len(text)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", pwrite)
        with pytest.raises(OutputError, match="No space left"):
            run(empty)
    run(empty)
    assert states(empty) == {"one.nii": "done"}


# -- who is to blame -------------------------------------------------------------------------------


def test_an_error_nobody_foresaw_fails_one_series_and_not_the_run(
    empty: Order, monkeypatch: pytest.MonkeyPatch
):
    for number in range(5):
        make_volume(empty.archive / f"{number}.nii", 16 + number)
    real = worker.read_item

    def read_item(archive, item, **how):
        if item.path == "2.nii":
            raise ValueError("no such luck")
        return real(archive, item, **how)

    monkeypatch.setattr(worker, "read_item", read_item)
    run(empty)
    assert reasons(empty) == {"2.nii": "the worker died 3 times over it: ValueError: no such luck"}
    assert sorted(states(empty).values()) == ["done"] * 4 + ["failed"]


def test_workers_that_die_at_nothing_do_not_die_for_ever(empty: Order):
    make_volume(empty.archive / "one.nii")

    class Crew:
        size = 1

        def __init__(self) -> None:
            self.at: list[str] = []

        def submit(self, task) -> bool:
            self.at.append(task.shard)
            return len(self.at) < 2

        def collect(self, seconds: float) -> list[Death]:
            return [Death(self.at.pop(), reason="killed")]

        def halt(self) -> None:
            pass

        def close(self) -> None:
            pass

    with pytest.raises(OutputError, match=r"died 3 times while it was at no series \(killed\)"):
        encode_archive(empty, Crew)
    run(empty)
    assert states(empty) == {"one.nii": "done"}


@needs_ray
@pytest.mark.slow
def test_who_stands_beside_a_series_that_kills_is_not_blamed(
    empty: Order, capfd: pytest.CaptureFixture[str]
):
    for number in range(4):
        make_volume(empty.archive / f"{number}.nii", 16 + number)

    class Poisoned(Worker):
        def _read(self, item, clock):
            import time

            time.sleep(0.2)  # another shard is at work in the same process meanwhile
            if item.path == "2.nii":
                os._exit(9)
            return super()._read(item, clock)

    patch = pytest.MonkeyPatch()
    patch.setattr("plica.bulk.crew.Worker", Poisoned)
    try:
        encode_archive(empty, lambda: RayCrew(empty, 1), habits=Habits(shard_series=1))
    finally:
        patch.undo()
    assert reasons(empty) == {"2.nii": "the worker died 3 times over it"}
    assert sorted(states(empty).values()) == ["done"] * 3 + ["failed"]
    assert capfd.readouterr().out == ""  # where the report is, perhaps as JSON


# -- planning --------------------------------------------------------------------------------------


def test_plans_do_not_depend_on_how_many_rows_are_held_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def plan(folder: Path) -> list[tuple[str, int]]:
        folder.mkdir()
        with Ledger(folder) as ledger:
            with ledger.looking() as look:
                found = [Found(f"{n:032d}", f"{n}.nii", None, 10, "") for n in range(100)]
                look.record(".", "", found, ())
            ledger.plan(most_series=7, most_bytes=1 << 20)
            return [(task.shard, len(task.items)) for task in ledger.tasks()]

    whole = plan(tmp_path / "whole")
    monkeypatch.setattr("plica.bulk.ledger._PAGE", 3)
    assert plan(tmp_path / "paged") == whole
    rows = ((f"{n:032d}", 10) for n in range(100))
    expected = group(rows, most_series=7, most_bytes=1 << 20)
    assert whole == [(name, len(keys)) for name, keys in expected]


# -- memory ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 8])
def test_no_more_is_read_ahead_than_may_be_held(
    batch: int, empty: Order, monkeypatch: pytest.MonkeyPatch
):
    for number in range(12):
        make_volume(empty.archive / f"{number:02d}.nii", 64 + number)
    one = (64 * 12 * 3 + 88) * 4  # bytes of an image's file, and nearly of its pixels
    order = replace(empty, ahead=8, ahead_bytes=2 * 2 * 4 * one, readers=2, batch=batch)
    most, at = [], set()
    begin, end = worker.Marker.begin, worker.Marker.end

    def count(change, act):
        def counting(marker, key, *size):
            change(key)
            most.append(len(at))
            act(marker, key, *size)

        return counting

    monkeypatch.setattr(worker.Marker, "begin", count(at.add, begin))
    monkeypatch.setattr(worker.Marker, "end", count(at.discard, end))
    run(order)
    assert set(states(order).values()) == {"done"}
    # Three wait and one is encoded; by number alone it would be eight.
    assert 3 <= max(most) <= 4
    most.clear()
    (order.archive / "later.nii").write_bytes((order.archive / "11.nii").read_bytes())
    run(replace(order, ahead_bytes=1))
    assert max(most) == 1


def test_a_codec_works_in_what_its_worker_may_hold(empty: Order):
    order = replace(empty, codec="compact-4x1-3d", memory=1 << 30)
    assert load_codec(order).running.memory == 1 << 30
    with pytest.raises(SettingsError, match="tiling"):
        load_codec(replace(order, options={"tiling": "sideways"}))


# -- how fast it goes ------------------------------------------------------------------------------


def test_the_rate_is_over_the_time_of_the_last_run(tmp_path: Path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("plica.bulk.ledger.time.time", lambda: clock[0])
    with Ledger(tmp_path) as ledger:
        assert ledger.rate(working=True) == 0
        with ledger.looking() as look:
            look.record(".", "", [Found(str(n), f"{n}.nii", None, 1, "") for n in range(8)], ())
        ledger.plan(most_series=2, most_bytes=9)
        for begun, booked, rate in ((None, 5, 0), (5000, 5010, 2 / 10), (5000, 5010.001, 4 / 10)):
            if begun:
                ledger.note(BEGUN, str(begun))
            clock[0] = booked
            task = next(ledger.tasks())
            ledger.book(Made(task.shard, tuple(Outcome(item.key) for item in task.items), 1))
            assert ledger.rate() == pytest.approx(rate, rel=1e-3)  # two booked at once, too
        clock[0] = 5040.0
        assert ledger.rate(through=4, working=True) == pytest.approx(8 / 40)
        assert ledger.rate() == pytest.approx(4 / 10, rel=1e-3)


def test_the_rate_of_long_shards_is_over_the_time_they_took(tmp_path: Path, monkeypatch):
    """A series each 60 s, and the last 120 are in a shard that is not written yet."""
    clock = [0.0]
    monkeypatch.setattr("plica.bulk.ledger.time.time", lambda: clock[0])
    with Ledger(tmp_path) as ledger:
        with ledger.looking() as look:
            look.record(".", "", [Found(str(n), f"{n}.nii", None, 1, "") for n in range(200)], ())
        ledger.plan(most_series=2, most_bytes=9)
        ledger.note(BEGUN, "1000")
        for number, task in zip(range(1, 4), list(ledger.tasks()), strict=False):
            clock[0] = 1000 + number * 120
            ledger.book(Made(task.shard, tuple(Outcome(item.key) for item in task.items), 1))
        clock[0] += 120 * 60
        assert ledger.rate(through=120, working=True) == pytest.approx(1 / 60)
        ledger.note(LOOKING, "yes")  # another run looks through the archive
        assert ledger.rate(working=True) == 0
        assert ledger.rate() == pytest.approx(1 / 60)


def test_while_the_archive_is_looked_through_no_speed_is_told(empty: Order):
    make_volume(empty.archive / "a.nii")
    rates: list[float] = []

    def ask(*_: int) -> None:
        with Ledger(empty.store) as ledger:
            rates.append(ledger.rate(working=True))

    run(empty)
    encode_archive(empty, lambda: OwnProcess(empty), watcher=Watcher(planned=ask))
    assert rates == [0]
    with Ledger(empty.store) as ledger:
        assert ledger.rate() > 0

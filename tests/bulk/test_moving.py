"""An archive that is said to have been moved: it is looked for before anything is changed."""

import os
import shutil
from pathlib import Path

import pytest
from tests.bulk.conftest import CODEC
from tests.bulk.test_engine import run, states
from tests.bulk.test_mishaps import make_volume

from plica.bulk.engine import Habits, open_store
from plica.bulk.ledger import Ledger
from plica.bulk.task import Order
from plica.bulk.worker import load_codec
from plica.errors import SettingsError

MOVED = Habits(moved=True)


@pytest.fixture
def order(tmp_path: Path) -> Order:
    """A store of two sites' volumes."""
    for number in range(4):
        make_volume(tmp_path / "archive" / f"site{number % 2}" / f"{number}.nii", 16 + number)
    order = Order(tmp_path / "archive", tmp_path / "store", CODEC, device="cpu")
    open_store(order.store, load_codec(order), "float16", {})
    run(order)
    return order


def elsewhere(order: Order, archive: Path) -> Order:
    return Order(archive, order.store, CODEC, device="cpu")


def changed(order: Order) -> list[str]:
    with Ledger(order.store) as ledger:
        return [path for _, path, _ in ledger.changed()]


def deleted(order: Order) -> int:
    with Ledger(order.store) as ledger:
        return ledger.count_deleted()


def test_a_part_of_the_archive_is_not_taken_for_it(order: Order):
    part = elsewhere(order, order.archive / "site0")
    with pytest.raises(SettingsError, match="say that the archive was moved"):
        run(part)
    with pytest.raises(SettingsError, match=r"none of the images .* such as 'site[01]/\d.nii'"):
        run(part, MOVED)
    assert states(order) == {"done": 4}
    assert deleted(order) == 0
    assert run(order).done == 0  # and it is where it was, without a word


def test_an_archive_without_its_first_images_is_still_found(order: Order):
    moved = order.archive.rename(order.archive.with_name("moved"))
    shutil.rmtree(moved / "site0")
    assert run(elsewhere(order, moved), MOVED).done == 0
    assert (states(order), deleted(order)) == ({"done": 4}, 2)


def test_a_copy_with_other_times_is_unchanged_but_for_what_is(order: Order):
    copy = order.archive.with_name("copy")
    shutil.copytree(order.archive, copy, copy_function=shutil.copyfile)
    with (copy / "site0" / "0.nii").open("ab") as file:
        file.write(bytes(4))
    assert run(elsewhere(order, copy), MOVED).done == 0
    assert changed(order) == ["site0/0.nii"]
    os.utime(copy / "site1" / "3.nii", (1, 1))
    assert run(elsewhere(order, copy)).done == 0
    assert changed(order) == ["site0/0.nii", "site1/3.nii"]  # and later times count as ever


def test_series_with_uids_are_found_in_other_folders(tmp_path: Path):
    from pydicom.data import get_testdata_file

    (tmp_path / "archive" / "a").mkdir(parents=True)
    shutil.copy(str(get_testdata_file("CT_small.dcm")), tmp_path / "archive" / "a")
    order = Order(tmp_path / "archive", tmp_path / "store", CODEC, device="cpu")
    open_store(order.store, load_codec(order), "float16", {})
    run(order)
    order.archive.rename(tmp_path / "moved")
    (tmp_path / "moved" / "a").rename(tmp_path / "moved" / "b")
    (tmp_path / "none").mkdir()
    with pytest.raises(SettingsError, match="none of the images"):
        run(elsewhere(order, tmp_path / "none"), MOVED)
    assert run(elsewhere(order, tmp_path / "moved"), MOVED).done == 0
    assert (states(order), deleted(order)) == ({"done": 1}, 0)


def test_images_that_are_there_again_are_no_longer_deleted(order: Order):
    away = order.archive.rename(order.archive.with_name("away"))
    order.archive.mkdir()  # such as where a disk is mounted
    run(order)
    assert deleted(order) == 4
    order.archive.rmdir()
    away.rename(order.archive)
    assert run(order).done == 0
    assert (states(order), deleted(order)) == ({"done": 4}, 0)


@pytest.mark.parametrize("habits", [None, MOVED], ids=["unsaid", "moved"])
def test_a_store_of_nothing_yet_may_be_begun_anywhere(tmp_path: Path, habits: Habits | None):
    (tmp_path / "empty").mkdir()
    order = Order(tmp_path / "empty", tmp_path / "store", CODEC, device="cpu")
    open_store(order.store, load_codec(order), "float16", {})
    run(order)
    make_volume(tmp_path / "full" / "a.nii")
    assert run(elsewhere(order, tmp_path / "full"), habits).done == 1


def test_a_place_that_may_not_be_entered_holds_nothing(order: Order, monkeypatch):
    def closed(self: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(self))

    part = elsewhere(order, order.archive / "site0")
    monkeypatch.setattr("plica.bulk.moving.Path.exists", closed)
    with pytest.raises(SettingsError, match="none of the images"):
        run(part, MOVED)

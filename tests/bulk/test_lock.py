"""Who drives a store, and who was at a shard, whatever was left in the files that say so."""

from pathlib import Path

import pytest

from plica.bulk.lock import LOCK, find_driver, hold, read_owner
from plica.bulk.marker import Marker, count_through, read_marker
from plica.errors import OutputError


def test_a_store_that_cannot_be_locked_is_named(tmp_path: Path):
    with (
        pytest.raises(OutputError, match=r"driver\.lock cannot be written: No such"),
        hold(tmp_path / "none"),
    ):
        pytest.fail("nobody holds it")


@pytest.mark.parametrize(("said", "owner"), [("", {}), ("[1]", {}), ('{"pid": 7}', {"pid": 7})])
def test_a_driver_that_says_nothing_of_itself_is_one_all_the_same(tmp_path: Path, said, owner):
    with hold(tmp_path):
        (tmp_path / LOCK).write_text(said)
        assert read_owner(tmp_path) == owner
        assert find_driver(tmp_path) == (owner or {"pid": 0})
        with pytest.raises(OutputError, match="another driver works on"), hold(tmp_path):
            pytest.fail("two hold it")
    assert find_driver(tmp_path) == {}


def test_a_marker_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "work").write_text("no folder")
    with pytest.raises(OutputError, match=r"work/s\.json cannot be written"):
        Marker(tmp_path, "s")


def test_markers_that_are_none_tell_nothing(tmp_path: Path):
    marker = Marker(tmp_path, "s")
    marker.begin("a")
    marker.end("a", 7)
    marker.close()
    (tmp_path / "work" / "t.json").write_text("[1]")
    (tmp_path / "work" / "u.json").write_text('{"at": [], "through": "many", "bytes": 1}')
    assert read_marker(tmp_path, "t") == {}
    assert count_through(tmp_path) == (1, 8)

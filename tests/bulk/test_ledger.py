"""The ledger is let go of, whatever becomes of it."""

import sqlite3
from pathlib import Path

import pytest

from plica.bulk.ledger import Ledger
from plica.bulk.task import Death, Found
from plica.errors import LatentError, OutputError


def opened(folder):
    """Which files of the folder this process holds open."""
    handles = Path("/proc/self/fd")
    if not handles.is_dir():
        pytest.skip("this system does not say which files are open")
    links = [link.readlink() for link in handles.iterdir() if link.is_symlink()]
    return [link.name for link in links if link.parent == folder.resolve()]


def test_a_ledger_that_is_closed_holds_no_file(tmp_path):
    with Ledger(tmp_path):
        assert opened(tmp_path)

    assert opened(tmp_path) == []


def test_a_ledger_that_is_refused_holds_no_file(tmp_path):
    with Ledger(tmp_path) as ledger:
        ledger._db.execute("UPDATE facts SET value = '99' WHERE name = 'schema'")

    with pytest.raises(LatentError, match="newer plica") as kept:
        Ledger(tmp_path)

    assert kept.value.args
    assert opened(tmp_path) == []


def test_what_cannot_be_written_is_named(tmp_path, monkeypatch):
    with pytest.raises(OutputError, match=r"none/ledger\.sqlite cannot be written"):
        Ledger(tmp_path / "none")
    Ledger(tmp_path).close()
    monkeypatch.setattr("plica.bulk.ledger.os.access", lambda *_: False)
    with Ledger(tmp_path) as ledger:  # as it is, for those who only ask
        assert ledger.count()["done"] == 0
        with pytest.raises(OutputError, match="cannot be written"):
            ledger.note("name", "value")


def test_half_a_transaction_is_none(tmp_path):
    with Ledger(tmp_path) as ledger:
        with pytest.raises(KeyError), ledger.transaction():
            raise KeyError
        with ledger.transaction(), pytest.raises(OutputError, match="within a transaction"):
            ledger.note("name", "value")
        ledger.note("name", "value")
        assert ledger.facts()["name"] == "value"


def test_damage_met_while_it_is_open_is_named(tmp_path):
    with (
        pytest.raises(LatentError, match="sqlite is damaged: malformed"),
        Ledger(tmp_path),
    ):
        raise sqlite3.DatabaseError("malformed")


def test_a_series_that_failed_is_not_blamed_once_more(tmp_path):
    """A worker that died before it was at a task left the marker of the one before."""
    with Ledger(tmp_path) as ledger:
        with ledger.looking() as look:
            look.record(".", "", [Found("a", "a.nii", None, 1, "")], ())
        death = Death("shard", ("a",), True, "it was killed")
        assert ledger.book_death(death, most_deaths=2) == {}
        said = {"a": "the worker died 2 times over it: it was killed"}
        assert ledger.book_death(death, most_deaths=2) == said
        assert ledger.book_death(death, most_deaths=2) == {}
        assert list(ledger.failures()) == [("a", "a.nii", said["a"])]

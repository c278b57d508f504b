"""A table of names imports nothing until it is asked to."""

import importlib.metadata
import sys

import pytest

from plica.errors import UnknownName
from plica.registry import Registry

TABLE = Registry("fruit", (("apple", "json:dumps"), ("pear", "no.such.module:thing")))


def test_a_thing_is_imported_when_it_is_asked_for():
    import json

    assert TABLE.get_thing("apple") is json.dumps
    assert TABLE["pear"] == "no.such.module:thing"
    with pytest.raises(ModuleNotFoundError):
        TABLE.get_thing("pear")


def test_a_typo_is_answered_with_the_nearest_name():
    with pytest.raises(UnknownName, match=r"no fruit 'aple'; did you mean apple or pear\?"):
        TABLE["aple"]


def test_an_unknown_name_is_answered_with_all_there_are():
    with pytest.raises(UnknownName, match="there are 2: apple, pear"):
        TABLE.get_thing("xyzzy")


def test_a_name_written_twice_is_refused():
    with pytest.raises(ValueError, match="rename one"):
        Registry("fruit", (("apple", "a:b"), ("apple", "c:d")))


def test_a_table_is_a_mapping_in_its_own_order():
    assert list(TABLE) == ["apple", "pear"]
    assert len(TABLE) == 2
    assert "apple" in TABLE
    assert "aple" not in TABLE
    assert dict(TABLE)["apple"] == "json:dumps"


def test_get_gives_the_default_for_an_unknown_name():
    assert TABLE.get("apple") == "json:dumps"
    assert TABLE.get("aple") is None


def test_other_packages_may_add_names(monkeypatch):
    entry = importlib.metadata.EntryPoint("fig", "json:loads", "plica.fruits")
    asked = []

    def entry_points(*, group):
        asked.append(group)
        return [entry]

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    table = Registry("fruit", (("apple", "json:dumps"),), group="plica.fruits")

    assert list(table) == ["apple", "fig"]
    assert table.get_thing("fig") is sys.modules["json"].loads
    assert asked == ["plica.fruits"]


def test_a_thing_that_is_registered_twice_alike_is_one(monkeypatch):
    entry = importlib.metadata.EntryPoint("apple", "json:dumps", "plica.fruits")
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda *, group: [entry])
    table = Registry("fruit", (("apple", "json:dumps"),), group="plica.fruits")

    assert list(table) == ["apple"]
    assert table.get_thing("apple") is sys.modules["json"].dumps


def test_how_a_name_might_get_in_is_said_where_there_is_none():
    table = Registry("fruit", (("apple", "json:dumps"),), hint="Plant a tree.")

    with pytest.raises(UnknownName, match=r"did you mean apple\? Plant a tree\.$"):
        table["aple"]
    with pytest.raises(UnknownName, match=r"there are 1: apple\. Plant a tree\.$"):
        table["xyzzy"]


def test_how_a_name_might_get_in_may_name_it():
    table = Registry("fruit", (("apple", "json:dumps"),), hint="Plant '{name}'.")

    with pytest.raises(UnknownName, match=r"Plant '\{kiwi\}'\.$"):
        table["{kiwi}"]


def test_another_packages_thing_without_weights_was_imported(monkeypatch, tmp_path):
    (tmp_path / "weightless_fruit.py").write_text(
        "from plica.errors import WeightsError\nraise WeightsError('no folder x')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    entry = importlib.metadata.EntryPoint("kiwi", "weightless_fruit:OFFER", "plica.fruits")
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda *, group: [entry])
    table = Registry("fruit", (("apple", "json:dumps"),), group="plica.fruits")

    with pytest.raises(UnknownName, match=r"was imported, but.*no folder x.*plica export") as told:
        table.get_thing("kiwi")
    assert "cannot be imported" not in str(told.value)


def test_another_packages_name_that_is_taken_is_refused_every_time(monkeypatch):
    entry = importlib.metadata.EntryPoint("apple", "json:loads", "plica.fruits")
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda *, group: [entry])
    table = Registry(
        "fruit", (("apple", "json:dumps"), ("pear", "json:loads")), group="plica.fruits"
    )

    for _ in range(2):
        with pytest.raises(UnknownName, match="json:loads of another package"):
            table.get_thing("apple")
    assert list(table) == ["apple", "pear"]
    assert table["pear"] == "json:loads"

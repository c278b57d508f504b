"""Records as rows: nothing of Python's own spelling is left."""

import re

from typer.testing import CliRunner

from plica.cli.main import app
from plica.cli.spelling import spell, spell_rows
from plica.codecs.catalogue import cards


def test_a_record_has_a_row_for_each_entry_and_a_list_of_records_for_each():
    value = {"kind": "kl", "data": [{"source": "a", "n": 1}, {"source": "b", "n": None}]}
    assert spell_rows("training", value) == {
        "training: kind": "kl",
        "training: data 1": "source a, n 1",
        "training: data 2": "source b",
    }


def test_values_are_words():
    assert spell([1.23456789, True, None, 3]) == "1.235, yes, , 3"
    assert spell({"a_b": 0.5, "c": ""}) == "a b 0.5"


def test_no_card_shows_the_spelling_of_a_programming_language():
    for card in cards():
        done = CliRunner().invoke(app, ["codecs", card.name])
        assert done.exit_code == 0, done.output
        assert not re.search(r"[{}]|': |\bNone\b", done.stdout), card.name

"""ci/uncovered.py: what no test reaches has a reason, and a reason has something to explain."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILE = "src/plica/f.py"
SOURCE = """def f(x):
    if x:
        a = 1
        b = 2
    return x
    if x:
        c = 3
"""


@pytest.fixture
def script(tmp_path):
    (tmp_path / FILE).parent.mkdir(parents=True)
    (tmp_path / FILE).write_text(SOURCE)
    names = runpy.run_path(str(ROOT / "ci" / "uncovered.py"))
    known = names["find_places"].__globals__  # a copy of them is what run_path returns
    known.update(ROOT=tmp_path, REASONS=tmp_path / "reasons.toml")
    return known


def counted(missing, branches):
    executed = sorted({1, 2, 3, 4, 5, 6, 7} - set(missing))
    facts = {"missing_lines": missing, "executed_lines": executed, "missing_branches": branches}
    return {"files": {FILE: facts, "/tmp/installed/plica/f.py": facts}}


def test_statements_in_a_row_are_one_place_and_known_by_their_first_words(script):
    places = script["find_places"](counted([3, 4], [[2, 3]]))

    assert [(one.words, one.lines) for one in places.values()] == [("a = 1", 2)]


def test_a_branch_between_what_is_run_is_a_place_and_places_of_the_same_words_are_one(script):
    places = script["find_places"](counted([], [[2, 5], [6, -1]]))

    assert {one.words for one in places.values()} == {"if x: → return x", "if x: → the end"}
    assert sum(one.lines for one in script["find_places"](counted([2, 6], [])).values()) == 2


def test_a_place_without_a_reason_one_that_grew_and_one_that_is_reached_are_said(script):
    before = script["find_places"](counted([3], []))
    script["write"](before, {"disk": "a full disk"}, {})
    shared, reasons = script["read_reasons"]()

    assert shared == {"disk": "a full disk"}
    assert script["compare"](before, reasons) == [f"{FILE}: no reason: a = 1 (1)"]
    reasons[FILE, "a = 1"]["reason"] = "disk"
    script["write"](before, shared, reasons)
    kept = script["read_reasons"]()[1]
    assert script["compare"](before, kept) == []
    grown = script["find_places"](counted([3, 4], []))
    assert script["compare"](grown, kept) == [f"{FILE}: grew to 2 lines: a = 1"]
    assert script["compare"]({}, kept) == [f"{FILE}: reached now: a = 1"]


def test_the_numbers_say_how_often_each_reason_is_given(script):
    totals = {
        "covered_lines": 9, "num_statements": 10, "covered_branches": 3, "num_branches": 4,
        "percent_covered_display": "86",
    }  # fmt: skip
    said = script["summarise"](
        {"files": {FILE: {"summary": totals}}},
        {"disk": "a full disk"},
        [{"reason": "disk"}, {"reason": "its own"}],
    )

    assert "90.0 % of 10 statements and take 75.0 % of 4 branches" in said
    assert "| 1 | a full disk |" in said
    assert "| 1 | reasons of their own |" in said

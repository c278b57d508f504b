"""Pictures beside codecs of volumes are told from failures, counted and named."""

from plica.evaluation import unsuited
from plica.evaluation.results import Result, Results
from plica.evaluation.unsuited import Unsuited, find_unsuited, say_unsuited, show_unsuited

CASES = tuple((f"p{n}", "", f"p{n}/a.png") for n in range(3))


def test_what_has_neither_a_result_nor_a_failure_was_not_tried_and_draws_count_once():
    asked = [(case, codec, draw) for codec in "ab" for case in CASES for draw in (0, 1)]
    there = [Result(CASES[0], "a", error="refused"), Result(CASES[1], "a")]
    there += [Result(CASES[0], "a", draw=1), Result(CASES[1], "a", draw=1)]

    assert find_unsuited(asked, Results(tuple(there))) == (
        Unsuited("a", CASES[2:]),
        Unsuited("b", CASES, alone=True),
    )


def test_codecs_that_miss_the_same_are_told_together():
    found = [
        Unsuited("a", CASES),
        Unsuited("b", CASES),
        Unsuited("c", CASES),
        Unsuited("d", CASES[:1], alone=True),
    ]
    assert say_unsuited(found) == (
        "3 pictures were not judged by a, b and c, which fold volumes.",
        "1 picture was not judged by d, which folds volumes and has no results here.",
    )


def test_each_picture_is_named_once_and_beyond_the_most_they_are_counted(monkeypatch):
    monkeypatch.setattr(unsuited, "MOST_NAMED", 2)
    (section,) = show_unsuited([Unsuited("a", CASES), Unsuited("b", CASES[:1])])
    assert section.tables[0].rows == (("p0/a.png", "a, b"), ("p1/a.png", "a"))
    assert section.tables[0].caption == "1 more stand in report.json."
    assert list(show_unsuited(())) == []

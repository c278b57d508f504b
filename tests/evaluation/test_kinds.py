"""Numbers that may be averaged are told from those that may not."""

import math

import pytest

from plica.evaluation.kinds import find_commonest, number_of, say_left_out, say_unlike
from plica.evaluation.results import Result, Results
from plica.evaluation.worst import choose_worst
from plica.metrics.metric import Value


def value(number, scales=0, unit="1"):
    detail = {"scales": scales} if scales else {}
    return Value("m", number, unit, "higher", None, "d", detail=detail)


def test_the_commonest_kind_is_that_of_most_finite_numbers():
    found = [value(math.nan, 2), value(math.nan, 2), value(0.1, 3), value(0.9, 5), value(0.8, 5)]

    assert find_commonest(found) == found[3]
    assert find_commonest(found[:2]) is None
    assert find_commonest(()) is None


def test_numbers_of_another_kind_are_none():
    five, mm = value(0.9, 5), value(0.5, unit="cycles/mm")

    assert number_of(five) == number_of(five, value(0.1, 5)) == 0.9
    assert math.isnan(number_of(five, value(0.1, 4)))
    assert math.isnan(number_of(mm, value(0.5, unit="cycles/pixel")))
    assert math.isnan(number_of(None, mm))


def test_what_was_left_out_is_a_sentence_of_one_or_many():
    assert say_unlike(1, value(0.9, 2)) == (
        "1 image of another number of scales than 2 was left out"
    )
    assert say_unlike(3, value(0.5, unit="cycles/mm")) == "3 images not in cycles/mm were left out"
    assert say_left_out(1, "that failed") == "1 image that failed was left out"


def test_the_worst_are_those_behind_their_own_kind():
    """Lower by its scales is not worse."""
    numbers = [(f"p{n}", 0.9 + n / 1000, 5) for n in range(6)]
    numbers += [("behind", 0.8, 5), ("small", 0.5, 2)]
    results = Results(tuple(
        Result((who, "", ""), "c", "g", (value(number, scales),)) for who, number, scales in numbers
    ))  # fmt: skip

    assert [result.patient for result in choose_worst(results, "m", 1)] == ["behind"]


def test_without_a_finite_number_nothing_is_worst_and_nothing_unlike():
    pytest.importorskip("matplotlib")
    from plica.evaluation.charts import distribution_of

    numbers = [("a", "g", 0.9), ("b", "g", 0.8), ("c", "h", math.inf)]
    results = Results(tuple(
        Result((who, "", ""), "c", group, (value(number),)) for who, group, number in numbers
    ))  # fmt: skip

    assert "c" not in [result.patient for result in choose_worst(results, "m", 2)]
    assert "left out" not in distribution_of(results, "m").caption

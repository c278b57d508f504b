"""Results are joined by case, or not at all."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plica.errors import InputError
from plica.evaluation.results import Result, Results
from plica.metrics.metric import Value


def value(number, metric="psnr"):
    return Value(metric, number, "dB", "higher", 255.0, "what was computed")


def result(patient, codec, number, *, series="a.png", group="", draw=0, error=""):
    values = () if error else (value(number),)
    return Result((patient, "", series), codec, group, values, {}, draw, error)


def test_pairs_are_joined_by_case_and_not_by_place():
    results = Results(
        (
            result("p1", "a", 1.0), result("p2", "a", 2.0),
            result("p2", "b", 20.0), result("p1", "b", 10.0),
        )
    )  # fmt: skip
    pairs = results.pair("psnr", "a", "b")
    assert dict(zip(pairs.patients, pairs.first, strict=True)) == {"p1": 1.0, "p2": 2.0}
    assert dict(zip(pairs.patients, pairs.second, strict=True)) == {"p1": 10.0, "p2": 20.0}


def test_a_case_that_only_one_codec_has_is_not_dropped_in_silence():
    results = Results((result("p1", "a", 1.0), result("p2", "a", 2.0), result("p1", "b", 3.0)))
    with pytest.raises(InputError, match="not judged on the same cases: 1 have only one"):
        results.pair("psnr", "a", "b")


def test_what_failed_under_one_codec_can_be_left_out_for_all_by_name():
    results = Results(
        (
            result("p1", "a", 1.0), result("p2", "a", 2.0),
            result("p1", "b", 3.0), result("p2", "b", 0.0, error="no"),
        )
    )  # fmt: skip
    pairs = results.shared(["a", "b"]).pair("psnr", "a", "b")
    assert pairs.patients == ("p1",)
    assert len(results.failures) == 1


def test_one_case_codec_and_draw_has_one_result():
    with pytest.raises(InputError, match="two results are of case"):
        Results((result("p1", "a", 1.0), result("p1", "a", 2.0)))
    Results((result("p1", "a", 1.0), result("p1", "a", 2.0, draw=1)))


def test_a_codec_or_metric_that_is_not_there_is_named_with_those_that_are():
    results = Results((result("p1", "a", 1.0),))
    with pytest.raises(InputError, match=r"no results of b; there are: a"):
        results.pair("psnr", "a", "b")
    with pytest.raises(InputError, match=r"metric ssim; there are: psnr"):
        results.describe("ssim")


@given(st.floats(allow_nan=True, allow_infinity=True, width=64))
def test_a_result_survives_json_whatever_its_number(number):
    kept = result("p", "a", number)
    again = Result.from_json(json.loads(json.dumps(kept.to_json(), allow_nan=False)))
    assert again.where == kept.where
    (found,) = again.values
    assert found.value == number or (math.isnan(found.value) and math.isnan(number))


@pytest.mark.parametrize("record", [{}, {"case": ["p"]}, {"case": 3}, {"values": [{}]}])
def test_what_is_no_record_is_refused(record):
    with pytest.raises(InputError, match="no record of a result"):
        Result.from_json(record)


def test_a_column_keeps_the_order_and_says_where_there_is_nothing():
    results = Results((result("p1", "a", 1.0), result("p2", "a", 2.0)))
    np.testing.assert_array_equal(results.column("psnr"), [1.0, 2.0])
    assert np.isnan(results.column("mae")).all()

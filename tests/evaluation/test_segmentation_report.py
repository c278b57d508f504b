"""Paired comparison of arms: by patient, whichever way it falls."""

import math

import numpy as np
import pytest

from plica.errors import InputError
from plica.evaluation.publish import compose
from plica.evaluation.results import Result, Results
from plica.evaluation.segmentation_report import (
    Judged,
    compare_arms,
    measure_noise,
    report_segmentation,
)
from plica.metrics.metric import Value


def make(shift, patients=8, seeds=2, better="higher"):
    random = np.random.default_rng(0)
    results = []
    for number in range(patients):
        for place in range(1 + number % 2):
            for draw in range(seeds):
                base = 0.7 + 0.02 * number + 0.01 * draw
                for arm, value in (("raw", base), ("mixed", base + shift(number, random))):
                    dice = Value("dice of lung", value, "1", better, None, "as defined", "", {})
                    key = (f"p{number}", "", str(place))
                    results.append(Result(key, arm, "", (dice,), {}, draw=draw))
    return Results(tuple(results))


def test_a_steady_gain_is_better_and_a_steady_loss_worse_beyond_noise():
    for sign, verdict in ((1, "better beyond noise"), (-1, "worse beyond noise")):
        found = compare_arms(make(lambda n, _, s=sign: s * (0.02 + 0.001 * n)), "raw")[0]
        assert found.verdict == verdict
        assert found.estimate.value == pytest.approx(sign * 0.0235)
        assert found.estimate.patients == 8
        assert found.p == pytest.approx(2 / 2**8)
        assert {found.better, found.worse} == {0, 8}
        assert found.rank_biserial == sign


def test_a_distance_that_grows_is_worse_and_one_that_shrinks_is_better():
    for sign, verdict in ((1, "worse beyond noise"), (-1, "better beyond noise")):
        results = make(lambda n, _, s=sign: s * (0.02 + 0.001 * n), better="lower")
        found = compare_arms(results, "raw")[0]
        assert found.verdict == verdict
        assert (found.better, found.worse) == ((0, 8) if sign > 0 else (8, 0))


def test_what_goes_both_ways_is_no_difference_and_few_patients_tell_nothing():
    both = compare_arms(make(lambda n, _: 0.02 if n % 2 else -0.02), "raw")[0]
    assert both.verdict == "no difference beyond noise"
    few = compare_arms(make(lambda n, _: 0.02, patients=5), "raw")[0]
    assert few.verdict == "too few patients to tell"
    assert math.isnan(few.p)


def test_arms_of_equal_scores_are_the_same_and_not_of_too_few_patients():
    assert compare_arms(make(lambda n, _: 0.0), "raw")[0].verdict == "the same"


def test_the_noise_of_seeds_is_measured_by_patient():
    results = make(lambda n, _: 0.0)
    assert measure_noise(results, "raw", "dice of lung") == pytest.approx(0.01)
    assert math.isnan(measure_noise(make(lambda n, _: 0.0, seeds=1), "raw", "dice of lung"))


def test_the_report_says_its_limits_and_counts_patients():
    results = make(lambda n, _: 0.02 + 0.001 * n)
    report = report_segmentation(Judged(results, "raw", {"cohort": "made"}, {}, ("Few patients.",)))
    page = compose(report)["report.md"].decode()
    assert "better beyond noise" in page
    assert "Few patients." in page
    assert "n = 8 patients" in page


def test_an_arm_alone_or_unknown_is_refused():
    results = make(lambda n, _: 0.0)
    with pytest.raises(InputError, match="no arm 'drawn'"):
        compare_arms(results, "drawn")
    with pytest.raises(InputError, match="one arm alone"):
        report_segmentation(Judged(results.of(codec="raw"), "raw", {}, {}))


def test_only_what_is_beyond_noise_is_counted_so():
    for shift, patients in ((lambda n, _: 0.0, 8), (lambda n, _: 0.02, 5)):
        judged = Judged(make(shift, patients), "raw", {}, {})
        assert "none of 1 differences is beyond noise" in report_segmentation(judged).summary[0]


def test_a_label_that_only_some_patients_have_is_compared_on_those():
    whole = make(lambda n, _: 0.02)
    liver = [
        Result((f"q{n}", "", "0"), arm,
               values=(Value("dice of liver", 0.9, "1", "higher", None, "as defined"),))
        for n in range(3) for arm in ("raw", "mixed")
    ]  # fmt: skip
    both = Results((*whole, *liver))

    assert measure_noise(both, "raw", "dice of lung") == measure_noise(whole, "raw", "dice of lung")
    tables = [
        t for s in report_segmentation(Judged(both, "raw", {}, {})).sections for t in s.tables
    ]
    rows = {table.title: [row[0] for row in table.rows] for table in tables}
    assert rows["dice of lung of each patient"] == [f"p{n}" for n in range(8)]
    assert rows["dice of liver of each patient"] == ["q0", "q1", "q2"]

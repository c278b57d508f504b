"""An estimate says its number, its interval, and how many images of how many patients it is of."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plica.errors import InputError, SettingsError
from plica.evaluation.estimates import Estimate, gather_patients, summarise

pytest.importorskip("scipy")
PATIENTS = tuple("aabbbcdefg")
VALUES = np.array([40.0, 41, 39, 42, 43, 40, 41, 44, 38, 40])


def test_an_estimate_reads_as_a_sentence():
    estimate = Estimate(41.3, 40.9, 41.8, n=120, patients=95, unit="dB")

    assert str(estimate) == "41.30 dB (95 % CI 40.90 to 41.80, n = 120 images of 95 patients)"
    assert str(Estimate(0.5, math.nan, math.nan, n=1, patients=1)) == (
        "0.5000 (no interval, n = 1 image of 1 patient)"
    )


def test_the_mean_is_that_of_the_images():
    found = summarise(VALUES, PATIENTS, unit="dB")

    assert found.value == VALUES.mean()
    assert (found.n, found.patients, found.unit) == (10, 7, "dB")
    assert found.low < found.value < found.high
    assert "BCa" in found.method


def test_copies_of_slices_do_not_narrow_the_interval():
    once = summarise(VALUES, PATIENTS)
    often = summarise(np.repeat(VALUES, 50), [p for p in PATIENTS for _ in range(50)])
    as_patients = summarise(np.repeat(VALUES, 50), [str(n) for n in range(500)])

    assert often.n == 500
    assert (often.low, often.high) == pytest.approx((once.low, once.high), rel=1e-12)
    assert as_patients.high - as_patients.low < 0.3 * (once.high - once.low)  # the mistake


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(10)))
def test_the_order_of_images_and_patients_says_nothing(order):
    order = list(order)
    found = summarise(VALUES[order], [PATIENTS[n] for n in order])

    whole = summarise(VALUES, PATIENTS)

    assert (found.value, found.low, found.high) == pytest.approx(
        (whole.value, whole.low, whole.high), rel=1e-12
    )


@settings(max_examples=25, deadline=None)
@given(st.floats(-5, 5), st.floats(0.01, 100))
def test_the_interval_moves_and_stretches_with_the_values(shift, scale):
    one, other = summarise(VALUES, PATIENTS), summarise(shift + scale * VALUES, PATIENTS)

    assert (other.low, other.high) == pytest.approx(
        (shift + scale * one.low, shift + scale * one.high), rel=1e-9, abs=1e-9
    )


def test_a_higher_level_is_a_wider_interval():
    wide, narrow = (summarise(VALUES, PATIENTS, level=level) for level in (0.99, 0.5))

    assert wide.low < narrow.low < narrow.high < wide.high
    assert "99 % CI" in str(wide)


def test_few_patients_have_no_interval_and_it_is_said_why():
    found = summarise(VALUES[:4], PATIENTS[:4])

    assert not found.known
    assert found.note == "5 patients are the fewest an interval is made of"
    assert found.to_json()["low"] is None


def test_equal_images_make_the_mean_infinite_without_an_interval():
    found = summarise(np.array([math.inf, *VALUES[1:]]), PATIENTS, unit="dB")

    assert str(found) == "∞ dB (no interval, n = 10 images of 7 patients)"
    assert found.note == "1 of 10 values are infinite"
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["value"] == "Infinity"


def test_where_nothing_varies_the_interval_is_the_mean():
    found = summarise(np.full(10, 0.3), PATIENTS)

    assert found.low == found.value == found.high


@pytest.mark.parametrize(
    ("values", "patients", "said"),
    [
        (np.array([]), (), "one value of each image"),
        (np.ones(3), ("a", "b"), "3 values and 2 patients"),
        (np.array([1.0, math.nan]), ("a", "b"), "1 of 2 values are no numbers"),
        (np.array([math.inf, -math.inf]), ("a", "b"), "both directions"),
    ],
)
def test_what_has_no_mean_is_refused(values, patients, said):
    with pytest.raises(InputError, match=said):
        summarise(values, patients)


def test_a_level_is_a_share():
    with pytest.raises(SettingsError, match="between 0 and 1"):
        summarise(VALUES, PATIENTS, level=95)


def test_patients_are_gathered_by_name():
    sums, counts = gather_patients(np.array([1.0, 2, 3]), ("b", "a", "b"))

    assert sums.tolist() == [2, 4]
    assert counts.tolist() == [1, 2]


def test_a_generator_goes_on_from_where_it_is():
    chance = np.random.default_rng(0)
    first, second = (summarise(VALUES, PATIENTS, seed=chance) for _ in range(2))

    assert first.low != second.low or first.high != second.high
    assert first.method.endswith("a generator of the caller's")

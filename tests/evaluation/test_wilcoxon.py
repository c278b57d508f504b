"""Tests of paired differences agree with other libraries, and are as honest as they say."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plica.evaluation.wilcoxon import LEAST_PATIENTS, adjust_holm, rank_biserial, signed_rank

scipy_stats = pytest.importorskip("scipy.stats")
multitest = pytest.importorskip("statsmodels.stats.multitest")


def test_one_image_of_each_patient_is_the_usual_test():
    d = np.random.default_rng(0).normal(0.3, 1, 30)

    assert signed_rank(d, [str(n) for n in range(30)]) == scipy_stats.wilcoxon(d).pvalue


def test_images_of_one_patient_count_as_one():
    d = np.random.default_rng(0).normal(0.3, 1, 12)
    once = signed_rank(d, [str(n) for n in range(12)])

    assert signed_rank(np.repeat(d, 50), [str(n) for n in range(12) for _ in range(50)]) == once


def test_few_patients_tell_nothing():
    d = np.ones(LEAST_PATIENTS - 1)

    assert math.isnan(signed_rank(d, list("abcde")))
    assert math.isnan(signed_rank(np.zeros(40), [str(n) for n in range(40)]))
    assert signed_rank(np.arange(1.0, 7.0), list("abcdef")) < 0.05


@pytest.mark.parametrize("count", [6, 7, 8, 9, 14, 15])
@pytest.mark.parametrize("equal", [True, False])
def test_patients_who_differ_equally_much_share_ranks(count, equal):
    """With few of them every fall of signs is tried; scipy's own test does so, far slower."""
    d = np.random.default_rng(count).integers(-3, 6, count) + 0.5
    d[:2] = 1.5, -1.5  # equal at least once
    d = d if equal else d + np.arange(count) / 100
    expected = scipy_stats.wilcoxon(d).pvalue

    assert signed_rank(d, [str(n) for n in range(count)]) == pytest.approx(expected, rel=1e-12)


def test_thirteen_patients_who_differ_equally_much_are_no_approximation():
    """One fall of signs of 2¹³ on either side."""
    assert signed_rank(np.full(13, 2.0), list("abcdefghijklm")) == 2 / 2**13


def test_noise_of_clustered_images_is_called_a_change_as_often_as_is_said():
    rng = np.random.default_rng(0)
    patients = [str(n) for n in range(15) for _ in range(6)]
    found = [
        signed_rank(np.repeat(rng.normal(0, 1, 15), 6) + rng.normal(0, 0.3, 90), patients) < 0.05
        for _ in range(400)
    ]

    assert 0.02 < np.mean(found) < 0.08  # 5 % within three standard errors


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_steps_down_as_it_is_defined(p):
    """Of the j-th smallest of m, the largest (m - i + 1) p_i of all i ≤ j, and no more than 1."""
    order = np.argsort(p, kind="stable")
    stepped = [(len(p) - place) * p[at] for place, at in enumerate(order)]
    expected = np.empty(len(p))
    expected[order] = np.minimum(1, np.maximum.accumulate(stepped))

    assert adjust_holm(p) == pytest.approx(expected.tolist())


@pytest.mark.parametrize("p", [[0.3], [0.01, 0.01, 0.04, 0.03, 0.2], [0.0, 1.0, 0.5, 0.5, 0.02]])
def test_holm_agrees_with_statsmodels(p):
    theirs = multitest.multipletests(p, method="holm")[1]

    assert adjust_holm(p) == pytest.approx(list(theirs))


def test_what_is_no_test_is_not_counted():
    nan = math.nan
    adjusted = adjust_holm([nan, 0.01, nan, 0.02])

    assert adjusted[1] == adjusted[3] == pytest.approx(0.02)
    assert math.isnan(adjusted[0])
    assert adjust_holm([]) == []


@given(st.lists(st.integers(-6, 6), min_size=2, max_size=20))
def test_the_rank_biserial_correlation_is_that_of_scipys_ranks(whole):
    d = np.array(whole, dtype=float)
    kept = d[d != 0]
    found = rank_biserial(d, [str(n) for n in range(len(d))])
    if kept.size < 2:
        assert math.isnan(found)
        return
    ranks = scipy_stats.rankdata(np.abs(kept))
    assert found == pytest.approx(np.sum(np.sign(kept) * ranks) / ranks.sum())


def test_all_that_rise_correlate_wholly_and_slices_count_for_nothing():
    assert rank_biserial(np.array([1.0, 2.0, 3.0]), ["a", "b", "c"]) == 1.0
    assert rank_biserial(-np.array([1.0, 2.0, 3.0]), ["a", "b", "c"]) == -1.0
    assert rank_biserial(np.array([2.0, 3.0, -1.0, 4.0]), list("abcd")) == pytest.approx(0.8)
    once = rank_biserial(np.array([2.0, -3.0]), ["a", "b"])
    assert rank_biserial(np.repeat([2.0, -3.0], 9), ["a"] * 9 + ["b"] * 9) == once

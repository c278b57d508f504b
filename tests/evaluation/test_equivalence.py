"""No difference is claimed where the data speak for it, and no oftener than the level says."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.proportion import proportion_effectsize
from statsmodels.stats.weightstats import DescrStatsW

from plica.errors import InputError, SettingsError
from plica.evaluation.equivalence import (
    adjust_margins,
    compare_rates,
    find_least_difference,
    hold_to_margin,
    judge_draws,
)


def names(n):
    return [f"p{k}" for k in range(n)]


def test_the_two_one_sided_tests_are_those_of_statsmodels():
    d = np.random.default_rng(0).normal(0.1, 0.4, 25)
    ours = hold_to_margin(d, names(25), 0.3)
    p, lower, _ = DescrStatsW(d).ttost_mean(-0.3, 0.3)
    assert ours.p_equivalent == pytest.approx(p)
    assert ours.p_no_worse == pytest.approx(lower[1])


def test_a_test_and_its_interval_say_the_same():
    for seed in range(40):
        d = np.random.default_rng(seed).normal(0.0, 0.5, 20)
        found = hold_to_margin(d, names(20), 0.25)
        assert found.no_worse == (found.low > -0.25)
        assert found.equivalent == (found.low > -0.25 and found.high < 0.25)


def test_a_loss_of_the_margin_is_called_harmless_one_time_in_twenty():
    rng = np.random.default_rng(1)
    called = [
        hold_to_margin(rng.normal(-0.5, 1.0, 30), names(30), 0.5).no_worse for _ in range(2000)
    ]
    assert 0.04 < np.mean(called) < 0.06


def test_slices_do_not_count_as_patients():
    rng = np.random.default_rng(2)
    d = np.repeat(rng.normal(0, 1, 8), 50) + rng.normal(0, 0.01, 400)
    found = hold_to_margin(d, np.repeat(names(8), 50).tolist(), 0.3)
    alone = hold_to_margin(d, names(400), 0.3)
    assert found.patients == 8
    assert not found.equivalent
    assert alone.high - alone.low < (found.high - found.low) / 3


def test_more_is_better_or_less_is_as_the_metric_says():
    d = np.random.default_rng(3).normal(2.0, 0.5, 12)
    assert hold_to_margin(d, names(12), 0.5).no_worse
    assert not hold_to_margin(d, names(12), 0.5, better="lower").no_worse
    assert "not shown" in str(hold_to_margin(d, names(12), 0.5, better="lower", unit="HU"))


def test_equal_images_are_equivalent_at_any_margin():
    assert hold_to_margin(np.zeros(5), names(5), 1e-9).equivalent


@pytest.mark.parametrize(
    ("n", "margin", "error", "said"),
    [(1, 0.5, InputError, "1 patient cannot"), (4, 0.5, InputError, "4 patients"),
     (9, 0.0, SettingsError, "above 0"),
     (9, -1.0, SettingsError, "above 0"), (9, float("nan"), SettingsError, "above 0")],
)  # fmt: skip
def test_what_cannot_be_claimed_is_refused(n, margin, error, said):
    with pytest.raises(error, match=said):
        hold_to_margin(np.zeros(n), names(n), margin)


def test_a_number_that_is_no_mean_is_held_to_its_margin_by_its_draws():
    draws = np.random.default_rng(4).normal(-0.01, 0.01, 4000)
    found = judge_draws(-0.01, draws, 0.05, patients=60)
    assert found.no_worse
    assert found.p_no_worse >= 1 / 4001
    assert not judge_draws(-0.05, draws - 0.04, 0.05, patients=60).no_worse
    with pytest.raises(InputError, match="4 patients"):
        judge_draws(-0.01, draws, 0.05, patients=4)


def test_three_patients_who_agree_to_the_last_digit_show_nothing():
    d = np.array([0.1, 0.1, 0.1 + 1e-16])
    with pytest.raises(InputError, match="3 patients"):
        hold_to_margin(d, names(3), 0.5)


def test_statements_of_one_family_are_corrected_by_holm():
    rng = np.random.default_rng(8)
    family = [hold_to_margin(rng.normal(0, 0.5, 12), names(12), 0.3) for _ in range(4)]
    found = adjust_margins([*family, None])
    expected = multipletests([one.p_no_worse for one in family], method="holm")[1]
    assert [one.holm_no_worse for one in found[:4]] == pytest.approx(list(expected))
    assert found[4] is None


def test_the_chance_that_any_of_five_losses_is_called_harmless_stays_below_the_level():
    rng = np.random.default_rng(9)
    called = 0
    for _ in range(400):
        family = [hold_to_margin(rng.normal(-0.5, 1, 20), names(20), 0.5) for _ in range(5)]
        called += any(one.no_worse for one in adjust_margins(family))
    assert called / 400 < 0.08


def test_a_margin_says_what_so_many_patients_could_have_shown():
    d = np.random.default_rng(10).normal(0.0, 0.7, 40)
    found = hold_to_margin(d, names(40), 0.3, unit="dB")
    assert found.least == pytest.approx(find_least_difference(d.std(ddof=1), 40))
    assert "with a power of 80 %" in str(found)


@given(st.floats(0, 1), st.floats(0, 1))
def test_rates_are_as_far_apart_as_statsmodels_says(a, b):
    assert compare_rates(a, b) == pytest.approx(proportion_effectsize(b, a), abs=1e-9)
    assert compare_rates(a, b) == pytest.approx(-compare_rates(b, a), abs=1e-12)


def test_the_least_difference_has_the_power_it_says():
    least = find_least_difference(0.7, 40)
    power = TTestPower().power(least / 0.7, 40, 0.05)
    assert power == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize(
    ("claim", "error", "said"),
    [
        (lambda: hold_to_margin(np.r_[np.zeros(8), np.inf], names(9), 1.0), InputError, "finite"),
        (lambda: hold_to_margin(np.ones(9), names(9), 1.0, alpha=0.5), SettingsError, "alpha"),
        (lambda: judge_draws(0.0, np.zeros(9), 1.0, patients=9), InputError, "9 draws"),
        (lambda: judge_draws(0.0, np.full(300, np.nan), 1.0, patients=9), InputError, "finite"),
        (lambda: judge_draws(0.0, np.zeros(300), 1.0, patients=3), InputError, "3 patients"),
        (lambda: compare_rates(0.5, 1.5), InputError, "between 0 and 1, but got 1.5"),
        (lambda: find_least_difference(1.0, 1), InputError, "1 patients with a spread of 1.0"),
        (lambda: find_least_difference(-1.0, 9), InputError, "no least difference"),
        (lambda: find_least_difference(1.0, 9, power=1.0), SettingsError, "power and alpha"),
    ],
)
def test_statements_without_ground_are_refused(claim, error, said):
    with pytest.raises(error, match=said):
        claim()


def test_a_margin_whose_least_difference_is_unknown_says_none_of_it():
    found = hold_to_margin(np.random.default_rng(0).normal(0, 1, 9), names(9), 0.1)
    assert "with a power of 80 %" in str(found)
    assert "with a power" not in str(replace(found, least=float("nan")))

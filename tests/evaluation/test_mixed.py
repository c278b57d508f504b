"""The slope within data sets is found, and the pooled line's trap is seen."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy.stats import t as student

from plica.errors import InputError
from plica.evaluation import mixed
from plica.evaluation.mixed import regress


def made(slope, *, patients=40, points=5, sets=3, between=6.0, seed=0):
    """Points of patients of data sets that differ in height by `between`, along both axes."""
    rng = np.random.default_rng(seed)
    people = np.repeat(np.arange(patients), points)
    datasets = people % sets
    hard = between * datasets
    x = 30 + hard + rng.normal(0, 1, people.size)
    heights = rng.normal(0, 1, patients)
    y = hard + slope * (x - 30 - hard) + heights[people] + rng.normal(0, 0.5, people.size)
    return x, y, [f"p{n}" for n in people], [f"d{n}" for n in datasets]


def test_the_slope_that_was_put_in_is_found_within_its_interval():
    found = regress(*made(0.7))
    assert found.method == "mixed"
    assert found.low < 0.7 < found.high
    assert found.high - found.low < 0.2
    assert (found.n, found.patients, found.datasets) == (200, 40, 3)


def test_data_sets_that_differ_draw_a_line_where_there_is_none():
    found = regress(*made(0.0))
    assert found.pooled_r2 > 0.8
    assert found.pooled == pytest.approx(1.0, abs=0.1)
    assert found.low < 0 < found.high
    assert found.marginal_r2 < 0.02


def test_shares_of_variance_are_those_that_were_put_in():
    found = regress(*made(1.0, patients=400))
    total = 1.0 + 1.0 + 0.25
    assert found.marginal_r2 == pytest.approx(1.0 / total, abs=0.04)
    assert found.conditional_r2 == pytest.approx(2.0 / total, abs=0.04)


def test_it_is_statsmodels_own_answer():
    x, y, people, datasets = made(0.4)
    frame = pd.DataFrame({"x": x, "y": y, "g": datasets, "p": people})
    theirs = smf.mixedlm("y ~ x + C(g)", frame, groups=people).fit(reml=True)
    ours = regress(x, y, people, datasets)
    assert ours.slope == pytest.approx(theirs.params["x"], rel=1e-4)
    wald = ours.slope / theirs.bse["x"]
    assert ours.p == pytest.approx(2 * student.sf(abs(wald), ours.freedom), rel=1e-2)
    assert ours.freedom > 100


def test_few_patients_get_heights_of_their_own_and_the_dummy_regression_s_answer():
    x, y, people, datasets = made(0.5, patients=4, points=6, sets=2)
    found = regress(x, y, people, datasets)
    theirs = smf.ols("y ~ x + C(p)", pd.DataFrame({"x": x, "y": y, "p": people})).fit()
    assert found.method == "fixed"
    assert found.slope == pytest.approx(theirs.params["x"])
    assert found.p == pytest.approx(theirs.pvalues["x"])
    assert (found.low, found.high) == pytest.approx(tuple(theirs.conf_int().loc["x"]))


def test_no_slope_is_called_one_in_twenty_times():
    p = [
        regress(*made(0.0, patients=12, points=4, seed=seed), method="fixed").p
        for seed in range(300)
    ]
    assert 0.02 < np.mean(np.array(p) < 0.05) < 0.09


def between(patients, seed, points=5):
    """A ceiling that differs between patients alone, or nearly, and a score it says nothing of."""
    rng = np.random.default_rng([seed, patients])
    people = np.repeat(np.arange(patients), points)
    x = rng.normal(30, 2, patients)[people] + rng.normal(0, 0.2, people.size)
    y = rng.normal(0, 1, patients)[people] + rng.normal(0, 0.5, people.size)
    return x, y, [f"p{n}" for n in people]


@pytest.mark.parametrize(("patients", "runs"), [(6, 200), (12, 120)])
def test_few_patients_find_no_slope_in_nothing(patients, runs):
    """By the normal quantile it was 11.5 % with six patients."""
    p = np.array([regress(*between(patients, seed), method="mixed").p for seed in range(runs)])
    assert np.mean(p < 0.05) < 0.085


def test_freedom_is_of_patients_where_the_ceiling_is_theirs_and_of_points_where_it_is_not():
    x, y, people = between(20, 0)
    assert regress(x, y, people).freedom < 40
    fine = made(0.5, patients=20, sets=1)
    assert 70 < regress(*fine).freedom <= 98


def test_a_balanced_design_has_the_freedom_of_its_patients():
    """With a ceiling that each patient has one of, the test is that of the patients' means."""
    rng = np.random.default_rng(4)
    people = np.repeat(np.arange(12), 6)
    x = rng.normal(size=12)[people]
    y = rng.normal(size=12)[people] + rng.normal(0, 0.3, people.size)
    found = regress(x, y, [f"p{n}" for n in people])
    means = y.reshape(12, 6).mean(1)
    theirs = smf.ols("y ~ x", pd.DataFrame({"x": x[::6], "y": means})).fit()
    assert found.freedom == pytest.approx(10, rel=1e-3)
    assert found.slope == pytest.approx(theirs.params["x"], rel=1e-4)
    assert found.p == pytest.approx(theirs.pvalues["x"], rel=1e-2)


def test_of_very_many_points_the_freedom_is_that_of_the_patients(monkeypatch):
    monkeypatch.setattr(mixed, "MOST_EXACT", 39)

    assert regress(*made(0.7, patients=8)).freedom == 8 - 1 - 3


def test_equal_names_in_two_data_sets_are_two_people():
    x, y, people, datasets = made(0.5, patients=30, sets=3)
    short = [f"p{int(name[1:]) // 3}" for name in people]
    assert len(set(short)) == 10
    found, expected = regress(x, y, short, datasets), regress(x, y, people, datasets)
    assert (found.patients, found.slope) == (30, pytest.approx(expected.slope))
    assert found.p == pytest.approx(expected.p)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x, y, p, d: (x[:-1], y, p, d), "names|shapes"),
        (lambda x, y, p, d: (x[:, None], y[:, None], p, d), r"shapes \(200, 1\)"),
        (lambda x, y, p, d: (np.where(x == x[0], np.nan, x), y, p, d), "finite"),
        (lambda x, y, p, d: (x[:3], y[:3], p[:3], d[:3]), "too few|vary"),
        (
            lambda x, y, p, d: (np.array([float(s[1]) for s in d]), y, p, d),
            "does not vary",
        ),
    ],
)
def test_what_has_no_slope_is_refused(change, said):
    with pytest.raises(InputError, match=said):
        regress(*change(*made(0.5, sets=2)))


def test_a_ceiling_that_does_not_vary_within_patients_has_no_slope_of_theirs():
    _, y, people, datasets = made(0.5, sets=2)
    ceilings = np.array([float(name[1:]) for name in people])
    with pytest.raises(InputError, match="within any patient"):
        regress(ceilings, y, people, datasets, method="fixed")


def test_scores_without_any_noise_leave_the_mixed_model_nothing_to_fit():
    x, _, people, datasets = made(0.5, patients=6, points=2, sets=1)
    with pytest.raises(InputError, match="did not converge: patients may not differ at all"):
        regress(x, 0.5 * x, people, datasets, method="mixed")

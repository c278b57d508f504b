"""Intervals of resampled patients agree with scipy's, and cover as often as they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plica.errors import InputError, SettingsError
from plica.evaluation.bootstrap import accelerate, bca, bootstrap, bootstrap_mean, draw_patients

scipy_stats = pytest.importorskip("scipy.stats")


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_one_image_of_each_patient_is_scipys_interval(level):
    values = np.random.default_rng(1).gamma(1.5, size=40)
    theirs = scipy_stats.bootstrap(
        (values,), np.mean, confidence_level=level, n_resamples=40_000, rng=np.random.default_rng(2)
    ).confidence_interval

    ours = bootstrap_mean(values, np.ones(40), level=level, resamples=40_000, widen=False)

    # Within the noise of 40 000 draws in both: 2 % of the mean's standard error, three times.
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.06 * values.std() / np.sqrt(40))


def test_the_formula_is_scipys_to_all_digits_on_the_same_draws():
    values = np.random.default_rng(1).gamma(1.5, size=25)
    places = np.random.default_rng(5).integers(25, size=(999, 25))
    replicates = values[places].mean(1)
    without = (values.sum() - values) / 24
    theirs = scipy_stats.bootstrap(
        (values,), np.mean, n_resamples=0, method="BCa",
        bootstrap_result=scipy_stats._resampling.BootstrapResult(None, replicates, None),
    ).confidence_interval  # fmt: skip

    assert bca(values.mean(), replicates, without, widen=False) == pytest.approx(
        (theirs.low, theirs.high), rel=1e-12
    )


def test_skewed_patients_pull_the_interval_to_their_side():
    values = np.random.default_rng(0).lognormal(size=30)
    low, high = bootstrap_mean(values, np.ones(30))

    assert high - values.mean() > 1.2 * (values.mean() - low)
    d = values.mean() - (values.sum() - values) / 29  # mean of the rest: in exact proportion
    assert accelerate(values.mean() - d) == pytest.approx(
        ((values - values.mean()) ** 3).sum() / (6 * ((values - values.mean()) ** 2).sum() ** 1.5)
    )


def test_an_interval_of_few_patients_is_widened_as_students_is():
    values = np.random.default_rng(3).normal(size=10)
    wide, narrow = (np.ptp(bootstrap_mean(values, np.ones(10), widen=w)) for w in (True, False))

    factor = np.sqrt(10 / 9) * scipy_stats.t.ppf(0.975, 9) / scipy_stats.norm.ppf(0.975)
    assert wide / narrow == pytest.approx(factor, rel=0.05)


def test_any_statistic_has_an_interval_and_of_means_it_is_the_same():
    values, counts = np.random.default_rng(0).normal(size=20), np.arange(1.0, 21.0)
    found = bootstrap(lambda w: (w @ (values * counts)) / (w @ counts), 20, seed=4)

    assert found == pytest.approx(bootstrap_mean(values * counts, counts, seed=4), rel=1e-9)


def test_a_statistic_without_a_number_is_refused():
    rare = np.array([1.0, *[0.0] * 9])

    with (
        pytest.raises(InputError, match="no finite number for some draws"),
        np.errstate(all="ignore"),
    ):
        bootstrap(lambda w: 1 / (w @ rare), 10)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 60), st.integers(0, 99))
def test_every_draw_has_as_many_patients_and_seeds_repeat_it(patients, seed):
    drawn, again = (np.concatenate(list(draw_patients(patients, 200, seed))) for _ in range(2))

    assert (drawn.sum(1) == patients).all()
    assert (drawn == again).all()
    generated = np.concatenate(list(draw_patients(patients, 200, np.random.default_rng(seed))))
    assert (drawn == generated).all()


def test_many_patients_are_drawn_in_blocks_with_one_stream():
    blocks = list(draw_patients(30_000, 300, np.random.default_rng(0)))

    assert len(blocks) > 1
    assert sum(len(block) for block in blocks) == 300
    assert {int(total) for block in blocks for total in block.sum(1)} == {30_000}


def test_what_has_no_interval_is_refused():
    with pytest.raises(InputError, match="two of them"):
        bootstrap_mean(np.ones(1), np.ones(1))
    with pytest.raises(InputError, match="two of them"):
        bootstrap(lambda w: w.sum(1), 1)
    with pytest.raises(SettingsError, match="between 0 and 1"):
        bootstrap_mean(np.arange(9.0), np.ones(9), level=95)
    with pytest.raises(SettingsError, match="no tails"):
        bootstrap_mean(np.arange(9.0), np.ones(9), resamples=10)


def test_patients_who_do_not_differ_leave_no_doubt():
    assert bootstrap_mean(np.full(9, 0.1), np.ones(9)) == (0.1, 0.1)


def test_the_interval_of_clustered_images_covers_the_mean_as_often_as_it_says():
    """Twenty patients of 1 to 9 images, whose means are skewed."""
    chance = np.random.default_rng(0)
    counts = chance.integers(1, 10, size=20)
    covered = 0
    for seed in range(400):
        patients = chance.gamma(4.0, size=20) - 4.0
        means = patients + chance.normal(0, 1, 20) / np.sqrt(counts)
        low, high = bootstrap_mean(means * counts, counts.astype(float), resamples=1000, seed=seed)
        covered += low < 0 < high

    assert 0.90 < covered / 400 < 0.98

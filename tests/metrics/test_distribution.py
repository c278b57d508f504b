"""Distances between sets agree with others' programs, with closed forms, and know their worth."""

import math

import numpy as np
import pytest
import scipy.linalg
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from plica.errors import InputError, SettingsError, UnknownName, UnusablePixels
from plica.metrics.distribution import (
    DISTANCES,
    Features,
    Statistic,
    compare_sets,
    deal,
    estimate_interval,
    find_floor,
    quantile_t,
    split_halves,
)
from plica.metrics.frechet import FID
from plica.metrics.kernel import KID

MADE_BY = {"name": "made", "weights": "none"}


def make_features(rows, *, per_patient=1, prefix="p", extractor=MADE_BY) -> Features:
    patients = tuple(f"{prefix}{n // per_patient}" for n in range(len(rows)))
    names = tuple(f"{prefix}{n}" for n in range(len(rows)))
    return Features(np.asarray(rows, float), patients, names, extractor)


def draw(n, d=4, *, seed=0, shift=0.0):
    return np.random.default_rng(seed).standard_normal((n, d)) + shift


def make_pair(n=60, d=4, *, shift=0.5):
    return make_features(draw(n, d)), make_features(draw(n, d, seed=1, shift=shift), prefix="o")


# -- what stands with a number -------------------------------------------------------------------


@pytest.mark.parametrize("metric", DISTANCES)
def test_every_distance_says_n_interval_floor_and_what_it_needs(metric):
    real, other = make_pair()

    found = compare_sets(real, other, metric)

    assert (found.n_real, found.n_other, found.dims) == (60, 60, 4)
    assert found.patients == (60, 60)
    assert found.interval[0] <= found.value <= found.interval[1]
    assert found.floor.low <= found.floor.median <= found.floor.high
    assert found.floor.n == 30
    assert found.floor.repeats == 20
    assert found.needed > 0
    assert found.extractor == MADE_BY
    assert found.definition.endswith(".")
    assert not any(isinstance(v, float) and math.isnan(v) for v in found.to_json().values())


@pytest.mark.parametrize("metric", DISTANCES)
def test_the_same_seed_gives_the_same_record_and_the_order_of_images_none(metric):
    real, other = make_pair(24)
    order = np.random.default_rng(3).permutation(len(other))
    turned = Features(
        other.rows[order],
        tuple(other.patients[n] for n in order),
        tuple(other.names[n] for n in order),
        other.extractor,
    )

    first, again = (compare_sets(real, other, metric, seed=5, repeats=4) for _ in range(2))
    moved = compare_sets(real, turned, metric, seed=5, repeats=4)

    assert first.to_json() == again.to_json()
    assert moved.value == pytest.approx(first.value, abs=1e-9)
    assert moved.interval == pytest.approx(first.interval, abs=1e-9)


def test_too_few_images_are_told_with_the_number_they_need():
    real, other = (make_features(draw(30, 64, seed=seed)) for seed in (0, 1))

    found = compare_sets(real, other, "fid", repeats=2)

    assert found.needed == 65
    assert any("N = 30 is below the 65 it needs" in line for line in found.warnings)
    assert math.isnan(found.extras["extrapolated"])
    assert found.to_json()["extras"] == {"extrapolated": None}


def test_slices_are_not_taken_for_patients():
    """Ten slices of each patient that differ little: N is 60, but only six are independent."""
    chance = np.random.default_rng(0)
    rows = np.repeat(chance.standard_normal((8, 4)), 10, axis=0)
    rows += 0.01 * chance.standard_normal((80, 4))
    other = make_features(draw(80, seed=9), prefix="o")
    whole = make_features(rows, per_patient=10)
    blind = make_features(rows)

    aware, unaware = (compare_sets(one, other, "kid", seed=1) for one in (whole, blind))

    assert aware.value == unaware.value
    assert np.ptp(aware.interval) > 2 * np.ptp(unaware.interval)
    assert aware.floor.median > 3 * unaware.floor.median
    assert any("80 rows are of 8 patients" in line for line in aware.warnings)
    assert any("only 8 patients" in line for line in aware.warnings)


def test_without_patients_enough_there_is_no_interval_and_it_says_so():
    real, other = (
        make_features(draw(40, seed=seed), per_patient=10, prefix=prefix)
        for seed, prefix in ((0, "a"), (1, "a"))
    )

    found = compare_sets(real, other, "kid")

    assert found.interval is None
    assert any("no interval" in line for line in found.warnings)
    assert found.floor is not None


def test_a_number_that_a_group_of_patients_carries_alone_has_no_interval():
    """Without the one image beyond 9 the made number is none."""
    real, other = make_pair(24)
    real.rows[7] = 10.0
    made = Statistic(
        "made", "1", "lower", "Made.", lambda a, _: 1.0 if a.max() > 9 else math.nan,
        need=lambda _: 2, why="",
    )  # fmt: skip

    assert estimate_interval(made, real, other, seed=0) == (
        None, ("no interval: the number has no meaning without some group of patients",),
    )  # fmt: skip


def test_one_patient_has_no_halves():
    real = make_features(draw(30), per_patient=30)

    assert find_floor(KID, real, seed=0) is None
    found = compare_sets(real, make_features(draw(30, seed=1), prefix="o"), "kid")
    assert any("no floor" in line for line in found.warnings)


@pytest.mark.parametrize("metric", ["fid", "kid"])
def test_the_interval_of_a_decoded_set_is_that_of_pairs(metric):
    """Real and decoded of one patient leave together: what they share does not widen it."""
    rows = draw(100, 4) * 5
    real = make_features(rows)
    near = rows + 0.05 * draw(100, 4, seed=2)
    paired = compare_sets(real, make_features(near), metric, repeats=0)
    apart = compare_sets(real, make_features(near, prefix="q"), metric, repeats=0)

    assert np.ptp(paired.interval) < np.ptp(apart.interval)
    assert paired.floor is None


def test_copies_are_known_by_their_names_and_identical_ones_are_at_no_distance():
    real, _ = make_pair(30)

    for metric in ("fid", "kid"):
        found = compare_sets(real, make_features(real.rows), metric, repeats=0)
        assert found.value == pytest.approx(0, abs=1e-9)
        assert found.interval == pytest.approx((0, 0), abs=1e-8)
    assert compare_sets(real, make_features(real.rows, prefix="o"), "kid").value < -0.01


@pytest.mark.parametrize("metric", ["precision", "recall", "coverage"])
def test_a_share_s_interval_stays_a_share(metric):
    found = compare_sets(*make_pair(24, shift=1.5), metric, repeats=0)

    assert 0 <= found.interval[0] <= found.interval[1] <= 1


# -- the statistics' statistics ------------------------------------------------------------------


def test_the_interval_of_kid_covers_zero_as_often_as_it_says():
    covered = 0
    for seed in range(120):
        real = make_features(draw(40, 3, seed=2 * seed))
        other = make_features(draw(40, 3, seed=2 * seed + 1, shift=0.6), prefix="o")
        low, high = compare_sets(real, other, "kid", repeats=0, seed=seed).interval
        covered += low <= _TRUE_KID <= high

    assert 0.86 <= covered / 120 <= 1.0


def _true_kid(shift):
    """E k(x, x′) + E k(y, y′) − 2 E k(x, y) of normal x and y = x + shift, by the exact moments."""
    d, s = 3, shift**2 * 3

    def kernel(u, v, common):
        # xᵀy with x ~ N(u, 1), y ~ N(v, 1): moments of t = xᵀy / d up to the third
        a = common / d
        var = (d + u + v) / d**2
        third = 6 * common / d**3
        return 1 + 3 * a + 3 * (var + a**2) + (third + 3 * a * var + a**3)

    return kernel(0, 0, 0) + kernel(s, s, s) - 2 * kernel(0, s, 0)


_TRUE_KID = _true_kid(0.6)


def test_the_exact_kid_of_the_simulation_is_what_many_images_give():
    real, other = draw(40000, 3), draw(40000, 3, seed=1, shift=0.6)

    x, y = (rows[:20000] for rows in (real, other))
    direct = np.mean((np.einsum("nd,nd->n", x, real[20000:]) / 3 + 1) ** 3)
    direct += np.mean((np.einsum("nd,nd->n", y, other[20000:]) / 3 + 1) ** 3)
    direct -= 2 * np.mean((np.einsum("nd,nd->n", x, y) / 3 + 1) ** 3)

    assert direct == pytest.approx(_TRUE_KID, abs=0.15)


@pytest.mark.parametrize("freedom", [4, 7, 19])
def test_the_quantile_of_student_is_scipy_s(freedom):
    assert quantile_t(freedom) == pytest.approx(scipy.stats.t.ppf(0.975, freedom), rel=5e-3)


def test_halves_keep_patients_whole_and_are_of_one_size():
    patients = [f"p{n}" for n in (0, 0, 0, 1, 2, 2, 3, 4, 4, 4, 5, 6)]

    for first in split_halves(patients, seed=0, repeats=30):
        halves = [{p for p, inside in zip(patients, first, strict=True) if inside is which}
                  for which in (np.True_, np.False_)]  # fmt: skip
        assert not halves[0] & halves[1]
        assert abs(first.sum() - (~first).sum()) <= 3


def test_groups_hold_every_patient_once():
    groups = deal([f"p{n % 47}" for n in range(200)], seed=0)

    assert len(groups) == 20
    assert sorted(p for group in groups for p in group) == sorted(f"p{n}" for n in range(47))
    assert {len(group) for group in groups} == {2, 3}


# -- what is refused -----------------------------------------------------------------------------


def test_features_of_two_extractors_are_not_compared():
    real = make_features(draw(5))
    other = make_features(draw(5), extractor={"name": "made", "weights": "sha256:other"})

    with pytest.raises(InputError, match="features of two extractors"):
        compare_sets(real, other, "kid")


def test_sets_of_unequal_features_are_not_compared():
    with pytest.raises(InputError, match="4 features for each image, the other 5"):
        compare_sets(make_features(draw(5, 4)), make_features(draw(5, 5)), "kid")


@pytest.mark.parametrize(("metric", "fewest"), [("fid", 2), ("kid", 2), ("recall", 6)])
def test_too_small_a_set_is_refused_by_number(metric, fewest):
    real, other = make_features(draw(20)), make_features(draw(fewest - 1))

    with pytest.raises(InputError, match=f"needs at least {fewest} in each"):
        compare_sets(real, other, metric)


def test_an_empty_set_is_refused():
    with pytest.raises(InputError, match="at least one image"):
        make_features(np.zeros((0, 4)))
    with pytest.raises(InputError, match="no images"):
        Features.join([])


def test_features_that_are_not_finite_name_the_image():
    rows = draw(6)
    rows[4, 1] = np.nan

    with pytest.raises(UnusablePixels, match="the first of them p4"):
        make_features(rows)


def test_rows_without_patients_are_refused():
    with pytest.raises(InputError, match="3 rows of features have 2 patients"):
        Features(draw(3), ("a", "b"), ("a", "b", "c"))


def test_an_unknown_distance_and_a_negative_number_of_splits_are_refused():
    real, other = make_pair(6)

    with pytest.raises(UnknownName, match="did you mean fid"):
        compare_sets(real, other, "fidd")
    with pytest.raises(SettingsError, match="0 or more splits"):
        compare_sets(real, other, "fid", repeats=-1)


def test_joined_features_keep_their_order_and_maker():
    parts = [make_features(draw(3, seed=seed), prefix=f"s{seed}-") for seed in (0, 1)]

    joined = Features.join(parts)

    assert joined.names == (*parts[0].names, *parts[1].names)
    assert joined.extractor == MADE_BY
    np.testing.assert_array_equal(joined.rows[3:], parts[1].rows)


def test_statistics_stand_under_their_own_names():
    for name in DISTANCES:
        assert DISTANCES.get_thing(name).name == name
    assert FID.need(2048) == 2049


# -- properties ----------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 9), st.integers(1, 6))
def test_symmetry_rotation_and_shift(seed, n, d):
    chance = np.random.default_rng(seed)
    x, y = chance.standard_normal((2, n + 6, d))
    turn = scipy.linalg.qr(chance.standard_normal((d, d)))[0]

    for name in ("fid", "kid"):
        function = DISTANCES.get_thing(name).function
        value = function(x, y)
        assert function(y, x) == pytest.approx(value, abs=1e-8)
        assert function(x @ turn, y @ turn) == pytest.approx(value, abs=1e-8)
        assert function(x[::-1], y) == pytest.approx(value, abs=1e-8)
    for name in ("fid", "precision", "recall", "density", "coverage"):
        function = DISTANCES.get_thing(name).function
        moved = function(x @ turn + 3.0, y @ turn + 3.0)
        assert moved == pytest.approx(function(x, y), abs=1e-7)

"""Precision, recall, density and coverage are those of the prdc package and of the papers."""

import numpy as np
import pytest

from plica.metrics.neighbours import (
    coverage,
    density,
    expect_coverage,
    precision,
    reaches,
    recall,
)


def draw(n, d=6, *, seed=0, shift=0.0):
    return np.random.default_rng(seed).standard_normal((n, d)) + shift


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("shift", [0.0, 0.7])
def test_they_are_what_the_prdc_package_gives(k, shift, capsys):
    prdc = pytest.importorskip("prdc")
    x, y = draw(150), draw(130, seed=1, shift=shift)

    theirs = prdc.compute_prdc(x, y, nearest_k=k)

    assert precision(x, y, k) == pytest.approx(theirs["precision"], abs=1e-12)
    assert recall(x, y, k) == pytest.approx(theirs["recall"], abs=1e-12)
    assert density(x, y, k) == pytest.approx(theirs["density"], abs=1e-12)
    assert coverage(x, y, k) == pytest.approx(theirs["coverage"], abs=1e-12)


def test_a_set_against_itself_is_whole():
    x = draw(700) + 1e4  # more than one block, far from the origin

    assert precision(x, x) == recall(x, x) == coverage(x, x) == 1.0
    assert density(x, x) == pytest.approx(1.0, abs=0.02)


def test_reaches_on_a_line_are_known():
    line = np.array([[0.0], [1.0], [3.0], [7.0]])

    np.testing.assert_allclose(reaches(line, 1), [1, 1, 2, 4])
    np.testing.assert_allclose(reaches(line, 2), [3, 2, 3, 6])


def test_sets_far_apart_share_nothing():
    x, y = draw(40), draw(40, seed=1, shift=100.0)

    assert precision(x, y) == recall(x, y) == density(x, y) == coverage(x, y) == 0.0


def test_copies_of_one_image_have_precision_and_no_recall():
    x = draw(80)
    y = np.repeat(x[:1], 80, axis=0) + 1e-3 * draw(80, seed=1)

    assert precision(x, y) == 1.0
    assert recall(x, y) < 0.05
    assert coverage(x, y) < 0.2


def test_one_real_outlier_swells_precision_and_not_density():
    x = np.concatenate([draw(60, 2), [[40.0, 40.0]]])
    y = draw(60, 2, seed=1, shift=20.0)

    assert precision(x, y) == 1.0
    assert density(x, y) <= 0.2


def test_coverage_of_equal_distributions_is_what_chance_gives():
    values = [coverage(draw(60, 3, seed=2 * s), draw(40, 3, seed=2 * s + 1)) for s in range(80)]

    assert np.mean(values) == pytest.approx(expect_coverage(60, 40), abs=0.012)
    assert expect_coverage(10**6, 10**6) == pytest.approx(1 - 2**-5, abs=1e-4)

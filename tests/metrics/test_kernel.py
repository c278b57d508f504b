"""KID is unbiased, and the number that others compute."""

import numpy as np
import pytest
import torch

from plica.errors import SettingsError
from plica.metrics.kernel import by_subsets, kernel_distance, kernel_distance_of_copies


def draw(n, d=5, *, seed=0, shift=0.0):
    return np.random.default_rng(seed).standard_normal((n, d)) + shift


def test_it_is_the_definition_pair_by_pair():
    x, y = draw(7), draw(9, seed=1, shift=0.3)

    def k(a, b):
        return (a @ b / 5 + 1) ** 3

    def within(rows):
        pairs = [k(a, b) for i, a in enumerate(rows) for j, b in enumerate(rows) if i != j]
        return sum(pairs) / len(pairs)

    across = np.mean([k(a, b) for a in x for b in y])
    assert kernel_distance(x, y) == pytest.approx(within(x) + within(y) - 2 * across, abs=1e-10)


def test_it_is_what_torchmetrics_gives():
    kid = pytest.importorskip("torchmetrics.image.kid", exc_type=ImportError)
    x, y = draw(120, 32), draw(120, 32, seed=1, shift=0.4)
    theirs = kid.poly_mmd(torch.from_numpy(x), torch.from_numpy(y))

    assert kernel_distance(x, y) == pytest.approx(float(theirs), rel=1e-6)


def test_many_rows_are_summed_in_parts():
    x, y = draw(2500), draw(1100, seed=1)

    whole = (x @ y.T / 5 + 1) ** 3
    within = [((r @ r.T / 5 + 1) ** 3) for r in (x, y)]
    value = sum((K.sum() - np.trace(K)) / (len(K) * (len(K) - 1)) for K in within)

    assert kernel_distance(x, y) == pytest.approx(value - 2 * whole.mean(), rel=1e-9)


def test_equal_distributions_give_values_about_zero_on_both_sides():
    values = [kernel_distance(draw(30, seed=2 * s), draw(30, seed=2 * s + 1)) for s in range(300)]

    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values)) < 3.5 * error
    assert min(values) < 0 < max(values)


def test_subsets_estimate_the_same_number():
    x, y = draw(200), draw(200, seed=1, shift=0.5)

    mean, deviation = by_subsets(x, y, size=100, count=40)
    whole = by_subsets(x, y, size=200, count=1)

    assert mean == pytest.approx(kernel_distance(x, y), abs=4 * deviation / np.sqrt(40))
    assert whole[0] == pytest.approx(kernel_distance(x, y), rel=1e-9)
    assert by_subsets(x, y, size=50, seed=1) == by_subsets(x, y, size=50, seed=1)


@pytest.mark.parametrize(("size", "count"), [(1, 5), (21, 5), (10, 0)])
def test_subsets_that_cannot_be_drawn_are_refused(size, count):
    with pytest.raises(SettingsError, match="2 to 20 images"):
        by_subsets(draw(20), draw(30, seed=1), size=size, count=count)


def test_of_copies_the_own_pairs_are_left_out():
    x = draw(9)
    y = x + 0.1 * draw(9, seed=1)

    def k(a, b):
        return (a @ b / 5 + 1) ** 3

    apart = [(i, j) for i in range(9) for j in range(9) if i != j]
    expected = np.mean([k(x[i], x[j]) + k(y[i], y[j]) - 2 * k(x[i], y[j]) for i, j in apart])

    assert kernel_distance_of_copies(x, y) == pytest.approx(expected, abs=1e-10)
    assert kernel_distance_of_copies(x, x) == pytest.approx(0, abs=1e-12)
    assert kernel_distance(x, x) < -0.1

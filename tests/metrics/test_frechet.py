"""The Fréchet distance is that of Gaussians, of any rank, and as others compute it."""

import numpy as np
import pytest
import scipy.linalg
import torch

from plica.metrics.distribution import Features
from plica.metrics.frechet import extrapolate, frechet, frechet_of_moments


def draw(n, d, *, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d))


def mix(n, d, *, seed):
    """Rows whose features go together."""
    chance = np.random.default_rng(seed)
    return chance.standard_normal((n, d)) @ chance.standard_normal((d, d)) + chance.standard_normal(
        d
    )


def moments(rows):
    return rows.mean(axis=0), np.cov(rows, rowvar=False)


def by_scipy(x, y):
    (mu, sigma), (nu, tau) = moments(x), moments(y)
    root = scipy.linalg.sqrtm(sigma @ tau)
    return float(((mu - nu) ** 2).sum() + np.trace(sigma + tau - 2 * np.real(root)))


@pytest.mark.parametrize(("m", "n", "d"), [(300, 200, 16), (50, 40, 32), (60, 500, 8)])
def test_it_is_what_scipy_s_matrix_root_gives(m, n, d):
    x, y = mix(m, d, seed=1), mix(n, d, seed=2)

    assert frechet(x, y) == pytest.approx(by_scipy(x, y), rel=1e-6)


@pytest.mark.parametrize(("m", "n", "d"), [(400, 300, 24), (20, 30, 64)])
def test_it_is_what_torchmetrics_gives(m, n, d):
    fid = pytest.importorskip("torchmetrics.image.fid", exc_type=ImportError)
    x, y = mix(m, d, seed=3), mix(n, d, seed=4)
    args = [torch.from_numpy(np.asarray(part)) for rows in (x, y) for part in moments(rows)]

    assert frechet(x, y) == pytest.approx(float(fid._compute_fid(*args)), rel=1e-4)


def test_one_and_the_same_set_is_at_distance_zero():
    x = mix(40, 100, seed=5)

    assert frechet(x, x) == pytest.approx(0, abs=1e-8 * np.square(x).sum())
    assert frechet(x, x[::-1]) == pytest.approx(0, abs=1e-8 * np.square(x).sum())


def test_a_shift_counts_its_square():
    x = mix(30, 8, seed=6)

    assert frechet(x, x + 1.0) == pytest.approx(8.0, abs=1e-9)


def test_fewer_images_than_features_need_no_ridge():
    """The rows of both sets lie in a plane of 12 dimensions: the other 500 change nothing."""
    x, y = mix(6, 12, seed=7), mix(5, 12, seed=8)
    turn = scipy.linalg.qr(draw(512, 512, seed=9))[0][:12]

    assert frechet(x @ turn, y @ turn) == pytest.approx(frechet(x, y), rel=1e-9)


def test_the_closed_form_of_two_gaussians_is_approached_as_one_over_n():
    """Of N(0, I) and N(m, s² I): |m|² + d (s − 1)²."""
    d, s, m = 6, 1.5, 0.7
    exact = d * m**2 + d * (s - 1) ** 2

    def excess(n):
        return np.mean([
            frechet(draw(n, d, seed=2 * r), s * draw(n, d, seed=2 * r + 1) + m) - exact
            for r in range(60)
        ])  # fmt: skip

    few, many = excess(50), excess(400)
    assert few > many > -0.05
    assert few / many == pytest.approx(8, rel=0.5)
    assert many < 0.06 * exact


def test_two_samples_of_one_gaussian_come_nearer_with_n():
    values = [frechet(draw(n, 8, seed=n), draw(n, 8, seed=n + 1)) for n in (20, 80, 320, 1280)]

    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.05


def test_extrapolation_takes_most_of_the_bias_away():
    raw, corrected = [], []
    for seed in range(12):
        sets = [
            Features(rows, tuple(map(str, range(len(rows)))), tuple(map(str, range(len(rows)))))
            for rows in (draw(120, 6, seed=2 * seed), draw(120, 6, seed=2 * seed + 1))
        ]
        raw.append(frechet(sets[0].rows, sets[1].rows))
        corrected.append(extrapolate(*sets, seed)["extrapolated"])

    assert np.mean(raw) > 0.1
    assert abs(np.mean(corrected)) < 0.3 * np.mean(raw)


def test_of_one_patient_there_is_no_line_to_extrapolate():
    """Half of one patient is none."""
    names = tuple(map(str, range(40)))
    real, other = (Features(draw(40, 4, seed=seed), ("p",) * 40, names) for seed in (0, 1))

    assert np.isnan(extrapolate(real, other, 0)["extrapolated"])


def test_of_moments_is_of_rows():
    x, y = mix(80, 10, seed=10), mix(90, 10, seed=11)
    means, covariances = zip(*(moments(rows) for rows in (x, y)), strict=True)

    assert frechet_of_moments(means, covariances) == pytest.approx(frechet(x, y), rel=1e-9)

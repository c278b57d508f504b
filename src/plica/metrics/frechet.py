"""Fréchet distance of two sets of features, each taken as a Gaussian: FID, and FVD-style scores.

    d² = |μ_r − μ_o|² + tr Σ_r + tr Σ_o − 2 tr (Σ_r Σ_o)^½

With the centred rows A = (X_r − μ_r) / √(n_r − 1) and B likewise, Σ_r = AᵀA and Σ_o = BᵀB. The
nonzero eigenvalues of Σ_r Σ_o are those of (A Bᵀ)(A Bᵀ)ᵀ, so

    tr (Σ_r Σ_o)^½ = sum of the singular values of A Bᵀ

which holds for any rank: n < d needs no ridge, no square root of a singular matrix, and no complex
numbers whose imaginary part is dropped. Where n > d, A = Q R is replaced by its d × d factor R.

The number is too large at any finite n, by about a / n: half of all images give a larger one. FID∞
(Chong and Forsyth) fits d²(n) = FID∞ + a / n to parts of both sets and gives the intercept.

M. Heusel et al.: GANs trained by a two time-scale update rule, NeurIPS 2017.
M. Chong, D. Forsyth: Effectively unbiased FID and Inception score, CVPR 2020.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from plica.metrics.distribution import Features, Real, Statistic

SHARES = (0.5, 0.55, 0.6, 0.7, 0.8, 0.9, 1.0)
DRAWS = 4  # of each share
LEAST_PER_FEATURE = 2  # rows of the smallest part: below, the distance is no line in 1 / n


def frechet(real: Real, other: Real) -> float:
    """Squared Fréchet distance of the Gaussians of two sets of rows; 0 for one and the same.

    Examples:
        >>> round(frechet(rows, rows + 1.0), 6)  # rows of 8 features
        8.0
    """
    apart = real.mean(axis=0) - other.mean(axis=0)
    A, B = _centre(real), _centre(other)
    shared = float(np.linalg.svd(A @ B.T, compute_uv=False).sum())
    spread = float(np.square(A).sum() + np.square(B).sum())
    # Rounding may leave the difference of equal sets a hair below zero.
    return max(0.0, float(apart @ apart) + spread - 2 * shared)


def frechet_of_moments(means: tuple[Real, Real], covariances: tuple[Real, Real]) -> float:
    """The same of two means and covariances, for published statistics of a set.

    Covariances are symmetric and not negative; what rounding put below zero counts as zero.
    """
    A, B = (_root(covariance) for covariance in covariances)
    shared = float(np.linalg.svd(A @ B, compute_uv=False).sum())
    apart = means[0] - means[1]
    spread = float(np.trace(covariances[0]) + np.trace(covariances[1]))
    return max(0.0, float(apart @ apart) + spread - 2 * shared)


def extrapolate(real: Features, other: Features, seed: int) -> Mapping[str, float]:
    """FID at infinitely many images, by a line through parts of both sets in 1 / n.

    Patients stay whole, and one in both sets is drawn for both. NaN where the parts are too small
    for the line. It may be below zero: it is an estimate, not a distance.
    """
    fewest = min(len(real), len(other))
    if fewest * SHARES[0] < LEAST_PER_FEATURE * real.dims:
        return {"extrapolated": float("nan")}
    chance = np.random.default_rng((seed, 0x1F1D))
    patients = np.array(sorted({*real.patients, *other.patients}))
    whose = [np.searchsorted(patients, np.array(one.patients)) for one in (real, other)]
    places, values = [], []
    for share in SHARES:
        for _ in range(DRAWS if share < 1 else 1):
            drawn = np.zeros(len(patients), bool)
            drawn[chance.permutation(len(patients))[: round(share * len(patients))]] = True
            parts = [one.rows[drawn[w]] for one, w in zip((real, other), whose, strict=True)]
            if min(map(len, parts)) > real.dims:
                places.append(fewest / min(map(len, parts)))
                values.append(frechet(*parts))
    if len(set(places)) < 2:
        return {"extrapolated": float("nan")}
    _, at_infinity = np.polyfit(places, values, 1)
    return {"extrapolated": float(at_infinity)}


def _centre(rows: Real) -> Real:
    """A with AᵀA the covariance (n − 1), and no more rows than features."""
    A: Real = (rows - rows.mean(axis=0)) / np.sqrt(len(rows) - 1)
    return np.asarray(np.linalg.qr(A, mode="r")) if len(A) > A.shape[1] else A


def _root(covariance: Real) -> Real:
    """The symmetric square root."""
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    root: Real = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    return root


FID = Statistic(
    name="fid",
    unit="squared feature",
    better="lower",
    definition=(
        "Squared Fréchet distance of the Gaussians of the features (Heusel 2017), covariances over "
        "n − 1, exact for n below the number of features; too large by about a / n."
    ),
    function=frechet,
    need=lambda dims: dims + 1,
    why="a Fréchet distance is too large at any N, and with no more images than features its "
    "covariances are singular",
    bounds=(0.0, math.inf),
    extras=extrapolate,
)

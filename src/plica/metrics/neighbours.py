"""Precision, recall, density and coverage: sets of features as unions of balls.

A ball B(x) reaches from a row x to its k-th nearest neighbour within its own set; X is the real
set, Y the other, k = 5.

    precision   share of Y inside some ball of X           are they like real ones?
    recall      share of X inside some ball of Y           is everything real among them?
    density     balls of X around each of Y, over k        precision that one outlier cannot swell
    coverage    share of X whose ball holds some of Y      recall that measures X's balls alone

T. Kynkäänniemi et al.: Improved precision and recall metric, NeurIPS 2019.
M. Naeem et al.: Reliable fidelity and diversity metrics for generative models, ICML 2020.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from plica.metrics.distribution import Features, Real, Statistic

K = 5
NEEDED = 200
BLOCK = 512  # rows of the distances at a time


def precision(real: Real, other: Real, k: int = K) -> float:
    """Share of the other rows that lie inside a ball of some real row."""
    return float(np.mean(_count_around(other, real, reaches(real, k)) > 0))


def recall(real: Real, other: Real, k: int = K) -> float:
    """Share of the real rows that lie inside a ball of some other row."""
    return precision(other, real, k)


def density(real: Real, other: Real, k: int = K) -> float:
    """Mean number of real balls around another row, over k; may exceed 1."""
    return float(np.mean(_count_around(other, real, reaches(real, k)))) / k


def coverage(real: Real, other: Real, k: int = K) -> float:
    """Share of the real rows whose ball holds some other row."""
    reach = reaches(real, k)
    nearest = np.concatenate([part.min(axis=1) for _, part in _distances(real, other)])
    return float(np.mean(nearest < reach))


def expect_coverage(n_real: int, n_other: int, k: int = K) -> float:
    """Coverage of two sets of one distribution, whatever it is.

    1 − Π_{i=1…k} (n_r − i) / (n_r + n_o − i): a real row's k nearest neighbours among all rows are
    then all real ones by chance alone (Naeem 2020, Lemma 2).
    """
    return 1 - math.prod((n_real - i) / (n_real + n_other - i) for i in range(1, k + 1))


def reaches(rows: Real, k: int = K) -> Real:
    """Distance of each row to its k-th nearest other row of the set."""
    out = []
    for start, part in _distances(rows, rows):
        # Rounding gives a row a small distance to itself: it must not push its neighbours on.
        part[np.arange(len(part)), start + np.arange(len(part))] = 0.0
        out.append(np.partition(part, k, axis=1)[:, k])
    return np.concatenate(out)


def _count_around(points: Real, centres: Real, reach: Real) -> NDArray[np.intp]:
    """How many balls each point lies in."""
    return np.concatenate(
        [np.count_nonzero(part < reach, axis=1) for _, part in _distances(points, centres)]
    )


def _distances(x: Real, y: Real) -> Iterator[tuple[int, Real]]:
    """Euclidean distances of some rows of x to all of y, with the first one's place."""
    # About a common middle: squared lengths far from the origin would cancel.
    middle = y.mean(axis=0)
    x, y = x - middle, y - middle
    lengths = np.square(y).sum(axis=1)
    for start in range(0, len(x), BLOCK):
        part = x[start : start + BLOCK]
        squares = np.square(part).sum(axis=1)[:, None] + lengths - 2 * part @ y.T
        yield start, np.sqrt(np.clip(squares, 0, None))


def _expected(real: Features, other: Features, _: int) -> Mapping[str, float]:
    return {"of equal distributions": expect_coverage(len(real), len(other))}


def _need(_: int) -> int:
    return NEEDED


_WHY = "a share of N images has a standard error of up to 1 / (2 √N), 3.5 % at 200"
_SHARE = (0.0, 1.0)

PRECISION = Statistic(
    name="precision",
    unit="1",
    better="higher",
    definition=(
        "Share of the other images that lie nearer to some real one than its 5th nearest real "
        "neighbour does (Kynkäänniemi 2019, k = 5)."
    ),
    function=precision,
    need=_need,
    why=_WHY,
    fewest=K + 1,
    bounds=_SHARE,
)

RECALL = Statistic(
    name="recall",
    unit="1",
    better="higher",
    definition=(
        "Share of the real images that lie nearer to some other one than its 5th nearest neighbour "
        "among the others does (Kynkäänniemi 2019, k = 5)."
    ),
    function=recall,
    need=_need,
    why=_WHY,
    fewest=K + 1,
    bounds=_SHARE,
)

DENSITY = Statistic(
    name="density",
    unit="1",
    better="higher",
    definition=(
        "Mean number of real images whose 5th nearest real neighbour is farther than another "
        "image, over 5 (Naeem 2020, k = 5); about 1 for equal distributions, and above it where "
        "the others crowd."
    ),
    function=density,
    need=_need,
    why=_WHY,
    fewest=K + 1,
    bounds=(0.0, math.inf),
)

COVERAGE = Statistic(
    name="coverage",
    unit="1",
    better="higher",
    definition=(
        "Share of the real images that have another one nearer than their 5th nearest real "
        "neighbour (Naeem 2020, k = 5)."
    ),
    function=coverage,
    need=_need,
    why=_WHY,
    fewest=K + 1,
    bounds=_SHARE,
    extras=_expected,
)

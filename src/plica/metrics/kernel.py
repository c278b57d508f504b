"""Kernel distance of two sets of features: KID, the unbiased squared maximum mean discrepancy.

    k(x, y) = (xᵀy / d + 1)³
    KID = Σ_{i≠j} k(x_i, x_j) / m(m − 1) + Σ_{i≠j} k(y_i, y_j) / n(n − 1) − 2 Σ k(x_i, y_j) / mn

All pairs of both sets are taken, which is what averages over random subsets estimate; `by_subsets`
gives those. Unbiased at any n: equal distributions give values about zero, on both sides of it.

That is so of sets drawn apart from each other. Of copies, y_i made of x_i, the pairs (x_i, y_i) are
far too alike, and the number falls below zero; they are left out, as (x_i, x_i) are, which gives
Gretton's U-statistic over pairs of pairs: unbiased, and 0 for a set and itself.

A. Gretton et al.: A kernel two-sample test, JMLR 13, 2012, equation 4.
M. Bińkowski, D. Sutherland, M. Arbel, A. Gretton: Demystifying MMD GANs, ICLR 2018.
"""

from __future__ import annotations

import numpy as np

from plica.errors import SettingsError
from plica.metrics.distribution import Real, Statistic

DEGREE = 3
BLOCK = 1024  # rows of the kernel at a time: 16 MiB for a thousand columns
NEEDED = 100


def kernel_distance(real: Real, other: Real) -> float:
    """KID of all rows of both sets.

    Examples:
        >>> round(kernel_distance(rows[:50], rows[50:]), 3)
        -0.085
    """
    m, n = len(real), len(other)
    within_real = (_sum(real, real) - _sum_of_diagonal(real)) / (m * (m - 1))
    within_other = (_sum(other, other) - _sum_of_diagonal(other)) / (n * (n - 1))
    return within_real + within_other - 2 * _sum(real, other) / (m * n)


def kernel_distance_of_copies(real: Real, other: Real) -> float:
    """KID of sets whose rows belong together, without the pairs of a row and its own copy.

    Examples:
        >>> kernel_distance_of_copies(rows, rows)
        0.0
    """
    n = len(real)
    within = _sum(real, real) - _sum_of_diagonal(real) + _sum(other, other)
    within -= _sum_of_diagonal(other)
    pairs = np.einsum("nd,nd->n", real, other)
    own = float(((pairs / real.shape[1] + 1) ** DEGREE).sum())
    return (within - 2 * (_sum(real, other) - own)) / (n * (n - 1))


def by_subsets(
    real: Real, other: Real, *, size: int, count: int = 100, seed: int = 0
) -> tuple[float, float]:
    """Mean and standard deviation of KID over random subsets of both sets, as it is published.

    The deviation is one of subsets of that size, and no error of the mean.

    Raises:
        SettingsError: The size is below 2, or beyond a set; or the count below 1.
    """
    if not 2 <= size <= min(len(real), len(other)) or count < 1:
        raise SettingsError(
            f"KID takes 1 or more subsets of 2 to {min(len(real), len(other))} images here, but "
            f"{count} of {size} were asked for"
        )
    chance = np.random.default_rng((seed, 0x4B1D))
    values = [
        kernel_distance(*(rows[chance.permutation(len(rows))[:size]] for rows in (real, other)))
        for _ in range(count)
    ]
    return float(np.mean(values)), float(np.std(values))


def _sum(x: Real, y: Real) -> float:
    """Of the kernel over all pairs."""
    return sum(
        float(((x[start : start + BLOCK] @ y.T / x.shape[1] + 1) ** DEGREE).sum())
        for start in range(0, len(x), BLOCK)
    )


def _sum_of_diagonal(x: Real) -> float:
    return float(((np.square(x).sum(axis=1) / x.shape[1] + 1) ** DEGREE).sum())


KID = Statistic(
    name="kid",
    unit="1",
    better="lower",
    definition=(
        "Unbiased squared maximum mean discrepancy with the kernel (xᵀy/d + 1)³ over all pairs "
        "(Bińkowski 2018), but those of an image and its own copy; not multiplied by 1000; about "
        "zero, and below it too, for equal distributions."
    ),
    function=kernel_distance,
    need=lambda _: NEEDED,
    why="KID is unbiased at any N, but with fewer its spread is as wide as most differences",
    of_copies=kernel_distance_of_copies,
)

"""Mixed effects: does a codec's ceiling say what a task makes of its images, within one data set.

Points of several data sets lie along a line whenever the sets differ in how hard they are, whether
or not the ceiling means anything. So the slope is that *within* data sets, with a height of its own
for each, and images of one patient share a random height:

    score = β ceiling + α_dataset + u_patient + e        u ~ N(0, σ_u²),  e ~ N(0, σ²)

    R²_marginal = var(β ceiling) / (var(β ceiling) + σ_u² + σ²)     within data sets
    R²_conditional = (var(β ceiling) + σ_u²) / (the same)

With few patients the normal quantile finds slopes in nothing. Student's t is used, with as many
degrees of freedom as the slope has (Fai and Cornelius 1996, for one coefficient Satterthwaite's):

    ν = 2 v² / (gᵀ A g),   v = var(β̂),  g = its gradient over (σ_u², σ²),  A = their covariance

A ceiling that differs between patients more than within them has little more than patients to go
by. ν is at most points less coefficients, and at least 1.

N. Laird, J. Ware: Random-effects models for longitudinal data, Biometrics 38, 1982.
A. Fai, P. Cornelius: Approximate F-tests of multiple degree of freedom hypotheses in generalized
least squares analyses of unbalanced split-plot experiments, J Stat Comput Simul 54, 1996.
S. Nakagawa, H. Schielzeth: A general and simple method for obtaining R², Methods Ecol Evol 4, 2013.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from plica.errors import InputError, MissingExtra
from plica.evaluation.bootstrap import FEWEST_PATIENTS, import_scipy_stats
from plica.evaluation.text import say_number

Numbers = NDArray[np.float64]
Method = Literal["mixed", "fixed"]

LEVEL = 0.95
MOST_EXACT = 3000  # points whose covariance is written out: 72 MB of it


@dataclass(frozen=True)
class Regression:
    """A slope within data sets, and what a pooled line would have said.

    Args:
        slope: Of the score over the ceiling, within data sets, patients told apart.
        low: Lower end of its 95 % interval.
        high: Upper end.
        p: Two-sided, of no slope.
        pooled: Slope of one line through everything: what not to report.
        pooled_r2: Its r², the squared correlation of everything.
        marginal_r2: Of the variance within data sets, what the ceiling explains.
        conditional_r2: What ceiling and patient explain.
        n: Points.
        patients: How many.
        datasets: How many.
        method: "mixed" (random patients), or "fixed" (a height for each of few).
        freedom: Degrees of freedom of Student's t behind p and the interval.
    """

    slope: float
    low: float
    high: float
    p: float
    pooled: float
    pooled_r2: float
    marginal_r2: float
    conditional_r2: float
    n: int
    patients: int
    datasets: int
    method: Method
    freedom: float = math.nan

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready record; what has no meaning is null."""
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in vars(self).items()
        }

    def __str__(self) -> str:
        return (
            f"slope within data sets {say_number(self.slope, 3)} ({100 * LEVEL:g} % CI "
            f"{say_number(self.low, 3)} to {say_number(self.high, 3)}, p = {self.p:.2g}, "
            f"{self.freedom:.3g} degrees of freedom; "
            f"marginal R² {self.marginal_r2:.2f}, conditional {self.conditional_r2:.2f}; {self.n} "
            f"points, {self.patients} patients, {self.datasets} data sets); pooled "
            f"{say_number(self.pooled, 3)}, r² {self.pooled_r2:.2f}"
        )


def regress(
    ceiling: Numbers,
    score: Numbers,
    patients: Sequence[str],
    datasets: Sequence[str] | None = None,
    *,
    method: Method | None = None,
) -> Regression:
    """Regress a downstream score on a codec's ceiling, point by point.

    Args:
        ceiling: What the codec alone keeps of an image (PSNR, say); one for each point.
        score: What the task made of it.
        patients: Whose image each point is of. Equal names in two data sets are two people.
        datasets: Which data set each is of; None: one.
        method: "mixed" takes patients as drawn at random (REML), "fixed" gives each a height of
            its own. None takes "mixed" from `FEWEST_PATIENTS` patients with several points on:
            below, a variance between patients cannot be told.

    Raises:
        InputError: Lengths differ, a number is not finite, the ceiling does not vary within a data
            set, there are too few points, or the fit does not converge.
        MissingExtra: scipy or statsmodels is not installed.

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> psnr = rng.normal(40, 3, 60)
        >>> auroc = 0.9 + 0.01 * (psnr - 40) + rng.normal(0, 0.01, 60)
        >>> found = regress(psnr, auroc, [f"p{n // 2}" for n in range(60)], method="fixed")
        >>> round(found.slope, 3)
        0.01
    """
    x, y = (np.asarray(column, dtype=np.float64) for column in (ceiling, score))
    sets = _number(datasets if datasets is not None else ("",) * len(x), len(x))
    people = _nest(_number(patients, len(x)), sets)
    _refuse(x, y, sets)
    chosen = method or _choose(people)
    slope, error, freedom, shares = (_fit_mixed if chosen == "mixed" else _fit_fixed)(
        x, y, people, sets
    )
    low, high, p = _reach(slope, error, freedom)
    pooled = float(np.cov(x, y)[0, 1] / x.var(ddof=1))
    r = float(np.corrcoef(x, y)[0, 1]) if y.std() > 0 else 0.0
    return Regression(
        slope, low, high, p, pooled, r * r, *shares, n=len(x), patients=int(people.max()) + 1,
        datasets=int(sets.max()) + 1, method=chosen, freedom=freedom,
    )  # fmt: skip


def _number(names: Sequence[str], count: int) -> NDArray[np.intp]:
    if len(names) != count:
        raise InputError(f"{count} points have {len(names)} names of patients or data sets")
    return np.unique(np.array(names, dtype=np.str_), return_inverse=True)[1]


def _nest(people: NDArray[np.intp], sets: NDArray[np.intp]) -> NDArray[np.intp]:
    """Patients within data sets: a name is unique in its own set alone."""
    return np.unique(people * (int(sets.max(initial=0)) + 1) + sets, return_inverse=True)[1]


def _reach(slope: float, error: float, freedom: float) -> tuple[float, float, float]:
    """Both ends of the slope's interval, and its two-sided p, by Student's t."""
    t = import_scipy_stats().t
    reach = float(t.ppf((1 + LEVEL) / 2, freedom)) * error
    p = 2 * float(t.sf(abs(slope) / error, freedom)) if error > 0 else float(slope == 0)
    return slope - reach, slope + reach, p


def _refuse(x: Numbers, y: Numbers, sets: NDArray[np.intp]) -> None:
    if x.shape != y.shape or x.ndim != 1:
        raise InputError(f"ceilings and scores are of the shapes {x.shape} and {y.shape}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise InputError("a ceiling or a score is no finite number: leave those images out")
    if len(x) < int(sets.max(initial=0)) + 4:
        raise InputError(f"{len(x)} points are too few for a slope: give one for each image")
    if not np.ptp(_within(x, sets)) > 1e-12 * max(1.0, float(np.abs(x).max())):
        raise InputError(
            "the ceiling does not vary within any data set, so there is no slope: give points "
            "image by image, not means of data sets"
        )


def _choose(people: NDArray[np.intp]) -> Method:
    repeated = int((np.bincount(people) > 1).sum())
    return "mixed" if repeated >= FEWEST_PATIENTS else "fixed"


def _within(values: Numbers, groups: NDArray[np.intp]) -> Numbers:
    """Less each group's mean."""
    means = np.bincount(groups, weights=values) / np.bincount(groups)
    return np.asarray(values - means[groups])


Fit = tuple[float, float, float, tuple[float, float]]  # slope, error, freedom, shares


def _fit_mixed(x: Numbers, y: Numbers, people: NDArray[np.intp], sets: NDArray[np.intp]) -> Fit:
    """Random patients, fixed data sets, by restricted maximum likelihood."""
    try:
        import statsmodels.api as sm
    except ImportError as error:
        raise MissingExtra("mixed-effects regression", "statsmodels", "eval") from error
    centred = _within(x, sets)
    heights = np.eye(int(sets.max()) + 1)[sets]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of steps on the way; whether it arrived is asked below
        found = sm.MixedLM(y, np.column_stack([centred, heights]), groups=people).fit(
            reml=True, method=["bfgs", "lbfgs", "cg", "powell", "nm"]
        )
        deviation = float(found.bse_fe[0])
    slope = float(found.params[0])
    if not found.converged or not math.isfinite(deviation):
        raise InputError(
            "the mixed model did not converge: patients may not differ at all; say method='fixed'"
        )
    explained = float(np.var(slope * centred))
    between, noise = float(np.asarray(found.cov_re)[0, 0]), float(found.scale)
    total = explained + between + noise
    shares = (explained / total, (explained + between) / total) if total else (math.nan, math.nan)
    design = np.column_stack([centred, heights])
    return slope, deviation, _satterthwaite(design, people, between, noise), shares


def _satterthwaite(
    design: Numbers, people: NDArray[np.intp], between: float, noise: float
) -> float:
    """Degrees of freedom of the first coefficient, from the spread of the two variances.

    With V = σ_u² Z Zᵀ + σ² I and P what it leaves of the design, the variances' information by
    REML is I_jk = ½ tr(P V_j P V_k). Sums over patients stand for the products with Z.
    """
    n, most = len(design), float(len(design) - design.shape[1])
    if noise <= 0:
        return most
    if n > MOST_EXACT:
        return _between_within(design, people)
    same = (people[:, None] == people).astype(np.float64)
    inverse = np.linalg.inv(between * same + noise * np.eye(n))
    weighted = inverse @ design
    spread = np.linalg.inv(design.T @ weighted)
    rest = inverse - weighted @ spread @ weighted.T
    turned = (rest @ same, rest)
    information = np.array([[0.5 * np.sum(a * b.T) for b in turned] for a in turned])
    lever = weighted @ spread[:, 0]
    gradient = np.array([lever @ same @ lever, lever @ lever])
    doubt = float(gradient @ np.linalg.pinv(information) @ gradient)
    found = 2 * float(spread[0, 0]) ** 2 / doubt if doubt > 0 else most
    return min(max(found, 1.0), most)


def _between_within(design: Numbers, people: NDArray[np.intp]) -> float:
    """Patients less coefficients: what there is at the least, where there are many of them."""
    return float(max(1, int(people.max()) + 1 - design.shape[1]))


def _fit_fixed(x: Numbers, y: Numbers, people: NDArray[np.intp], sets: NDArray[np.intp]) -> Fit:
    """A height for each data set, and for each patient who has several points."""
    repeated = (np.bincount(people) > 1)[people]
    groups = np.where(repeated, people, int(people.max()) + 1 + sets)
    _, groups = np.unique(groups, return_inverse=True)
    a, b = _within(x, groups), _within(y, groups)
    freedom = len(x) - int(groups.max()) - 2
    if freedom < 1 or not a @ a > 0:
        raise InputError(
            "the ceiling does not vary within any patient, or there are too few points for heights "
            "of their own: give more images, or more codecs for each"
        )
    slope = float(a @ b / (a @ a))
    rest = b - slope * a
    error = math.sqrt(float(rest @ rest) / freedom / float(a @ a))
    inside = _within(y, sets)
    total = float(inside @ inside)
    explained = float(np.var(slope * _within(x, sets))) * len(x)
    shares = (
        min(1.0, explained / total) if total else math.nan,
        1 - float(rest @ rest) / total if total else math.nan,
    )
    return slope, error, float(freedom), shares

"""How far one set of images is from another: features, the distance, and what it is worth at N.

A distance between sets is a number with a bias and a spread that depend on how many images there
are and of how many patients. So it never comes alone here:

    value      between all rows of both sets
    interval   delete-a-group jackknife: patients are dealt into G ≤ 20 groups, and each group is
               left out of both sets at once, s² = (G − 1) / G Σ (θ₍g₎ − θ̄)²; θ ± t(G − 1) s.
               A patient in both sets (an image and its decoded copy) leaves both together
    floor      the same number between two halves of the real set, patients whole, drawn anew
               `repeats` times: what "equal" looks like at half as many images
    needed     how many rows of each set the number wants; fewer give a warning

J. Shao, C. Wu: A general theory for jackknife variance estimation, Ann. Stat. 17(3), 1989.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.errors import InputError, SettingsError, UnusablePixels
from plica.metrics.metric import Better
from plica.registry import Registry

Real = NDArray[np.float64]
Rows = NDArray[np.intp]

DISTANCES = Registry(
    "distance between sets",
    (
        ("fid", "plica.metrics.frechet:FID"),
        ("kid", "plica.metrics.kernel:KID"),
        ("precision", "plica.metrics.neighbours:PRECISION"),
        ("recall", "plica.metrics.neighbours:RECALL"),
        ("density", "plica.metrics.neighbours:DENSITY"),
        ("coverage", "plica.metrics.neighbours:COVERAGE"),
    ),
)
FEWEST_ROWS = 2
GROUPS = 20
FEWEST_GROUPS = 5  # Cornish and Fisher's t is good to 0.5 % from there on
FEWEST_PATIENTS = 20
REPEATS = 20
NO_FLOOR = "no floor: half of the real set is too small"
NORMAL = 1.959963984540054  # 97.5 % of a normal distribution lie below


@dataclass(frozen=True, eq=False)
class Features:
    """What an extractor made of a set of images.

    Args:
        rows: (n, d), one for each picture or volume.
        patients: Whose image each row is of: rows of one patient are not independent.
        names: Which image, and which slice of it, each row is of.
        extractor: What made them, as a JSON-ready record: sets are comparable where it is equal.

    Raises:
        InputError: Rows, names and patients are not of one number, or there is no row.
        UnusablePixels: A feature is not finite.
    """

    rows: Real
    patients: tuple[str, ...]
    names: tuple[str, ...]
    extractor: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rows = np.asarray(self.rows, np.float64)
        if rows.ndim != 2 or not rows.size:
            raise InputError(
                f"a set's features are a table (image, feature), but got the shape {rows.shape}: "
                "give at least one image"
            )
        if not len(rows) == len(self.patients) == len(self.names):
            raise InputError(
                f"{len(rows)} rows of features have {len(self.patients)} patients and "
                f"{len(self.names)} names: give one of each for every row"
            )
        broken = ~np.isfinite(rows).all(axis=1)
        if broken.any():
            first = self.names[int(np.argmax(broken))]
            raise UnusablePixels(
                f"{int(broken.sum())} of {len(rows)} images have features that are not finite, the "
                f"first of them {first}: look at its pixels for NaN, or leave it out"
            )
        object.__setattr__(self, "rows", rows)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def dims(self) -> int:
        """Features of a row."""
        return int(self.rows.shape[1])

    @classmethod
    def join(cls, parts: Sequence[Features]) -> Features:
        """The rows of several, in order.

        Raises:
            InputError: There are none, or two extractors made them.
        """
        if not parts:
            raise InputError("there are no features to join: the set has no images")
        for part in parts[1:]:
            check_alike(parts[0], part)
        return cls(
            rows=np.concatenate([part.rows for part in parts]),
            patients=tuple(patient for part in parts for patient in part.patients),
            names=tuple(name for part in parts for name in part.names),
            extractor=parts[0].extractor,
        )


@dataclass(frozen=True)
class Statistic:
    """One number between two sets of features.

    Args:
        name: As in the table.
        unit: "1", or of what.
        better: Which way is better.
        definition: One sentence that says what is computed, with its constants.
        function: Computes it of real and other rows.
        need: Rows of each set it wants, of the number of features.
        why: Why it wants them.
        fewest: Rows without which there is no number.
        bounds: What the number cannot go beyond; its interval is cut there.
        of_copies: Instead of `function` where each row of one set is a copy of a row of the other.
        extras: Further numbers beside it, by name; NaN where they have no meaning.
    """

    name: str
    unit: str
    better: Better
    definition: str
    function: Callable[[Real, Real], float]
    need: Callable[[int], int]
    why: str
    fewest: int = FEWEST_ROWS
    bounds: tuple[float, float] = (-math.inf, math.inf)
    of_copies: Callable[[Real, Real], float] | None = None
    extras: Callable[[Features, Features, int], Mapping[str, float]] | None = None

    def choose(self, real: Features, other: Features) -> Callable[[Real, Real], float]:
        """What computes it of these sets: copies stand beside their sources, row by row."""
        copies = (real.names, real.patients) == (other.names, other.patients)
        return self.of_copies if copies and self.of_copies is not None else self.function


@dataclass(frozen=True)
class Floor:
    """The number between halves of the real set.

    Args:
        median: Over the splits.
        low: 2.5 % of the splits lie below.
        high: 2.5 % lie above.
        n: Rows of a half, on average.
        repeats: How many splits.
    """

    median: float
    low: float
    high: float
    n: int
    repeats: int


@dataclass(frozen=True)
class Distance:
    """A number between two sets with all that is needed to read it.

    Args:
        metric: Its name.
        value: The number; NaN where a warning says so.
        unit: Its unit.
        better: Which way is better.
        definition: What was computed.
        n_real: Rows of the real set.
        n_other: Rows of the other.
        patients: Patients of the real and of the other set.
        dims: Features of a row.
        interval: 95 %, over patients; None where there are too few.
        floor: Of the real set's halves; None where they are too few.
        needed: Rows each set should have.
        warnings: Why not to trust it.
        extras: Further numbers, by name.
        extractor: What made the features.
    """

    metric: str
    value: float
    unit: str
    better: Better
    definition: str
    n_real: int
    n_other: int
    patients: tuple[int, int]
    dims: int
    interval: tuple[float, float] | None
    floor: Floor | None
    needed: int
    warnings: tuple[str, ...] = ()
    extras: Mapping[str, float] = field(default_factory=dict)
    extractor: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """A record that `json.dumps(…, allow_nan=False)` takes: null for what has no meaning."""
        record = vars(self) | {
            "value": _finite(self.value),
            "patients": list(self.patients),
            "interval": None if self.interval is None else list(self.interval),
            "floor": None if self.floor is None else vars(self.floor),
            "warnings": list(self.warnings),
            "extras": {name: _finite(value) for name, value in self.extras.items()},
            "extractor": dict(self.extractor),
        }
        return dict(record)


def compare_sets(
    real: Features, other: Features, metric: str, *, seed: int = 0, repeats: int = REPEATS
) -> Distance:
    """How far a set of images is from the real one.

    Args:
        metric: A name in `DISTANCES`.
        seed: Deals patients into groups and halves.
        repeats: Splits behind the floor; 0 leaves it out.

    Raises:
        InputError: A set is too small, or the features are not of one kind.
        SettingsError: `repeats` is below zero.
        UnknownName: There is no such metric.

    Examples:
        >>> round(compare_sets(real, generated, "kid").value, 3)
        1.354
    """
    if repeats < 0:
        raise SettingsError(f"the floor is taken of 0 or more splits, but {repeats} were asked for")
    statistic: Statistic = DISTANCES.get_thing(metric)
    check_alike(real, other)
    for role, rows in (("real", real), ("other", other)):
        if len(rows) < statistic.fewest:
            raise InputError(
                f"the {role} set has {len(rows)} image{'s' * (len(rows) != 1)}, but {metric} needs "
                f"at least {statistic.fewest} in each: give more"
            )
    needed = statistic.need(real.dims)
    interval, why_none = estimate_interval(statistic, real, other, seed=seed)
    floor = find_floor(statistic, real, seed=seed, repeats=repeats)
    if repeats and floor is None:
        why_none += (NO_FLOOR,)
    return Distance(
        metric=metric,
        value=statistic.choose(real, other)(real.rows, other.rows),
        unit=statistic.unit,
        better=statistic.better,
        definition=statistic.definition,
        n_real=len(real),
        n_other=len(other),
        patients=(len(set(real.patients)), len(set(other.patients))),
        dims=real.dims,
        interval=interval,
        floor=floor,
        needed=needed,
        warnings=(*warn(real, other, needed, statistic.why), *why_none),
        extras={} if statistic.extras is None else statistic.extras(real, other, seed),
        extractor=real.extractor,
    )


def check_alike(real: Features, other: Features) -> None:
    """Refuse features that two extractors made.

    Raises:
        InputError: They differ in number or in their maker.
    """
    if dict(real.extractor) != dict(other.extractor):
        names = [one.extractor.get("name", "an unnamed one") for one in (real, other)]
        named = " and ".join(names) if names[0] != names[1] else f"{names[0]}, differently set,"
        raise InputError(
            f"features of two extractors cannot be compared: {named} made them; extract both sets "
            "with the same one, the same weights and the same slices"
        )
    if real.dims != other.dims:
        raise InputError(
            f"one set has {real.dims} features for each image, the other {other.dims}: extract "
            "both with the same extractor"
        )


def warn(real: Features, other: Features, needed: int, why: str) -> tuple[str, ...]:
    """Why a number between these sets is not to be trusted."""
    said = []
    fewest = min(len(real), len(other))
    if fewest < needed:
        said.append(f"N = {fewest} is below the {needed} it needs: {why}")
    patients = min(len(set(real.patients)), len(set(other.patients)))
    if patients < FEWEST_PATIENTS:
        said.append(f"only {patients} patients: interval and floor are rough below 20")
    if len(real) > 2 * len(set(real.patients)):
        said.append(
            f"{len(real)} rows are of {len(set(real.patients))} patients: rows of one patient are "
            "alike, so N counts for less than it says"
        )
    return tuple(said)


# -- spread --------------------------------------------------------------------------------------


def estimate_interval(
    statistic: Statistic, real: Features, other: Features, *, seed: int
) -> tuple[tuple[float, float] | None, tuple[str, ...]]:
    """A 95 % interval by leaving out groups of patients; or none, and why."""
    function = statistic.choose(real, other)
    groups = deal((*real.patients, *other.patients), seed=seed)
    if len(groups) < FEWEST_GROUPS:
        return None, (f"no interval: {FEWEST_GROUPS} patients are the fewest it is taken of",)
    values = []
    for group in groups:
        kept = [rows.rows[keep_rows(rows.patients, group)] for rows in (real, other)]
        if min(map(len, kept)) < statistic.fewest:
            return None, ("no interval: without one group of patients too few images are left",)
        values.append(function(*kept))
    G = len(groups)
    s = math.sqrt((G - 1) / G * float(np.square(np.array(values) - np.mean(values)).sum()))
    value = function(real.rows, other.rows)
    if not (math.isfinite(s) and math.isfinite(value)):
        return None, ("no interval: the number has no meaning without some group of patients",)
    reach = quantile_t(G - 1) * s
    least, most = statistic.bounds
    return (max(value - reach, least), min(value + reach, most)), ()


def find_floor(
    statistic: Statistic, real: Features, *, seed: int, repeats: int = REPEATS
) -> Floor | None:
    """The number between halves of the real set; None where a half is too small."""
    values, sizes = [], []
    for first in split_halves(real.patients, seed=seed, repeats=repeats):
        halves = real.rows[first], real.rows[~first]
        if min(map(len, halves)) < statistic.fewest:
            return None
        values.append(statistic.function(*halves))
        sizes.append(min(map(len, halves)))
    return summarise_floor(values, sizes)


def summarise_floor(values: Sequence[float], sizes: Sequence[int]) -> Floor | None:
    """Median and middle 95 % of the splits' values; None where there are none."""
    if not values or not np.isfinite(values).all():
        return None
    low, median, high = (float(v) for v in np.percentile(values, (2.5, 50.0, 97.5)))
    return Floor(median, low, high, n=round(float(np.mean(sizes))), repeats=len(values))


def split_halves(patients: Sequence[str], *, seed: int, repeats: int) -> list[NDArray[np.bool_]]:
    """Which rows are in the first half, for each split; patients stay whole.

    Patients are put, in a drawn order, each into the half that has fewer rows.
    """
    unique, whose = np.unique(np.array(patients, dtype=str), return_inverse=True)
    counts = np.bincount(whose)
    if len(unique) < 2:
        return []
    chance = np.random.default_rng((seed, 0x0F10))
    splits = []
    for _ in range(repeats):
        first = np.zeros(len(unique), bool)
        sizes = [0, 0]
        for patient in chance.permutation(len(unique)):
            half = int(sizes[1] < sizes[0])
            first[patient] = half == 0
            sizes[half] += counts[patient]
        splits.append(first[whose])
    return splits


def deal(patients: Sequence[str], *, seed: int, groups: int = GROUPS) -> list[frozenset[str]]:
    """Patients in at most `groups` groups of nearly one size."""
    unique = sorted(set(patients))
    drawn = np.random.default_rng((seed, 0xDEA1)).permutation(len(unique))
    n = min(groups, len(unique))
    return [frozenset(unique[patient] for patient in drawn[g::n]) for g in range(n)]


def keep_rows(patients: Sequence[str], left_out: frozenset[str]) -> NDArray[np.bool_]:
    """Rows of none of those patients."""
    return np.array([patient not in left_out for patient in patients], dtype=bool)


def quantile_t(freedom: int) -> float:
    """97.5 % of Student's t lie below, by Cornish and Fisher's expansion; for 4 and more."""
    z, v = NORMAL, freedom
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return float(z + first / v + second / v**2 + third / v**3)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

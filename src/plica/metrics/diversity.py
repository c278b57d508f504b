"""Diversity: how alike the images of one set are to each other, by MS-SSIM between patients.

    s = mean of MS-SSIM(a, b) over pairs {a, b} of two patients        high: few kinds of image
    gap = s(other) − s(real)                                           above zero: less diverse

Pairs are drawn without return. Where both sets hold the same images (decoded copies), the same
pairs are taken in both. The interval is a bootstrap over patients: drawn w_p times each, a pair
counts w_a · w_b times, so that two pairs with an image in common are not taken for independent.

W. Pinaya et al.: Brain imaging generation with latent diffusion models, DGM4MICCAI 2022.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plica.errors import InputError, SettingsError, UnusablePixels
from plica.metrics.distribution import (
    FEWEST_PATIENTS,
    NO_FLOOR,
    REPEATS,
    Distance,
    Floor,
    Real,
    split_halves,
    summarise_floor,
)
from plica.metrics.pair import Pair
from plica.metrics.structural import MS_SSIM

PAIRS = 300
BOOTSTRAPS = 1000
NEEDED = 40
DEFINITION = (
    "Mean MS-SSIM between images of two patients in the other set, less that in the real set: "
    "above zero where the other set is less diverse. Data range 1."
)
_FEWEST_IN_INTERVAL = 5
_LISTED = 1500  # images whose pairs, a million, are listed before some are drawn


@dataclass(frozen=True, eq=False)
class Pictures:
    """Images of a set, all brought to one size and to [0, 1].

    Args:
        values: (n, i, j, k), k = 1 for pictures.
        patients: Whose image each is.
        names: Which image each is.
        prepared: How they were brought there, in words: sets are comparable where it is equal.

    Raises:
        InputError: Values, patients and names are not of one number, or of no image.
        UnusablePixels: A value is not finite.
    """

    values: NDArray[np.float32]
    patients: tuple[str, ...]
    names: tuple[str, ...]
    prepared: str = ""

    def __post_init__(self) -> None:
        if self.values.ndim != 4 or not self.values.size:
            raise InputError(
                f"pictures are a table (image, i, j, k), but got the shape {self.values.shape}: "
                "give at least one image"
            )
        if not len(self.values) == len(self.patients) == len(self.names):
            raise InputError(
                f"{len(self.values)} pictures have {len(self.patients)} patients and "
                f"{len(self.names)} names: give one of each for every picture"
            )
        if not np.isfinite(self.values).all():
            raise UnusablePixels("the pictures hold values that are not finite: look for NaN")

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, eq=False)
class Likeness:
    """MS-SSIM of pairs of a set.

    Args:
        scores: One for each pair.
        first: The place of each pair's first image.
        second: And of its second.
        patients: Of all images of the set.
    """

    scores: Real
    first: NDArray[np.intp]
    second: NDArray[np.intp]
    patients: tuple[str, ...]

    @property
    def mean(self) -> float:
        """Over pairs: 1 where all images are the same."""
        return float(self.scores.mean())

    def weigh(self, counts: dict[str, float]) -> float:
        """The mean with each patient drawn so many times; NaN where no pair is left."""
        times = np.array([counts.get(patient, 0.0) for patient in self.patients])
        weights = times[self.first] * times[self.second]
        total = float(weights.sum())
        return float(weights @ self.scores) / total if total else math.nan


def measure_likeness(
    pictures: Pictures,
    *,
    pairs: int = PAIRS,
    seed: int = 0,
    tell: Callable[[int, int], None] | None = None,
) -> Likeness:
    """MS-SSIM of drawn pairs of a set's images, never two of one patient.

    Args:
        pairs: How many; all there are where there are fewer.
        tell: Told how many of how many are done.

    Raises:
        InputError: There are not two patients.
        SettingsError: `pairs` is below one.

    Examples:
        >>> from plica.metrics.pictures import gather
        >>> round(measure_likeness(gather(samples)).mean, 2)
        0.47
    """
    if pairs < 1:
        raise SettingsError(f"diversity is taken of 1 or more pairs, but {pairs} were asked for")
    first, second = draw_pairs(pictures.patients, pairs, seed=seed)
    if not len(first):
        raise InputError(
            "diversity compares images of two patients, but the set has "
            f"{len(pictures)} image{'s' * (len(pictures) != 1)} of one: give more patients"
        )
    scores = np.empty(len(first))
    for place, (a, b) in enumerate(zip(first, second, strict=True)):
        scores[place] = _score(pictures.values[a], pictures.values[b])
        if tell is not None:
            tell(place + 1, len(scores))
    if not np.isfinite(scores).all():
        sides = "×".join(map(str, pictures.values.shape[1:]))
        raise UnusablePixels(f"pictures of {sides} are too small for MS-SSIM: make them larger")
    return Likeness(scores, first, second, pictures.patients)


def draw_pairs(
    patients: Sequence[str], count: int, *, seed: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pairs of places that hold two patients, without return, in a drawn order."""
    if len(patients) > _LISTED:
        return _draw_few(patients, count, seed=seed)
    first, second = np.triu_indices(len(patients), k=1)
    whose = np.unique(np.array(patients, dtype=str), return_inverse=True)[1]
    apart = np.flatnonzero(whose[first] != whose[second])
    chosen = np.random.default_rng((seed, 0xD1FF)).permutation(apart)[:count]
    return first[chosen], second[chosen]


def _draw_few(
    patients: Sequence[str], count: int, *, seed: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The same where all pairs are too many to be listed."""
    chance = np.random.default_rng((seed, 0xD1FF))
    found: dict[tuple[int, int], None] = {}
    for _ in range(100 * count):
        a, b = sorted(int(place) for place in chance.integers(0, len(patients), 2))
        if patients[a] != patients[b]:
            found.setdefault((a, b))
        if len(found) == count:
            break
    first, second = np.array(list(found), dtype=np.intp).reshape(-1, 2).T
    return first, second


def compare_diversity(
    real: Pictures,
    other: Pictures,
    *,
    pairs: int = PAIRS,
    seed: int = 0,
    repeats: int = REPEATS,
    tell: Callable[[int, int], None] | None = None,
) -> Distance:
    """How much less diverse a set is than the real one.

    Args:
        pairs: Of each set.
        seed: Draws pairs, bootstraps and the floor's halves.
        repeats: Splits behind the floor; 0 leaves it out.
        tell: Told how many pairs of how many are done, set by set.

    Raises:
        InputError: A set has not two patients, or they were prepared in two ways.
        SettingsError: A number is too low.

    Examples:
        >>> from plica.metrics.pictures import gather
        >>> pictures = gather(samples)
        >>> compare_diversity(pictures, pictures, repeats=0).value
        0.0
    """
    _check(real, other, repeats)
    first, second = (
        measure_likeness(one, pairs=pairs, seed=seed, tell=tell) for one in (real, other)
    )
    return compare_likeness(real, other, (first, second), seed=seed, repeats=repeats)


def compare_likeness(
    real: Pictures,
    other: Pictures,
    likeness: tuple[Likeness, Likeness],
    *,
    seed: int = 0,
    repeats: int = REPEATS,
) -> Distance:
    """The same of scores that were taken before: those of the real set serve all others.

    Raises:
        InputError: The sets were prepared in two ways.
        SettingsError: `repeats` is below zero.
    """
    _check(real, other, repeats)
    patients = (len(set(real.patients)), len(set(other.patients)))
    floor = _find_floor(likeness[0], seed=seed, repeats=repeats)
    missing = (NO_FLOOR,) if repeats and floor is None else ()
    return Distance(
        metric="diversity",
        value=likeness[1].mean - likeness[0].mean,
        unit="1",
        better="nearer zero",
        definition=DEFINITION,
        n_real=len(real),
        n_other=len(other),
        patients=patients,
        dims=int(np.prod(real.values.shape[1:])),
        interval=bootstrap_gap(likeness[0], likeness[1], seed=seed),
        floor=floor,
        needed=NEEDED,
        warnings=(*_warn(patients), *missing),
        extras={
            "real": likeness[0].mean,
            "other": likeness[1].mean,
            "pairs": float(min(len(one.scores) for one in likeness)),
        },
        extractor={"name": "ms-ssim", "preparation": real.prepared},
    )


def bootstrap_gap(real: Likeness, other: Likeness, *, seed: int) -> tuple[float, float] | None:
    """The gap's middle 95 % over patients drawn with return; None where there are too few.

    A patient of both sets is drawn for both.
    """
    sides = [sorted(set(one.patients)) for one in (real, other)]
    if min(map(len, sides)) < _FEWEST_IN_INTERVAL:
        return None
    chance = np.random.default_rng((seed, 0xB007))
    same = sides[0] == sides[1]
    gaps = []
    for _ in range(BOOTSTRAPS):
        counts = [_draw(side, chance) for side in (sides[:1] if same else sides)]
        gaps.append(other.weigh(counts[-1]) - real.weigh(counts[0]))
    low, high = np.nanpercentile(gaps, (2.5, 97.5))
    return float(low), float(high)


def _draw(patients: Sequence[str], chance: np.random.Generator) -> dict[str, float]:
    counts = np.bincount(chance.integers(0, len(patients), len(patients)), minlength=len(patients))
    return dict(zip(patients, counts.astype(float).tolist(), strict=True))


def _score(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return MS_SSIM.function(Pair(a[None], b[None], None, 1.0)).value


def _find_floor(likeness: Likeness, *, seed: int, repeats: int) -> Floor | None:
    """The gap between halves of the real set, of the pairs that lie inside a half."""
    gaps, sizes = [], []
    for first in split_halves(likeness.patients, seed=seed, repeats=repeats):
        inside = [half[likeness.first] & half[likeness.second] for half in (first, ~first)]
        if not all(one.any() for one in inside):
            return None
        halves = [float(likeness.scores[one].mean()) for one in inside]
        gaps.append(halves[1] - halves[0])
        sizes.append(int(min(first.sum(), (~first).sum())))
    return summarise_floor(gaps, sizes)


def _warn(patients: tuple[int, int]) -> tuple[str, ...]:
    fewest = min(patients)
    said = []
    if fewest < NEEDED:
        said.append(
            f"N = {fewest} patients is below the {NEEDED} it needs: pairs of few images share them"
        )
    if fewest < FEWEST_PATIENTS:
        said.append(f"only {fewest} patients: interval and floor are rough below 20")
    if fewest < _FEWEST_IN_INTERVAL:
        said.append(f"no interval: {_FEWEST_IN_INTERVAL} patients are the fewest it is taken of")
    return tuple(said)


def _check(real: Pictures, other: Pictures, repeats: int) -> None:
    if repeats < 0:
        raise SettingsError(f"the floor is taken of 0 or more splits, but {repeats} were asked for")
    if real.prepared != other.prepared or real.values.shape[1:] != other.values.shape[1:]:
        raise InputError(
            "the two sets' pictures were prepared in two ways "
            f"({real.prepared}, {real.values.shape[1:]}; {other.prepared}, "
            f"{other.values.shape[1:]}): prepare both alike"
        )

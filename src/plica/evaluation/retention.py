"""Retention: how much of a faint lesion a codec keeps, erases or invents.

A lesion is in one of two images that are otherwise the same: *planted*, the source with a disc or
sphere added; or *removed*, the source (which has a small structure of its own) and the source with
that structure filled in. With R the codec and w the lesion's profile less its mean in the box,

    c(x) = Σ w x / Σ w (with − without)         how much of the lesion is in x: matched filter

    retention = c( R(with) − R(without) )       1: kept whole
    erased    = c( with − R(with) )             of the lesion where there was one
    invented  = c( R(without) − without )       of the lesion where there was none

    retention = 1 − erased − invented

so that a codec that blurs lesions away, and one that puts them where they ought to be, are told
apart; what a codec adds to the tissue at random is in both with opposite signs and averages out.
The detectability index is the contrast kept, over the standard deviation of the same matched filter
at lesion-free places in homogeneous tissue (a non-prewhitening observer); it is given for the
source and for the decoded image, since a codec that takes noise away may make a lesion easier to
see than it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from plica.errors import SettingsError, UnusablePixels
from plica.evaluation.fields import Field, Real, Triple, blur, import_extra, to_values
from plica.evaluation.lesions import TISSUES_HU, Patch, find_patches, has_room, local_moments
from plica.image import Image, Unit

Reconstruct = Callable[[Image], Image]

DIAMETERS_MM = (3.0, 6.0, 12.0)
DIAMETERS_PIXELS = (4.0, 8.0, 16.0)
CONTRASTS_HU = (20.0, 40.0, 80.0)
CONTRASTS_SHARE = (0.02, 0.05, 0.10)
PATCHES, ROUNDS, NOISE_PLACES, STRUCTURES = 12, 2, 64, 8


@dataclass(frozen=True)
class Plan:
    """Which lesions are planted.

    Args:
        diameters: In millimetres, or in pixels where the image knows no millimetres.
        contrasts: In the image's unit.
        rounds: How many images with lesions are made at least; each is one run of the codec.
        seed: Other seeds put them elsewhere.
        tissue: What they stand in, in CT: one of `TISSUES_HU`.
    """

    diameters: tuple[float, ...]
    contrasts: tuple[float, ...]
    rounds: int = ROUNDS
    seed: int = 0
    tissue: str = "soft"

    def __post_init__(self) -> None:
        numbers = (*self.diameters, *(abs(contrast) for contrast in self.contrasts))
        if not self.diameters or not self.contrasts or not all(0 < n < np.inf for n in numbers):
            raise SettingsError(
                "lesions need diameters above zero and contrasts other than zero, but got "
                f"{self.diameters} and {self.contrasts}"
            )
        if self.rounds < 1:
            raise SettingsError(f"at least one round of lesions is needed, but got {self.rounds}")
        if self.tissue not in TISSUES_HU:
            raise SettingsError(
                f"lesions cannot be planted in '{self.tissue}'; there are: {', '.join(TISSUES_HU)}"
            )


@dataclass(frozen=True)
class Retention:
    """What became of lesions of one size and contrast in one image.

    Args:
        kind: "planted" or "removed".
        diameter: In `length`; of a removed structure, the one it was looked for with.
        contrast: In the image's unit; 0 for removed structures, which have each their own.
        length: "mm" or "pixels".
        n: How many lesions.
        retention: Mean over them.
        spread: Standard deviation over them; 0 for one.
        erased: Mean of the share erased where there was one.
        invented: Mean of the share put where there was none.
        detectability_source: Contrast over the matched filter's noise in the source; NaN where it
            was not measured.
        detectability_decoded: The same of what the codec kept.
        background_low: The lowest mean of a box that lesions of this image were planted in, in the
            image's unit; NaN for removed ones.
        background_high: The highest.
    """

    kind: str
    diameter: float
    contrast: float
    length: str
    n: int
    retention: float
    spread: float
    erased: float
    invented: float
    detectability_source: float = float("nan")
    detectability_decoded: float = float("nan")
    background_low: float = float("nan")
    background_high: float = float("nan")

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready record; what is not a number is null."""
        return {
            key: None if isinstance(value, float) and not np.isfinite(value) else value
            for key, value in asdict(self).items()
        }


def plan_lesions(
    field: Field,
    *,
    diameters: Sequence[float] = (),
    contrasts: Sequence[float] = (),
    seed: int = 0,
    tissue: str = "soft",
) -> Plan:
    """Diameters and contrasts that suit an image: 20, 40 and 80 HU, or 2, 5 and 10 % of its range.

    Of the diameters those are kept whose ball is at least two voxels wide along two axes and fits
    the image.

    Raises:
        UnusablePixels: None does.
    """
    asked = tuple(diameters) or (DIAMETERS_MM if field.length == "mm" else DIAMETERS_PIXELS)
    finest = sorted(field.spacing[axis] for axis in field.axes)[:2]
    extent = min(field.values.shape[axis] * field.spacing[axis] for axis in field.axes)
    fitting = tuple(d for d in asked if d >= 2 * finest[-1] and 2 * d <= extent)
    if not fitting:
        raise UnusablePixels(
            f"none of the lesions of {', '.join(f'{d:g}' for d in asked)} {field.length} fits an "
            f"image of {field.values.shape} voxels of {np.round(field.spacing, 3).tolist()} "
            f"{field.length}: ask for other sizes"
        )
    scale = 1.0 if field.unit is Unit.HU else field.span
    levels = CONTRASTS_HU if field.unit is Unit.HU else CONTRASTS_SHARE
    return Plan(
        fitting,
        tuple(contrasts) or tuple(level * scale for level in levels),
        seed=seed,
        tissue=tissue,
    )


def judge_planted(
    source: Image, field: Field, decoded: Real, reconstruct: Reconstruct, plan: Plan, margin: Triple
) -> tuple[Retention, ...]:
    """What a codec keeps of planted lesions, by size and contrast.

    Several lesions stand in one image, each in a box of its own; every box takes another size and
    contrast in every round. Pixels keep their type: in an image of whole numbers the lesion is
    what rounding leaves of it, and that is what it is measured by.

    Raises:
        UnusablePixels: There is no homogeneous place for them.
    """
    patches = _find_places(field, plan, margin)
    kinds = [(size, level) for size in plan.diameters for level in plan.contrasts]
    order = np.random.default_rng(plan.seed).permutation(len(kinds))
    rounds = max(plan.rounds, -(-len(kinds) // len(patches)))
    found: dict[tuple[float, float], list[tuple[float, float]]] = {kind: [] for kind in kinds}
    for turn in range(rounds):
        put = [kinds[order[(turn * len(patches) + n) % len(kinds)]] for n in range(len(patches))]
        planted = plant(source, list(zip(patches, put, strict=True)))
        others = to_values(reconstruct(planted))
        values = to_values(planted)
        for patch, kind in zip(patches, put, strict=True):
            shares = _compare(patch, kind[0], (values, field.values), (others, decoded))
            if shares is not None:
                found[kind].append(shares)
    noise = {size: _noise(field, decoded, size, margin, plan) for size in plan.diameters}
    means = [float(field.values[patch.box].mean()) for patch in patches]
    return tuple(
        replace(
            _summarise("planted", field.length, kind, shares, noise[kind[0]]),
            background_low=min(means), background_high=max(means),
        )
        for kind, shares in found.items() if shares
    )  # fmt: skip


def _find_places(field: Field, plan: Plan, margin: Triple) -> tuple[Patch, ...]:
    """Boxes for the largest lesion, in which all stand; where there are none, none is planted."""
    *smaller, largest = sorted(plan.diameters)
    try:
        return find_patches(
            field, largest, margin=margin, seed=plan.seed, most=PATCHES, tissue=plan.tissue
        )
    except UnusablePixels as error:
        untold = plan.tissue != Plan.tissue and field.unit is not Unit.HU  # of whatever size
        if untold or not smaller:
            raise
        every = f"{', '.join(f'{size:g}' for size in smaller)} and {largest:g} {field.length}"
        fitting = [size for size in smaller if has_room(field, size, margin)]
        asking = " ".join(f"--diameter {size:g}" for size in fitting)
        how = f"ask for smaller ones alone, as by {asking}"
        raise UnusablePixels(
            f"{error}. All those of {every} were left out with it, since each stands in a box for "
            f"the largest: {how if fitting else 'there is no room for the smaller ones either'}"
        ) from error


def plant(source: Image, lesions: Sequence[tuple[Patch, tuple[float, float]]]) -> Image:
    """The image with lesions added in all its channels; pixels keep their type.

    Args:
        lesions: Where each stands, its diameter and its contrast.

    Examples:
        >>> from plica.evaluation.fields import to_field
        >>> from plica.evaluation.lesions import find_patches
        >>> patch, = find_patches(to_field(scan), 4.0, margin=(2, 2, 1), seed=0, most=1)
        >>> planted = plant(scan, [(patch, (4.0, 100.0))])
        >>> int((planted.pixels - scan.pixels).max())
        100
    """
    pixels = source.pixels.astype(np.float64)
    for patch, (diameter, contrast) in lesions:
        pixels[(slice(None), *patch.box)] += contrast * patch.profile(diameter)
    return _with_values(source, pixels)


def judge_removed(
    source: Image, field: Field, decoded: Real, reconstruct: Reconstruct, plan: Plan, margin: Triple
) -> tuple[Retention, ...]:
    """Whether a codec puts back small structures that were filled in, and keeps them where not.

    The structures are the source's own: the strongest maxima and minima of a difference of
    Gaussians of the middle size. They are filled with a smooth continuation of what surrounds them
    and with its noise.

    Raises:
        UnusablePixels: It has none.
    """
    size = sorted(plan.diameters)[len(plan.diameters) // 2]
    patches = _find_structures(field, size, margin)
    filled = field.values.copy()
    rng = np.random.default_rng(plan.seed)
    for patch in patches:
        filled[patch.box] = _fill(field.values[patch.box], patch.profile(1.5 * size) > 0, rng)
    change = (filled - field.values)[None]
    without = _with_values(source, source.pixels.astype(np.float64) + change)
    others, values = to_values(reconstruct(without)), to_values(without)
    shares = [_compare(p, size, (field.values, values), (decoded, others)) for p in patches]
    kept = [share for share in shares if share is not None]
    if not kept:
        raise UnusablePixels(
            f"filling in structures of {size:g} {field.length} changes nothing that rounding to "
            f"{source.pixels.dtype} leaves: ask for other sizes"
        )
    return (_summarise("removed", field.length, (size, 0.0), kept, None),)


# -- what was kept -------------------------------------------------------------------------------


def _compare(
    patch: Patch, diameter: float, images: tuple[Real, Real], decoded: tuple[Real, Real]
) -> tuple[float, float] | None:
    """Shares erased and invented; None where rounding left nothing of the lesion."""
    profile = patch.profile(diameter)
    weights = profile - profile.mean()
    (there, absent), (kept, other) = (
        tuple(values[patch.box] for values in pair) for pair in (images, decoded)
    )
    whole = float((weights * (there - absent)).sum())
    if abs(whole) < 1e-9 * max(1.0, float(np.abs(there).max())):
        return None
    erased = float((weights * (there - kept)).sum()) / whole
    invented = float((weights * (other - absent)).sum()) / whole
    return erased, invented


def _summarise(
    kind: str,
    length: str,
    lesion: tuple[float, float],
    shares: list[tuple[float, float]],
    noise: tuple[float, float] | None,
) -> Retention:
    erased, invented = np.array(shares).T
    retention = 1 - erased - invented
    mean, contrast = float(retention.mean()), lesion[1]
    before, after = noise or (np.nan, np.nan)
    return Retention(
        kind, *lesion, length, len(shares), mean,
        float(retention.std(ddof=1)) if len(shares) > 1 else 0.0,
        float(erased.mean()), float(invented.mean()),
        abs(contrast) / before if before > 0 else float("nan"),
        abs(contrast) * mean / after if after > 0 else float("nan"),
    )  # fmt: skip


def _noise(
    field: Field, decoded: Real, diameter: float, margin: Triple, plan: Plan
) -> tuple[float, float]:
    """Standard deviation of the matched filter, as a contrast, in the source and decoded."""
    places = find_patches(
        field, diameter, margin=margin, seed=plan.seed + 1, most=NOISE_PLACES, apart=False,
        tissue=plan.tissue,
    )  # fmt: skip
    profile = places[0].profile(diameter)
    weights = profile - profile.mean()
    weights /= (weights**2).sum()
    answers = [
        [float((weights * x[patch.box]).sum()) for x in (field.values, decoded)] for patch in places
    ]
    if len(answers) < 8:  # of fewer, a standard deviation says nothing
        return np.nan, np.nan
    before, after = np.array(answers).std(axis=0, ddof=1)
    return float(before), float(after)


# -- structures of the image's own ---------------------------------------------------------------


def _find_structures(field: Field, diameter: float, margin: Triple) -> tuple[Patch, ...]:
    sigmas = [diameter / 4 / step if n in field.axes else 0.0 for n, step in
              enumerate(field.spacing)]  # fmt: skip
    bumps = blur(field.values, tuple(sigmas)) - blur(field.values, tuple(2 * s for s in sigmas))
    half = tuple(
        int(np.ceil(0.75 * diameter / step + room + 0.5)) if n in field.axes else 0
        for n, (step, room) in enumerate(zip(field.spacing, margin, strict=True))
    )
    shape = (2 * half[0] + 1, 2 * half[1] + 1, 2 * half[2] + 1)
    strength = np.where(_calm_around(field, shape), np.abs(bumps), -np.inf)
    patches: list[Patch] = []
    while len(patches) < STRUCTURES and np.isfinite(strength.max()):
        place = np.unravel_index(int(strength.argmax()), strength.shape)
        i, j, k = (int(at) - room for at, room in zip(place, half, strict=True))
        x, y, z = (float(room) for room in half)
        patches.append(Patch((i, j, k), (x, y, z), shape, field.spacing))
        around = tuple(slice(max(0, int(at) - side + 1), int(at) + side)
                       for at, side in zip(place, shape, strict=True))  # fmt: skip
        strength[around] = -np.inf
    if not patches:
        raise UnusablePixels(
            f"an image of {field.values.shape} voxels has no structure of {diameter:g} "
            f"{field.length} with room around it that could be filled in: give a larger image, or "
            "ask for smaller lesions"
        )
    return tuple(patches)


def _calm_around(field: Field, shape: Triple) -> Any:
    """Where a box fits and no strong edge crosses it: a blob in tissue, not a piece of a border."""
    _, deviation = local_moments(field.values, shape)
    inside = np.zeros(field.values.shape, bool)
    inside[tuple(slice(n // 2, -(n // 2) or None) for n in shape)] = True
    inside &= ~field.plateau & (deviation > 0)
    if not inside.any():
        return inside
    return inside & (deviation <= np.quantile(deviation[inside], 0.6))


def _fill(values: Real, hole: Any, rng: np.random.Generator) -> Real:
    """The box with its hole filled: what surrounds it continued smoothly, and its noise."""
    smooth = values.copy()
    smooth[hole] = values[~hole].mean()
    cross = import_extra("scipy.ndimage").generate_binary_structure(3, 1).astype(float)
    for axis, side in enumerate(values.shape):
        if side == 1:
            cross = cross.take([1], axis=axis)
    cross /= cross.sum()
    for _ in range(4 * max(values.shape)):  # the heat equation until the hole is harmonic
        smooth[hole] = import_extra("scipy.ndimage").convolve(smooth, cross, mode="nearest")[hole]
    rough = values - blur(values, tuple(1.0 if side > 1 else 0.0 for side in values.shape))
    smooth[hole] += rng.choice(rough[~hole], int(hole.sum()))
    return smooth


def _with_values(source: Image, pixels: Real) -> Image:
    """An image of new values in the source's own pixel type."""
    kind = source.pixels.dtype
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        pixels = np.clip(np.rint(pixels), limits.min, limits.max)
    return source.with_pixels(pixels.astype(kind))

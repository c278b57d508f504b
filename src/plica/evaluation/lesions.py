"""Lesions: anti-aliased discs and spheres of known size, put where tissue is homogeneous.

A voxel of a lesion's *profile* holds the share of it that lies within the ball of the lesion's
diameter, in millimetres (in pixels where an image knows none): the mean over points inside the
voxel, at least eight along each axis and a 24th of the diameter apart at most, whatever the
spacing. In an image of one slice, the ball is a disc.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plica.errors import SettingsError, UnusablePixels
from plica.evaluation.fields import Field, Lengths, Real, Triple, import_extra
from plica.image import Unit

SUBVOXELS, ACROSS = 8, 24
TISSUES_HU = {"soft": (-150.0, 150.0), "lung": (-950.0, -500.0)}
"""Where lesions can be planted in CT: the mean of the box around one lies between these."""
MIDDLE = (0.1, 0.9)  # quantiles between which tissue lies in images without a scale
QUIETEST = 0.4  # share of tissue that counts as homogeneous: where values vary least
LIVELIEST = 0.05  # of the central range: what varies more is not homogeneous, …
NOISIEST = 2.0  # … unless it is noise: times the deviation that neighbouring voxels tell of


@dataclass(frozen=True, eq=False)
class Patch:
    """Where one lesion stands.

    Args:
        start: First voxel of the box around it.
        centre: Its centre, in voxels of the box; not a whole number.
        shape: Of the box, which has room for what a codec smears over its border.
        spacing: Of the voxels.
    """

    start: Triple
    centre: Lengths
    shape: Triple
    spacing: Lengths

    @property
    def box(self) -> tuple[slice, ...]:
        """The box, to index a field with."""
        return tuple(slice(a, a + n) for a, n in zip(self.start, self.shape, strict=True))

    def profile(self, diameter: float) -> Real:
        """The share of each voxel of the box that is inside the lesion."""
        return draw_ball(self.shape, self.spacing, self.centre, diameter)


def draw_ball(shape: Triple, spacing: Lengths, centre: Lengths, diameter: float) -> Real:
    """The share of each voxel that lies in a ball: a disc where there is one slice.

    Args:
        shape: Voxels along i, j, k.
        spacing: Of the voxels.
        centre: Of the ball, in voxels; whole numbers are centres of voxels.
        diameter: In the unit of `spacing`.

    Raises:
        SettingsError: The diameter is not above zero.

    Examples:
        >>> ball = draw_ball((9, 9, 9), (1.0, 1.0, 1.0), (4.0, 4.0, 4.0), diameter=6.0)
        >>> round(float(ball.sum()))  # π/6 · 6³ = 113.1
        113
    """
    if not diameter > 0:
        raise SettingsError(f"a lesion's diameter is above zero, but got {diameter}")
    whole, shell = _inside_and_border(shape, spacing, centre, diameter / 2)
    profile = whole.astype(np.float64)
    fine = [_fine_squares(*axis, diameter) for axis in zip(shape, spacing, centre, strict=True)]
    i, j, k = np.nonzero(shell)
    near = (
        fine[0][i][:, :, None, None] + fine[1][j][:, None, :, None] + fine[2][k][:, None, None, :]
    ) <= (diameter / 2) ** 2
    profile[shell] = near.mean(axis=(1, 2, 3))
    return profile


def _inside_and_border(
    shape: Triple, spacing: Lengths, centre: Lengths, radius: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Voxels that lie in a ball with all their corners, and those its surface may cut."""
    nearest, farthest = np.zeros(shape), np.zeros(shape)
    for axis, (side, step, middle) in enumerate(zip(shape, spacing, centre, strict=True)):
        if side == 1:
            continue
        away = np.abs(np.arange(side) - middle) * step
        line = [-1 if other == axis else 1 for other in range(3)]
        nearest = nearest + (np.maximum(away - step / 2, 0.0) ** 2).reshape(line)
        farthest = farthest + ((away + step / 2) ** 2).reshape(line)
    whole = farthest <= radius**2
    return whole, ~whole & (nearest <= radius**2)


def _fine_squares(side: int, step: float, middle: float, diameter: float) -> Real:
    """Squared distances (side, points) from the centre along one axis, at points in each voxel."""
    if side == 1:
        return np.zeros((1, 1))
    count = max(SUBVOXELS, int(np.ceil(ACROSS * step / diameter)))
    fine = (np.arange(side * count) + 0.5) / count - 0.5
    return np.asarray((((fine - middle) * step) ** 2).reshape(side, count))


def find_patches(
    field: Field,
    diameter: float,
    *,
    margin: Triple,
    seed: int,
    most: int,
    apart: bool = True,
    tissue: str = "soft",
) -> tuple[Patch, ...]:
    """Boxes in homogeneous tissue with room for a lesion, at places drawn by a seed.

    Homogeneous is where the standard deviation within the box is among the lowest `QUIETEST` of
    tissue, and below `LIVELIEST` of the image's central range or `NOISIEST` times its noise; lung
    is full of vessels, and has its quietest places however lively they are. Tissue is
    −150 … 150 HU in CT, or lung; elsewhere what lies between the 10th and 90th percentile.

    Args:
        diameter: Of the largest lesion.
        margin: Voxels around it that belong to its box.
        most: How many boxes are wanted.
        apart: Whether boxes may not overlap.
        tissue: One of `TISSUES_HU`.

    Raises:
        UnusablePixels: There is no such place, the image is smaller than one box, or it is asked
            for its lung and is not in HU.

    Examples:
        >>> from plica.evaluation.fields import to_field
        >>> len(find_patches(to_field(scan), 4.0, margin=(2, 2, 1), seed=0, most=3))
        3
    """
    half = _half_box(field, diameter, margin)
    shape = (2 * half[0] + 1, 2 * half[1] + 1, 2 * half[2] + 1)
    if not has_room(field, diameter, margin):
        raise UnusablePixels(
            f"an image of {field.values.shape} voxels is too small for a lesion of {diameter:g} "
            f"{field.length} with room around it, {shape} voxels: give a larger image, or ask for "
            "smaller lesions"
        )
    places = _homogeneous_places(field, shape, tissue)
    rng = np.random.default_rng(seed)
    chosen = _draw_places(places, shape, rng, most, apart=apart)
    return tuple(_patch(field, place, half, shape, rng) for place in chosen)


def has_room(field: Field, diameter: float, margin: Triple) -> bool:
    """Whether the box of a lesion, with `margin` voxels around it, fits into an image."""
    half = _half_box(field, diameter, margin)
    return all(side > 2 * n for side, n in zip(field.values.shape, half, strict=True))


def _half_box(field: Field, diameter: float, margin: Triple) -> Triple:
    """Voxels of a lesion's box to either side of its middle one."""
    i, j, k = (
        int(np.ceil(diameter / 2 / step + room + 0.5)) if side > 1 else 0
        for step, room, side in zip(field.spacing, margin, field.values.shape, strict=True)
    )
    return i, j, k


def _patch(
    field: Field,
    place: NDArray[np.int64],
    half: tuple[int, ...],
    shape: Triple,
    rng: np.random.Generator,
) -> Patch:
    """A box around a place, with the lesion's centre off the voxel's by up to half a voxel."""
    off = np.where(np.array(shape) > 1, rng.uniform(-0.5, 0.5, 3), 0.0)
    i, j, k = (int(at - room) for at, room in zip(place, half, strict=True))
    x, y, z = (float(room + step) for room, step in zip(half, off, strict=True))
    return Patch((i, j, k), (x, y, z), shape, field.spacing)


def _homogeneous_places(field: Field, shape: Triple, name: str) -> NDArray[np.int64]:
    """Centres (n, 3) of boxes of a shape in homogeneous tissue of a name."""
    mean, deviation = local_moments(field.values, shape)
    low, high = _tissue_range(field, name)
    inside = np.zeros(field.values.shape, bool)
    inside[tuple(slice(n // 2, -(n // 2) or None) for n in shape)] = True
    tissue = inside & (mean > low) & (mean < high) & (deviation > 0) & ~field.plateau
    limit = max(LIVELIEST * field.span, NOISIEST * estimate_noise(field))
    if name == "lung":
        limit = np.inf
    if tissue.any():
        limit = min(limit, float(np.quantile(deviation[tissue], QUIETEST)))
    places = np.argwhere(tissue & (deviation <= limit))
    if not len(places):
        raise UnusablePixels(
            f"there is no homogeneous place of {shape} voxels with values between {low:g} and "
            f"{high:g} {field.unit.value} to put a lesion in: give an image with more tissue, or "
            "ask for smaller lesions"
        )
    return places


def local_moments(values: Real, shape: Triple) -> tuple[Real, Real]:
    """Mean and standard deviation in a box around each voxel."""
    box_mean = import_extra("scipy.ndimage").uniform_filter
    middle = float(values.mean())  # so that squares lose no digits
    mean = box_mean(values - middle, shape)
    square = box_mean((values - middle) ** 2, shape)
    return mean + middle, np.sqrt(np.maximum(square - mean**2, 0.0))


def estimate_noise(field: Field) -> float:
    """Standard deviation of white noise with the median difference of neighbours the image has."""
    steps = np.diff(field.values, axis=field.axes[0])
    return float(1.4826 * np.median(np.abs(steps - np.median(steps))) / np.sqrt(2))


def _tissue_range(field: Field, name: str) -> tuple[float, float]:
    if field.unit is Unit.HU:
        return TISSUES_HU[name]
    if name != "soft":
        raise UnusablePixels(
            f"lesions are to stand in {name}, which is told by HU, but the image is in "
            f"{field.unit.value}: leave the tissue out, or judge CT alone"
        )
    low, high = np.quantile(field.values[~field.plateau], MIDDLE)
    return float(low), float(high)


def _draw_places(
    places: NDArray[np.int64], shape: Triple, rng: np.random.Generator, most: int, *, apart: bool
) -> list[NDArray[np.int64]]:
    chosen: list[NDArray[np.int64]] = []
    left = rng.permutation(places)
    while len(left) and len(chosen) < most:
        place, left = left[0], left[1:]
        chosen.append(place)
        if apart:
            left = left[(np.abs(left - place) >= np.array(shape)).any(axis=1)]
    return chosen

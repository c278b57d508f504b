"""Edges: how far a codec moves them, and how much it blurs them, in millimetres.

At strong, lone edges of the source, values of both images are read along the edge's normal n (from
bright to dark), by cubic splines. The shift δ of an edge is the lag at which the slopes of the two
profiles correlate best,

    δ = argmax_τ  Σ_u  h(u) s'(u) · h(u + τ) d'(u + τ)            h: a flat-topped window

found to a part of the sampling step by a parabola; the decoded profile is then read again around
where the edge was found, until nothing is left to find, so that the window pulls nothing back. A
blur by any symmetric kernel leaves δ at zero, since the correlation then is symmetric about zero.
Positive is towards the dark side: bright things have grown. An image that was moved as a whole by
t has δ = t · n at every edge, so t is the least-squares solution over all edges; what is left once
t is taken out is deformation.

Width: the profiles of all edges, each scaled to its own height, are averaged after the shift is
taken out; the width is the distance between 10 % and 90 % of that mean. A Gaussian edge of standard
deviation σ has 2.563 σ, so the blur a codec added is √(w_d² − w_s²) / 2.563.

What it cannot see: edges that are gone (they are counted as lost), displacements beyond half the
profile, and what happens between edges.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from plica.errors import UnusablePixels
from plica.evaluation.fields import Field, Real, Triple, blur, import_extra

MOST_EDGES, FEWEST_EDGES = 1000, 10
STRONGEST = 0.97  # quantile of gradients from which an edge is strong
LONE = 0.6  # share of a profile's rise and fall that the edge itself must be
SAMPLES = 129  # along a profile
GAUSSIAN_WIDTH = 2.5631  # 10–90 % of a Gaussian edge, in standard deviations
FAINTEST = 0.5  # correlation below which a decoded profile shows another edge, or none
REACH = 3.0  # voxels of a profile to each side, besides half a cell of the codec
TENSOR, STRAIGHT = 2.0, 0.6  # voxels around an edge that say its direction, and how clearly
TURNS = 3  # times a decoded profile is read


@dataclass(frozen=True)
class EdgeShift:
    """Where edges went.

    Args:
        length: "mm" or "pixels".
        n: How many edges were followed.
        lost: The share of edges whose decoded profile no longer resembles them.
        shift: Median of |δ|.
        growth: Median of δ: positive where bright things have grown.
        translation: How the image moved as a whole, along i, j, k.
        deformation: Median of |δ − t · n|: what moved besides.
        width_source: 10–90 % width of the mean edge of the source.
        width_decoded: Of the decoded image.
        blur: Standard deviation of the Gaussian that would have blurred so; negative where edges
            have become sharper.
    """

    length: str
    n: int
    lost: float
    shift: float
    growth: float
    translation: tuple[float, float, float]
    deformation: float
    width_source: float
    width_decoded: float
    blur: float

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready record."""
        return {**asdict(self), "translation": list(self.translation)}


def judge_edges(source: Field, decoded: Real, factor: Triple, *, seed: int = 0) -> EdgeShift:
    """Follow strong edges from a source into a decoded image.

    Raises:
        UnusablePixels: There are hardly any that stand alone.
    """
    edges = _find_edges(source, factor, seed)
    before = edges.read(source.values)
    lone = _stand_alone(before)
    if lone.sum() < FEWEST_EDGES:
        raise UnusablePixels(
            f"only {int(lone.sum())} strong edges of the image stand alone, and {FEWEST_EDGES} are "
            "needed to tell a shift: give a larger image"
        )
    edges, before = edges.of(lone), before[lone]
    shifts, after, likeness = _follow(edges, before, decoded)
    found = likeness >= FAINTEST
    if found.sum() < FEWEST_EDGES:
        raise UnusablePixels(
            f"of {found.size} edges only {int(found.sum())} are left in the decoded image: "
            "too few to say where they went"
        )
    shifts, normals = shifts[found], edges.normals[found]
    moved, *_ = np.linalg.lstsq(normals, shifts, rcond=None)
    widths = [_mean_width(profiles[found], edges.reach[found]) for profiles in (before, after)]
    added = widths[1] ** 2 - widths[0] ** 2
    return EdgeShift(
        length=source.length,
        n=int(found.size),
        lost=float(1 - found.mean()),
        shift=float(np.median(np.abs(shifts))),
        growth=float(np.median(shifts)),
        translation=(float(moved[0]), float(moved[1]), float(moved[2])),
        deformation=float(np.median(np.abs(shifts - normals @ moved))),
        width_source=widths[0],
        width_decoded=widths[1],
        blur=float(np.sign(added) * np.sqrt(abs(added)) / GAUSSIAN_WIDTH),
    )


# -- finding them --------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Edges:
    """Edges of an image.

    Args:
        places: (n, 3), in voxels.
        normals: (n, 3), of length 1, from bright to dark.
        reach: (n), half the length of their profiles.
        spacing: Of the voxels.
    """

    places: Real
    normals: Real
    reach: Real
    spacing: Real

    def of(self, keep: Any) -> _Edges:
        """Some of them."""
        return _Edges(self.places[keep], self.normals[keep], self.reach[keep], self.spacing)

    def read(self, values: Real, shifts: Real | None = None) -> Real:
        """Values (n, SAMPLES) along the normals, from `shifts` on."""
        splines = import_extra("scipy.ndimage").spline_filter(values, order=3, mode="nearest")
        return self.read_splines(splines, np.zeros(len(self.reach)) if shifts is None else shifts)

    def read_splines(self, splines: Real, shifts: Real) -> Real:
        """The same from an image's spline coefficients."""
        along = shifts[:, None] + self.reach[:, None] * np.linspace(-1, 1, SAMPLES)
        offsets = self.normals[:, None, :] * along[..., None] / self.spacing
        at = (self.places[:, None, :] + offsets).reshape(-1, 3)
        read = import_extra("scipy.ndimage").map_coordinates
        values = read(splines, at.T, order=3, mode="nearest", prefilter=False)
        return np.asarray(values.reshape(len(self.places), SAMPLES))


def _find_edges(source: Field, factor: Triple, seed: int) -> _Edges:
    slopes = _slopes(source)
    steepness = np.sqrt((slopes**2).sum(axis=0))
    strong = np.argwhere(steepness > np.quantile(steepness, STRONGEST))
    places = np.random.default_rng(seed).permutation(strong)[: 32 * MOST_EDGES]
    normals, straight = _orient(slopes, places, source)
    keep = straight & _on_crest(steepness, places, normals, source)
    places, normals = places[keep], normals[keep]
    # Lengths count in voxels along the normal, whatever the spacing: a thick slice has few of them.
    spacing, sides = np.array(source.spacing), np.array(source.values.shape)
    voxels = np.where(sides > 1, REACH + np.array(factor) / 2, np.inf)
    reach = 1 / np.sqrt(((normals / (spacing * voxels)) ** 2).sum(axis=1))
    ends = np.abs(normals) * reach[:, None] / spacing
    inside = ((places - ends >= -0.5) & (places + ends <= sides - 0.5)).all(axis=1)
    keep = np.flatnonzero(inside)[: 4 * MOST_EDGES]
    return _Edges(places[keep].astype(np.float64), normals[keep], reach[keep], spacing)


def _orient(slopes: Real, places: Any, source: Field) -> tuple[Real, Any]:
    """Normals (n, 3) from bright to dark by the structure tensor, and whether edges are straight.

    The normal of one voxel is that of its noise too; around it, the edge's own prevails.
    """
    tensor = np.zeros((len(places), 3, 3))
    at = tuple(places.T)
    width = tuple(TENSOR if axis in source.axes else 0.0 for axis in range(3))
    for a in source.axes:
        for b in source.axes[source.axes.index(a) :]:
            tensor[:, a, b] = tensor[:, b, a] = blur(slopes[a] * slopes[b], width)[at]
    strengths, directions = np.linalg.eigh(tensor)
    normals = directions[:, :, -1]
    falling = -(normals * slopes[(slice(None), *at)].T).sum(axis=1)
    straight = strengths[:, -1] - strengths[:, -2] > STRAIGHT * strengths.sum(axis=1)
    return normals * np.where(falling < 0, -1.0, 1.0)[:, None], straight


def _on_crest(steepness: Real, places: Any, normals: Real, source: Field) -> Any:
    """Whether an edge is steeper than a voxel further to either side."""
    voxels = normals / np.array(source.spacing)
    voxels /= np.maximum(np.linalg.norm(voxels, axis=1, keepdims=True), 1e-300)
    read = import_extra("scipy.ndimage").map_coordinates
    sides = [read(steepness, (places + sign * voxels).T, order=1, mode="nearest")
             for sign in (-1, 1)]  # fmt: skip
    return steepness[tuple(places.T)] >= np.maximum(*sides)


def _slopes(source: Field) -> Real:
    """Derivatives (3, i, j, k) by length, of values blurred by one voxel."""
    derive = import_extra("scipy.ndimage").gaussian_filter
    slopes = np.zeros((3, *source.values.shape))
    sigma = [1.0 if axis in source.axes else 0.0 for axis in range(3)]
    for axis in source.axes:
        order = [int(other == axis) for other in range(3)]
        slopes[axis] = derive(source.values, sigma, order) / source.spacing[axis]
    return slopes


def _stand_alone(profiles: Real) -> Any:
    """Whether a profile falls once, from its first end to its last."""
    fall = profiles[:, 0] - profiles[:, -1]
    swing = np.abs(np.diff(_smooth(profiles), axis=1)).sum(axis=1)
    lone = fall > LONE * np.maximum(swing, 1e-300)
    return lone & (np.cumsum(lone) <= MOST_EDGES)


# -- following them ------------------------------------------------------------------------------


def _follow(edges: _Edges, before: Real, decoded: Real) -> tuple[Real, Real, Real]:
    """Shifts (n), decoded profiles around where the edges went, and how alike those are."""
    splines = import_extra("scipy.ndimage").spline_filter(decoded, order=3, mode="nearest")
    shifts = np.zeros(len(before))
    for _ in range(TURNS):
        after = edges.read_splines(splines, shifts)
        lags, likeness = _align(before, after)
        within = np.abs(shifts + lags * _step(edges.reach)) <= edges.reach / 2
        shifts = np.where(within, shifts + lags * _step(edges.reach), shifts)
    return shifts, edges.read_splines(splines, shifts), likeness


def _step(reach: Real) -> Real:
    return 2 * reach / (SAMPLES - 1)


def _align(before: Real, after: Real) -> tuple[Real, Real]:
    """Lags (n) in samples at which slopes correlate best, and how well they then do."""
    window = np.clip(2 * np.cos(np.linspace(-np.pi / 2, np.pi / 2, SAMPLES)), 0, 1)
    slopes = [np.gradient(_smooth(profiles), axis=1) * window for profiles in (before, after)]
    size = 2 * SAMPLES
    spectra = [np.fft.rfft(slope, size, axis=1) for slope in slopes]
    correlation = np.fft.irfft(np.conj(spectra[0]) * spectra[1], size, axis=1)
    most = SAMPLES // 4
    near = np.concatenate([correlation[:, -most:], correlation[:, : most + 1]], axis=1)
    best = np.clip(near.argmax(axis=1), 1, 2 * most - 1)
    rows = np.arange(len(near))
    left, top, right = (near[rows, best + n] for n in (-1, 0, 1))
    bend = left - 2 * top + right
    part = np.where(bend < 0, 0.5 * (left - right) / np.where(bend < 0, bend, -1.0), 0.0)
    norms = np.sqrt((slopes[0] ** 2).sum(axis=1) * (slopes[1] ** 2).sum(axis=1))
    return best - most + np.clip(part, -0.5, 0.5), top / np.maximum(norms, 1e-300)


def _smooth(profiles: Real) -> Real:
    smooth = import_extra("scipy.ndimage").gaussian_filter1d
    return np.asarray(smooth(profiles, SAMPLES / 64, axis=1, mode="nearest"))


def _mean_width(profiles: Real, reach: Real) -> float:
    """10–90 % width of the mean of edges, each scaled to its own height."""
    end = SAMPLES // 8
    high = profiles[:, :end].mean(axis=1, keepdims=True)
    low = profiles[:, -end:].mean(axis=1, keepdims=True)
    scaled = (profiles - low) / np.where(high - low > 0, high - low, np.inf)
    along = np.linspace(-1, 1, 4 * SAMPLES) * float(np.median(reach))
    here = np.linspace(-1, 1, SAMPLES)
    mean = np.mean([np.interp(along, here * one, profile) for one, profile in
                    zip(reach, scaled, strict=True)], axis=0)  # fmt: skip
    falling = np.minimum.accumulate(mean)
    first, last = (float(np.interp(-level, -falling, along)) for level in (0.9, 0.1))
    return last - first

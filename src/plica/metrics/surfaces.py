"""Distances between the surfaces of two masks, each surface element weighted by its area.

The surface of a mask lies between its voxels: a corner where eight voxels meet (four in 2D) is on
it where some of them are inside and some outside. Such a corner stands for a surface element whose
area follows from which of the eight are inside: the polygons through the middles of the cube's cut
edges. On a face with two opposite corners of each kind, those of the rarer kind of the cube are
kept apart; a polygon that is not plane is folded so that its area is largest. The areas are those
of Nikolov et al.'s tables for all 256 cases and every spacing, and so are the distances, which are
measured from corner to nearest corner.

S. Nikolov et al.: Clinically applicable segmentation of head and neck anatomy for radiotherapy,
J Med Internet Res 23(7), 2021 (arXiv 1809.04430).
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.errors import MissingExtra
from plica.metrics.pair import Bools, read_mask

Real = NDArray[np.float64]
Edge = tuple[int, int]

# Corner n of the cube: its bits are its i, j and k.
_CORNERS = np.array(list(itertools.product((0, 1), repeat=3)))
_EDGES = [
    (a, b)
    for a, b in itertools.combinations(range(8), 2)
    if abs(_CORNERS[a] - _CORNERS[b]).sum() == 1
]
_FACES = [set(np.flatnonzero(_CORNERS[:, axis] == end)) for axis in range(3) for end in (0, 1)]
ALL_INSIDE = 0xFF
# Files hold spacings in single precision: 0.8 mm comes back as 0.80000001, and must be within 0.8.
ROUNDING = 1e-5


@dataclass(frozen=True, eq=False)
class SurfaceDistances:
    """From each element of either surface to the other surface, the nearest first.

    Args:
        there: From the reference's elements to the segmented surface; infinite where that has none.
        back: From the segmented elements to the reference's.
        there_areas: Areas of the reference's elements (in 2D lengths), in the order of `there`.
        back_areas: Likewise of the segmented ones.
    """

    there: Real
    back: Real
    there_areas: Real
    back_areas: Real

    def mean(self) -> tuple[float, float, float]:
        """Mean distance over both surfaces, over the reference's, and over the segmented one."""
        there, back = (self.there * self.there_areas, self.back * self.back_areas)
        total = self.there_areas.sum() + self.back_areas.sum()
        return (
            float((there.sum() + back.sum()) / total) if total else np.nan,
            float(there.sum() / self.there_areas.sum()) if self.there.size else np.inf,
            float(back.sum() / self.back_areas.sum()) if self.back.size else np.inf,
        )

    def hausdorff(self, percent: float = 100.0) -> tuple[float, float, float]:
        """The distance that `percent` of the area is within: of the worse side, then of each."""
        there = _quantile(self.there, self.there_areas, percent)
        back = _quantile(self.back, self.back_areas, percent)
        return max(there, back), there, back

    def within(self, tolerance_mm: float) -> tuple[float, float, float]:
        """Part of the area that is within a tolerance: of both surfaces, then of each."""
        reach = tolerance_mm * (1 + ROUNDING)
        there = float(self.there_areas[self.there <= reach].sum())
        back = float(self.back_areas[self.back <= reach].sum())
        totals = float(self.there_areas.sum()), float(self.back_areas.sum())
        return (
            (there + back) / sum(totals),
            there / totals[0] if totals[0] else 0.0,
            back / totals[1] if totals[1] else 0.0,
        )


def surface_distances(
    reference: Any, segmented: Any, spacing_mm: Sequence[float]
) -> SurfaceDistances:
    """Distances between the surfaces of two masks of one shape.

    Args:
        reference: (i, j, k); with one voxel along an axis the surface is a contour in that plane.
        spacing_mm: Distance between voxels along i, j, k, whose axes are perpendicular.

    Raises:
        InputError: A mask holds other values than truth, or they differ in shape.
        MissingExtra: scipy, which finds the nearest points, is not installed.

    Examples:
        >>> drawn = np.zeros((20, 20, 10), bool)
        >>> drawn[5:10, 5:10, 2:8] = True
        >>> surface_distances(drawn, np.roll(drawn, 2, axis=0), (0.7, 0.7, 5.0)).hausdorff(95)
        (1.4, 1.4, 1.4)
    """
    reference = read_mask(reference, np.shape(reference), what="the reference")
    segmented = read_mask(segmented, reference.shape, what="the segmentation")
    flat = [axis for axis in range(3) if reference.shape[axis] == 1][-1:]
    spacing = np.delete(np.asarray(spacing_mm, np.float64), flat)
    masks = [np.squeeze(mask, tuple(flat)) for mask in (reference, segmented)]
    codes = [_codes(mask) for mask in _crop(*masks)]
    full = (1 << (1 << len(spacing))) - 1
    borders = [(code != 0) & (code != full) for code in codes]
    sizes = _areas(tuple(spacing)) if len(spacing) == 3 else _lengths(tuple(spacing))
    sides = []
    for own, other in ((0, 1), (1, 0)):
        distances = _distances(borders[other], spacing)[borders[own]]
        areas = sizes[codes[own][borders[own]]]
        order = np.argsort(distances, kind="stable")
        sides.append((distances[order], areas[order]))
    (there, there_areas), (back, back_areas) = sides
    return SurfaceDistances(there, back, there_areas, back_areas)


def _quantile(distances: Real, areas: Real, percent: float) -> float:
    if not distances.size:
        return float(np.inf)
    part = np.cumsum(areas) / areas.sum()
    place = int(np.searchsorted(part, percent / 100))
    return float(distances[min(place, distances.size - 1)])


def _crop(a: Bools, b: Bools) -> tuple[Bools, Bools]:
    """Both within the box that holds them, and one empty voxel around it."""
    either = a | b
    box = []
    for axis in range(either.ndim):
        places = np.flatnonzero(either.any(axis=tuple({*range(either.ndim)} - {axis})))
        box.append(slice(places[0], places[-1] + 1) if places.size else slice(0, 0))
    return np.pad(a[tuple(box)], 1), np.pad(b[tuple(box)], 1)


def _codes(mask: Bools) -> NDArray[np.uint8]:
    """For every corner between voxels, which of those around it are inside, a bit each."""
    code = np.zeros([side - 1 for side in mask.shape], np.uint8)
    for bit, corner in enumerate(itertools.product((0, 1), repeat=mask.ndim)):
        part = tuple(slice(c, c + n) for c, n in zip(corner, code.shape, strict=True))
        code |= mask[part].astype(np.uint8) << np.uint8(bit)
    return code


def _distances(border: Bools, spacing: Real) -> Real:
    """From every corner to the nearest one on the border."""
    if not border.any():
        return np.full(border.shape, np.inf)
    try:
        from scipy import ndimage
    except ImportError as error:
        raise MissingExtra("distances between surfaces", "scipy", "eval") from error
    return np.asarray(ndimage.distance_transform_edt(~border, sampling=spacing))


# -- areas ---------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=8)
def _areas(spacing: tuple[float, ...]) -> Real:
    """Area of the surface element of each of the 256 cases."""
    i, j, k = spacing
    stretch = np.array([j * k, i * k, i * j])
    return np.array([np.linalg.norm(normals * stretch, axis=1).sum() for normals in _normals()])


@functools.lru_cache(maxsize=8)
def _lengths(spacing: tuple[float, ...]) -> Real:
    """Length of the contour element of each of the 16 cases in 2D."""
    i, j = spacing
    sloped = 0.5 * float(np.hypot(i, j))
    along = {0b0011: j, 0b1100: j, 0b0101: i, 0b1010: i, 0b0110: 2 * sloped, 0b1001: 2 * sloped}
    return np.array([along.get(code, 0.0 if code in {0, 15} else sloped) for code in range(16)])


@functools.cache
def _normals() -> tuple[Real, ...]:
    """Normals of the triangles of each case on a cube of side 1, as long as their areas."""
    found = []
    for code in range(ALL_INSIDE + 1):
        triangles = [_fold(polygon) for polygon in _polygons(code)]
        found.append(np.concatenate(triangles) if triangles else np.zeros((1, 3)))
    return tuple(found)


def _polygons(code: int) -> Iterator[list[Edge]]:
    """The polygons between inside and outside, as the edges whose middles they join."""
    inside = [bool(code >> corner & 1) for corner in range(8)]
    apart = sum(inside) <= 4  # whether it is the inside corners that are kept apart
    joined: dict[Edge, list[Edge]] = {}
    for face in _FACES:
        cut = [(a, b) for a, b in _EDGES if {a, b} <= face and inside[a] != inside[b]]
        lines = [cut] if len(cut) == 2 else []
        if len(cut) == 4:
            lines = [
                [edge for edge in cut if corner in edge]
                for corner in face
                if inside[corner] == apart
            ]
        for a, b in lines:
            joined.setdefault(a, []).append(b)
            joined.setdefault(b, []).append(a)
    while joined:
        start = next(iter(joined))
        polygon, here = [start], joined.pop(start)[0]
        while here != start:
            polygon.append(here)
            here = next((edge for edge in joined.pop(here) if edge in joined), start)
        yield polygon


def _fold(polygon: list[Edge]) -> Real:
    """Normals of the triangles of a polygon, folded so that its area is largest."""
    middles = np.array([_CORNERS[list(edge)].mean(axis=0) for edge in polygon])
    ways = [
        np.array(
            [np.cross(middles[b] - middles[a], middles[c] - middles[a]) / 2 for a, b, c in way]
        )
        for way in _triangulate(tuple(range(len(polygon))))
    ]
    # Rounded, so that ways of one area are not told apart by the order of sums.
    return max(ways, key=lambda normals: round(float(np.linalg.norm(normals, axis=1).sum()), 9))


def _triangulate(corners: tuple[int, ...]) -> Iterator[list[tuple[int, int, int]]]:
    """Every way to cut a polygon into triangles."""
    if len(corners) < 3:
        yield []
        return
    for middle in range(1, len(corners) - 1):
        for left in _triangulate(corners[: middle + 1]):
            for right in _triangulate(corners[middle:]):
                yield [*left, (corners[0], corners[middle], corners[-1]), *right]

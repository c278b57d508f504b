"""Hallucination: what a decoded image shows that no loss of its source can explain.

A codec may lose: blur, attenuate, shift by a part of a voxel. What loss can make of a source s is,
near any place, a mixture of s at several degrees of blur and of its slopes,

    Φ = { gₜ s − gₜ₊₁ s }  ∪  { ∂ₐ g s }         g: Gaussians of 0, 0.2, 0.4, 0.8, 1.6 cells

and the *unexplained* part of a decoded image d is what the best mixture near that place leaves,

    e = d − g₁.₆ s − Φ β,    β(x) = argmin Σ_y w(x − y) (d − g₁.₆ s − Φ β)²    (w: one cell wide)

Noise that was removed is explained, and so is detail that was lost; a structure the source lacks is
not. e is linear in d. Two numbers are made of it.

    score(x) = w ∗ e²  /  (w ∗ (s − K s)² + ε²)        ε = 0.5 % of the source's central range

K s is what plain antialiased bicubic interpolation by the codec's factor leaves (`degradation`):
the unexplained energy near a place, over what plain interpolation may lose there. A *place* is a
connected region above `ACCUSED`. And, since the cells' means are what codes of one number a cell
could carry, the energy is parted into what the means see and what they do not (their null space N),

    invented energy = mean (N e)²     share = Σ (N e)² / Σ (N s)²

detail between the cells' means that was made up. What it cannot see: a fake that is weaker than
what interpolation loses at its place, wider than the window w lets a drift be told from a mixture
(several cells), or made of the very blurs and slopes of what stands beside it. An offset over wide
areas is bias (`tissues`), not invention. Blocks, ringing and seams are structure without a source,
and are accused.
"""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.evaluation.degradation import (
    average_cells,
    fill_cells,
    interpolate_bicubic,
    project_null,
    spread_cells,
)
from plica.evaluation.fields import Field, Real, Triple, blur, check_factor, import_extra

BLURS = (0.2, 0.4, 0.8, 1.6)  # cells
SLOPES_OF = 0.2  # the blur whose slopes stand for a shift
SMALLEST_CELL = 4  # voxels; in smaller windows a mixture explains anything
FLOOR = 0.005  # of the central range: what nobody would call a structure
RIDGE = 1e-4
ACCUSED = 1.0  # more is unexplained than plain interpolation loses there


@dataclass(frozen=True)
class Invention:
    """What a decoded image shows that its source does not explain.

    Args:
        peak: The highest score of any place.
        peak_at: Its voxel (i, j, k).
        places: How many connected regions score above `ACCUSED`.
        accused_share: The share of voxels in them.
        null_energy: Mean square of the unexplained part in the null space of the cells' means, in
            the square of the image's unit.
        null_share: The same over the energy of the source's own null-space part.
        seen_energy: Mean square of the unexplained part that the cells' means see.
        kept_detail: How much of the source's own null-space part the decoded image has: the slope
            of its null-space part on the source's. 1 all, 0 none.
    """

    peak: float
    peak_at: Triple
    places: int
    accused_share: float
    null_energy: float
    null_share: float
    seen_energy: float
    kept_detail: float

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready record."""
        return {**asdict(self), "peak_at": list(self.peak_at)}


class Judge:
    """Judges decoded images of one source; what depends on the source alone is computed once.

    Args:
        source: The image as it was.
        factor: How much coarser along i, j, k the codec's codes are.

    Raises:
        SettingsError: The factor makes nothing coarser.
        UnusablePixels: The image has fewer than two cells a side.
    """

    def __init__(self, source: Field, factor: Triple) -> None:
        self.factor = check_factor(factor, source.values.shape)
        self.source = source
        self.floor = FLOOR * source.span
        # Products are summed in regions as wide as the window's sigma: its weights vary no faster.
        self._window = self._in_voxels(1.0)
        i, j, k = (max(2, round(side)) if side else 1 for side in self._window)
        self._cell: Triple = (i, j, k)
        blurred = [source.values, *(blur(source.values, self._in_voxels(t)) for t in BLURS)]
        self._base = blurred[-1]
        bands = [fine - coarse for fine, coarse in itertools.pairwise(blurred)]
        smooth = blurred[1 + BLURS.index(SLOPES_OF)]
        slopes = [np.gradient(smooth, axis=a) for a in range(3) if self.factor[a] > 1]
        self._mixture = np.stack([fill_cells(part, self._cell) for part in (*bands, *slopes)])
        self._gram = self._products()
        lost = source.values - interpolate_bicubic(source.values, self.factor)
        self._allowed = blur(lost**2, self._window) + self.floor**2

    def unexplained(self, decoded: Real) -> Real:
        """e: the part of a decoded image that no mixture of its source explains."""
        return self.without_mixture(decoded - self._base)

    def without_mixture(self, values: Real) -> Real:
        """The part of any field that no mixture explains; linear in the field."""
        padded = fill_cells(values, self._cell)
        right = np.stack([self._sum(part * padded) for part in self._mixture], axis=-1)
        weights: Real = np.asarray(
            np.linalg.solve(self._gram, right[..., None])[..., 0], np.float64
        )
        rest = padded.copy()
        for n, part in enumerate(self._mixture):
            rest -= spread_cells(weights[..., n], self._cell, padded.shape) * part
        return rest[tuple(slice(side) for side in values.shape)]

    def score(self, unexplained: Real) -> Real:
        """The unexplained energy around each voxel, over what interpolation may lose there."""
        return self.gather(unexplained**2) / self._allowed

    def gather(self, values: Real) -> Real:
        """What is around each voxel, within about one cell."""
        return blur(values, self._window)

    def allowance(self) -> Real:
        """Around each voxel, the RMS of what interpolation may lose there, in the image's unit."""
        return np.sqrt(self._allowed)

    def judge(self, decoded: Real) -> Invention:
        """The numbers for a decoded image."""
        unexplained = self.unexplained(decoded)
        score = self.score(unexplained)
        i, j, k = (int(n) for n in np.unravel_index(int(score.argmax()), score.shape))
        made_up = project_null(unexplained, self.factor)
        own = project_null(self.source.values, self.factor)
        own_energy = max(float((own**2).mean()), np.finfo(np.float64).tiny)
        accused = score > ACCUSED
        return Invention(
            peak=float(score[i, j, k]),
            peak_at=(i, j, k),
            places=count_places(accused),
            accused_share=float(accused.mean()),
            null_energy=float((made_up**2).mean()),
            null_share=float((made_up**2).mean() / own_energy),
            seen_energy=float(((unexplained - made_up) ** 2).mean()),
            kept_detail=float((project_null(decoded, self.factor) * own).mean() / own_energy),
        )

    # -- local least squares ---------------------------------------------------------------------

    def _in_voxels(self, cells: float) -> tuple[float, ...]:
        """A width in cells as voxels along each axis the codec makes coarser; 0 along others."""
        return tuple(cells * max(step, SMALLEST_CELL) if step > 1 else 0.0 for step in self.factor)

    def _sum(self, products: Real) -> Real:
        """Products gathered around each region: their means, blurred by one region."""
        means = average_cells(products, self._cell)
        return blur(means, tuple(float(width > 0) for width in self._window))

    def _products(self) -> Real:
        count = len(self._mixture)
        regions = self._sum(self._mixture[0] ** 2).shape
        gram = np.empty((*regions, count, count))
        for a in range(count):
            for b in range(a, count):
                gram[..., a, b] = gram[..., b, a] = self._sum(self._mixture[a] * self._mixture[b])
        mean = np.trace(gram, axis1=-2, axis2=-1)[..., None, None] / count
        return gram + np.eye(count) * (RIDGE * mean + 1e-3 * self.floor**2)


def count_places(mask: NDArray[np.bool_]) -> int:
    """How many connected regions a mask has; voxels that touch at a corner are connected."""
    return int(import_extra("scipy.ndimage").label(mask, np.ones((3, 3, 3)))[1])

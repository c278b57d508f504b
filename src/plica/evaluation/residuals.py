"""Residuals: is there anatomy in source − decoded?

What a codec loses should look like noise. Three questions to r = source − decoded, each with what
noise would answer:

    autocorrelation   Moran's I of neighbours, Σ r_x r_y / pairs over Σ r² / n. Noise: 0.
                      z: over √Σ r_x² r_y², its standard deviation when every voxel's sign is thrown
                      anew: a null of white noise with the very same power at every voxel.
    anatomy           Rank correlation, over blocks, of the RMS of r with the steepness of the
                      source. Noise: 0, however its power is distributed.
                      z: against r moved by random shifts around the image's ends, which keep all
                      there is of r and of the source but where they lie on each other.
    flatness          Geometric over arithmetic mean of r's power in rings of frequency. White
                      noise: 1.

The first and third see structure of any kind, such as the correlated noise of a CT's reconstruction
kernel; the second sees only what lies where the source has edges. Noise whose power follows the
anatomy by physics (Rician, Poisson) is counted by the second though nothing is lost of anatomy;
and a structure that vanished from a flat region has its own edges, and is seen.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from plica.errors import UnusablePixels
from plica.evaluation.degradation import average_cells
from plica.evaluation.fields import Field, Real, Triple, blur

BLOCK = 8  # voxels a side
SLOPES_OF = 2.0  # voxels: of a finer blur, the steepness of flat regions is that of their noise
SHIFTS = 64
RINGS = 24
FEWEST_BLOCKS = 24


@dataclass(frozen=True)
class ResidualStructure:
    """What a residual is like.

    Args:
        rms: Of the residual, in the image's unit.
        autocorrelation: Moran's I; 0 for noise.
        autocorrelation_z: Over its standard deviation under noise of the same power.
        anatomy: Rank correlation of local residual and steepness of the source; 0 for noise.
        anatomy_z: Over its standard deviation under shifts.
        flatness: Of the residual's spectrum; 1 for white noise.
    """

    rms: float
    autocorrelation: float
    autocorrelation_z: float
    anatomy: float
    anatomy_z: float
    flatness: float

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready record."""
        return asdict(self)


def judge_residual(source: Field, decoded: Real, *, seed: int = 0) -> ResidualStructure:
    """What is in the residual of a decoded image.

    A residual of nothing has no structure: all its numbers are 0, and its flatness 1; so has one
    that is the same everywhere, but for its RMS.

    Raises:
        UnusablePixels: The image has too few blocks to tell where the residual lies.
    """
    residual = source.values - decoded
    cell = _block(source)
    if np.prod(source.values.shape) < FEWEST_BLOCKS * np.prod(cell):
        raise UnusablePixels(
            f"an image of {source.values.shape} voxels has fewer than {FEWEST_BLOCKS} blocks of "
            f"{cell}, too few to tell where a residual lies: give a larger image"
        )
    rms = float(np.sqrt((residual**2).mean()))
    if rms == 0:
        return ResidualStructure(0.0, 0.0, 0.0, 0.0, 0.0, 1.0)
    index, index_z = _autocorrelate(residual, source)
    anatomy, anatomy_z = _find_anatomy(residual, source, cell, seed)
    return ResidualStructure(rms, index, index_z, anatomy, anatomy_z, _flatness(residual, source))


def _autocorrelate(residual: Real, source: Field) -> tuple[float, float]:
    seen = np.where(source.plateau, 0.0, residual)
    inside = ~source.plateau
    seen[inside] -= seen[inside].mean()
    together, squares, pairs = 0.0, 0.0, 0
    for axis in source.axes:
        one, other = (_cut(seen, axis, part) for part in (slice(1, None), slice(None, -1)))
        product = one * other
        both = _cut(inside, axis, slice(1, None)) & _cut(inside, axis, slice(None, -1))
        together += float(product.sum())
        squares += float((product**2).sum())
        pairs += int(both.sum())
    power = float((seen**2).sum()) / max(1, int(inside.sum()))
    if not (pairs and power > 0 and squares > 0):
        return 0.0, 0.0
    return together / pairs / power, together / float(np.sqrt(squares))


def _find_anatomy(residual: Real, source: Field, cell: Triple, seed: int) -> tuple[float, float]:
    smooth = blur(source.values, tuple(SLOPES_OF if a in source.axes else 0.0 for a in range(3)))
    squares = sum(np.gradient(smooth, source.spacing[a], axis=a) ** 2 for a in source.axes)
    steep, local = _blocks(np.sqrt(squares), cell), np.sqrt(_blocks(residual**2, cell))
    empty = _blocks(source.plateau.astype(np.float64), cell) > 0.5
    steep_ranks = _ranks(steep[~empty])
    if steep_ranks.size < FEWEST_BLOCKS:
        return 0.0, 0.0
    found = _correlate(steep_ranks, _ranks(local[~empty]))
    rng = np.random.default_rng(seed)
    # Blocks of tissue in a row, which is moved around: what is empty takes no part in the null.
    row = _ranks(local[~empty])
    moves = rng.integers(1, row.size, SHIFTS)
    null = np.array([_correlate(steep_ranks, np.roll(row, int(move))) for move in moves])
    spread = float(null.std(ddof=1))
    return found, (found - float(null.mean())) / spread if spread > 0 else 0.0


def _flatness(residual: Real, source: Field) -> float:
    axes = source.axes
    power = np.abs(np.fft.fftn(residual - residual.mean(), axes=axes)) ** 2
    frequency = np.zeros(residual.shape)
    for axis in axes:
        shape = [-1 if a == axis else 1 for a in range(3)]
        frequency = frequency + np.fft.fftfreq(residual.shape[axis]).reshape(shape) ** 2
    frequency = np.sqrt(frequency)
    ring = np.minimum((frequency * 2 * RINGS).astype(int), RINGS)  # corners beyond ½ are left out
    ring[frequency == 0] = RINGS
    sums = np.bincount(ring.ravel(), power.ravel(), RINGS + 1)[:RINGS]
    counts = np.bincount(ring.ravel(), minlength=RINGS + 1)[:RINGS]
    means = sums[counts > 0] / counts[counts > 0]
    if not means.any():
        return 1.0  # of an offset alone
    means = np.maximum(means, means.max() * 1e-12)
    return float(np.exp(np.log(means).mean()) / means.mean())


def _block(source: Field) -> Triple:
    i, j, k = (min(BLOCK, side) if side > 1 else 1 for side in source.values.shape)
    return i, j, min(k, 2)  # slices are few, and thick


def _blocks(values: Real, cell: Triple) -> Real:
    whole = tuple(slice(side - side % step) for side, step in zip(values.shape, cell, strict=True))
    return average_cells(values[whole], cell)


def _cut(values: Any, axis: int, part: slice) -> Any:
    return values[tuple(part if a == axis else slice(None) for a in range(3))]


def _ranks(values: Real) -> Real:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts + 1) / 2  # equal values share the middle of their ranks
    return np.asarray(middle[place.ravel()])


def _correlate(one: Real, other: Real) -> float:
    a, b = one - one.mean(), other - other.mean()
    size = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / size if size > 0 else 0.0

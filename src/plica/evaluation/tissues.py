"""Tissues: bias and error of each class of tissue, in the image's unit.

A voxel's class is taken from the source blurred by one voxel, not from its own value: where noise
decides the class, the voxels of a class are those whose noise happened to be low or high, and a
codec that takes noise away looks biased. `core` leaves out the voxels at a class's border (one
voxel, where its neighbours are of another class), whose values are partly another tissue's; `all`
keeps them.

CT, in HU. Fat and soft tissue are the ranges of body composition analysis (Aubrey et al. 2014,
Acta Physiol 210:489, and the works it cites: −190 … −30 and −29 … 150); air ends at −950, the
threshold of emphysema (Gevenois et al. 1996, AJRCCM 154:187); −500 is the usual upper end of
aerated lung; bone begins at 300. Between 150 and 300 are enhanced vessels, spongy bone and thin
calcifications, which a number alone does not tell apart. Between lung and fat is partial volume,
inflamed lung and gut: a class of no name, left out.

Other images have no such scale: their classes are the fifths of the source's values, without its
plateau of background.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.errors import InputError
from plica.evaluation.fields import Field, Real, blur, import_extra
from plica.image import Image, Unit
from plica.metrics.pair import Bools, read_mask, refuse_other_grid

HU_CLASSES = (
    ("air", -np.inf, -950.0),
    ("lung", -950.0, -500.0),
    ("fat", -190.0, -29.5),
    ("soft tissue", -29.5, 150.0),
    ("enhanced or spongy", 150.0, 300.0),
    ("bone", 300.0, np.inf),
)
FEWEST_VOXELS = 100  # of a class's core: of fewer, bias and error are chance
FIFTHS = ("darkest fifth", "dark fifth", "middle fifth", "bright fifth", "brightest fifth")


@dataclass(frozen=True)
class Tissue:
    """What became of one class of tissue in one image.

    Args:
        name: Of the class.
        low: Lowest value of the class, in the image's unit.
        high: The value it ends below.
        voxels: How many are in its core.
        bias: Mean of decoded − source over the core; NaN where it has no voxel.
        mae: Mean of |decoded − source| over the core.
        voxels_all: How many there are with the border.
        bias_all: The same over all of them.
        mae_all: The same over all of them.
    """

    name: str
    low: float
    high: float
    voxels: int
    bias: float
    mae: float
    voxels_all: int
    bias_all: float
    mae_all: float

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready record; what is infinite or not a number is null."""
        return {
            key: None if isinstance(value, float) and not np.isfinite(value) else value
            for key, value in asdict(self).items()
        }


def name_classes(low: float, high: float) -> tuple[str, ...]:
    """The classes of CT that values between two ends, in HU, may be of.

    Examples:
        >>> name_classes(-60.0, 40.0)
        ('fat', 'soft tissue')
    """
    return tuple(name for name, first, end in HU_CLASSES if low < end and high >= first)


def judge_tissues(source: Field, decoded: Real) -> tuple[Tissue, ...]:
    """Bias and error of every class that has voxels."""
    smooth = blur(source.values, tuple(1.0 if axis in source.axes else 0.0 for axis in range(3)))
    error = decoded - source.values
    found = (
        _judge(name, (low, high), (smooth >= low) & (smooth < high) & ~source.plateau, error)
        for name, low, high in _classes(source, smooth)
    )
    return tuple(tissue for tissue in found if tissue.voxels_all)


def judge_ranges(source: Image, decoded: Image, region: Bools | None = None) -> tuple[Tissue, ...]:
    """Bias and error by the source's own values in HU: quick, in numpy alone, and of all voxels.

    Where noise decides which range a voxel falls into, a codec that takes noise away is biased
    towards the middle of the range; `judge_tissues` is not fooled by that, and leaves borders out.

    Args:
        source: The image as it was.
        decoded: The image to judge.
        region: Only these voxels (i, j, k) count; all of them if left out.

    Raises:
        InputError: The source is not in HU: other values name no tissue. Or the images differ in
            grid or channels.

    Examples:
        >>> [tissue.name for tissue in judge_ranges(scan, decoded)]
        ['air', ...]
    """
    if source.unit is not Unit.HU:
        raise InputError(
            f"tissues are ranges of HU, but the source is in {source.unit.value}: say --unit HU "
            "if that is what it is"
        )
    refuse_other_grid(source.grid, decoded.grid)
    if source.channels != decoded.channels:
        raise InputError(
            f"tissues are compared channel by channel, but the source has {source.channels} and "
            f"the other image {decoded.channels}"
        )
    keep = None if region is None else read_mask(region, source.grid.shape)
    sums = np.zeros((len(HU_CLASSES), 3))
    for channel in range(source.channels):
        for i in range(source.grid.shape[0]):
            own, other = (one.pixels[channel, i].astype(np.float64) for one in (source, decoded))
            error = other - own
            counted = np.isfinite(error)
            if keep is not None:
                counted &= keep[i]
            for n, (_, low, high) in enumerate(HU_CLASSES):
                inside = error[(own >= low) & (own < high) & counted]
                sums[n] += inside.size, inside.sum(), np.abs(inside).sum()
    return tuple(
        Tissue(name, low, high, int(count), total / count, size / count,
               int(count), total / count, size / count)
        for (name, low, high), (count, total, size) in zip(HU_CLASSES, sums.tolist(), strict=True)
        if count
    )  # fmt: skip


def _classes(source: Field, smooth: Real) -> tuple[tuple[str, float, float], ...]:
    if source.unit is Unit.HU:
        return HU_CLASSES
    ends = np.quantile(smooth[~source.plateau], np.linspace(0, 1, len(FIFTHS) + 1))
    ends[0], ends[-1] = -np.inf, np.inf
    return tuple((name, float(ends[n]), float(ends[n + 1])) for n, name in enumerate(FIFTHS))


def _judge(name: str, limits: tuple[float, float], mask: NDArray[np.bool_], error: Real) -> Tissue:
    core = _erode(mask)
    inside, everywhere = error[core], error[mask]
    return Tissue(
        name, *limits,
        int(inside.size), _mean(inside), _mean(np.abs(inside)),
        int(everywhere.size), _mean(everywhere), _mean(np.abs(everywhere)),
    )  # fmt: skip


def _erode(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Voxels whose face neighbours are of the class too; the image's border is no neighbour."""
    padded = np.pad(mask, [(int(side > 1),) * 2 for side in mask.shape], mode="edge")
    cross = import_extra("scipy.ndimage").generate_binary_structure(3, 1)
    for axis, side in enumerate(mask.shape):
        if side == 1:
            cross = cross.take([1], axis=axis)
    eroded = import_extra("scipy.ndimage").binary_erosion(padded, cross)
    inner = tuple(slice(1, -1) if side > 1 else slice(None) for side in mask.shape)
    return np.asarray(eroded[inner])


def _mean(values: Real) -> float:
    return float(values.mean()) if values.size else float("nan")

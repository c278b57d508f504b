"""Pair: source and decoded pixels on one grid, and where to look at them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.errors import InputError
from plica.grid import Grid

Bools = NDArray[np.bool_]

CHUNK_VOXELS = 1 << 22  # 32 MiB of float64: metrics never hold a whole volume as real numbers


@dataclass(frozen=True, eq=False)
class Pair:
    """Source and decoded pixels on one grid, and what metrics must agree on.

    Args:
        source: (channel, i, j, k), of any real or whole type.
        decoded: Of the same shape.
        finite: Where both are finite; None where they are everywhere.
        data_range: What counts as the full range of values, in the image's unit; 0 for a source
            that is constant and of no unit that would say.
        low: The lower end of that range.
        grid: Where the voxels are; None where that is not known, and lengths are in voxels.
        region: Where to look, (i, j, k); None for everywhere.
        weights_dir: Where the weights of networks that judge are looked for first.
    """

    source: NDArray[Any]
    decoded: NDArray[Any]
    finite: Bools | None
    data_range: float
    low: float = 0.0
    grid: Grid | None = None
    region: Bools | None = None
    weights_dir: Path | None = None

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxels along i, j, k; 1 where it is not known."""
        return (1.0, 1.0, 1.0) if self.grid is None else self.grid.spacing_mm

    @property
    def calibrated(self) -> bool:
        """Whether the millimetres are known."""
        return self.grid is not None and self.grid.calibrated

    @property
    def box(self) -> tuple[slice, slice, slice]:
        """The smallest box of voxels that holds the region; all of them where there is none."""
        if self.region is None:
            return slice(None), slice(None), slice(None)
        i, j, k = (
            np.flatnonzero(self.region.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1))
        )
        return slice(i[0], i[-1] + 1), slice(j[0], j[-1] + 1), slice(k[0], k[-1] + 1)

    def boxed(self) -> Pair:
        """What lies in `box`, whether in the region or not: for metrics that need whole boxes."""
        if self.region is None:
            return self
        part = (slice(None), *self.box)
        finite = None if self.finite is None else self.finite[part]
        return replace(
            self,
            source=self.source[part],
            decoded=self.decoded[part],
            finite=None if finite is None or finite.all() else finite,
            region=None,
        )

    def differences(self) -> Iterator[NDArray[np.float64]]:
        """Decoded minus source where both are finite, in the region, in chunks of float64."""
        i, j, k = self.box
        source, decoded = self.source[:, i, j, k], self.decoded[:, i, j, k]
        finite = None if self.finite is None else self.finite[:, i, j, k]
        region = None if self.region is None else self.region[i, j, k]
        channels, rows = source.shape[:2]
        step = max(1, CHUNK_VOXELS // max(1, source[0, 0].size))
        for channel in range(channels):
            for start in range(0, rows, step):
                rows_here = slice(start, start + step)
                part = (channel, rows_here)
                keep = _both(
                    None if finite is None else finite[part],
                    None if region is None else region[rows_here],
                )
                x, y = source[part], decoded[part]
                if keep is not None:
                    x, y = x[keep], y[keep]
                yield y.astype(np.float64) - x.astype(np.float64)


def read_mask(mask: Any, shape: tuple[int, ...], *, what: str = "the region") -> Bools:
    """Truth values of a mask, whatever type of number it came in.

    Args:
        mask: Truth values, or zeros and ones.
        shape: Of the grid it is for.
        what: Begins the sentence.

    Raises:
        InputError: It has another shape, or other values.

    Examples:
        >>> read_mask(np.array([[0, 1, 1]]), (1, 3))
        array([[False,  True,  True]])
    """
    array = np.asarray(mask)
    if array.shape != shape:
        raise InputError(
            f"{what} has the shape {array.shape} and the images {shape}: give truth values for "
            "each voxel (i, j, k) of the images' grid"
        )
    if array.dtype == np.bool_:
        return array
    # NaN is neither, and so is text.
    if array.dtype.kind not in "iuf" or not bool(((array == 0) | (array == 1)).all()):
        raise InputError(
            f"{what} holds other values than 0 and 1 ({array.dtype}): give truth values, such as "
            "labels == 3 for one label"
        )
    return array.astype(np.bool_)


def refuse_other_grid(
    one: Grid, other: Grid, *, what: str = "the images are", names: tuple[str, str] = ("", "")
) -> None:
    """Voxels are compared by their place.

    Args:
        what: Begins the sentence.
        names: Of the two, to stand before their numbers.

    Raises:
        InputError: The grids differ.

    Examples:
        >>> refuse_other_grid(scan.grid, radiograph.grid)
        Traceback (most recent call last):
            ...
        plica.errors.InputError: the images are not on one grid: ...
    """
    if one.agrees_with(other):
        return
    raise InputError(
        f"{what} not on one grid: {'; '.join(_tell_apart(one, other, names))}; resample one onto "
        "the other first"
    )


def _tell_apart(one: Grid, other: Grid, names: tuple[str, str]) -> Iterator[str]:
    """What differs between two grids, with its numbers."""
    mine, theirs = (f"{name}: " if name else "" for name in names)
    between = f", {theirs}" if theirs else " against "
    if one.shape != other.shape:
        yield f"{mine}{one.shape} voxels{between}{other.shape}"
    pairs = (
        ("spacing", one.spacing_mm, other.spacing_mm),
        ("origin", one.origin_mm, other.origin_mm),
    )
    for name, a, b in pairs:
        if not np.allclose(a, b, rtol=0, atol=1e-4):
            yield f"{name} {mine}{_round(a)}{between}{_round(b)} mm"
    turns = [grid.affine[:3, :3] / np.asarray(grid.spacing_mm) for grid in (one, other)]
    if not np.allclose(turns[0], turns[1], rtol=0, atol=1e-5):
        spelled = [" ".join(str(_round(axis)) for axis in each.T) for each in turns]
        yield f"axes {mine}{between.join(spelled)}"


def _round(numbers: Any) -> list[float]:
    return [float(number) for number in np.round(np.asarray(numbers, np.float64), 4)]


def _both(a: Bools | None, b: Bools | None) -> Bools | None:
    if a is None or b is None:
        return b if a is None else a
    return a & b

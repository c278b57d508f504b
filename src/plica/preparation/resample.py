"""Resample: another spacing over the same field of view; a loss, and recorded as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.errors import SettingsError, TooLarge
from plica.grid import Grid
from plica.image import Image, Pixels, Unit
from plica.latent import Record
from plica.preparation.scaling import measure_range, name_type, to_type
from plica.preparation.undo import LARGEST_SIDE, Undo

LARGEST_MATRIX = 2**25


@dataclass(frozen=True)
class Resample:
    """Interpolate to another spacing along the image's own axes.

    The centre of the field of view keeps its place, and the new grid covers all of the old one.
    Along each axis the image is taken as linear between voxel centres; a finer grid reads that
    function, a coarser one takes its mean over each new voxel, so that nothing aliases. Both give
    a ramp back exactly. Labels take the nearest voxel.

    Args:
        spacing_mm: Wanted distance between voxel centres along i, j, k; 0 keeps an axis as it is.
    """

    spacing_mm: tuple[float, float, float]

    def __post_init__(self) -> None:
        if len(self.spacing_mm) != 3 or not all(0 <= one <= 1e4 for one in self.spacing_mm):
            raise SettingsError(
                f"resampling needs three spacings in mm (0 keeps an axis), "
                f"but got {self.spacing_mm}"
            )

    def apply(self, image: Image) -> tuple[Image, Record]:
        """Interpolate, and measure on the spot what does not come back.

        Raises:
            SettingsError: The image's pixel size is unknown.
            TooLarge: The new grid would be out of all proportion.
        """
        if not image.grid.calibrated:
            raise SettingsError(
                "the image's pixel size is unknown, so it cannot be resampled to a spacing in mm: "
                "leave the spacing out, or give the file one"
            )
        measure_range(image.pixels, "resampling")
        grid = _respaced(image.grid, self.spacing_mm)
        nearest = image.unit is Unit.LABEL
        undo: dict[str, Any] = {"grid": image.grid.to_json(), "nearest": nearest}
        undo["dtype"] = name_type(image.pixels.dtype)
        if grid.shape == image.grid.shape and np.allclose(
            grid.spacing_mm, image.grid.spacing_mm, rtol=1e-9
        ):
            return image, Record("resample", undo)
        pixels = _resampled(image.pixels, image.grid, grid, nearest=nearest)
        line = f"resampled from {_spell(image.grid)} to {_spell(grid)} mm"
        provenance = image.provenance.after(line)
        resampled = replace(image, pixels=pixels, grid=grid, provenance=provenance)
        record = Record("resample", undo, {"spacing_mm": list(image.grid.spacing_mm)})
        back = Resample.revert(resampled, record)
        return resampled, replace(record, loss={**record.loss, **_measure(image, back)})

    @staticmethod
    def revert(image: Image, record: Record) -> Image:
        """Interpolate back onto the source's grid."""
        undo = Undo(record)
        grid, nearest, dtype = undo.grid(), undo.flag("nearest"), undo.pixel_type()
        if grid == image.grid:
            return image.with_pixels(to_type(image.pixels, dtype))
        undo.refuse_growth(grid.shape, image)
        try:
            pixels = _resampled(image.pixels, image.grid, grid, nearest=nearest)
        except TooLarge as error:
            raise undo.damage(str(error)) from error
        return replace(image, pixels=to_type(pixels, dtype), grid=grid)


# -- where -----------------------------------------------------------------------------------------


def _respaced(grid: Grid, wanted_mm: Sequence[float]) -> Grid:
    """A grid of the wanted spacing around the same centre, covering all of the old one."""
    spacing = np.array(grid.spacing_mm)
    sides = np.array(grid.shape)
    kept = (np.array(wanted_mm) == 0) | (sides == 1)  # one voxel has no neighbour to go to
    wanted = np.where(kept, spacing, wanted_mm)
    # less a millionth: 10 voxels of 0.3 mm are three of 1 mm, whatever float makes of it
    shape = np.maximum(np.ceil(sides * spacing / wanted - 1e-6), 1)
    if shape.max() > LARGEST_SIDE or shape.prod() > 2**30:
        raise TooLarge(
            f"a spacing of {_spell(grid)} mm resampled to {tuple(wanted_mm)} mm would need "
            f"{tuple(int(one) for one in shape)} voxels: ask for a coarser one"
        )
    ratio = wanted / spacing
    affine = grid.affine.copy()
    affine[:3, :3] *= ratio
    affine[:3, 3] = grid.to_world((sides - 1) / 2 - (shape - 1) / 2 * ratio)
    i, j, k = (int(one) for one in shape)
    return Grid((i, j, k), affine, grid.calibrated)


# -- what ------------------------------------------------------------------------------------------


def _resampled(pixels: Pixels, source: Grid, target: Grid, *, nearest: bool) -> Pixels:
    work = np.float32 if pixels.dtype.itemsize <= 2 or pixels.dtype == np.float32 else np.float64
    values: Pixels = pixels if nearest else pixels.astype(work, copy=False)
    for axis in range(3):
        old, new = source.shape[axis], target.shape[axis]
        ratio = target.spacing_mm[axis] / source.spacing_mm[axis]
        if old == new and abs(ratio - 1) < 1e-9:
            continue
        places = _places(old, new, ratio)
        if nearest:
            chosen = np.clip(np.rint(places), 0, old - 1).astype(int)
            values = np.take(values, chosen, axis=axis + 1)
            continue
        weights = _weights(places, old, ratio).astype(work)
        values = np.moveaxis(np.tensordot(weights, values, axes=(1, axis + 1)), 0, axis + 1)
    return values


def _places(old: int, new: int, ratio: float) -> NDArray[np.float64]:
    """Where the new voxels' centres fall among the old ones, both centred on one point."""
    if old * new > LARGEST_MATRIX:
        raise TooLarge(f"resampling {old} voxels to {new} along one axis needs too much memory")
    offsets: NDArray[np.float64] = np.arange(new, dtype=np.float64) - (new - 1) / 2
    return offsets * ratio + (old - 1) / 2


def _weights(places: NDArray[np.float64], old: int, ratio: float) -> NDArray[np.float64]:
    """What each old voxel gives to each new one, of shape (new, old).

    The image between voxel centres is a sum of hats, constant beyond the first and last centre.
    A new voxel at t takes its value there, or, where it is wider than an old one, its mean over
    t ∓ ratio/2: the difference of the hats' integrals.
    """
    offsets = places[:, None] - np.arange(old)
    if ratio <= 1 or old == 1:
        inside = np.clip(places, 0, old - 1)[:, None] - np.arange(old)
        return np.maximum(1 - np.abs(inside), 0)
    return (_integral(offsets + ratio / 2) - _integral(offsets - ratio / 2)) / ratio


def _integral(offsets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each hat (column) integrated up to an offset from its peak, up to a constant per hat."""
    rising = np.square(np.clip(offsets + 1, 0, 1)) / 2
    rising[:, 0] = np.minimum(offsets[:, 0], 0)  # the first hat has no left slope
    reached = np.clip(offsets, 0, 1)
    falling = reached - np.square(reached) / 2
    falling[:, -1] = np.maximum(offsets[:, -1], 0)  # nor the last one a right slope
    total: NDArray[np.float64] = rising + falling
    return total


def _measure(source: Image, back: Image) -> dict[str, float]:
    apart = back.pixels.astype(np.float64) - source.pixels
    return {
        "rms_change": float(np.sqrt(np.square(apart).mean())),
        "largest_change": float(np.abs(apart).max()),
    }


def _spell(grid: Grid) -> str:
    return " × ".join(f"{one:.4g}" for one in grid.spacing_mm)

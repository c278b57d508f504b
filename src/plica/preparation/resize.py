"""Resize: another number of voxels over the same field of view, by bicubic interpolation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from plica.errors import SettingsError
from plica.grid import Grid
from plica.image import Image, Pixels, Unit
from plica.preparation.scaling import measure_range, to_type
from plica.preparation.undo import LARGEST_SIDE

_REACH = 2.0  # of the cubic, in voxels of the coarser grid


def resize(image: Image, shape: Sequence[int]) -> Image:
    """The image with `shape` voxels along i, j, k, its field of view kept from edge to edge.

    Bicubic (Keys, 1981, a = −1/2) along each axis; where voxels grow, the cubic grows with them, so
    that nothing aliases. Beyond an edge there is nothing: the weights inside are scaled to one.
    Values stay between the image's least and greatest, and whole numbers whole. Labels take the
    nearest voxel. An axis of one voxel, and one that keeps its side, are left as they are.

    Raises:
        SettingsError: A side is not between 1 and 65536.
        UnusablePixels: Values are not finite.

    Examples:
        >>> resize(radiograph, (48, 48, 1)).grid.spacing_mm
        (2.0, 2.0, 1.0)
    """
    i, j, k = wanted = tuple(int(side) for side in shape)
    if min(wanted) < 1 or max(wanted) > LARGEST_SIDE:
        raise SettingsError(f"sides are 1 to {LARGEST_SIDE} voxels, but {wanted} were asked for")
    if wanted == image.grid.shape:
        return image
    low, high = measure_range(image.pixels, "resizing")
    grid = regrid(image.grid, (i, j, k))
    pixels = image.pixels
    for axis in range(3):
        pixels = _along(pixels, axis + 1, grid.shape[axis], nearest=image.unit is Unit.LABEL)
    pixels = to_type(np.clip(pixels, low, high), image.pixels.dtype)
    line = f"resized from {image.grid.shape} to {grid.shape} voxels (bicubic)"
    provenance = image.provenance.after(line)
    return replace(image, pixels=pixels, grid=grid, provenance=provenance)


def regrid(grid: Grid, shape: tuple[int, int, int]) -> Grid:
    """The grid of `shape` voxels that reaches from edge to edge of another one."""
    ratio = np.array(grid.shape) / np.array(shape)
    affine = grid.affine.copy()
    affine[:3, :3] *= ratio
    affine[:3, 3] = grid.to_world((ratio - 1) / 2)
    return Grid(shape, affine, grid.calibrated)


def _along(pixels: Pixels, axis: int, new: int, *, nearest: bool) -> Pixels:
    old = pixels.shape[axis]
    if old == new:
        return pixels
    places = (np.arange(new) + 0.5) * old / new - 0.5
    if nearest:
        return np.take(pixels, np.clip(np.rint(places), 0, old - 1).astype(int), axis=axis)
    work = np.float64 if pixels.dtype.itemsize > 4 else np.float32
    weights = _weights(places, old, old / new).astype(work)
    values = pixels.astype(work, copy=False)
    return np.moveaxis(np.tensordot(weights, values, axes=(1, axis)), 0, axis)


def _weights(places: NDArray[np.float64], old: int, ratio: float) -> NDArray[np.float64]:
    """What each old voxel gives to each new one, of shape (new, old)."""
    width = max(ratio, 1.0)
    d = np.abs(places[:, None] - np.arange(old)) / width
    near = (1.5 * d - 2.5) * d * d + 1
    far = ((-0.5 * d + 2.5) * d - 4) * d + 2
    weights = np.where(d < 1, near, np.where(d < _REACH, far, 0.0))
    return weights / weights.sum(axis=1, keepdims=True)

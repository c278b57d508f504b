"""Resizing: an image on as many voxels as a classifier wants, over the same field of view.

Bicubic (Keys 1981, a = −½), stretched where an axis shrinks, so that nothing aliases; the kernel is
cut and normalised anew at borders. As Pillow's `resize`, and as the interpolation codecs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.errors import TooLarge
from plica.grid import Grid
from plica.image import Image, fingerprint_pixels

_SUPPORT = 2.0
_LARGEST_MATRIX = 2**25


def resize(image: Image, shape: tuple[int, int, int]) -> Image:
    """The image on a grid of that shape with the same outer borders; whole numbers stay so.

    Raises:
        TooLarge: The shape is out of all proportion.

    Example:
        small = resize(radiograph, (512, 1024, 1))
    """
    if shape == image.grid.shape:
        return image
    values = image.pixels.astype(np.float32)
    for axis in range(3):
        old, new = image.grid.shape[axis], shape[axis]
        if old != new:
            weights = weigh(old, new).astype(np.float32)
            values = np.moveaxis(np.tensordot(weights, values, axes=(1, axis + 1)), 0, axis + 1)
    pixels = _to_type(values, image.pixels.dtype)
    spelt = " × ".join(map(str, shape))
    provenance = replace(
        image.provenance.after(f"resized to {spelt} voxels"), content=fingerprint_pixels(pixels)
    )
    return replace(image, pixels=pixels, grid=_regrid(image.grid, shape), provenance=provenance)


def weigh(old: int, new: int) -> NDArray[np.float64]:
    """What each of `old` voxels gives to each of `new`: (new, old), whose rows add up to 1."""
    if old * new > _LARGEST_MATRIX:
        raise TooLarge(f"resizing {old} voxels to {new} along one axis needs too much memory")
    ratio = old / new
    stretch = max(ratio, 1.0)
    centres = (np.arange(new) + 0.5) * ratio - 0.5
    d = np.abs(np.arange(old) - centres[:, None]) / stretch
    near, far = 1.5 * d**3 - 2.5 * d**2 + 1.0, -0.5 * d**3 + 2.5 * d**2 - 4.0 * d + 2.0
    weights = np.where(d < 1.0, near, np.where(d < _SUPPORT, far, 0.0))
    normalised: NDArray[np.float64] = weights / weights.sum(1, keepdims=True)
    return normalised


def _to_type(values: NDArray[np.float32], dtype: np.dtype[Any]) -> NDArray[Any]:
    if dtype.kind not in "iu":
        return values if dtype.kind == "b" else values.astype(dtype)
    bounds = np.iinfo(dtype)
    return np.clip(np.rint(values.astype(np.float64)), bounds.min, bounds.max).astype(dtype)


def _regrid(grid: Grid, shape: tuple[int, int, int]) -> Grid:
    ratio = np.array(grid.shape) / np.array(shape)
    affine = grid.affine.copy()
    affine[:3, :3] *= ratio
    affine[:3, 3] = grid.to_world((ratio - 1) / 2)
    return Grid(shape, affine, grid.calibrated)

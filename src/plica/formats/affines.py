"""Affines out of what files say: quaternions, directions, spacings, none at all."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from plica.grid import Float64

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
PICTURE_SPACING_MM = (-1.0, -1.0, 1.0)
"""A picture without geometry: i to the patient's left, j down, one unit per pixel."""


def quaternion_to_rotation(b: float, c: float, d: float) -> Float64:
    """The rotation of a unit quaternion given by its last three parts (NIfTI-1, method 2).

    Parts longer than one are scaled to one: files round them to 32 bits.
    """
    length = b * b + c * c + d * d
    if length > 1:
        b, c, d = (part / np.sqrt(length) for part in (b, c, d))
    a = np.sqrt(max(0.0, 1 - (b * b + c * c + d * d)))
    return np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )


def rotation_to_quaternion(rotation: ArrayLike) -> tuple[float, float, float]:
    """The last three parts of the unit quaternion of a proper rotation, first part positive.

    It is the eigenvector of Bar-Itzhack's symmetric 4×4 matrix (J. Guid. Control Dyn. 2000,
    23:1085) for its largest eigenvalue, which needs no case distinction.
    """
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = np.asarray(rotation, np.float64)
    symmetric = np.array(
        [
            [xx - yy - zz, yx + xy, zx + xz, zy - yz],
            [yx + xy, yy - xx - zz, zy + yz, xz - zx],
            [zx + xz, zy + yz, zz - xx - yy, yx - xy],
            [zy - yz, xz - zx, yx - xy, xx + yy + zz],
        ]
    )
    b, c, d, a = np.linalg.eigh(symmetric)[1][:, -1]
    sign = -1.0 if a < 0 else 1.0
    return float(sign * b), float(sign * c), float(sign * d)


def compose(directions: ArrayLike, spacing_mm: ArrayLike, origin_mm: ArrayLike) -> Float64:
    """An affine of direction columns, spacings and the first voxel's place."""
    affine = np.eye(4)
    affine[:3, :3] = np.asarray(directions, np.float64) * np.asarray(spacing_mm, np.float64)
    affine[:3, 3] = origin_mm
    return affine


def is_usable(affine: Float64) -> bool:
    """Whether it is finite and maps no two voxels onto one place."""
    if not np.isfinite(affine).all() or np.abs(affine).max() > 1e9:
        return False
    i, j, k = affine[:3, :3].T
    # Not numpy's det, which divides by pivots and warns of those that vanish.
    return bool(abs(np.cross(i, j) @ k) >= 1e-12)


def is_orthogonal(affine: Float64) -> bool:
    """Whether the axes stand at right angles, so that a rotation and spacings say it all."""
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return bool(np.allclose(directions.T @ directions, np.eye(3), atol=1e-5))


def complete_plane(affine: Float64, shape: tuple[int, int, int]) -> Float64:
    """The affine with a third axis of 1 mm where one slice's own is zero.

    Writers of flat images leave that column empty; the slice has nothing beside it, so any
    thickness is right for its voxel centres.
    """
    if shape[2] != 1 or not np.isfinite(affine).all() or affine[:3, 2].any():
        return affine
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    length = np.linalg.norm(normal)
    if length == 0:
        return affine
    completed = affine.copy()
    completed[:3, 2] = normal / length
    return completed


def farthest_apart_mm(one: Float64, other: Float64, shape: tuple[int, int, int]) -> float:
    """How far the two put one corner voxel apart, at most."""
    corners = np.array(np.meshgrid(*[(0, side - 1) for side in shape])).reshape(3, -1)
    apart = (one - other)[:3, :3] @ corners + (one - other)[:3, 3:]
    return float(np.linalg.norm(apart, axis=0).max())

"""Grid: where the voxels are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.errors import InputError

Float64 = NDArray[np.float64]
Numbers = Sequence[Any] | NDArray[Any]  # not ArrayLike, which run-time type checkers cannot read
AXIS_NAMES = (("L", "R"), ("P", "A"), ("I", "S"))


@dataclass(frozen=True, eq=False, repr=False)
class Grid:
    """A regular lattice of voxel centres in the patient's space.

    World is RAS+ millimetres: x grows to the patient's right, y to the front, z to the head.
    Indices are (i, j, k); `affine @ (i, j, k, 1)` is the centre of that voxel.

    Args:
        shape: Number of voxels along i, j, k; each at least 1. A radiograph has one along k.
        affine: 4×4, float64, invertible.
        calibrated: Whether the millimetres are known. A PNG says nothing of its pixel size: it
            stands on a grid of 1 mm with `calibrated=False`, and lengths mean pixels there.

    Raises:
        InputError: A side is empty, or the affine is not finite and invertible.
    """

    shape: tuple[int, int, int]
    affine: Float64
    calibrated: bool = True

    def __post_init__(self) -> None:
        shape = tuple(int(side) for side in self.shape)
        if len(shape) != 3 or min(shape) < 1:
            raise InputError(
                f"a grid needs three sides of at least one voxel, but the shape is {shape}"
            )
        affine = np.array(self.affine, dtype=np.float64)
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise InputError(
                f"a grid needs a finite 4×4 affine, but got shape {affine.shape}: {affine.tolist()}"
            )
        if abs(np.linalg.det(affine[:3, :3])) < 1e-12:
            raise InputError(
                f"the affine maps the voxels onto a plane, line or point (spacing "
                f"{np.linalg.norm(affine[:3, :3], axis=0).round(6).tolist()} mm): "
                "give the image a valid spacing"
            )
        affine.setflags(write=False)
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "affine", affine)

    def __repr__(self) -> str:
        unit = "mm" if self.calibrated else "pixels"
        return (
            f"Grid({'×'.join(map(str, self.shape))} voxels of "
            f"{'×'.join(f'{side:.4g}' for side in self.spacing_mm)} {unit}, "
            f"{self.orientation}, first at ({', '.join(f'{x:.4g}' for x in self.origin_mm)}))"
        )

    # -- making ------------------------------------------------------------------------------

    @classmethod
    def from_spacing(
        cls,
        shape: Numbers,
        spacing_mm: Numbers = (1.0, 1.0, 1.0),
        *,
        origin_mm: Numbers = (0.0, 0.0, 0.0),
        calibrated: bool = True,
    ) -> Grid:
        """A grid whose axes are the world's, with its first voxel centre at `origin_mm`."""
        affine = np.diag([*map(float, spacing_mm), 1.0])
        affine[:3, 3] = origin_mm
        return cls(_triple(shape), affine, calibrated)

    # -- asking ------------------------------------------------------------------------------

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxel centres along i, j, k."""
        i, j, k = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(i), float(j), float(k)

    @property
    def origin_mm(self) -> tuple[float, float, float]:
        """World position of voxel (0, 0, 0)."""
        x, y, z = self.affine[:3, 3]
        return float(x), float(y), float(z)

    @property
    def orientation(self) -> str:
        """Three letters: the anatomical direction nearest to growing i, j, k, such as "LPS"."""
        return "".join(
            AXIS_NAMES[world][int(self.affine[world, axis] > 0)]
            for axis, world in enumerate(self._nearest_world_axes())
        )

    def _nearest_world_axes(self) -> tuple[int, int, int]:
        """World axis nearest to i, j, k, each used once (greedy on the largest cosine)."""
        cosines = np.abs(self.affine[:3, :3] / np.linalg.norm(self.affine[:3, :3], axis=0))
        chosen = [0, 0, 0]
        for _ in range(3):
            world, axis = np.unravel_index(int(np.argmax(cosines)), (3, 3))
            chosen[int(axis)] = int(world)
            cosines[world, :] = -1.0
            cosines[:, axis] = -1.0
        return chosen[0], chosen[1], chosen[2]

    def to_world(self, index: Numbers) -> Float64:
        """Voxel indices (..., 3), fractions allowed, to RAS+ millimetres (..., 3)."""
        return np.asarray(index, np.float64) @ self.affine[:3, :3].T + self.affine[:3, 3]

    def to_index(self, world_mm: Numbers) -> Float64:
        """RAS+ millimetres (..., 3) to fractional voxel indices (..., 3)."""
        offset = np.asarray(world_mm, np.float64) - self.affine[:3, 3]
        return np.asarray(np.linalg.solve(self.affine[:3, :3], offset[..., None])[..., 0])

    def agrees_with(self, other: Grid, tolerance_mm: float = 1e-3) -> bool:
        """Whether both have one shape and no voxel centre differs by more than `tolerance_mm`."""
        if self.shape != other.shape:
            return False
        corners = np.array(np.meshgrid(*[(0, side - 1) for side in self.shape])).reshape(3, -1).T
        apart = np.linalg.norm(self.to_world(corners) - other.to_world(corners), axis=1)
        return bool(apart.max() <= tolerance_mm)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Grid)
            and self.shape == other.shape
            and self.calibrated == other.calibrated
            and np.array_equal(self.affine, other.affine)
        )

    def __hash__(self) -> int:
        return hash((self.shape, self.calibrated, self.affine.tobytes()))

    # -- deriving ----------------------------------------------------------------------------

    def window(self, start: Numbers, shape: Numbers) -> Grid:
        """The grid of the voxels from `start`, `shape` of them; may reach outside this one."""
        affine = self.affine.copy()
        affine[:3, 3] = self.to_world(np.asarray(start, np.float64))
        return Grid(_triple(shape), affine, self.calibrated)

    def coarser(self, factor: Numbers) -> Grid:
        """The grid of cells of `factor` voxels along i, j, k: centres, not corners, stay aligned.

        Raises:
            InputError: A factor does not divide its side; pad first.
        """
        cell = _triple(factor)
        if min(cell) < 1 or any(side % step for side, step in zip(self.shape, cell, strict=True)):
            raise InputError(
                f"a grid of {self.shape} voxels cannot be made coarser by {cell}: "
                "pad it to a multiple first"
            )
        factors = np.array(cell)
        affine = self.affine.copy()
        affine[:3, 3] = self.to_world((factors - 1) / 2)
        affine[:3, :3] = self.affine[:3, :3] * factors
        return Grid(_triple(np.array(self.shape) // factors), affine, self.calibrated)

    def reaxed(self, order: Sequence[int], flipped: Sequence[bool]) -> Grid:
        """The same places with the axes taken in `order`, then those marked `flipped` reversed.

        `order[n]` is the old axis that becomes axis n; `flipped[n]` speaks of the new axis n.
        """
        shape = _triple([self.shape[axis] for axis in order])
        affine = self.affine.copy()
        affine[:3, :3] = self.affine[:3, list(order)]
        for axis, flip in enumerate(flipped):
            if flip:
                affine[:3, 3] += affine[:3, axis] * (shape[axis] - 1)
                affine[:3, axis] *= -1
        return Grid(shape, affine, self.calibrated)

    # -- keeping -----------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready record; `from_json` gives an equal grid."""
        return {
            "shape": list(self.shape),
            "affine": self.affine.tolist(),
            "calibrated": self.calibrated,
        }

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Grid:
        """Read back what `to_json` made.

        Raises:
            InputError: The record is not one of a grid.
        """
        try:
            return cls(
                _triple(record["shape"]),
                np.array(record["affine"], dtype=np.float64),
                bool(record["calibrated"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"not the record of a grid: {error!r}") from error


def _triple(values: Numbers) -> tuple[int, int, int]:
    numbers = np.asarray(values)
    if numbers.shape != (3,):
        raise InputError(f"three whole numbers (i, j, k) are needed, but got {numbers.tolist()}")
    i, j, k = (int(value) for value in numbers)
    return i, j, k

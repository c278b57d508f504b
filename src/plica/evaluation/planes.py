"""Planes of a volume as they lie in a picture: the radiologist's way round, in true proportions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from plica.errors import SettingsError
from plica.grid import Grid
from plica.image import Image, Unit

Plane = Literal["axial", "coronal", "sagittal"]

PLANES: tuple[Plane, ...] = ("axial", "coronal", "sagittal")
WORLD = (("R", "L"), ("A", "P"), ("S", "I"))
SECTIONAL = frozenset({"CT", "MR", "PT"})  # modalities whose single slice knows its orientation
EMPTY = 0.5  # a slice that varies less than this share of the liveliest one is passed over
GLANCE = 96  # voxels per side looked at to find the liveliest slice


@dataclass(frozen=True, eq=False)
class View:
    """One plane of a grid: which axis runs to the right, which down, and where it cuts.

    Args:
        plane: Its anatomical name, "" where the image does not know how it lies.
        across: Voxel axis that runs along the picture's columns.
        down: Voxel axis that runs along its rows.
        flipped: Whether `across` and `down` run against their indices.
        position: Index of the slice along the third axis.
        letters: Where the picture's left, right, top and bottom edge lie in the patient, or none.
        grid: The grid it cuts.
    """

    plane: str
    across: int
    down: int
    flipped: tuple[bool, bool]
    position: int
    letters: tuple[str, ...]
    grid: Grid

    @property
    def normal(self) -> int:
        """The voxel axis that points out of the picture."""
        return 3 - self.across - self.down

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, in voxels."""
        return self.grid.shape[self.down], self.grid.shape[self.across]

    @property
    def size_mm(self) -> tuple[float, float]:
        """Height and width."""
        spacing, (rows, columns) = self.grid.spacing_mm, self.shape
        return rows * spacing[self.down], columns * spacing[self.across]

    @property
    def label(self) -> str:
        """Name and slice, for a caption."""
        if self.grid.shape[self.normal] == 1:
            return self.plane
        return f"{self.plane} {'ijk'[self.normal]} = {self.position}".strip()

    def cut(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """The slice of pixels (channel, i, j, k), as (channel, row, column)."""
        flat = pixels.take(self.position, axis=1 + self.normal)
        if self.across < self.down:
            flat = flat.swapaxes(1, 2)
        across, down = (slice(None, None, -1 if flip else 1) for flip in self.flipped)
        return flat[:, down, across]

    def indices(self, height: int, width: int) -> NDArray[np.float64]:
        """Fractional voxel indices (height, width, 3) at the pixels of a picture of that size."""
        rows, columns = self.shape
        y = (np.arange(height) + 0.5) * rows / height - 0.5
        x = (np.arange(width) + 0.5) * columns / width - 0.5
        out = np.full((height, width, 3), float(self.position))
        out[..., self.across] = columns - 1 - x if self.flipped[0] else x
        out[..., self.down] = (rows - 1 - y if self.flipped[1] else y)[:, None]
        return out


def choose_views(
    image: Image, planes: tuple[str, ...], centre: tuple[int, int, int] | None = None
) -> list[View]:
    """The planes to show: those asked for of a volume, the picture itself of a flat image.

    They cut through `centre`, a voxel; or in the middle, or where the image is liveliest.

    A projection radiograph, or a picture without geometry, is shown as it was stored and has no
    letters: nothing in it says which side is the patient's right. Planes that would be one voxel
    thin are left out while another is left.

    Raises:
        SettingsError: A plane's name is none.
    """
    unknown = [plane for plane in planes if plane not in PLANES]
    if unknown or not planes:
        raise SettingsError(f"planes are {', '.join(PLANES)}, but {list(planes)} was asked for")
    if not _knows_how_it_lies(image) and not image.is_volume:
        return [View("", 0, 1, (False, False), 0, (), image.grid)]
    if not image.is_volume:
        return [_flat_view(image)]
    views = [_view(image, plane) for plane in planes]
    if centre is not None:
        views = [replace(view, position=centre[view.normal]) for view in views]
    return [view for view in views if min(view.shape) > 1] or views[:1]


def _knows_how_it_lies(image: Image) -> bool:
    sectional = image.provenance.modality in SECTIONAL or image.unit is Unit.HU
    return image.grid.calibrated and (image.is_volume or sectional)


def _flat_view(image: Image) -> View:
    """The plane a single slice lies in: the one whose normal is its third axis."""
    return next(view for plane in PLANES if (view := _view(image, plane)).normal == 2)


def _view(image: Image, plane: str) -> View:
    world_across, world_down = {"axial": (0, 1), "coronal": (0, 2), "sagittal": (1, 2)}[plane]
    axes = {_world_axis(letter): axis for axis, letter in enumerate(image.grid.orientation)}
    across, down = axes[world_across], axes[world_down]
    # Left is the patient's right (or front), up is the front (or head): the positive ends.
    flipped = tuple(image.grid.orientation[axis] in "RAS" for axis in (across, down))
    known = _knows_how_it_lies(image)
    return View(
        plane=plane if known else "",
        across=across,
        down=down,
        flipped=(flipped[0], flipped[1]),
        position=choose_position(image, 3 - across - down),
        letters=(*WORLD[world_across], *WORLD[world_down]) if known else (),
        grid=image.grid,
    )


def _world_axis(letter: str) -> int:
    return next(axis for axis, pair in enumerate(WORLD) if letter in pair)


def choose_position(image: Image, axis: int) -> int:
    """The middle slice along a voxel axis, or the liveliest one where the middle is empty."""
    sides = image.grid.shape
    middle = sides[axis] // 2
    steps = [max(1, side // GLANCE) if n != axis else 1 for n, side in enumerate(sides)]
    i, j, k = steps
    seen = image.pixels[0, ::i, ::j, ::k].astype(np.float64)
    others = tuple(n for n in range(3) if n != axis)
    contrast = np.nan_to_num(seen, nan=0.0, posinf=0.0, neginf=0.0).std(axis=others)
    if contrast[middle] >= EMPTY * contrast.max():
        return middle
    return int(contrast.argmax())

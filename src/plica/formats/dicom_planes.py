"""Where one frame's pixels are: DICOM's LPS attributes turned to our RAS+, here and once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plica.errors import UnreadableFile
from plica.formats.dicom_file import Header

Float64 = NDArray[np.float64]
LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])
UNIT_TOLERANCE = 1e-2  # directions written with three digits are still directions
OBLIQUE_COSINE = 0.8  # of the angle between a plane's normal and the nearest axis
SPACING_KEYWORDS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")


@dataclass(frozen=True, eq=False)
class Plane:
    """A frame's place.

    Args:
        position: Centre of its first pixel, RAS+ mm.
        right: Unit direction of growing column index.
        down: Unit direction of growing row index.
        spacing: Distance of columns, then of rows, in mm.
    """

    position: Float64
    right: Float64
    down: Float64
    spacing: tuple[float, float]

    @property
    def normal(self) -> Float64:
        """Unit direction at right angles to the plane, right × down."""
        return np.cross(self.right, self.down)

    @property
    def name(self) -> str:
        """Axial, coronal or sagittal; oblique from 37° off all three on, as viewers say it.

        A tilted gantry is axial still.
        """
        along = np.abs(self.normal)
        named = ("sagittal", "coronal", "axial")[int(along.argmax())]
        return named if along.max() >= OBLIQUE_COSINE else "oblique"

    def points_like(self, other: Plane, tolerance: float = 1e-3) -> bool:
        """Whether both have the same directions, to `tolerance` radians."""
        apart = max(
            float(np.linalg.norm(self.right - other.right)),
            float(np.linalg.norm(self.down - other.down)),
        )
        return apart <= tolerance

    def moved(self, offset: Float64) -> Plane:
        """The same plane elsewhere."""
        return Plane(self.position + offset, self.right, self.down, self.spacing)


def make_plane(
    name: str, position: list[float], orientation: list[float], spacing: list[float]
) -> Plane:
    """A plane from DICOM's numbers (LPS, row spacing first).

    Raises:
        UnreadableFile: The directions are not two perpendicular unit vectors, or the spacing is
            not positive.
    """
    right, down = np.array(orientation[:3]), np.array(orientation[3:])
    lengths = np.linalg.norm(right), np.linalg.norm(down)
    if max(abs(lengths[0] - 1), abs(lengths[1] - 1), abs(right @ down)) > UNIT_TOLERANCE:
        raise UnreadableFile(
            f"{name}: ImageOrientationPatient {orientation} is not a pair of perpendicular "
            "directions of length 1"
        )
    return Plane(
        position=np.array(position) * LPS_TO_RAS,
        right=right / lengths[0] * LPS_TO_RAS,
        down=down / lengths[1] * LPS_TO_RAS,
        spacing=to_column_first(name, spacing),
    )


def to_column_first(name: str, spacing: list[float]) -> tuple[float, float]:
    """DICOM's (between rows, between columns) as (between columns, between rows).

    Raises:
        UnreadableFile: A number is not positive.
    """
    rows, columns = spacing
    if rows <= 0 or columns <= 0:
        raise UnreadableFile(f"{name}: the pixel spacing is {rows:g} × {columns:g} mm")
    return columns, rows


def find_spacing(header: Header, notes: list[str]) -> tuple[tuple[float, float], bool]:
    """Spacing of a frame without a place, and whether it is in millimetres.

    PixelSpacing stands before ImagerPixelSpacing (measured at the detector, so that the body is
    smaller) and NominalScannedPixelSpacing (of a film or page); which one was used is noted.
    """
    for keyword in SPACING_KEYWORDS:
        spacing = header.numbers(keyword, 2)
        if spacing and min(spacing) > 0:
            if keyword == "ImagerPixelSpacing":
                notes.append("The spacing is ImagerPixelSpacing: that of the detector's plane.")
            elif keyword == "NominalScannedPixelSpacing":
                notes.append("The spacing is NominalScannedPixelSpacing: that of a scanned page.")
            return to_column_first(header.name, spacing), True
    aspect = header.numbers("PixelAspectRatio")
    notes.append("The file states no pixel spacing: lengths are in pixels.")
    if len(aspect) == 2 and min(aspect) > 0 and aspect[0] != aspect[1]:
        notes.append(f"Its pixels are {aspect[0]:g}:{aspect[1]:g} (height to width).")
        return (1.0, aspect[0] / aspect[1]), False
    return (1.0, 1.0), False

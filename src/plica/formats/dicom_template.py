"""Whose patient and study a written series joins: its own source among the series of a folder."""

from __future__ import annotations

import contextlib
from collections.abc import Container, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from plica.errors import AmbiguousSource, InputError, PlicaError
from plica.formats.dicom_archive import files_inside
from plica.formats.dicom_assembly import READER, assemble
from plica.formats.dicom_file import Header, open_header
from plica.formats.dicom_frames import Frame, Groups
from plica.formats.dicom_pixels import Layout
from plica.formats.dicom_placing import list_all_frames, place_series
from plica.formats.dicom_planes import Plane
from plica.formats.dicom_series import DicomSeries, scan
from plica.formats.dicom_stored import ds
from plica.formats.limits import DEFAULT_MAX_BYTES
from plica.grid import Grid
from plica.image import Provenance

SAME_PLACE_MM = 0.05  # formats that keep millimetres in four bytes are off by less
SERIES_STEP = 1000
SOURCE_CODE = ("121322", "DCM", "Source image for image processing operation")


@dataclass(frozen=True, eq=False)
class _Places:
    """Frames, and where the corners of those with a place are.

    Exists because each slice of a result asks for the frame at its place, and there are as many.
    """

    placed: Sequence[Frame]
    corners: NDArray[np.float64]
    placeless: Sequence[Frame]

    @classmethod
    def of(cls, frames: Sequence[Frame]) -> _Places:
        known = [(frame, frame.plane) for frame in frames if frame.plane is not None]
        corners = [_corners(_stand(frame.layout, plane)) for frame, plane in known]
        placeless = [frame for frame in frames if frame.plane is None]
        return cls([frame for frame, _ in known], np.array(corners).reshape(-1, 8, 3), placeless)

    def find(self, grid: Grid, k: int) -> list[Frame]:
        """The frames that are slice k of a grid; those without a place are a picture's only one."""
        slice_k = _corners(grid.window((0, 0, k), (*grid.shape[:2], 1)))
        apart = np.linalg.norm(self.corners[:, :, None] - slice_k, axis=-1)
        here = apart.min(axis=2).max(axis=1) <= SAME_PLACE_MM
        found = [frame for frame, is_here in zip(self.placed, here, strict=True) if is_here]
        if grid.shape[2] == 1:
            size = grid.shape[:2]
            found += [one for one in self.placeless
                      if (one.layout.columns, one.layout.rows) == size]  # fmt: skip
        return found


def _stand(layout: Layout, plane: Plane) -> Grid:
    affine = np.eye(4)
    affine[:3, 0] = plane.right * plane.spacing[0]
    affine[:3, 1] = plane.down * plane.spacing[1]
    affine[:3, 2] = plane.normal
    affine[:3, 3] = plane.position
    return Grid((layout.columns, layout.rows, 1), affine)


class Template:
    """A series that another one is derived from.

    Args:
        series: Its files.
    """

    def __init__(self, series: DicomSeries) -> None:
        self.series = series
        self._headers = [open_header(file) for file in series.files]
        self.next_number = self.number + SERIES_STEP
        """SeriesNumber of what is derived from it; `Templates` sees to it that it is free."""

    @property
    def header(self) -> Header:
        """Its first file, without pixels."""
        return self._headers[0]

    @property
    def number(self) -> int:
        """Its SeriesNumber; 0 where it has none that can be read."""
        try:
            return self.header.whole("SeriesNumber") or 0
        except PlicaError:
            return 0

    @cached_property
    def grid(self) -> Grid | None:
        """Where its voxels are; None where they do not stack, or to several volumes."""
        try:
            return place_series(self._headers, None, self.series.description).grid
        except PlicaError:
            return None

    @cached_property
    def _places(self) -> _Places:
        return _Places.of(list_all_frames(self._headers)[0])

    @property
    def is_placed(self) -> bool:
        """Whether it says where in the patient or scanner its voxels are."""
        return bool(len(self._places.placed)) and self.grid is not None and self.grid.calibrated

    def lies_like(self, grid: Grid) -> bool:
        """Whether its voxels are in the same places, in whatever order they are counted."""
        own = self.grid
        if own is None:
            return False
        if not (own.calibrated and grid.calibrated):
            return own.shape == grid.shape
        if sorted(own.shape) != sorted(grid.shape):
            return False
        apart = _corners(own)[:, None] - _corners(grid)[None]
        return bool(np.linalg.norm(apart, axis=-1).min(axis=1).max() <= SAME_PLACE_MM)

    def holds(self, content: str) -> bool:
        """Whether its pixels as read have this sum."""
        try:
            image = assemble(
                self._headers, volume=None, identity=False, max_bytes=DEFAULT_MAX_BYTES, source=""
            )
        except PlicaError:
            return False
        return image.provenance.content == content

    @cached_property
    def thickness_mm(self) -> float | None:
        """How thick all of its slices are said to be; None where that is not one length.

        It is not the step between them: slices may overlap, or leave gaps.
        """
        try:
            stated = {
                (groups.find(number, "PixelMeasuresSequence") or groups.header).number(
                    "SliceThickness"
                )
                for groups in map(Groups, self._headers)
                for number in range(max(1, len(groups.each)))
            }
        except PlicaError:
            return None
        (thickness,) = stated if len(stated) == 1 else (None,)
        return thickness if thickness is not None and thickness > 0 else None

    def add_source(self, dataset: Dataset, grid: Grid, k: int) -> None:
        """Name the source of a slice: the image of the series at its place, or all of a picture.

        Where several lie there, which volume it was cannot be told, and none is named. The slice
        is as thick as those of the series, if one of them lies there.
        """
        found = self._places.find(grid, k)
        if found and self.thickness_mm is not None and "ImagePositionPatient" in dataset:
            dataset.SliceThickness = ds(self.thickness_mm)
        if len(found) != 1:
            return
        source = _refer(found[0])
        series = Dataset()
        series.SeriesInstanceUID = self.header.text("SeriesInstanceUID")
        series.ReferencedInstanceSequence = [_refer(found[0])]
        source.PurposeOfReferenceCodeSequence = [_code(*SOURCE_CODE)]
        dataset.SourceImageSequence = [source]
        if series.SeriesInstanceUID:
            dataset.ReferencedSeriesSequence = [series]


class Templates:
    """The series of a DICOM file, folder, zip or DICOMDIR that results may be derived from.

    Used as a context: a zip is unpacked as long as it is open.

    Args:
        path: Where they are.

    Attributes:
        numbers: The SeriesNumbers that are taken: theirs, and those of what is derived of each.

    Raises:
        InputError: It cannot be read, or holds no DICOM image.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._stack = path, contextlib.ExitStack()
        self._name = path.name or path.resolve().name

    def __enter__(self) -> Templates:
        """Look through the files; their pixels are not read."""
        files = self._stack.enter_context(files_inside(self._path, DEFAULT_MAX_BYTES))
        try:
            found = scan([self._path] if files is None else files).series
            if not found:
                raise InputError(
                    f"{self._name} holds no DICOM image whose study the result could join"
                )
            self._found = [Template(series) for series in found]
            self.numbers = _number(self._found)
        except PlicaError:
            self._stack.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take away what was unpacked."""
        self._stack.close()

    def find(self, provenance: Provenance, grid: Grid) -> Template:
        """The series an image was made of: that of its mark, else that of its pixels or place.

        Args:
            provenance: The image's: its series' mark, and the sum of its pixels as read.
            grid: The image's.

        Raises:
            AmbiguousSource: None of them is, or several are.
        """
        mark, found = provenance.series, self._found
        marked = [one for one in found if mark and one.series.series.partition(".")[0] == mark]
        if marked:
            return next((one for one in marked if one.lies_like(grid)), marked[0])
        if not mark and len(found) == 1 and (not provenance.reader or found[0].lies_like(grid)):
            return found[0]  # made by hand, or without marks: see `doubt`
        placed = [one for one in found if one.lies_like(grid)]
        alike = [one for one in placed if provenance.content and one.holds(provenance.content)]
        if len(alike) == 1:
            return alike[0]
        if len(placed) == 1 and (not mark or not _is_dicom(provenance)):
            return placed[0]
        raise AmbiguousSource(self._refuse(provenance, grid, placed))

    def doubt(self, provenance: Provenance, grid: Grid) -> str:
        """What of `find`'s answer rests on the grid alone, in a few words; "" where more proves it.

        Args:
            provenance: The image's.
            grid: The image's.

        Raises:
            AmbiguousSource: None of them is the source, or several are.
        """
        found = self.find(provenance, grid)
        mark, content = provenance.series, provenance.content
        if mark and found.series.series.partition(".")[0] == mark:
            return ""
        if content and found.holds(content):
            return ""
        if found.is_placed and grid.calibrated:
            return "voxels that lie in the same places"
        return "as many voxels (it has no place)"

    def _refuse(self, provenance: Provenance, grid: Grid, placed: Sequence[Template]) -> str:
        advice = "name that series"
        if len(self._found) > 1:
            people = len({one.series.patient for one in self._found})
            held = f"{self._name} holds {len(self._found)} series of " + (
                "one patient" if people == 1 else f"{people} patients"
            )
            which = f"{len(placed)} of them may be" if len(placed) > 1 else "none is"
            return f"{held}, and {which} the one this latent or image was made of: {advice}"
        only = self._found[0]
        if not only.lies_like(grid):
            shape = "an unknown grid" if only.grid is None else repr(only.grid)
            return (
                f"{self._name} is not the series that this latent or image was made of: its voxels "
                f"lie elsewhere, {shape} in place of {grid!r}: {advice}"
            )
        return (
            f"{self._name} is not the series that this latent or image was made of: its mark is "
            f"{only.series.series} in place of {provenance.series}, and its values differ: {advice}"
        )


def _number(found: Sequence[Template]) -> set[int]:
    """Give what is derived of each series a number that none has; all that are taken by then.

    The same in each command with the same series, whichever of them it decodes.
    """
    taken = {one.number for one in found}
    for one in sorted(found, key=lambda one: (one.number, one.series.series)):
        one.next_number = find_free(one.next_number, taken)
        taken.add(one.next_number)
    return taken


def find_free(number: int, taken: Container[int]) -> int:
    """The smallest number from one on that is not taken.

    Examples:
        >>> find_free(1004, {1003, 1004})
        1005
    """
    while number in taken:
        number += 1
    return number


def _is_dicom(provenance: Provenance) -> bool:
    return provenance.reader.startswith(READER.partition(" ")[0])


def _corners(grid: Grid) -> NDArray[np.float64]:
    ends = np.array(np.meshgrid(*[(0, side - 1) for side in grid.shape])).reshape(3, -1).T
    return grid.to_world(ends)


def _refer(frame: Frame) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = frame.header.text("SOPClassUID")
    item.ReferencedSOPInstanceUID = frame.header.text("SOPInstanceUID")
    if frame.layout.frames > 1:
        item.ReferencedFrameNumber = frame.number + 1
    return item


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item

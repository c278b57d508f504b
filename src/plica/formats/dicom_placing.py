"""Put chosen frames on a grid: a stack, a single picture, a cine loop, or by slice location."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from plica.errors import AmbiguousSource, NotAVolume
from plica.formats.dicom_file import Header
from plica.formats.dicom_frames import Frame, list_frames
from plica.formats.dicom_planes import Plane, find_spacing
from plica.formats.dicom_segments import choose_segment
from plica.formats.dicom_series import without_copies
from plica.formats.dicom_stacking import stack
from plica.formats.dicom_tiles import Picture, choose_picture, is_tiled
from plica.formats.dicom_volumes import choose_volume
from plica.grid import Grid

IMPLIED_MODALITIES = frozenset({"CT", "MR", "PT"})


@dataclass(frozen=True, eq=False)
class Placed:
    """Frames in the order of growing k, and the grid they fill.

    Args:
        picture: Where frames are tiles: the one they make up, which has a single k.
    """

    frames: tuple[Frame, ...]
    grid: Grid
    notes: tuple[str, ...]
    picture: Picture | None = None


def list_all_frames(headers: Sequence[Header]) -> tuple[list[Frame], list[str]]:
    """The frames of a series without copies of files, and a note on those."""
    kept, notes = without_copies(headers)
    return [frame for header in kept for frame in list_frames(header)], notes


def place_series(headers: Sequence[Header], volume: int | None, source: str) -> Placed:
    """The frames of one volume, or the tiles of one picture, of a series on their grid.

    Args:
        headers: Its files.
        volume: Which one, from 0, where there are several.
        source: Name of the series, for messages.

    Raises:
        AmbiguousSource: There are several volumes and none, or one that is not there, was chosen.
        NotAVolume: They do not stack.
        UnreadableFile: An attribute that is needed is damaged.

    Examples:
        >>> from plica.formats.dicom_file import open_header
        >>> headers = [open_header(path) for path in sorted(Path("ct").iterdir())]
        >>> place_series(headers, None, "ct").grid.shape
        (16, 16, 5)
    """
    frames, notes = list_all_frames(headers)
    if is_tiled(frames[0].header) and len({frame.header.path for frame in frames}) == 1:
        picture = choose_picture(frames, volume)
        return Placed((frames[0],), picture.grid, (*notes, *picture.notes), picture)
    placed = place(frames, volume, source)
    return replace(placed, notes=(*notes, *placed.notes))


def place(frames: Sequence[Frame], volume: int | None, source: str) -> Placed:
    """The frames of one volume on their grid.

    Raises:
        AmbiguousSource: There are several volumes and none, or one that is not there, was chosen.
        NotAVolume: They do not stack.
    """
    if frames[0].header.text("Modality") == "SEG":
        frames, volume = choose_segment(frames, volume, source)
    with_place = [frame for frame in frames if frame.plane is not None]
    if len(with_place) == len(frames):
        chosen = choose_volume(frames, volume, source)
        said = (f"Volume {volume}: {chosen.note}.",) if chosen.note else ()
        return _stacked(chosen.frames, said)
    if with_place:
        lost = next(frame for frame in frames if frame.plane is None)
        raise NotAVolume(
            f"{lost.name} does not say where it is, but {with_place[0].name} does: read them apart"
        )
    if volume not in (None, 0):
        raise AmbiguousSource(f"{source} has no volume {volume}: it holds one, volume=0")
    if len({frame.header.path for frame in frames}) > 1:
        return _by_slice_location(frames)
    return _without_place(frames)


def _stacked(frames: Sequence[Frame], notes: tuple[str, ...]) -> Placed:
    stacked = stack(frames)
    layout = frames[0].layout
    grid = Grid((layout.columns, layout.rows, len(frames)), stacked.affine)
    return Placed(stacked.frames, grid, (*stacked.notes, *notes))


def _without_place(frames: Sequence[Frame]) -> Placed:
    """A radiograph, a photograph, or a cine loop along k."""
    first = frames[0]
    notes: list[str] = []
    spacing, in_mm = find_spacing(_spacing_source(first), notes)
    if len(frames) > 1:
        notes.append("The frames have no place in the patient: k counts frames, not millimetres.")
    affine = np.diag([-spacing[0], -spacing[1], 1.0, 1.0])
    grid = Grid(
        (first.layout.columns, first.layout.rows, len(frames)),
        affine,
        calibrated=in_mm and len(frames) == 1,
    )
    return Placed(tuple(frames), grid, tuple(notes))


def _spacing_source(frame: Frame) -> Header:
    shared = frame.header.item("SharedFunctionalGroupsSequence")
    measures = shared.item("PixelMeasuresSequence") if shared is not None else None
    return measures or frame.header


def _by_slice_location(frames: Sequence[Frame]) -> Placed:
    """Slices of CT, MR or PET that lost their positions but kept SliceLocation.

    Raises:
        NotAVolume: They lost that, too, or are of another kind.
    """
    located = [(frame.header.number("SliceLocation"), frame) for frame in frames]
    first = frames[0]
    lost = [frame for location, frame in located if location is None]
    if lost or first.header.text("Modality") not in IMPLIED_MODALITIES:
        raise NotAVolume(
            f"{(lost or [first])[0].name} says neither where it is (ImagePositionPatient) nor its "
            f"SliceLocation, so {len(frames)} files cannot be put in order: read them one by one"
        )
    notes: list[str] = []
    spacing, in_mm = find_spacing(first.header, notes)
    directions = _directions(first.header)
    made = []
    for location, frame in located:
        plane = Plane(directions[2] * (location or 0.0), directions[0], directions[1], spacing)
        made.append(_at(frame, plane))
    placed = _stacked(made, tuple(notes))
    grid = Grid(placed.grid.shape, placed.grid.affine, calibrated=in_mm)
    said = "The slices state no position: they were stacked by SliceLocation, their place is lost."
    return Placed(placed.frames, grid, (*placed.notes, said))


def _directions(header: Header) -> list[NDArray[np.float64]]:
    """Right, down and normal in RAS+: as stated, or as of a patient lying on the back."""
    orientation = header.numbers("ImageOrientationPatient", 6) or [1, 0, 0, 0, 1, 0]
    to_ras = np.array([-1.0, -1.0, 1.0])
    right = np.array(orientation[:3], float) * to_ras
    down = np.array(orientation[3:], float) * to_ras
    return [right, down, np.cross(right, down)]


def _at(frame: Frame, plane: Plane) -> Frame:
    return Frame(
        frame.header,
        frame.layout,
        frame.number,
        frame.name,
        plane,
        frame.step_mm,
        frame.transform,
        frame.voi,
        frame.marks,
    )

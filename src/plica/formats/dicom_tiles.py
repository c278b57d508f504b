"""Put together the tiles of one picture, such as a whole slide, into its total pixel matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.errors import AmbiguousSource, NotAVolume, UnreadableFile
from plica.formats.dicom_file import Header, open_whole
from plica.formats.dicom_frames import Frame, Groups
from plica.formats.dicom_pixels import Layout, decode_frames
from plica.formats.dicom_planes import find_spacing
from plica.formats.dicom_segments import check_chosen
from plica.formats.limits import check_size
from plica.grid import Grid

Tile = tuple[int, int, int]
"""A frame's number, and the row and column of its first pixel."""


def is_tiled(header: Header) -> bool:
    """Whether frames are tiles of a larger picture."""
    return "TotalPixelMatrixRows" in header and "TotalPixelMatrixColumns" in header


@dataclass(frozen=True)
class Picture:
    """One picture of a tiled file, before its pixels are read.

    Args:
        name: The segment's number, or which run of tiles it is.
        tiles: Its frames, and where each belongs.
        grid: Of the whole matrix.
        notes: On its spacing and place.
    """

    name: str
    tiles: tuple[Tile, ...]
    grid: Grid
    notes: tuple[str, ...]


def choose_picture(frames: Sequence[Frame], volume: int | None) -> Picture:
    """The one picture of a tiled file, or the one asked for.

    Raises:
        AmbiguousSource: There are several (segments, focal planes) and none was chosen.
        UnreadableFile: A tile does not say where it belongs.
    """
    header, layout = frames[0].header, frames[0].layout
    sides = _sides(header)
    pictures = _pictures(header, layout, frames, sides)
    names = list(pictures)
    if header.text("Modality") == "SEG" and len(names) > 1:
        check_chosen(header, names, volume, header.name)
    elif (volume is None and len(names) > 1) or not 0 <= (volume or 0) < len(names):
        raise AmbiguousSource(
            f"{header.name} holds {len(names)} pictures (focal planes or optical paths): choose "
            f"one with volume=0 to volume={len(names) - 1}"
        )
    name = names[volume or 0]
    grid, notes = _grid(header, sides)
    return Picture(name, tuple(pictures[name]), grid, tuple(notes))


def read_tiles(frame: Frame, picture: Picture, *, max_bytes: int) -> NDArray[Any]:
    """Pixels (1, rows, columns, samples) of one picture.

    Args:
        frame: Any of the file.

    Raises:
        NotAVolume: Tiles are missing where an absent one does not mean empty.
        TooLarge: The whole would take more than `max_bytes`.
    """
    header, layout = frame.header, frame.layout
    rows, columns = _sides(header)
    per_pixel = layout.decoded_bytes(1) // (layout.rows * layout.columns)
    check_size(header.name, rows * columns * per_pixel, max_bytes)
    return _assembled(header, layout, picture.tiles, (rows, columns), max_bytes)[None]


def _sides(header: Header) -> tuple[int, int]:
    return _side(header, "TotalPixelMatrixRows"), _side(header, "TotalPixelMatrixColumns")


def _side(header: Header, keyword: str) -> int:
    side = header.whole(keyword)
    if side is None or side < 1:
        raise UnreadableFile(f"{header.name}: {keyword} is {side}, where a whole number belongs")
    return side


def _pictures(
    header: Header, layout: Layout, frames: Sequence[Frame], sides: tuple[int, int]
) -> dict[str, list[Tile]]:
    """The tiles of each picture: of a segment, or of a run of frames that fills the matrix."""
    if header.text("DimensionOrganizationType") == "TILED_FULL":
        return _full(layout, sides)
    groups = Groups(header)
    pictures: dict[str, list[Tile]] = {}
    for frame in frames:
        place = groups.find(frame.number, "PlanePositionSlideSequence")
        row = place.whole("RowPositionInTotalImagePixelMatrix") if place else None
        column = place.whole("ColumnPositionInTotalImagePixelMatrix") if place else None
        if row is None or column is None:
            raise UnreadableFile(f"{frame.name} does not say which tile it is")
        name = frame.marks.get("ReferencedSegmentNumber", "")
        pictures.setdefault(name, []).append((frame.number, row - 1, column - 1))
    return dict(sorted(pictures.items(), key=lambda item: (len(item[0]), item[0])))


def _full(layout: Layout, sides: tuple[int, int]) -> dict[str, list[Tile]]:
    """TILED_FULL: tiles run along rows, then down, then through the pictures (PS3.3 C.7.6.17.3)."""
    across, down = -(-sides[1] // layout.columns), -(-sides[0] // layout.rows)
    each = across * down
    pictures: dict[str, list[Tile]] = {}
    for number in range(layout.frames):
        row, column = divmod(number % each, across)
        tile = (number, row * layout.rows, column * layout.columns)
        pictures.setdefault(str(number // each + 1), []).append(tile)
    return pictures


def _assembled(
    header: Header, layout: Layout, tiles: Sequence[Tile], sides: tuple[int, int], max_bytes: int
) -> NDArray[Any]:
    rows, columns = sides
    tiles = sorted(tiles)
    _check_cover(header, layout, tiles, sides)
    whole = open_whole(header.path, max_bytes)
    numbers = [number for number, _, _ in tiles]
    decoded = decode_frames(whole, layout, numbers, max_bytes=max_bytes)
    canvas: NDArray[Any] | None = None
    for (_, row, column), pixels in zip(tiles, decoded, strict=True):
        if canvas is None:
            empty = header.whole("PixelPaddingValue") or 0
            canvas = np.full((rows, columns, pixels.shape[-1]), empty, pixels.dtype)
        height, width = min(layout.rows, rows - row), min(layout.columns, columns - column)
        canvas[row : row + height, column : column + width] = pixels[:height, :width]
    if canvas is None:
        raise UnreadableFile(f"{header.name} has no tiles")
    return canvas


def _check_cover(
    header: Header, layout: Layout, tiles: Sequence[Tile], sides: tuple[int, int]
) -> None:
    """Every tile inside, none twice, and all there unless an absent one means empty."""
    places = {(row, column) for _, row, column in tiles}
    inside = all(0 <= row < sides[0] and 0 <= column < sides[1] for row, column in places)
    if not inside or len(places) != len(tiles):
        raise UnreadableFile(
            f"{header.name}: tiles lie outside of the picture or on each other: choose a file "
            "with one focal plane and one optical path"
        )
    needed = -(-sides[0] // layout.rows) * -(-sides[1] // layout.columns)
    if len(places) < needed and header.text("Modality") != "SEG":
        raise NotAVolume(f"{header.name} has {len(places)} of {needed} tiles: the rest is missing")


def _grid(header: Header, sides: tuple[int, int]) -> tuple[Grid, list[str]]:
    shared = header.item("SharedFunctionalGroupsSequence")
    measures = shared.item("PixelMeasuresSequence") if shared is not None else None
    notes = ["Tiles were put together; the place is on the slide, not in the patient."]
    spacing, in_mm = find_spacing(measures or header, notes)
    affine = np.diag([-spacing[0], -spacing[1], 1.0, 1.0])
    return Grid((sides[1], sides[0], 1), affine, calibrated=in_mm), notes

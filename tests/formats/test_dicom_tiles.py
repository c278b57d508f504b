"""Tiles fill their picture, or what they lack is said."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from tests.formats.dicom_scenes import COLUMNS, ROWS, make_slice, save

from plica.errors import AmbiguousSource, NotAVolume, UnreadableFile
from plica.formats import dicom

Places = tuple[tuple[int, int] | None, ...]
FOUR = ((1, 1), (1, COLUMNS + 1), (ROWS + 1, 1), (ROWS + 1, COLUMNS + 1))


def make_slide(frames: int = 4, **attributes: Any) -> Dataset:
    """A slide of two by two tiles, of which each is full of its number."""
    sides = {"TotalPixelMatrixRows": 2 * ROWS, "TotalPixelMatrixColumns": 2 * COLUMNS}
    stated = {"NumberOfFrames": frames, "ImagePositionPatient": None, "RescaleIntercept": 0}
    slide = make_slice(0, **{**sides, **stated, **attributes})
    slide.PixelData = np.repeat(np.arange(frames), ROWS * COLUMNS).astype(np.int16).tobytes()
    return slide


def placed(places: Places, **attributes: Any) -> Dataset:
    """The same where each tile says its first row and column, or does not."""
    slide = make_slide(len(places), **attributes)
    groups = []
    for place in places:
        group, item = Dataset(), Dataset()
        if place is not None:
            item.RowPositionInTotalImagePixelMatrix = place[0]
            item.ColumnPositionInTotalImagePixelMatrix = place[1]
        group.PlanePositionSlideSequence = [item]
        groups.append(group)
    slide.PerFrameFunctionalGroupsSequence = groups
    return slide


def test_tiles_stand_where_they_say(tmp_path: Path) -> None:
    image = dicom.read(save(placed(FOUR[::-1]), tmp_path / "a.dcm"))
    assert image.grid.shape == (2 * COLUMNS, 2 * ROWS, 1)
    assert image.pixels[0, ::COLUMNS, ::ROWS, 0].tolist() == [[3, 1], [2, 0]]


def test_focal_planes_are_pictures_to_choose_from(tmp_path: Path) -> None:
    path = save(make_slide(8, DimensionOrganizationType="TILED_FULL"), tmp_path / "a.dcm")
    with pytest.raises(AmbiguousSource, match=r"holds 2 pictures .* volume=0 to volume=1"):
        dicom.read(path)
    with pytest.raises(AmbiguousSource, match="holds 2 pictures"):
        dicom.read(path, volume=2)
    assert set(dicom.read(path, volume=1).pixels.ravel().tolist()) == {4, 5, 6, 7}


@pytest.mark.parametrize(
    ("slide", "error", "said"),
    [
        (make_slide(TotalPixelMatrixRows=0), UnreadableFile, "TotalPixelMatrixRows is 0, where"),
        (placed((*FOUR[:3], None)), UnreadableFile, r"frame 4 of a\.dcm does not say which tile"),
        (placed((*FOUR[:3], (1, 99))), UnreadableFile, "tiles lie outside of the picture"),
        (placed((*FOUR[:3], (1, 1))), UnreadableFile, "or on each other: choose a file with one"),
        (placed(FOUR[:3]), NotAVolume, "has 3 of 4 tiles: the rest is missing"),
    ],
)
def test_a_picture_that_its_tiles_do_not_fill_is_refused(
    tmp_path: Path, slide: Dataset, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        dicom.read(save(slide, tmp_path / "a.dcm"))

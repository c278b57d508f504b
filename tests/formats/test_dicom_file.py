"""A file is opened within its limits, and what is no number of its kind is named."""

from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian
from tests.formats.dicom_scenes import make_slice, save

from plica.errors import TooLarge, UnreadableFile
from plica.formats import dicom

MEGABYTE = 1 << 20


@pytest.mark.parametrize(
    ("keyword", "kind", "value", "said"),
    [
        ("RescaleSlope", "FD", float("nan"), r"RescaleSlope is \[nan\], which is not finite"),
        ("PixelSpacing", "DS", [1, 1, 1], "PixelSpacing has 3 values where 2 belong"),
        ("Rows", "DS", "6.5", r"Rows is 6\.5, not a whole number"),
        ("Columns", "LO", "five", "Columns is not a number"),
    ],
)
def test_a_number_that_is_none_of_its_kind_is_named(
    tmp_path: Path, keyword: str, kind: str, value: Any, said: str
) -> None:
    dataset = make_slice(0)
    dataset.add_new(keyword, kind, value)
    with pytest.raises(UnreadableFile, match=rf"^a\.dcm: {said}"):
        dicom.read(save(dataset, tmp_path / "a.dcm"))


def test_a_file_far_larger_than_its_pixels_may_be_is_not_read(tmp_path: Path) -> None:
    path = save(make_slice(0), tmp_path / "a.dcm")
    with path.open("r+b") as file:
        file.truncate(66 * MEGABYTE)  # a hole, which takes no room on disk
    with pytest.raises(TooLarge, match=r"a\.dcm is 69 MB, over the limit of 1 MB: raise max_bytes"):
        dicom.read(path, max_bytes=10**6)


def test_what_inflates_beyond_the_limit_is_not_inflated_whole(tmp_path: Path) -> None:
    path = save(make_slice(0, DataSetTrailingPadding=bytes(3 * MEGABYTE)), tmp_path / "a.dcm")
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(path)
    assert path.stat().st_size < 10_000
    assert dicom.read(path).grid.shape == (5, 6, 1)
    with pytest.raises(TooLarge, match=r"a\.dcm inflates to more than the limit of 2 MB"):
        dicom.read(path, max_bytes=10**6)


def test_a_name_that_no_file_can_have_is_not_dicom() -> None:
    assert not dicom.is_dicom(Path("a" * 300))

"""A survey lists every series there is, and says of each no more than may be told."""

import json
from pathlib import Path

import pytest
from tests.formats.dicom_scenes import COLUMNS, ROWS, make_slice, save, save_all

from plica.formats import dicom
from plica.formats.dicom_survey import survey
from plica.formats.dicom_template import Templates


@pytest.mark.parametrize(
    "fault", [{"RescaleSlope": 0}, {"RescaleSlope": 1, "Modality": "DOE JANE"}]
)
def test_one_odd_series_hides_no_other_and_no_word_of_it_is_told(tmp_path: Path, fault) -> None:
    save_all([make_slice(z) for z in (0.0, 2.0)], tmp_path / "a")
    odd = [make_slice(z, SeriesInstanceUID="1.2.9", **fault) for z in (0.0, 2.0)]
    save_all(odd, tmp_path / "doe_jane")
    found = survey(tmp_path)
    assert [one.shape[:2] for one in found.series] == [(5, 6), (5, 6)]
    assert found.series[0].note == ""
    assert bool(found.series[1].note) == (fault["RescaleSlope"] == 0)
    assert found.series[1].modality == "CT"
    said = json.dumps(found.to_json()).lower()
    assert "doe" not in said


def test_damaged_files_are_counted_in_the_record_and_named_to_people(tmp_path: Path) -> None:
    save_all([make_slice(z) for z in (0.0, 2.0)], tmp_path / "a")
    (tmp_path / "doe_jane.dcm").write_bytes(b"\0" * 128 + b"DICM\x02\0\0\0UL\x04")
    found = survey(tmp_path)
    assert found.to_json()["damaged"] == 1
    assert "doe_jane.dcm" in found.damaged[0]


def test_volumes_without_a_choice_are_noted_without_what_tells_them_apart(tmp_path: Path) -> None:
    for z in (0.0, 2.0):
        for kernel in ("B30f", "Doe^Jane"):
            save(make_slice(z, ConvolutionKernel=kernel), tmp_path / f"{z}{kernel[0]}.dcm")
    (only,) = survey(tmp_path).series
    assert only.note == "it holds several volumes, of which one is chosen when it is read"


def test_tiles_are_listed_as_the_picture_that_is_read(tmp_path: Path) -> None:
    size = {"TotalPixelMatrixRows": 2 * ROWS, "TotalPixelMatrixColumns": 2 * COLUMNS}
    slide = make_slice(0, NumberOfFrames=4, DimensionOrganizationType="TILED_FULL",
                       ImagePositionPatient=None, **size)  # fmt: skip
    slide.PixelData = slide.PixelData * 4
    path = save(slide, tmp_path / "slide.dcm")
    (listed,) = survey(tmp_path).series
    assert listed.shape == dicom.read(path).grid.shape == (2 * COLUMNS, 2 * ROWS, 1)
    with Templates(tmp_path) as templates:
        image = dicom.read(path)
        assert templates.find(image.provenance, image.grid).lies_like(image.grid)


def test_a_damaged_attribute_counts_as_filled(tmp_path: Path) -> None:
    path = save(make_slice(0, PatientAge="044Y"), tmp_path / "a.dcm")
    whole = path.read_bytes()
    damaged = whole.replace(b"\x10\x00\x10\x10AS\x04\x00", b"\x10\x00\x10\x10FD\x04\x00")
    assert damaged != whole
    path.write_bytes(damaged)
    (only,) = survey(tmp_path).series
    assert "age" in only.identity

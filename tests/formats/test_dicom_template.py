"""A written series finds its own source, and names each slice's image."""

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from tests.formats.dicom_scenes import make_slice, save, save_all

from plica.errors import AmbiguousSource
from plica.formats import dicom, dicom_template
from plica.formats.dicom_template import Templates


def series_at(folder: Path, x: float, uid: str, *, count: int = 3) -> Path:
    places = [(x, 0.0, 2.0 * k) for k in range(count)]
    return save_all([make_slice(position=at, SeriesInstanceUID=uid) for at in places], folder)


def test_a_source_without_marks_is_found_by_its_place_among_several(tmp_path: Path) -> None:
    own = dicom.read(series_at(tmp_path / "s" / "a", 0.0, "1.2.1"))
    series_at(tmp_path / "s" / "b", 50.0, "1.2.2")
    changed = replace(own.provenance.without_marks(), steps=("decoded",))
    with Templates(tmp_path / "s") as templates:
        found = templates.find(changed, own.grid)
    assert found.header.text("SeriesInstanceUID") == "1.2.1"


def test_a_source_without_marks_is_refused_where_two_lie_at_its_place(tmp_path: Path) -> None:
    own = dicom.read(series_at(tmp_path / "s" / "a", 0.0, "1.2.1"))
    series_at(tmp_path / "s" / "b", 0.0, "1.2.2")
    with Templates(tmp_path / "s") as templates, pytest.raises(AmbiguousSource, match="2 of them"):
        templates.find(own.provenance.without_marks(), own.grid)


def test_each_slice_of_many_names_its_own_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames' corners are placed once, not again for each slice."""
    folder = series_at(tmp_path / "a", 0.0, "1.2.1", count=120)
    image = dicom.read(folder)
    with Templates(folder) as templates:
        template = templates.find(image.provenance, image.grid)
        named, placed = [], []
        corners = dicom_template._corners
        monkeypatch.setattr(
            dicom_template, "_corners", lambda grid: placed.append(grid) or corners(grid)
        )
        for k in range(image.grid.shape[2]):
            dataset = pydicom.Dataset()
            template.add_references(dataset, image.grid, k)
            named.append(dataset.SourceImageSequence[0].ReferencedSOPInstanceUID)
    assert len(set(named)) == 120
    assert len(placed) == 120 + 120  # of the frames once, and of the slices that ask


def test_a_zip_whose_members_share_a_uid_can_be_the_source(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    for k in range(3):
        save(make_slice(2.0 * k, SOPInstanceUID="1.2.3.9"), folder / f"{k}.dcm")
    packed = tmp_path / "a.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, file.name)
    image = dicom.read(packed)
    written = dicom.write(image, tmp_path / "out", like=packed)
    places = [float(pydicom.dcmread(one).ImagePositionPatient[2]) for one in written]
    assert np.allclose(places, [0, 2, 4])

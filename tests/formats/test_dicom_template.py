"""A written series finds its own source, and names each slice's image."""

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from tests.formats.dicom_scenes import make_slice, save, save_all
from tests.formats.test_dicom_frames import make_enhanced

from plica.errors import AmbiguousSource, InputError
from plica.formats import dicom, dicom_template
from plica.formats.dicom_template import Templates
from plica.grid import Grid


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
            template.add_source(dataset, image.grid, k)
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


def test_a_series_at_another_place_or_of_no_volume_is_not_the_source(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    own = dicom.read(series_at(folder / "a", 0.0, "1.2.1"))
    series_at(folder / "b", 0.0, "1.2.2", count=4)
    uneven = [make_slice(z, SeriesInstanceUID="1.2.3") for z in (0.0, 2.0, 9.0)]
    save_all(uneven, folder / "c")
    with Templates(folder) as templates:
        found = templates.find(own.provenance.without_marks(), own.grid)
    assert found.header.text("SeriesInstanceUID") == "1.2.1"


def test_a_loop_is_found_by_its_number_of_frames(tmp_path: Path) -> None:
    for frames in (2, 3):
        attributes = {"ImagePositionPatient": None, "SeriesInstanceUID": f"1.2.{frames}"}
        loop = make_slice(0, NumberOfFrames=frames, **attributes)
        loop.PixelData = loop.PixelData * frames
        save(loop, tmp_path / f"{frames}.dcm")
    image = dicom.read(tmp_path / "3.dcm")
    with Templates(tmp_path) as templates:
        found = templates.find(image.provenance.without_marks(), image.grid)
    assert found.header.text("SeriesInstanceUID") == "1.2.3"


def test_a_damaged_series_at_its_place_is_not_the_source(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    own = dicom.read(series_at(folder / "a", 0.0, "1.2.1"))
    last = series_at(folder / "b", 0.0, "1.2.2") / "2.dcm"
    last.write_bytes(last.read_bytes()[:-30])
    with Templates(folder) as templates:
        found = templates.find(replace(own.provenance, series=""), own.grid)
    assert found.header.text("SeriesInstanceUID") == "1.2.1"


def test_a_folder_without_images_has_no_study_to_join(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match="holds no DICOM image whose study"), Templates(tmp_path):
        pass


def test_a_number_that_cannot_be_read_counts_as_none(tmp_path: Path) -> None:
    dataset = make_slice(0)
    dataset.add_new("SeriesNumber", "LO", "three")
    source = save(dataset, tmp_path / "a.dcm")
    (written,) = dicom.write(dicom.read(source), tmp_path / "out", like=source)
    assert pydicom.dcmread(written).SeriesNumber == 1000


def test_a_radiograph_without_a_place_is_named_by_its_size(tmp_path: Path) -> None:
    lost = {"ImagePositionPatient": None, "Modality": "DX", "SeriesInstanceUID": None}
    source = save(make_slice(0, **lost, PatientOrientation=["L", "F"]), tmp_path / "a.dcm")
    (file,) = dicom.write(dicom.read(source), tmp_path / "out", like=source)
    written, read = pydicom.dcmread(file), pydicom.dcmread(source)
    assert written.SourceImageSequence[0].ReferencedSOPInstanceUID == read.SOPInstanceUID
    assert written.PatientOrientation == ["L", "F"]
    assert "ReferencedSeriesSequence" not in written  # the source says of none


def test_a_slice_of_a_multi_frame_source_names_its_frame(tmp_path: Path) -> None:
    source = save(make_enhanced(((4.0, 0), (0.0, 0), (2.0, 0))), tmp_path / "a.dcm")
    written = dicom.write(dicom.read(source), tmp_path / "out", like=source)
    numbers = [pydicom.dcmread(one).SourceImageSequence[0].ReferencedFrameNumber for one in written]
    assert numbers == [2, 3, 1]


def test_slices_are_as_thick_as_those_of_the_source_and_not_as_their_step(tmp_path: Path) -> None:
    """They overlap: 2.5 mm thick, every 1 mm."""
    folder = save_all([make_slice(z, SliceThickness=2.5) for z in (0, 1, 2)], tmp_path / "a")
    image = dicom.read(folder)
    for file in dicom.write(image, tmp_path / "b", like=folder):
        written = pydicom.dcmread(file)
        assert (written.SliceThickness, written.SpacingBetweenSlices) == (2.5, 1)
    back = dicom.read(tmp_path / "b")
    assert back.grid.agrees_with(image.grid, 1e-6)
    assert np.array_equal(back.pixels, image.pixels)


@pytest.mark.parametrize(
    "stated", [(2.5, 2.5, 3), (2.5, 2.5, None), (None, None, None), (0, 0, 0)], ids=str
)
def test_a_thickness_on_which_slices_differ_is_left_empty(tmp_path: Path, stated: tuple) -> None:
    slices = [make_slice(float(z), SliceThickness=one) for z, one in enumerate(stated)]
    folder = save_all(slices, tmp_path / "a")
    (first, *_) = dicom.write(dicom.read(folder), tmp_path / "b", like=folder)
    assert pydicom.dcmread(first)["SliceThickness"].is_empty


def test_a_thickness_that_is_no_number_is_left_empty(tmp_path: Path) -> None:
    slices = [make_slice(z, SliceThickness=2.75, SpacingBetweenSlices=1) for z in (0, 1, 2)]
    folder = save_all(slices, tmp_path / "a")
    (folder / "1.dcm").write_bytes((folder / "1.dcm").read_bytes().replace(b"2.75", b"2+75"))
    (first, *_) = dicom.write(dicom.read(folder), tmp_path / "b", like=folder)
    assert pydicom.dcmread(first)["SliceThickness"].is_empty


def test_slices_that_lie_across_those_of_the_source_are_not_as_thick(tmp_path: Path) -> None:
    folder = save_all([make_slice(z, SliceThickness=2.5) for z in (0, 1, 2)], tmp_path / "a")
    image = dicom.read(folder)
    across = replace(
        image,
        pixels=image.pixels.transpose(0, 3, 1, 2),
        grid=Grid((3, *image.grid.shape[:2]), image.grid.affine[:, [2, 0, 1, 3]]),
    )
    (first, *_) = dicom.write(across, tmp_path / "b", like=folder)
    assert pydicom.dcmread(first)["SliceThickness"].is_empty


def test_frames_of_one_file_say_how_thick_they_are_in_their_groups(tmp_path: Path) -> None:
    path = save(make_enhanced(((0, 0), (2, 0), (4, 0))), tmp_path / "a.dcm")
    (first, *_) = dicom.write(dicom.read(path), tmp_path / "b", like=path)
    written = pydicom.dcmread(first)
    assert (written.SliceThickness, written.SpacingBetweenSlices) == (3, 2)

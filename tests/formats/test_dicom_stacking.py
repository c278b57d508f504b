"""Slices are put where they say they are, or refused in a sentence that says why."""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from tests.formats.dicom_scenes import COLUMNS, ROWS, make_slice, marked, save, save_all

from plica.errors import AmbiguousSource, NotAVolume, UnreadableFile
from plica.formats import dicom, dicom_series
from plica.formats.dicom_planes import make_plane

PLACES = (0.0, 2.0, 4.0, 6.0)


def test_slices_are_ordered_by_place_and_not_by_instance_number(tmp_path: Path) -> None:
    datasets = [make_slice(z, InstanceNumber=n) for n, z in enumerate((4.0, 0.0, 6.0, 2.0))]
    image = dicom.read(save_all(datasets, tmp_path))
    assert image.pixels[0, 0, 0].tolist() == [-1024, -1004, -984, -964]
    assert image.pixels.dtype == np.int16
    assert image.grid.shape == (COLUMNS, ROWS, 4)


def test_a_marked_pixel_is_found_at_its_place_in_the_patient(tmp_path: Path) -> None:
    datasets = [make_slice(z) for z in PLACES]
    marked(datasets[2], row=4, column=1)
    image = dicom.read(save_all(datasets, tmp_path))
    index = np.argwhere(image.pixels[0] == 3000 - 1024)
    assert index.tolist() == [[1, 4, 2]]
    # LPS (-10 + 1·0.75, -20 + 4·0.5, 4) is RAS+ (9.25, 18, 4).
    assert image.grid.to_world(index[0]).tolist() == [9.25, 18.0, 4.0]


@pytest.mark.parametrize(
    ("orientation", "letters"),
    [
        ([1, 0, 0, 0, 1, 0], "LPS"),
        ([0, 1, 0, 0, 0, -1], "PIR"),
        ([1, 0, 0, 0, 0, -1], "LIP"),
        ([-1, 0, 0, 0, -1, 0], "RAS"),
    ],
)
def test_any_orientation_keeps_a_mark_in_place(
    tmp_path: Path, orientation: list[float], letters: str
) -> None:
    right, down = np.array(orientation[:3], float), np.array(orientation[3:], float)
    normal = np.cross(right, down)
    datasets = [
        make_slice(0, position=tuple(3.0 * k * normal), ImageOrientationPatient=orientation)
        for k in (2, 0, 1)
    ]
    marked(datasets[0], row=5, column=3)
    image = dicom.read(save_all(datasets, tmp_path))
    assert image.grid.orientation == letters
    index = np.argwhere(image.pixels[0] == 3000 - 1024)[0]
    lps = 3 * 0.75 * right + 5 * 0.5 * down + 6.0 * normal
    assert np.allclose(image.grid.to_world(index), lps * [-1, -1, 1])


def test_a_gap_is_refused_with_both_instances_and_both_distances(tmp_path: Path) -> None:
    datasets = [make_slice(z, InstanceNumber=n) for n, z in enumerate((0, 2, 4, 8, 10), 1)]
    with pytest.raises(NotAVolume, match=r"2\.000 mm apart, but 4\.000 mm between instance 3 .*4 "):
        dicom.read(save_all(datasets, tmp_path))


def test_small_unevenness_is_noted_and_larger_is_refused(tmp_path: Path) -> None:
    even = dicom.read(save_all([make_slice(z) for z in (0, 2.008, 4, 6)], tmp_path / "a"))
    assert even.grid.spacing_mm[2] == pytest.approx(2.0)
    assert any("unevenly" in note for note in even.provenance.notes)
    with pytest.raises(NotAVolume, match="mm"):
        dicom.read(save_all([make_slice(z) for z in (0, 2.1, 4, 6)], tmp_path / "b"))


def test_a_second_image_at_one_place_is_refused_with_its_name(tmp_path: Path) -> None:
    datasets = [make_slice(z, InstanceNumber=n) for n, z in enumerate((0, 2, 2, 4), 1)]
    datasets[2].PixelData = np.ones((ROWS, COLUMNS), np.int16).tobytes()
    with pytest.raises(NotAVolume, match=r"instance 2 .* instance 3 .* same place"):
        dicom.read(save_all(datasets, tmp_path))


def test_an_identical_copy_of_a_file_is_left_out_and_noted(tmp_path: Path) -> None:
    save_all([make_slice(z) for z in PLACES], tmp_path)
    (tmp_path / "copy.dcm").write_bytes((tmp_path / "1.dcm").read_bytes())
    image = dicom.read(tmp_path)
    assert image.grid.shape[2] == 4
    assert any("copies" in note for note in image.provenance.notes)


def test_a_tilted_gantry_is_kept_as_a_sheared_grid(tmp_path: Path) -> None:
    tilt = math.radians(15)
    orientation = [1, 0, 0, 0, math.cos(tilt), math.sin(tilt)]
    datasets = [
        make_slice(0, position=(0, 0, z), ImageOrientationPatient=orientation) for z in PLACES
    ]
    image = dicom.read(save_all(datasets, tmp_path))
    assert np.allclose(image.grid.affine[:3, 2], [0, 0, 2])
    assert np.allclose(image.grid.to_world((0, 0, 3)), [0, 0, 6])
    assert any("15.00 degrees" in note for note in image.provenance.notes)


def test_slices_shifted_within_their_plane_are_refused(tmp_path: Path) -> None:
    datasets = [make_slice(z) for z in PLACES]
    datasets[2].ImagePositionPatient = [-10.0, -15.0, 4.0]
    with pytest.raises(NotAVolume, match="mm"):
        dicom.read(save_all(datasets, tmp_path))


def test_a_slice_that_points_elsewhere_is_its_own_series(tmp_path: Path) -> None:
    datasets = [make_slice(z) for z in PLACES]
    datasets.append(make_slice(0, ImageOrientationPatient=[0, 1, 0, 0, 0, -1]))
    folder = save_all(datasets, tmp_path)
    with pytest.raises(AmbiguousSource, match=r"2 series.*axial.*sagittal"):
        dicom.read(folder)
    assert dicom.read(folder, series="1").grid.shape[2] == 4
    assert dicom.read(folder, series="2").grid.shape[2] == 1


def test_files_given_together_that_point_two_ways_are_refused(tmp_path: Path) -> None:
    tilted = [1, 0, 0, 0, math.cos(0.1), math.sin(0.1)]
    datasets = [make_slice(0, InstanceNumber=3), make_slice(2, InstanceNumber=9)]
    datasets[1].ImageOrientationPatient = tilted
    folder = save_all(datasets, tmp_path)
    with pytest.raises(NotAVolume, match=r"instance 3 .*instance 9 .*5\.73 degrees"):
        dicom.read_series(sorted(folder.iterdir()))


def test_another_matrix_is_another_series(tmp_path: Path) -> None:
    datasets = [make_slice(z) for z in PLACES]
    odd = make_slice(8, Rows=2, Columns=2)
    odd.PixelData = np.zeros((2, 2), np.int16).tobytes()
    folder = save_all([*datasets, odd], tmp_path)
    assert [len(series.files) for series in dicom.find_series(sorted(folder.iterdir()))] == [4, 1]


def test_two_series_in_a_folder_are_listed_and_chosen_by_number_or_hash(tmp_path: Path) -> None:
    first = [make_slice(z) for z in PLACES]
    second = [make_slice(z, SeriesInstanceUID="1.2.3.5") for z in PLACES[:3]]
    folder = save_all([*first, *second], tmp_path)
    with pytest.raises(AmbiguousSource, match="2 series"):
        dicom.read(folder)
    found = dicom.find_series(sorted(folder.iterdir()))
    assert dicom.read(folder, series="2").grid.shape[2] == 3
    assert dicom.read(folder, series=found[0].series[:8]).grid.shape[2] == 4
    with pytest.raises(AmbiguousSource, match="no series 'zz'; it has: 1 = "):
        dicom.read(folder, series="zz")


def test_a_number_of_no_series_is_not_taken_for_the_beginning_of_a_mark() -> None:
    found = [dicom_series.DicomSeries((), mark, "CT") for mark in ("7ab1", "7ab2", "3c")]
    for number in ("3c", "3"):
        assert dicom_series.choose_series(found, number, "a.zip").series == "3c"
    for number in ("7", "0", "4"):
        with pytest.raises(AmbiguousSource, match=f"has no series '{number}'; it has: 1 = 7ab1"):
            dicom_series.choose_series(found, number, "a.zip")
    with pytest.raises(AmbiguousSource, match="several series whose mark begins with '7a'"):
        dicom_series.choose_series(found, "7a", "a.zip")


@pytest.mark.parametrize("keyword", ["DiffusionBValue", "EchoTime", "TemporalPositionIdentifier"])
def test_several_volumes_are_told_apart_by_what_differs(tmp_path: Path, keyword: str) -> None:
    datasets = [
        make_slice(z, **{keyword: value, "RescaleIntercept": value})
        for z, value in itertools.product((2.0, 0.0), (1000, 50))
    ]
    folder = save_all(datasets, tmp_path)
    with pytest.raises(AmbiguousSource, match=rf"2 volumes \(0: {keyword} 50.*1: {keyword} 1000"):
        dicom.read(folder)
    assert dicom.read(folder, volume=0).pixels[0, 0, 0].tolist() == [50, 70]
    assert dicom.read(folder, volume=1).pixels[0, 0, 0].tolist() == [1000, 1020]
    with pytest.raises(AmbiguousSource, match="no volume 2"):
        dicom.read(folder, volume=2)


@pytest.mark.parametrize(
    ("keyword", "values", "said"),
    [
        ("EchoTime", (5, 20), "Volume 1: EchoTime 20"),
        ("ConvolutionKernel", ("B30f", "Doe^Jane"), "Volume 1: ConvolutionKernel."),
        ("ImageType", (["ORIGINAL", "DOE"], ["ORIGINAL", "JANE"]), "Volume 1: ImageType."),
        ("AcquisitionTime", ("101500", "111500"), "Volume 1: AcquisitionTime."),
    ],
)
def test_of_what_tells_volumes_apart_only_numbers_are_noted(
    tmp_path: Path, keyword: str, values: tuple[object, object], said: str
) -> None:
    pairs = itertools.product((0.0, 2.0), values)
    folder = save_all([make_slice(z, **{keyword: value}) for z, value in pairs], tmp_path)
    (note,) = (
        note for note in dicom.read(folder, volume=1).provenance.notes if note.startswith("Volume")
    )
    assert note.startswith(said)


def test_volumes_that_nothing_names_are_told_apart_by_instance_number(tmp_path: Path) -> None:
    datasets = [make_slice(z, InstanceNumber=n) for n, z in enumerate((0, 2, 4, 0, 2, 4), 1)]
    for dataset in datasets[3:]:
        dataset.PixelData = np.full((ROWS, COLUMNS), 7, np.int16).tobytes()
    folder = save_all(datasets, tmp_path)
    with pytest.raises(AmbiguousSource, match="2 volumes"):
        dicom.read(folder)
    assert set(dicom.read(folder, volume=1).pixels.ravel().tolist()) == {7 - 1024}


def test_a_lone_slice_takes_its_thickness_and_says_so(tmp_path: Path) -> None:
    image = dicom.read(save(make_slice(3.0), tmp_path / "one.dcm"))
    assert image.grid.spacing_mm == (0.75, 0.5, 2.0)
    assert any("SliceThickness" in note for note in image.provenance.notes)
    bare = dicom.read(save(make_slice(3.0, SliceThickness=None), tmp_path / "bare.dcm"))
    assert bare.grid.spacing_mm[2] == 1.0
    assert any("1 mm is taken" in note for note in bare.provenance.notes)


def test_slices_without_positions_stand_by_slice_location_or_are_refused(tmp_path: Path) -> None:
    lost = {"ImagePositionPatient": None}
    located = [make_slice(z, **lost, SliceLocation=z) for z in (4, 0, 2)]
    image = dicom.read(save_all(located, tmp_path / "a"))
    assert image.pixels[0, 0, 0].tolist() == [-1024, -1004, -984]
    assert any("SliceLocation" in note for note in image.provenance.notes)
    with pytest.raises(NotAVolume, match="SliceLocation"):
        dicom.read(save_all([make_slice(z, **lost) for z in (0, 2)], tmp_path / "b"))


def test_a_direction_that_is_none_is_refused(tmp_path: Path) -> None:
    dataset = make_slice(0, ImageOrientationPatient=[1, 0, 0, 1, 0, 0])
    with pytest.raises(UnreadableFile, match="perpendicular"):
        dicom.read(save(dataset, tmp_path / "a.dcm"))


def test_the_patient_is_named_only_when_asked(tmp_path: Path) -> None:
    folder = save_all([make_slice(z) for z in PLACES], tmp_path)
    image = dicom.read(folder)
    record = str(image.provenance.to_json())
    assert "Doe" not in record
    assert "secret" not in record
    assert "1.2.3.4" not in record
    assert len(image.provenance.series) == 16
    named = dicom.read(folder, identity=True)
    assert named.provenance.identity["PatientID"] == "secret-7"
    assert named.provenance.series == image.provenance.series


def test_spacing_that_changes_along_the_series_is_called_that(tmp_path: Path) -> None:
    datasets = [make_slice(z) for z in (0.0, 4.0, 8.0, 12.0, 16.0, 23.0, 30.0)]
    with pytest.raises(NotAVolume, match=r"spacing changes along the series"):
        dicom.read(save_all(datasets, tmp_path))


def numbered(places: Sequence[float]) -> list[Dataset]:
    return [make_slice(float(z), InstanceNumber=n) for n, z in enumerate(places, 1)]


def test_blocks_of_slices_are_told_apart_where_their_spacing_changes(tmp_path: Path) -> None:
    places = [*range(0, 8, 2), *np.arange(7, 26, 3)]  # 4 every 2 mm, a step of 1 mm, 7 every 3 mm
    told = (
        r"along the stack, instance 1 \(0\.dcm\) to instance 4 \(3\.dcm\) lie 2\.000 mm apart, "
        r"then one step is 1\.000 mm, then instance 5 \(4\.dcm\) to instance 11 \(10\.dcm\) lie "
        r"3\.000 mm apart: two series .*evenly spaced slices alone"
    )
    with pytest.raises(NotAVolume, match=told):
        dicom.read(save_all(numbered(places), tmp_path))


def test_of_many_blocks_the_first_are_told_and_the_others_counted(tmp_path: Path) -> None:
    steps = [step for block in range(12) for step in [1 + block % 2] * 5]
    with pytest.raises(NotAVolume) as refused:
        dicom.read(save_all(numbered([0, *np.cumsum(steps)]), tmp_path))
    assert str(refused.value).count("lie") == 5
    assert "apart, and the spacing changes 7 more times: two series" in str(refused.value)


def test_steps_that_change_at_every_slice_are_counted(tmp_path: Path) -> None:
    with pytest.raises(NotAVolume, match=r"\(3 of 7 steps differ\): two series share"):
        dicom.read(save_all(numbered((0, 4, 5, 9, 10, 14, 15, 19)), tmp_path))


@pytest.mark.parametrize(
    ("degrees", "name"), [(0, "axial"), (30, "axial"), (45, "oblique"), (60, "coronal")]
)
def test_a_plane_is_named_after_the_axis_it_is_across(degrees: int, name: str) -> None:
    tilt = math.radians(degrees)
    down = [0.0, math.cos(tilt), math.sin(tilt)]
    assert make_plane("", [0.0, 0, 0], [1.0, 0, 0, *down], [1.0, 1.0]).name == name


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"Rows": 5}, r"instance 3 .* has 5×6 pixels and instance 9 .* 5×5: they do not stack"),
        ({"PixelSpacing": [0.5, 0.7]}, r"pixels of 0\.75×0\.5 mm and instance 9 .* of 0\.7×0\.5"),
    ],
)
def test_files_given_together_that_differ_in_size_are_refused(
    tmp_path: Path, attributes: dict[str, object], said: str
) -> None:
    datasets = [make_slice(0, InstanceNumber=3), make_slice(2, InstanceNumber=9, **attributes)]
    with pytest.raises(NotAVolume, match=said):
        dicom.read_series(sorted(save_all(datasets, tmp_path).iterdir()))


def test_two_slices_of_one_location_are_refused(tmp_path: Path) -> None:
    places = enumerate((0.0, 2.0, 2.0, 4.0), 1)
    lost = {"ImagePositionPatient": None}
    datasets = [make_slice(z, **lost, SliceLocation=z, InstanceNumber=n) for n, z in places]
    with pytest.raises(NotAVolume, match=r"instance 2 .*instance 3 .* are at the same place"):
        dicom.read(save_all(datasets, tmp_path))


def test_small_unevenness_that_adds_up_is_refused(tmp_path: Path) -> None:
    steps = [2.0] * 12 + [2.015] * 12
    datasets = [make_slice(float(z)) for z in np.cumsum([0.0, *steps])]
    said = r"0\.09\d mm from where evenly spaced slices \(2\.00\d mm\) would put it"
    with pytest.raises(NotAVolume, match=said):
        dicom.read(save_all(datasets, tmp_path))


def test_pixels_without_extent_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match=r"a\.dcm: the pixel spacing is 0 × 0\.5 mm"):
        dicom.read(save(make_slice(0, PixelSpacing=[0, 0.5]), tmp_path / "a.dcm"))


@pytest.mark.parametrize("keyword", ["ImagerPixelSpacing", "NominalScannedPixelSpacing"])
def test_a_radiograph_says_which_spacing_it_has(tmp_path: Path, keyword: str) -> None:
    lost = {"PixelSpacing": None, "ImagePositionPatient": None, "Modality": "DX"}
    image = dicom.read(save(make_slice(0, **lost, **{keyword: [0.2, 0.1]}), tmp_path / "a.dcm"))
    assert image.grid.calibrated
    assert image.grid.spacing_mm[:2] == (0.1, 0.2)
    assert any(keyword in note for note in image.provenance.notes)

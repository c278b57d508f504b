"""A written series says what it is, keeps places and values, and other readers agree."""

import math
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.formats.dicom_scenes import make_slice, packaged, save

from plica.errors import InputError, OutputError
from plica.formats import dicom
from plica.grid import Grid
from plica.image import Display, Image, Provenance, Unit

OBLIQUE = np.array(
    [
        [-0.6 * math.cos(0.3), 0.0, 2.5 * math.sin(0.3), 12.5],
        [0.0, -0.8, 0.0, -40.25],
        [0.6 * math.sin(0.3), 0.0, 2.5 * math.cos(0.3), 101.0],
        [0, 0, 0, 1],
    ]
)


def ramp(dtype: str = "int16", unit: Unit = Unit.HU, affine: np.ndarray = OBLIQUE) -> Image:
    pixels = (np.arange(5 * 6 * 4).reshape(1, 5, 6, 4) * 9 - 500).astype(dtype)
    return Image(pixels, Grid((5, 6, 4), affine), unit, Provenance(modality="CT"))


def test_geometry_and_values_come_back(tmp_path: Path) -> None:
    image = ramp()
    files = dicom.write(image, tmp_path / "out")
    back = dicom.read(tmp_path / "out")
    assert len(files) == 4
    assert all(path.is_file() for path in files)
    assert back.grid.agrees_with(image.grid, 1e-6)
    assert np.array_equal(back.pixels, image.pixels)
    assert (back.pixels.dtype, back.unit) == (np.int16, Unit.HU)


def test_without_a_source_no_thickness_is_stated(tmp_path: Path) -> None:
    """It is of type 2 where there is an image plane: there, and empty."""
    plain = Image(ramp().pixels, ramp().grid, Unit.LABEL)
    for image, stated in ((ramp(), True), (plain, False)):
        (first, *_) = dicom.write(image, tmp_path / "out", overwrite=True)
        written = pydicom.dcmread(first)
        assert written.SpacingBetweenSlices == pytest.approx(2.5)
        assert ("SliceThickness" in written) is stated
        assert written.get("SliceThickness") is None


def test_simpleitk_and_highdicom_see_the_same_places_and_values(tmp_path: Path) -> None:
    image = ramp()
    files = dicom.write(image, tmp_path / "out")
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames([str(path) for path in files])
    seen = reader.Execute()
    volume = highdicom.get_volume_from_series([pydicom.dcmread(path) for path in files])
    values = SimpleITK.GetArrayFromImage(seen)
    to_ras = np.array([-1, -1, 1])
    for index in ((0, 0, 0), (4, 5, 3), (2, 1, 3)):
        place = image.grid.to_world(index)
        value = image.pixels[(0, *index)]
        there = np.array(seen.TransformIndexToPhysicalPoint(index)) * to_ras
        assert np.allclose(there, place, atol=1e-4)
        assert values[index[::-1]] == value
        spot = volume.map_reference_to_indices((place * to_ras)[None])[0]
        assert volume.array[tuple(np.rint(spot).astype(int))] == value


def test_a_tilted_gantry_is_written_as_it_is(tmp_path: Path) -> None:
    affine = OBLIQUE.copy()
    affine[:3, 2] = [0.3, 0.7, 2.4]
    image = ramp(affine=affine)
    dicom.write(image, tmp_path / "out")
    assert dicom.read(tmp_path / "out").grid.agrees_with(image.grid, 1e-6)


def test_rows_and_columns_that_lean_are_refused(tmp_path: Path) -> None:
    affine = OBLIQUE.copy()
    affine[:3, 1] += affine[:3, 0]
    with pytest.raises(OutputError, match="perpendicular"):
        dicom.write(ramp(affine=affine), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_series_says_that_it_is_derived_and_lossy(tmp_path: Path) -> None:
    files = dicom.write(ramp(), tmp_path / "out", method="linear-4x1-3d", ratio=64.0)
    datasets = [pydicom.dcmread(path) for path in files]
    first = datasets[0]
    assert list(first.ImageType[:2]) == ["DERIVED", "SECONDARY"]
    assert first.LossyImageCompression == "01"
    assert first.LossyImageCompressionRatio == 64
    assert "linear-4x1-3d" in first.DerivationDescription
    assert "not for diagnosis" in first.SeriesDescription
    assert first.PatientName == ""
    assert len({dataset.SOPInstanceUID for dataset in datasets}) == 4
    assert len({dataset.SeriesInstanceUID for dataset in datasets}) == 1


def test_only_what_was_decoded_or_lossy_before_is_called_lossy(tmp_path: Path) -> None:
    plain = pydicom.dcmread(dicom.write(ramp(), tmp_path / "plain")[0])
    assert "LossyImageCompression" not in plain
    assert "latent" not in plain.SeriesDescription + plain.DerivationDescription
    assert "not for diagnosis" in plain.SeriesDescription
    decoded = dicom.write(ramp(), tmp_path / "decoded", method="linear-4x1-3d")
    again = dicom.write(dicom.read(decoded[0].parent), tmp_path / "again")
    assert pydicom.dcmread(again[0]).LossyImageCompression == "01"


def test_it_joins_the_study_of_its_source_as_a_new_series(tmp_path: Path) -> None:
    source = make_slice(0, FrameOfReferenceUID="1.2.9", SeriesNumber=3)
    path = save(source, tmp_path / "source" / "a.dcm")
    for like in (path, path.parent):
        files = dicom.write(ramp(), tmp_path / "out", like=like, overwrite=True)
        written = pydicom.dcmread(files[0])
        for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "FrameOfReferenceUID"):
            assert written[keyword].value == source[keyword].value
        assert written.SeriesInstanceUID != source.SeriesInstanceUID
        assert written.SeriesNumber == 1003
    with pytest.raises(InputError):
        dicom.write(ramp(), tmp_path / "none", like=tmp_path / "absent.dcm")


def test_nothing_is_written_over_unless_asked(tmp_path: Path) -> None:
    dicom.write(ramp(), tmp_path / "out")
    with pytest.raises(OutputError, match="overwrite"):
        dicom.write(ramp(), tmp_path / "out")
    assert len(dicom.write(ramp(), tmp_path / "out", overwrite=True)) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(low=st.floats(-1e5, 1e5), span=st.floats(1e-3, 1e6))
def test_real_values_are_rounded_to_the_nearest_step(
    tmp_path: Path, low: float, span: float
) -> None:
    pixels = np.linspace(low, low + span, 24, dtype=np.float64).reshape(1, 2, 3, 4)
    image = Image(pixels, Grid((2, 3, 4), OBLIQUE), Unit.HU)
    dicom.write(image, tmp_path / "out", overwrite=True)
    back = dicom.read(tmp_path / "out")
    step = span / 65535
    rounding = 1e-6 * max(abs(low), abs(low + span))  # of the float32 it is read in
    assert np.abs(back.pixels - pixels).max() <= 0.51 * step + rounding


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_refused(tmp_path: Path, value: float) -> None:
    image = ramp("float32")
    pixels = image.pixels.copy()
    pixels[0, 0, 0, 0] = value
    with pytest.raises(OutputError, match="NaN or infinite"):
        dicom.write(image.with_pixels(pixels), tmp_path / "out")


@pytest.mark.parametrize("unit", [Unit.HU, Unit.GRAY, Unit.HERTZ, Unit.LABEL, Unit.RELATIVE])
def test_the_unit_comes_back(tmp_path: Path, unit: Unit) -> None:
    image = ramp(unit=unit)
    dicom.write(image, tmp_path / "out")
    back = dicom.read(tmp_path / "out")
    assert np.array_equal(back.pixels, image.pixels)
    assert back.unit is unit


@pytest.mark.parametrize(
    "name", ["examples_rgb_color.dcm", "examples_ybr_color.dcm", "SC_rgb_small_odd.dcm"]
)
def test_colour_and_loops_come_back(tmp_path: Path, name: str) -> None:
    image = dicom.read(packaged(name))
    dicom.write(image, tmp_path / "out")
    back = dicom.read(tmp_path / "out")
    assert back.grid == image.grid
    assert np.array_equal(back.pixels, image.pixels)
    assert back.unit is image.unit


def test_a_radiograph_keeps_window_table_and_inversion(tmp_path: Path) -> None:
    grid = Grid((4, 3, 1), np.diag([-0.2, -0.1, 1.0, 1.0]))
    table = tuple(np.round(np.linspace(0, 1, 16) * 65535) / 65535)
    display = Display(100.0, 50.0, "SIGMOID", True, table, -3)
    pixels = np.arange(12, dtype=np.uint16).reshape(1, 4, 3, 1)
    image = Image(pixels, grid, Unit.RELATIVE, Provenance(modality="DX"), display)
    dicom.write(image, tmp_path / "out")
    back = dicom.read(tmp_path / "out")
    assert back.grid == grid
    assert back.unit is Unit.RELATIVE
    assert back.display.inverted
    assert np.array_equal(back.pixels, pixels)
    assert (back.display.center, back.display.function) == (100.0, "SIGMOID")
    assert np.allclose(back.display.table, table)


def test_a_full_disk_is_said_in_a_sentence_and_nothing_is_left(tmp_path: Path, monkeypatch) -> None:
    def fill(path: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", fill)
    with pytest.raises(OutputError) as caught:
        dicom.write(ramp(), tmp_path / "out")
    assert str(caught.value) == f"{tmp_path / 'out'} cannot be written: No space left on device"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("dtype", "values", "kind", "intercept"),
    [
        ("bool", (0, 1), np.uint8, 0),
        ("int32", (-30_000, 30_000), np.int16, 0),
        ("float32", (-5, 32_767), np.int16, 0),
        ("uint32", (40_000, 105_535), np.uint16, 40_000),
        ("float64", (-40_000, 25_000), np.uint16, -40_000),
        ("float16", (-5_000, 60_000), np.uint16, -5_000),
    ],
)
def test_whole_numbers_of_any_type_come_back_exactly(
    tmp_path: Path, dtype: str, values: tuple[int, int], kind: type, intercept: int
) -> None:
    pixels = np.array(values, dtype).reshape(1, 2, 1, 1)
    files = dicom.write(Image(pixels, Grid((2, 1, 1), OBLIQUE), Unit.HU), tmp_path / "out")
    written = pydicom.dcmread(files[0])
    assert written.pixel_array.dtype == kind
    assert written.RescaleIntercept == intercept
    assert dicom.read(files[0]).pixels.ravel().tolist() == list(values)


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        (np.zeros((2, 2, 1, 1), np.int16), "the image has 2 of int16: write NIfTI or convert it"),
        (np.array([0.0, 5e-324]).reshape(1, 2, 1, 1), "too close together for DICOM"),
    ],
)
def test_values_that_dicom_has_no_place_for_are_refused(
    tmp_path: Path, pixels: np.ndarray, said: str
) -> None:
    with pytest.raises(OutputError, match=said):
        dicom.write(Image(pixels, Grid((2, 1, 1), OBLIQUE), Unit.HU), tmp_path / "out")


def test_an_mr_image_is_written_as_one(tmp_path: Path) -> None:
    image = Image(ramp().pixels, ramp().grid, Unit.RELATIVE, Provenance(modality="MR"))
    written = pydicom.dcmread(dicom.write(image, tmp_path / "out")[0])
    assert written.SOPClassUID == "1.2.840.10008.5.1.4.1.1.4"
    assert list(written.ImageType) == ["DERIVED", "SECONDARY", "OTHER"]
    assert written.ScanningSequence == "RM"
    assert (written.EchoTime, written.RepetitionTime) == (None, None)
    assert dicom.read(tmp_path / "out").provenance.modality == "MR"


def test_a_segmentation_is_written_as_another_kind_of_image(tmp_path: Path) -> None:
    image = Image(ramp().pixels, ramp().grid, Unit.LABEL, Provenance(modality="SEG"))
    assert pydicom.dcmread(dicom.write(image, tmp_path / "out")[0]).Modality == "OT"
    back = dicom.read(tmp_path / "out")
    assert back.unit is Unit.LABEL
    assert np.array_equal(back.pixels, image.pixels)


@pytest.mark.parametrize(("dtype", "last"), [("uint8", 2), ("int16", 3)])
def test_a_grey_loop_of_pixels_that_are_no_squares_comes_back(
    tmp_path: Path, dtype: str, last: int
) -> None:
    grid = Grid((4, 3, 2), np.diag([-1.0, -0.5, 1.0, 1.0]), calibrated=False)
    image = Image(np.arange(24, dtype=dtype).reshape(1, 4, 3, 2), grid, Unit.DISPLAY)
    (file,) = dicom.write(image, tmp_path / "out")
    assert pydicom.dcmread(file).SOPClassUID == f"1.2.840.10008.5.1.4.1.1.7.{last}"
    back = dicom.read(file)
    assert back.grid == grid
    assert np.array_equal(back.pixels, image.pixels)


@pytest.mark.parametrize(("entries", "first"), [(65_537, 0), (4, -40_000)])
def test_a_table_that_dicom_cannot_hold_is_refused(
    tmp_path: Path, entries: int, first: int
) -> None:
    display = Display(table=(0.0,) * entries, table_first=first)
    image = Image(ramp().pixels, ramp().grid, Unit.HU, display=display)
    with pytest.raises(OutputError, match=rf"{entries} entries from {first} on.*leave the table"):
        dicom.write(image, tmp_path / "out")

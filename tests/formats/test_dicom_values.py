"""Values carry the unit the file states, exactly where they can."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from tests.formats.dicom_scenes import CAPTURE, COLUMNS, ROWS, make_slice, packaged, save, save_all

from plica.errors import UnreadableFile
from plica.formats import dicom
from plica.formats.dicom_file import guarded
from plica.image import Display, Unit


def read_one(path: Path, **attributes: Any) -> Any:
    return dicom.read(save(make_slice(5.0, **attributes), path / "a.dcm"))


@pytest.mark.parametrize(
    ("attributes", "unit"),
    [
        ({}, Unit.HU),
        ({"RescaleType": "HU"}, Unit.HU),
        ({"RescaleType": "US"}, Unit.RELATIVE),
        ({"RescaleSlope": None, "RescaleIntercept": None}, Unit.RELATIVE),
        ({"Modality": None}, Unit.HU),
        ({"SOPClassUID": CAPTURE}, Unit.DISPLAY),
        ({"Modality": "PT", "SOPClassUID": CAPTURE, "Units": "BQML"}, Unit.BQML),
        ({"Modality": "PT", "SOPClassUID": CAPTURE, "Units": "GML"}, Unit.SUV),
        ({"Modality": "PT", "SOPClassUID": CAPTURE, "Units": "CNTS"}, Unit.RELATIVE),
        ({"Modality": "MR", "SOPClassUID": CAPTURE}, Unit.RELATIVE),
        ({"Modality": "DX", "SOPClassUID": CAPTURE}, Unit.RELATIVE),
        ({"Modality": "US", "SOPClassUID": CAPTURE}, Unit.DISPLAY),
    ],
)
def test_the_unit_follows_what_is_stated(
    tmp_path: Path, attributes: dict[str, Any], unit: Unit
) -> None:
    assert read_one(tmp_path, **attributes).unit is unit


@pytest.mark.parametrize(
    ("slope", "intercept", "dtype"),
    [
        (1, 0, np.int16),
        (1, -1024, np.int16),
        (1, 40000, np.uint16),
        (2, 70000, np.int32),
        (0.5, 0, np.float32),
    ],
)
def test_whole_values_stay_whole_in_the_smallest_type(
    tmp_path: Path, slope: float, intercept: float, dtype: type
) -> None:
    image = read_one(tmp_path, RescaleSlope=slope, RescaleIntercept=intercept)
    assert image.pixels.dtype == dtype
    assert set(image.pixels.ravel().tolist()) == {50 * slope + intercept}


def test_each_slice_has_its_own_slope(tmp_path: Path) -> None:
    slopes = (0.25, 0.5, 4.0)
    datasets = [
        make_slice(z, RescaleSlope=slope, RescaleIntercept=0, Modality="PT", Units="BQML")
        for z, slope in zip((1, 2, 3), slopes, strict=True)
    ]
    image = dicom.read(save_all(datasets, tmp_path))
    assert image.pixels.dtype == np.float32
    assert image.pixels[0, 0, 0].tolist() == [2.5, 10.0, 120.0]
    assert image.unit is Unit.BQML


def test_values_of_more_than_24_bits_keep_them_all() -> None:
    path = packaged("rtdose.dcm")
    image = dicom.read(path)
    assert image.pixels.dtype == np.float32
    stored = np.array([[[[2**31 + 1]]]], np.uint32)
    from plica.formats.dicom_values import Transform, apply_transforms

    assert apply_transforms(stored, [Transform(0.5, 0.0)]).item() == 2**30 + 0.5


def test_a_slope_of_zero_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="slope is 0"):
        read_one(tmp_path, RescaleSlope=0)


def test_a_modality_table_replaces_values_and_its_ends_hold(tmp_path: Path) -> None:
    item = Dataset()
    item.add_new("LUTDescriptor", "SS", [4, 49, 16])
    item.add_new("LUTData", "US", [100, 200, 300, 400])
    item.ModalityLUTType = "HU"
    image = read_one(tmp_path, ModalityLUTSequence=[item])
    assert set(image.pixels.ravel().tolist()) == {200}  # stored 50 is the second entry
    assert image.unit is Unit.HU


def test_slices_of_both_signs_share_a_type_that_holds_both(tmp_path: Path) -> None:
    unsigned = make_slice(2, PixelRepresentation=0)
    unsigned.PixelData = np.full((ROWS, COLUMNS), 65000, np.uint16).tobytes()
    image = dicom.read(save_all([make_slice(-1), unsigned], tmp_path))
    assert image.pixels[0, 0, 0].tolist() == [-10 - 1024, 65000 - 1024]


def test_the_first_window_and_its_function_are_kept(tmp_path: Path) -> None:
    image = read_one(
        tmp_path, WindowCenter=[40, 500], WindowWidth=[400, 2000], VOILUTFunction="SIGMOID"
    )
    assert image.display == Display(40.0, 400.0, "SIGMOID")
    assert any("2 windows" in note for note in image.provenance.notes)


def test_a_window_without_width_is_left_out_and_noted(tmp_path: Path) -> None:
    image = read_one(tmp_path, WindowCenter=40, WindowWidth=0)
    assert image.display == Display()
    assert any("width" in note for note in image.provenance.notes)


def test_a_table_of_interest_is_scaled_to_one(tmp_path: Path) -> None:
    item = Dataset()
    item.add_new("LUTDescriptor", "SS", [3, -5, 12])
    item.add_new("LUTData", "US", [0, 2048, 4095])
    image = read_one(tmp_path, VOILUTSequence=[item])
    assert image.display.table == (0.0, 2048 / 4095, 1.0)
    assert image.display.table_first == -5


def test_monochrome1_keeps_its_values_and_is_marked_inverted(tmp_path: Path) -> None:
    plain = read_one(tmp_path)
    image = read_one(tmp_path, PhotometricInterpretation="MONOCHROME1")
    assert image.display.inverted
    assert np.array_equal(image.pixels, plain.pixels)


def test_padding_is_kept_and_noted() -> None:
    image = dicom.read(packaged("CT_small.dcm"))
    assert any("-2000 mark padding" in note for note in image.provenance.notes)


def test_a_quoted_value_that_a_long_message_cuts_off_is_not_told() -> None:
    with pytest.raises(UnreadableFile) as caught, guarded("a.dcm", "reading"):
        raise ValueError("could not convert: " + "x " * 80 + "'Doe^Jane " + "y" * 60 + "'")
    assert "Doe" not in str(caught.value)
    assert len(str(caught.value)) < 300

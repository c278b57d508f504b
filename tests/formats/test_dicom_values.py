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
from plica.formats.dicom_values import Transform, apply_transforms
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
    said = "Stored values of -2000 mark padding, and are read and folded like all others."
    assert said in image.provenance.notes


def test_a_quoted_value_that_a_long_message_cuts_off_is_not_told() -> None:
    with pytest.raises(UnreadableFile) as caught, guarded("a.dcm", "reading"):
        raise ValueError("could not convert: " + "x " * 80 + "'Doe^Jane " + "y" * 60 + "'")
    assert "Doe" not in str(caught.value)
    assert len(str(caught.value)) < 300


def table(descriptor: tuple[list[int], str] | None, **attributes: Any) -> Dataset:
    """A lookup table of four outputs."""
    item = Dataset()
    if descriptor is not None:
        item.add_new("LUTDescriptor", descriptor[1], descriptor[0])
    item.add_new("LUTData", "US", [100, 200, 300, 400])
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (table(None), "a lookup table has no descriptor"),
        (table(([5, 49, 16], "SS")), "announces 5 entries of 16 bits and holds 4"),
        (table(([4, 49, 17], "SS")), "announces 4 entries of 17 bits and holds 4"),
    ],
)
def test_a_table_that_its_descriptor_does_not_fit_is_refused(
    tmp_path: Path, item: Dataset, said: str
) -> None:
    with pytest.raises(UnreadableFile, match=said):
        read_one(tmp_path, ModalityLUTSequence=[item])


def test_a_tables_first_input_has_the_sign_of_the_pixels(tmp_path: Path) -> None:
    negative = table(([4, 65536 - 51, 16], "US"), ModalityLUTType="HU")
    path = save(make_slice(-5.0, ModalityLUTSequence=[negative]), tmp_path / "a.dcm")
    assert set(dicom.read(path).pixels.ravel().tolist()) == {200}  # stored -50, first -51


def test_a_slice_with_a_table_stacks_with_one_of_a_slope(tmp_path: Path) -> None:
    looked_up = make_slice(5.0, ModalityLUTSequence=[table(([4, 49, 16], "US"))])
    looked_up.ModalityLUTSequence[0].ModalityLUTType = "US"
    sloped = make_slice(7.0, RescaleSlope=0.5, RescaleIntercept=0, RescaleType="US")
    image = dicom.read(save_all([looked_up, sloped], tmp_path))
    assert image.pixels.dtype == np.float32
    assert image.pixels[0, 0, 0].tolist() == [200.0, 35.0]


def test_slices_of_several_units_are_refused(tmp_path: Path) -> None:
    folder = save_all([make_slice(z, RescaleType=kind) for z, kind in ((0, "HU"), (2, "US"))],
                      tmp_path)  # fmt: skip
    with pytest.raises(UnreadableFile, match="differ in RescaleType: their values have no common"):
        dicom.read(folder)


@pytest.mark.parametrize(("stored", "found"), [(np.float32, np.float32), (np.float64, np.float64)])
def test_real_stored_values_keep_their_width(stored: type, found: type) -> None:
    values = apply_transforms(np.full((1, 2, 2, 1), 3, stored), [Transform(0.5, 1.0)])
    assert values.dtype == found
    assert values.max() == 2.5


def test_whole_values_beyond_every_type_become_real() -> None:
    values = apply_transforms(np.full((1, 2, 2, 1), 50, np.int16), [Transform(1e18, 0.0)])
    assert values.dtype == np.float64
    assert values.max() == 5e19


def test_of_several_tables_of_interest_the_first_is_kept(tmp_path: Path) -> None:
    items = [table(([4, first, 12], "SS")) for first in (-5, 7)]
    image = read_one(tmp_path, VOILUTSequence=items)
    assert image.display.table_first == -5
    assert any("2 VOI tables" in note for note in image.provenance.notes)

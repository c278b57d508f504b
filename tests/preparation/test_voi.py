import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.pixels import apply_voi_lut
from pydicom.sequence import Sequence
from tests.preparation.conftest import make, there_and_back

from plica.errors import LatentError
from plica.image import Display, Unit
from plica.preparation.voi import Voi

WHOLE = np.arange(0, 4096, 7, dtype=np.uint16).reshape(-1, 1, 1)
FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


def radiograph(display, pixels=WHOLE):
    return make(pixels, display=display)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(("centre", "width"), [(2048, 4096), (1000, 700), (300.5, 2), (-50, 900)])
def test_pydicom_shows_the_same(function, centre, width):
    dataset = Dataset()
    dataset.WindowCenter, dataset.WindowWidth = centre, width
    dataset.VOILUTFunction, dataset.BitsStored = function, 12
    dataset.PixelRepresentation, dataset.PhotometricInterpretation = 0, "MONOCHROME2"
    theirs = apply_voi_lut(WHOLE, dataset) / 4095 * 2 - 1

    prepared, _ = Voi().apply(radiograph(Display(centre, width, function)))

    if function == "SIGMOID":  # flat beyond two widths here
        theirs = np.clip(theirs, -np.tanh(4), np.tanh(4))
    np.testing.assert_allclose(prepared.pixels[0], theirs, atol=1e-5)


def test_pydicom_looks_up_the_same():
    table = (np.linspace(0, 1, 2000) ** 0.5 * 65535).astype(np.uint16)
    item = Dataset()
    item.LUTDescriptor, item.LUTData = [2000, 100, 16], table.tolist()
    item["LUTDescriptor"].VR = item["LUTData"].VR = "US"
    dataset = Dataset()
    dataset.VOILUTSequence = Sequence([item])
    dataset.PixelRepresentation, dataset.PhotometricInterpretation = 0, "MONOCHROME2"
    dataset.BitsStored = 12
    theirs = apply_voi_lut(WHOLE, dataset) / 65535 * 2 - 1

    display = Display(table=tuple((table / 65535).tolist()), table_first=100)
    prepared, _ = Voi().apply(radiograph(display))

    np.testing.assert_allclose(prepared.pixels[0], theirs, atol=1e-6)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("inverted", [False, True])
def test_inside_the_window_stored_values_come_back_exactly(function, inverted):
    image = radiograph(Display(2048, 4200, function, inverted))
    prepared, record, back = there_and_back(Voi(), image)

    assert not record.loss
    assert prepared.unit is Unit.NORMALISED
    np.testing.assert_array_equal(back.pixels, image.pixels)


def test_monochrome1_shows_low_values_white():
    prepared, _ = Voi().apply(radiograph(Display(2048, 4096, inverted=True)))

    assert prepared.pixels[0, 0, 0, 0] == 1
    assert prepared.pixels[0, -1, 0, 0] < -0.99


def test_what_the_window_clips_is_counted():
    pixels = np.arange(100, dtype=np.uint16).reshape(10, 10, 1)
    _, record, back = there_and_back(Voi(), radiograph(Display(50, 20, "LINEAR_EXACT"), pixels))

    assert record.loss["voxels_below"] == 40
    assert record.loss["voxels_above"] == 39
    assert back.pixels.min() == 40
    assert back.pixels.max() == 60


@pytest.mark.parametrize("display", [Display(), Display(40, 1, "LINEAR"), Display(40)])
def test_without_a_usable_window_the_whole_range_is_taken_and_recorded(display):
    image = radiograph(display)
    prepared, record, back = there_and_back(Voi(), image)

    assert prepared.pixels.min() == -1
    assert prepared.pixels.max() == 1
    assert "no display window" in prepared.provenance.steps[-1]
    assert not record.loss
    np.testing.assert_array_equal(back.pixels, image.pixels)


@given(st.booleans(), st.booleans(), st.floats(0.4, 2.5))
def test_a_strictly_rising_or_falling_table_is_undone(inverted, falling, gamma):
    table = np.linspace(0.02, 1, 4096) ** gamma
    table = table[::-1] if falling else table
    display = Display(inverted=inverted, table=tuple(table.tolist()))
    image = radiograph(display)
    _, record, back = there_and_back(Voi(), image)

    assert not record.loss
    np.testing.assert_array_equal(back.pixels, image.pixels)


def test_a_table_of_few_levels_comes_back_to_the_middle_of_each():
    table = np.repeat(np.linspace(0, 1, 8), 512)
    image = radiograph(Display(table=tuple(table.tolist())))
    _, record, back = there_and_back(Voi(), image)

    assert record.loss["merged_fraction"] > 0.9
    assert 200 < record.loss["largest_error"] <= 256
    assert np.abs(back.pixels.astype(int) - image.pixels).max() <= 256


def test_a_table_that_rises_and_falls_leaves_the_image_as_displayed():
    table = np.sin(np.linspace(0, np.pi, 4096))
    image = radiograph(Display(table=tuple(table.tolist())))
    prepared, record, back = there_and_back(Voi(), image)

    assert record.loss == {"table_not_invertible": True}
    assert back.unit is Unit.DISPLAY
    assert back.display == Display()
    assert back.pixels.dtype == image.pixels.dtype
    white = float(WHOLE.max())
    expected = (prepared.pixels + 1) / 2 * white
    np.testing.assert_allclose(back.pixels, expected, atol=0.51)


@pytest.mark.parametrize(
    "table", [[0.0], [0.0, np.nan, 1], [0.0, 1, 0.5], [0.0, 1e30], [0.0] * 70000]
)
def test_a_table_that_was_tampered_with_is_refused(table):
    image = radiograph(Display(table=tuple(np.linspace(0, 1, 4096).tolist())))
    prepared, record = Voi().apply(image)
    record.arrays["table"] = np.array(table)

    with pytest.raises(LatentError, match="table"):
        Voi.revert(prepared, record)

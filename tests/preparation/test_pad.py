import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.preparation.conftest import grids, make, ramp, there_and_back

from plica.errors import LatentError, SettingsError
from plica.image import Image, Unit
from plica.preparation.pad import MODES, Pad


@given(grids(), st.tuples(*[st.integers(1, 20)] * 3), st.sampled_from(MODES))
def test_any_size_becomes_a_multiple_and_comes_back(grid, multiple, mode):
    image = Image(ramp(grid)[None], grid)
    prepared, _, back = there_and_back(Pad(multiple, mode), image)

    i, j, k = grid.shape
    assert all(side % n == 0 for side, n in zip(prepared.grid.shape, multiple, strict=True))
    assert all(a - b < n for a, b, n in zip(prepared.grid.shape, grid.shape, multiple, strict=True))
    np.testing.assert_array_equal(prepared.pixels[:, :i, :j, :k], image.pixels)
    np.testing.assert_array_equal(back.pixels, image.pixels)
    assert back.grid == grid
    assert prepared.grid.origin_mm == grid.origin_mm


def test_the_background_is_minus_one_in_a_networks_range_and_else_the_minimum():
    pixels = np.full((3, 3, 3), -0.25, np.float32)

    assert Pad().apply(make(pixels, unit=Unit.NORMALISED))[0].pixels[0, 3, 3, 3] == -1
    assert Pad().apply(make(pixels))[0].pixels[0, 3, 3, 3] == -0.25


def test_the_other_modes_continue_the_image():
    image = make(np.arange(3.0).reshape(3, 1, 1))

    assert Pad((5, 1, 1), "edge").apply(image)[0].pixels.ravel().tolist() == [0, 1, 2, 2, 2]
    assert Pad((5, 1, 1), "reflect").apply(image)[0].pixels.ravel().tolist() == [0, 1, 2, 1, 0]


@pytest.mark.parametrize(("side", "becomes"), [(1, 8), (4, 8), (5, 8), (8, 8), (9, 12)])
def test_a_side_can_have_a_least_number_of_multiples(side, becomes):
    image = make(np.arange(1.0 * side).reshape(1, 1, side))

    prepared, _, back = there_and_back(Pad((1, 1, 4), "edge", least=2), image)

    assert prepared.grid.shape == (2, 2, becomes)
    assert prepared.pixels[0, 1, 1, side:].tolist() == [side - 1] * (becomes - side)
    np.testing.assert_array_equal(back.pixels, image.pixels)


def test_an_image_that_fits_is_passed_on():
    image = make(np.zeros((4, 8, 12)))

    assert Pad().apply(image)[0].pixels is image.pixels


@pytest.mark.parametrize(("multiple", "mode"), [((0, 1, 1), "edge"), ((4, 4, 4), "wrap")])
def test_settings_that_make_no_sense_are_refused(multiple, mode):
    with pytest.raises(SettingsError):
        Pad(multiple, mode)


def test_a_least_number_that_makes_no_sense_is_refused():
    with pytest.raises(SettingsError, match="1 to 64 multiples at least, but got 0"):
        Pad(least=0)


def test_more_is_never_cut_out_than_there_is():
    _, record = Pad().apply(make(np.zeros((5, 5, 5))))

    with pytest.raises(LatentError, match="cuts"):
        Pad.revert(make(np.zeros((4, 8, 8))), record)

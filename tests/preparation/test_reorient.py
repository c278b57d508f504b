import itertools

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.preparation.conftest import grids, make, ramp, there_and_back

from plica.errors import SettingsError
from plica.grid import AXIS_NAMES, Grid
from plica.image import Image
from plica.preparation.reorient import Reorient

CODES = [
    "".join(code)
    for order in itertools.permutations(AXIS_NAMES)
    for code in itertools.product(*order)
]


def test_there_are_48_orientations():
    assert len(set(CODES)) == 48


@pytest.mark.parametrize("code", CODES)
def test_every_orientation_is_reached_with_every_voxel_in_its_place(code):
    affine = np.array([[0.9, 0.3, 0, 5], [-0.1, 0.8, 0.2, -7], [0, -0.1, 2.1, 11], [0, 0, 0, 1.0]])
    grid = Grid((3, 4, 5), affine)
    image = Image(ramp(grid)[None], grid)

    prepared, _, back = there_and_back(Reorient(code), image)

    assert prepared.grid.orientation == code
    np.testing.assert_allclose(prepared.pixels[0], ramp(prepared.grid), atol=1e-9)
    np.testing.assert_array_equal(back.pixels, image.pixels)
    assert back.grid.agrees_with(grid, 1e-9)


@given(grids(), st.sampled_from(CODES))
def test_any_affine_keeps_every_voxel_in_its_place(grid, code):
    image = Image(ramp(grid)[None], grid)

    prepared, _, back = there_and_back(Reorient(code), image)

    np.testing.assert_allclose(prepared.pixels[0], ramp(prepared.grid), atol=1e-6)
    np.testing.assert_array_equal(back.pixels, image.pixels)
    assert back.grid.agrees_with(grid, 1e-6)


@pytest.mark.parametrize("code", ["RAS", "LPS", "SAL", "IPR"])
def test_nibabel_turns_the_axes_the_same_way(code):
    affine = np.diag([-1.5, -1.5, 3, 1]) @ np.eye(4)[[1, 2, 0, 3]]
    pixels = np.arange(24.0).reshape(2, 3, 4)
    theirs = nibabel.Nifti1Image(pixels, affine)
    wanted = nibabel.orientations.axcodes2ornt(code)
    turn = nibabel.orientations.ornt_transform(nibabel.io_orientation(affine), wanted)
    theirs = theirs.as_reoriented(turn)

    ours, _ = Reorient(code).apply(Image(pixels[None], Grid((2, 3, 4), affine)))

    np.testing.assert_array_equal(ours.pixels[0], theirs.get_fdata())
    np.testing.assert_allclose(ours.grid.affine, theirs.affine)


def test_nothing_is_copied():
    image = make(np.zeros((3, 4, 5)))

    assert np.shares_memory(Reorient("SPL").apply(image)[0].pixels, image.pixels)


@pytest.mark.parametrize("code", ["", "RA", "RAR", "RASS", "ras", "XYZ"])
def test_an_orientation_that_is_none_is_refused(code):
    with pytest.raises(SettingsError, match="orientation"):
        Reorient(code)

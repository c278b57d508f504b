import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.preparation.conftest import grids, ramp, there_and_back

from plica.errors import SettingsError
from plica.grid import Grid
from plica.image import Image
from plica.preparation.planes import ORIENTATIONS, Planes, find_plane

RAS = np.eye(4)


def on(grid):
    return Image(ramp(grid)[None], grid)


@pytest.mark.parametrize(
    ("plane", "right", "down"),
    [("axial", "L", "P"), ("coronal", "L", "I"), ("sagittal", "P", "I")],
)
def test_slices_lie_as_a_reader_expects(plane, right, down):
    prepared, _, _ = there_and_back(Planes(plane), on(Grid((3, 4, 5), RAS)))

    assert prepared.grid.orientation[:2] == right + down
    assert prepared.grid.orientation == ORIENTATIONS[plane]


def test_the_orientations_are_right_handed():
    for plane in ORIENTATIONS:
        prepared, _, _ = there_and_back(Planes(plane), on(Grid((3, 4, 5), RAS)))
        assert np.linalg.det(prepared.grid.affine[:3, :3]) > 0


@pytest.mark.parametrize(
    ("spacing", "plane"),
    [
        ((1, 1, 5), "axial"),
        ((1, 5, 1), "coronal"),
        ((5, 1, 1), "sagittal"),
        ((1, 1, 1), "axial"),
        ((1.1, 1, 1), "axial"),
        ((1.3, 1, 1), "sagittal"),
    ],
)
def test_the_acquired_plane_lies_across_the_clearly_largest_spacing(spacing, plane):
    grid = Grid.from_spacing((8, 8, 8), spacing)

    assert find_plane(grid) == plane
    assert Planes().apply(on(grid))[0].grid.orientation == ORIENTATIONS[plane]


def test_a_single_slice_is_its_own_plane_whatever_its_thickness():
    assert find_plane(Grid.from_spacing((1, 8, 8), (0.5, 1, 1))) == "sagittal"


@pytest.mark.parametrize("axis", ["acquired", "axial", "coronal", "sagittal"])
def test_a_radiograph_is_left_as_it_is(axis):
    image = on(Grid((30, 20, 1), np.diag([-0.1, -0.1, 1, 1])))

    prepared, _, back = there_and_back(Planes(axis), image)

    assert prepared.grid == image.grid
    np.testing.assert_array_equal(prepared.pixels, image.pixels)
    np.testing.assert_array_equal(back.pixels, image.pixels)


@given(grids(), st.sampled_from(["acquired", "axial", "coronal", "sagittal"]))
def test_any_grid_comes_back_with_every_voxel_in_its_place(grid, axis):
    image = on(grid)

    prepared, _, back = there_and_back(Planes(axis), image)

    np.testing.assert_allclose(prepared.pixels[0], ramp(prepared.grid), atol=1e-6)
    np.testing.assert_array_equal(back.pixels, image.pixels)
    assert back.grid.agrees_with(grid, 1e-6)


def test_another_plane_is_refused():
    with pytest.raises(SettingsError, match="transverse"):
        Planes("transverse")

"""A grid knows where its voxels are, and so do the grids made from it."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from plica.errors import InputError
from plica.grid import Grid

sides = st.tuples(*[st.integers(1, 9)] * 3)
lengths = st.floats(0.1, 10)


@st.composite
def grids(draw, shape=sides):
    """Grids of any orientation: turned by three angles, with any spacing, flipped or not."""
    a, b, c = (draw(st.floats(0, 6.28)) for _ in range(3))
    turn_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    turn_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    turn_x = np.array([[1, 0, 0], [0, np.cos(c), -np.sin(c)], [0, np.sin(c), np.cos(c)]])
    spacing = [draw(lengths) * draw(st.sampled_from([-1, 1])) for _ in range(3)]
    affine = np.eye(4)
    affine[:3, :3] = turn_z @ turn_y @ turn_x @ np.diag(spacing)
    affine[:3, 3] = [draw(st.floats(-500, 500)) for _ in range(3)]
    return Grid(draw(shape), affine)


def every_index(grid):
    return np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)


@given(grids())
def test_there_and_back(grid):
    index = every_index(grid)

    assert grid.to_index(grid.to_world(index)) == pytest.approx(index, abs=1e-8)
    assert grid.to_world(np.zeros(3)) == pytest.approx(grid.origin_mm)


@given(grids())
def test_neighbours_are_as_far_apart_as_the_spacing_says(grid):
    for axis, step in enumerate(np.eye(3)):
        apart = np.linalg.norm(grid.to_world(step) - grid.to_world(np.zeros(3)))
        assert apart == pytest.approx(grid.spacing_mm[axis])


@given(grids())
def test_a_grid_comes_back_from_json_equal(grid):
    back = Grid.from_json(json.loads(json.dumps(grid.to_json())))

    assert back == grid
    assert hash(back) == hash(grid)


@given(grids(), st.tuples(*[st.integers(-5, 5)] * 3), sides)
def test_a_window_keeps_every_voxel_at_its_place(grid, start, shape):
    window = grid.window(start, shape)

    index = every_index(window)
    assert window.to_world(index) == pytest.approx(grid.to_world(index + np.array(start)), abs=1e-8)


@given(grids(), st.permutations(range(3)), st.tuples(*[st.booleans()] * 3))
def test_turning_the_axes_moves_no_voxel(grid, order, flipped):
    turned = grid.reaxed(order, flipped)

    for n in itertools.islice(np.ndindex(*turned.shape), 40):
        old = np.zeros(3)
        for axis in range(3):
            old[order[axis]] = turned.shape[axis] - 1 - n[axis] if flipped[axis] else n[axis]
        assert turned.to_world(n) == pytest.approx(grid.to_world(old), abs=1e-8)


@given(grids(), st.tuples(*[st.integers(1, 4)] * 3))
def test_a_coarser_cell_lies_at_the_middle_of_its_voxels(grid, factor):
    fine = grid.window((0, 0, 0), np.array(grid.shape) * factor)

    coarse = fine.coarser(factor)

    assert coarse.shape == grid.shape
    for cell in itertools.islice(np.ndindex(*coarse.shape), 20):
        start = np.array(cell) * factor
        voxels = every_index(Grid.from_spacing(factor)).reshape(-1, 3) + start
        assert coarse.to_world(cell) == pytest.approx(fine.to_world(voxels).mean(axis=0), abs=1e-8)


def test_a_ramp_averaged_over_cells_is_the_ramp_on_the_coarser_grid():
    fine = Grid(
        (8, 12, 4), np.array([[0, -0.7, 0, 9], [0.8, 0, 0, 3], [0, 0, 2, -5], [0, 0, 0, 1]])
    )
    gradient = np.array([1.0, -2.0, 0.5])
    values = fine.to_world(every_index(fine)) @ gradient

    coarse = fine.coarser((4, 3, 2))

    means = values.reshape(2, 4, 4, 3, 2, 2).mean(axis=(1, 3, 5))
    assert coarse.to_world(every_index(coarse)) @ gradient == pytest.approx(means)


def test_a_factor_that_does_not_divide_is_refused():
    with pytest.raises(InputError, match="pad it"):
        Grid.from_spacing((8, 9, 4)).coarser((4, 4, 4))


@given(grids(st.just((5, 6, 7))), st.floats(0, 1e-2))
def test_grids_agree_up_to_the_tolerance(grid, apart):
    assume(abs(apart - 1e-3) > 1e-6)
    affine = grid.affine.copy()
    affine[2, 3] += apart

    assert grid.agrees_with(Grid(grid.shape, affine)) == (apart < 1e-3)


def test_a_spacing_that_differs_a_little_is_seen_at_the_far_corner():
    grid = Grid.from_spacing((500, 2, 2))
    other = Grid.from_spacing((500, 2, 2), (1.00001, 1, 1))

    assert not grid.agrees_with(other)
    assert grid.agrees_with(other, tolerance_mm=0.01)
    assert not grid.agrees_with(Grid.from_spacing((499, 2, 2)))


def test_turned_grids_of_one_shape_do_not_agree():
    grid = Grid.from_spacing((4, 4, 4))

    assert not grid.agrees_with(grid.reaxed((0, 1, 2), (True, False, False)))
    assert not grid.agrees_with(grid.reaxed((1, 0, 2), (False, False, False)))


@pytest.mark.parametrize(
    ("diagonal", "letters"),
    [((1, 1, 1), "RAS"), ((-1, -1, 1), "LPS"), ((-0.5, 2, -3), "LAI")],
)
def test_the_orientation_names_where_the_axes_grow_to(diagonal, letters):
    assert Grid((2, 2, 2), np.diag([*diagonal, 1.0])).orientation == letters


def test_the_orientation_is_that_of_nibabel():
    nibabel = pytest.importorskip("nibabel")

    @given(grids())
    def agrees(grid):
        cosines = np.sort(np.abs(grid.affine[:3, :3] / np.array(grid.spacing_mm)), axis=0)
        assume((cosines[2] - cosines[1]).min() > 0.05)  # not halfway between two names
        assert "".join(nibabel.aff2axcodes(grid.affine)) == grid.orientation

    agrees()


def test_a_grid_cannot_be_changed():
    grid = Grid.from_spacing((2, 2, 2))

    with pytest.raises(ValueError, match="read-only"):
        grid.affine[0, 0] = 2


@pytest.mark.parametrize(
    ("shape", "affine"),
    [
        ((0, 2, 2), np.eye(4)),
        ((2, 2), np.eye(4)),
        ((2, 2, 2), np.eye(3)),
        ((2, 2, 2), np.diag([1, 1, 0, 1])),
        ((2, 2, 2), np.diag([1, np.nan, 1, 1])),
    ],
)
def test_what_is_no_grid_is_refused(shape, affine):
    with pytest.raises(InputError):
        Grid.from_json({"shape": list(shape), "affine": affine.tolist(), "calibrated": True})


@pytest.mark.parametrize(
    "record", [{}, {"shape": [1, 1, 1]}, {"shape": "abc", "affine": [], "calibrated": 1}]
)
def test_a_record_of_something_else_is_refused(record):
    with pytest.raises(InputError):
        Grid.from_json(record)


def test_a_fine_microscopy_spacing_is_a_grid():
    assert Grid.from_spacing((2, 2, 2), (1e-4, 1e-4, 1e-4)).spacing_mm == (1e-4, 1e-4, 1e-4)


def test_equal_means_shape_place_and_calibration():
    grid = Grid.from_spacing((2, 2, 2))

    assert grid == Grid.from_spacing((2, 2, 2))
    assert grid != Grid.from_spacing((2, 2, 2), calibrated=False)
    assert grid != Grid.from_spacing((2, 2, 2), origin_mm=(0, 0, 1e-9))
    assert grid != "grid"

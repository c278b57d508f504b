import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.formats.scenes import GRIDS, SHEARED, turned

from plica.formats.affines import (
    complete_plane,
    is_orthogonal,
    quaternion_to_rotation,
    rotation_to_quaternion,
)

ANGLES = st.floats(-360, 360)


@given(ANGLES, ANGLES, ANGLES)
def test_a_rotation_comes_back_from_its_quaternion(x, y, z):
    rotation = turned(x, y, z)
    b, c, d = rotation_to_quaternion(rotation)
    assert np.allclose(quaternion_to_rotation(b, c, d), rotation, atol=1e-7)


@pytest.mark.parametrize("half_turn", np.eye(3).tolist())
def test_half_turns_come_back_too(half_turn):
    rotation = quaternion_to_rotation(*half_turn)
    assert np.allclose(rotation, 2 * np.diag(half_turn) - np.eye(3))
    assert np.allclose(quaternion_to_rotation(*rotation_to_quaternion(rotation)), rotation)


def test_a_quarter_turn_about_the_head_axis_takes_right_to_front():
    half = np.sqrt(0.5)
    assert np.allclose(quaternion_to_rotation(0, 0, half) @ [1, 0, 0], [0, 1, 0])


def test_orthogonal_axes_are_told_from_sheared_ones():
    assert all(is_orthogonal(grid.affine) for grid in GRIDS.values())
    assert not is_orthogonal(SHEARED.affine)


def test_only_a_single_slice_is_given_a_thickness():
    flat = np.diag([2.0, 3.0, 0.0, 1.0])
    assert complete_plane(flat, (5, 5, 1))[2, 2] == 1
    assert complete_plane(flat, (5, 5, 2))[2, 2] == 0


def test_a_slice_whose_own_axes_are_one_line_has_no_thickness():
    line = np.diag([2.0, 0.0, 0.0, 1.0])
    assert np.array_equal(complete_plane(line, (5, 5, 1)), line)

"""A shift is undone to the voxel, and one of nothing changes nothing."""

import numpy as np
import pytest
from tests.preparation.conftest import make, there_and_back

from plica.errors import SettingsError
from plica.preparation.leadin import LONGEST_PERIOD, LeadIn
from plica.preparation.shift import LARGEST_SHIFT, Shift


@pytest.mark.parametrize("before", [(0, 0, 0), (1, 2, 3)])
def test_a_shift_comes_back_to_the_voxel(before):
    image = make(np.arange(60, dtype=np.float32).reshape(1, 3, 4, 5))
    shifted, _, back = there_and_back(Shift(before), image)
    assert shifted.grid.shape == tuple(np.add(image.grid.shape, before))
    assert back.grid == image.grid
    assert np.array_equal(back.pixels, image.pixels)


@pytest.mark.parametrize("before", [(0, 0, -1), (0, 0, LARGEST_SHIFT + 1)])
def test_a_shift_that_is_none_is_refused(before):
    with pytest.raises(SettingsError, match="three numbers of voxels"):
        Shift(before)


@pytest.mark.parametrize("period", [0, LONGEST_PERIOD + 1])
def test_a_code_slice_of_no_slices_or_of_too_many_is_refused(period):
    with pytest.raises(SettingsError, match="a code slice stands for"):
        LeadIn(period)

"""What a policy may say, and how shifts are spread."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plica.codecs.policy import Policy, parse_window, spread_shifts
from plica.errors import SettingsError


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"windows": ("lung",)}, "a window is wide, soft, full or low:high"),
        ({"windows": ("50:-150",)}, "a window is"),
        ({"windows": ("wide", "wide")}, "twice"),
        ({"shifts": 0}, "shifts are 1 to 64, but got 0"),
        ({"axes": ()}, "at least one axis"),
    ],
)
def test_what_cannot_be_is_refused(settings, says):
    with pytest.raises(SettingsError, match=says):
        Policy(**settings)


def test_words_of_a_command_line_are_read_or_refused():
    asked = Policy.from_options("wide,-50:150", 4, "axial,coronal", "report", True)

    assert asked == Policy(("wide", "-50:150"), 4, ("axial", "coronal"), "report", True)
    assert Policy.from_options() == Policy()
    with pytest.raises(SettingsError, match="axes are some of acquired, axial"):
        Policy.from_options(axes="axial,oblique")
    with pytest.raises(SettingsError, match="outside is keep or report, but got 'lose'"):
        Policy.from_options(outside="lose")


def test_passes_are_all_combinations():
    assert Policy().passes == 1
    assert Policy(("wide", "soft"), 4, ("axial", "coronal", "sagittal")).passes == 24


def test_windows_are_known_by_name_or_range():
    assert parse_window("wide") == (-1000, 1000)
    assert parse_window("-50.5:150") == (-50.5, 150)
    assert parse_window("full") is None


@settings(deadline=None)
@given(st.sampled_from([(8, 8, 1), (4, 4, 4), (16, 16, 1), (2, 2, 2)]), st.integers(0, 3))
def test_shifts_lie_evenly_in_the_cell(cell, halvings):
    axes = sum(side > 1 for side in cell)
    count = min(int(np.prod(cell)), 2 ** (axes * halvings), 64)
    shifts = np.array(spread_shifts(count, cell))

    assert len(np.unique(shifts, axis=0)) == count
    assert tuple(shifts[0]) == (0, 0, 0)
    for axis, side in enumerate(cell):
        places, times = np.unique(shifts[:, axis], return_counts=True)
        assert len(np.unique(times)) == 1
        assert np.all(np.diff(places) == side // len(places)) or len(places) == 1


def test_a_cell_has_only_so_many_places():
    with pytest.raises(SettingsError, match=r"a cell of 2 × 2 voxels .* at most 4 ways"):
        spread_shifts(5, (2, 2, 1))
    with pytest.raises(SettingsError, match="has no cells"):
        spread_shifts(2, (1, 1, 1))

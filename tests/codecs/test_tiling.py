"""Windows start on multiples of the stride, cover everything, and blend to the truth."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from plica.codecs.tiling import run_in_windows


def _mean_of_cells(x: torch.Tensor) -> torch.Tensor:
    return F.avg_pool3d(x, 4)


def _repeat_cells(z: torch.Tensor) -> torch.Tensor:
    return F.interpolate(z, scale_factor=4, mode="nearest")


@settings(max_examples=20, deadline=None)
@given(st.tuples(*[st.integers(1, 14)] * 3), st.integers(2, 6))
def test_windows_of_a_local_network_give_its_whole_result(cells, window_cells):
    x = torch.rand(1, 1, *[4 * side for side in cells])

    windowed = run_in_windows(_mean_of_cells, x, window=4 * window_cells, factor=4)

    torch.testing.assert_close(windowed, _mean_of_cells(x))


@settings(max_examples=20, deadline=None)
@given(st.tuples(*[st.integers(1, 14)] * 3), st.integers(2, 6))
def test_windows_of_codes_decode_to_the_whole_result(cells, window_cells):
    z = torch.rand(1, 1, *cells)

    windowed = run_in_windows(_repeat_cells, z, window=window_cells, factor=1 / 4)

    torch.testing.assert_close(windowed, _repeat_cells(z))


@pytest.mark.parametrize("side", [176, 208, 240, 272, 304, 336])
def test_sizes_that_shift_the_published_windows_stay_in_place(side):
    """For these the released code starts windows at voxels that are no multiple of the stride."""
    ramp = torch.arange(side, dtype=torch.float32).expand(1, 1, 4, 4, side)

    codes = run_in_windows(_mean_of_cells, ramp, window=160, factor=4)

    torch.testing.assert_close(codes[0, 0, 0, 0], torch.arange(side // 4) * 4 + 1.5)


def test_a_window_never_exceeds_its_side():
    seen = []

    def watch(x: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(x.shape[2:]))
        return _mean_of_cells(x)

    run_in_windows(watch, torch.zeros(1, 1, 40, 16, 24), window=18, factor=4)

    assert max(max(sides) for sides in seen) <= 18
    assert all(side % 4 == 0 for sides in seen for side in sides)

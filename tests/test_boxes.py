"""Boxes cover everything once; mapped pages come and go without changing a value."""

import numpy as np
import pytest

from plica.boxes import (
    Readable,
    all_of,
    count_nonfinite,
    cut_slabs,
    find_extremes,
    find_slowest_axis,
    read_slabs,
    release,
)  # fmt: skip


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("most", [1, 100, 10**9])
def test_slabs_cover_each_voxel_once(order, most):
    seen = np.zeros((2, 5, 6, 7), np.int32, order=order)
    for box in cut_slabs(seen, most):
        seen[box] += 1

    assert (seen == 1).all()


def test_slabs_follow_the_memory():
    assert find_slowest_axis(np.zeros((1, 5, 6, 7))) == 1
    assert find_slowest_axis(np.zeros((1, 5, 6, 7), order="F")) == 3


class Computed:
    """Pixels that exist nowhere, and so lie in no order."""

    shape, dtype = (1, 2, 3, 4), np.dtype(np.int16)

    def __getitem__(self, box):
        return np.indices(self.shape, np.int16)[(slice(None), *box)].sum(0)


def test_pixels_that_lie_in_no_order_are_cut_along_k():
    slabs = list(read_slabs(Computed(), 1))

    assert [slab.shape for slab in slabs] == [(1, 2, 3, 1)] * 4
    assert [int(slab.max()) for slab in slabs] == [3, 4, 5, 6]


def test_extremes_and_counts_are_those_of_the_whole():
    pixels = np.random.default_rng(0).normal(size=(1, 20, 30, 40))
    assert find_extremes(pixels) == (pixels.min(), pixels.max())
    assert count_nonfinite(pixels) == 0

    pixels[0, 3, 4, 5], pixels[0, 19, 29, 39] = np.nan, np.inf

    assert np.isnan(find_extremes(pixels)).all()
    assert count_nonfinite(pixels) == 2
    assert count_nonfinite(np.zeros((1, 2, 2, 2), np.int16)) == 0


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_released_pages_keep_their_values(tmp_path, mode):
    path = tmp_path / "a.npy"
    np.save(path, np.arange(2**18, dtype=np.int32).reshape(1, 64, 64, 64))
    mapped = np.load(path, mmap_mode=mode)
    if mode != "r":
        mapped[0, 5, 6, 7] = -9  # of a map that is a copy, in memory alone
    before = np.array(mapped)

    release(np.asarray(mapped)[:, ::-1])

    np.testing.assert_array_equal(mapped, before)


def test_releasing_what_is_in_memory_does_nothing():
    pixels = np.arange(8.0).reshape(1, 2, 2, 2)
    release(pixels)
    assert pixels[all_of(pixels)].sum() == 28


def test_an_array_is_readable():
    assert isinstance(np.zeros((1, 1, 1, 1)), Readable)

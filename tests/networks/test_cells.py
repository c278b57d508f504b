"""Cells keep every voxel; cosines keep every length."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.fft import dctn

from plica.codecs.karhunen_loeve import cut_patches
from plica.codecs.linear_fitting import see
from plica.cohort import Cohort
from plica.formats.doors import read
from plica.networks.cells import (
    MEAN_DEVIATION,
    expect_deviations,
    expect_difference,
    make_cosines,
    shuffle,
    unshuffle,
)

SIDES = [(2, 2), (4, 2), (8, 2), (4, 3), (2, 3)]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=2, max_size=3), st.integers(1, 4), st.integers(1, 3))
def test_shuffling_undoes_unshuffling(cells, side, channels):
    sides = [side * n for n in cells]
    x = torch.arange(2.0 * channels * np.prod(sides)).reshape(2, channels, *sides)

    cut = unshuffle(x, side)

    assert cut.shape == (2, channels * side ** len(cells), *cells)
    assert torch.equal(shuffle(cut, side), x)


def test_a_voxel_stands_where_torchs_own_unshuffle_puts_it():
    x = torch.randn(1, 3, 8, 12)
    assert torch.equal(unshuffle(x, 4), torch.nn.functional.pixel_unshuffle(x, 4))


@pytest.mark.parametrize(("side", "dims"), SIDES)
def test_the_cosines_are_those_of_scipy(side, dims):
    cell = np.random.default_rng(0).standard_normal([side] * dims)
    ours = make_cosines(side, dims) @ cell.ravel()
    np.testing.assert_allclose(ours, dctn(cell, norm="ortho").ravel(), atol=1e-12)


@pytest.mark.parametrize(("side", "dims"), SIDES)
def test_deviations_fall_with_the_frequency_along_each_axis_alike(side, dims):
    deviations = expect_deviations(side, dims).reshape([side] * dims)
    assert deviations[(0,) * dims] == pytest.approx(0.3 * side ** (dims / 2))
    for axis in range(dims):
        assert (np.diff(deviations, axis=axis) <= 0).all()
        np.testing.assert_allclose(deviations, np.swapaxes(deviations, 0, axis))


@pytest.mark.parametrize(
    ("dims", "category", "form"), [(2, "cxr", "PNG"), (3, "brain-mri", "NIfTI")]
)
def test_deviations_are_about_those_of_real_images(shared, dims, category, form):
    """Within a factor of four, which is as near as learning needs."""
    cohort = Cohort.from_manifest(shared / "data" / "MANIFEST.csv").of_split("dev-test")
    squares = []
    for case in list(cohort.where(category=category, format=form))[:3]:
        array = next(see(read(case.path), dims))
        whole = array[tuple(slice(0, side // 4 * 4) for side in array.shape)]
        patches = cut_patches(whole, 4).reshape(-1, 4**dims) @ make_cosines(4, dims).T
        squares.append(patches.var(axis=0))
    ratio = np.sqrt(np.mean(squares, axis=0)) / expect_deviations(4, dims)
    assert 1 / 4 < ratio.min() < ratio.max() < 4


def test_deviations_are_those_the_packaged_codecs_were_trained_with():
    """Weights know them by heart: other numbers would change every image they decode."""
    assert expect_deviations(2, 2).tolist() == pytest.approx([0.6, 0.066, 0.066, 0.066 / 2**0.5])
    assert expect_deviations(4, 3)[[0, 1, 5, 63]].tolist() == pytest.approx(
        [2.4, 0.528, 0.264, 0.02]
    )
    assert (MEAN_DEVIATION, expect_difference(2), expect_difference(3)) == (0.3, 0.05, 0.1)

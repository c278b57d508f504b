import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.preparation.conftest import grids, make, ramp, there_and_back

from plica.errors import LatentError, SettingsError, TooLarge
from plica.grid import Grid
from plica.image import Image, Unit
from plica.preparation.resample import Resample

RATIOS = st.tuples(*[st.sampled_from([0.0, 0.3, 0.5, 0.9, 1.0, 1.7, 2.0, 3.3])] * 3)


def respaced(grid, ratios):
    i, j, k = (float(one) for one in np.array(grid.spacing_mm) * ratios)
    return Resample((i, j, k))


@given(grids(most=12), RATIOS)
def test_a_ramp_stays_the_same_ramp_in_the_world(grid, ratios):
    """Away from the ends, where there is nothing to take a mean with, to float's precision."""
    image = Image(ramp(grid)[None], grid)
    prepared, _, back = there_and_back(respaced(grid, ratios), image)

    index = grid.to_index(
        prepared.grid.to_world(np.moveaxis(np.indices(prepared.grid.shape), 0, -1).reshape(-1, 3))
    )
    ratio = np.array(prepared.grid.spacing_mm) / grid.spacing_mm
    reach = np.where(ratio > 1 + 1e-9, ratio / 2, 0)
    single = np.array(grid.shape) == 1
    inside = (index - reach >= -1e-9) & (index + reach <= np.array(grid.shape) - 1 + 1e-9)
    inside = (inside | single).all(axis=1)
    expected = ramp(prepared.grid).ravel()
    np.testing.assert_allclose(prepared.pixels.ravel()[inside], expected[inside], atol=1e-6)
    assert back.grid == grid
    assert back.pixels.shape == image.pixels.shape


@given(grids(most=12), RATIOS)
def test_the_field_of_view_keeps_its_centre_and_is_covered(grid, ratios):
    step = respaced(grid, ratios)
    prepared, _, _ = there_and_back(step, Image(ramp(grid)[None], grid))
    new = prepared.grid

    centres = [one.to_world((np.array(one.shape) - 1) / 2) for one in (grid, new)]
    np.testing.assert_allclose(*centres, atol=1e-6)
    extent = np.array(grid.shape) * grid.spacing_mm
    covered = np.array(new.shape) * new.spacing_mm
    assert (covered >= extent * (1 - 1e-5)).all()
    assert (covered < extent + np.array(new.spacing_mm)).all()
    for asked, got, side, old in zip(
        step.spacing_mm, new.spacing_mm, grid.shape, grid.spacing_mm, strict=True
    ):
        assert got == pytest.approx(old if asked == 0 or side == 1 else asked)


def test_a_constant_image_stays_constant():
    image = make(np.full((11, 13, 7), 400, np.int16))
    prepared, record, back = there_and_back(Resample((2.3, 0.4, 1.0)), image)

    np.testing.assert_allclose(prepared.pixels, 400, rtol=1e-6)
    np.testing.assert_array_equal(back.pixels, image.pixels)
    assert record.loss["largest_change"] == 0


def test_twice_as_coarse_is_the_mean_over_each_new_voxel():
    """Of the piecewise linear function: a quarter of each neighbour, as (1 3 3 1) / 8 … inside."""
    pixels = np.zeros((8, 1, 1))
    pixels[3] = 8
    prepared, _, _ = there_and_back(Resample((2.0, 0.0, 0.0)), make(pixels))

    assert prepared.pixels.ravel().tolist() == pytest.approx([0, 3.5, 0.5, 0])


def test_coarsening_does_not_alias():
    """A pattern finer than the new voxels becomes grey; picking every fourth would keep it."""
    pixels = np.tile([0.0, 100.0], 32).reshape(64, 1, 1)
    prepared, _, _ = there_and_back(Resample((4.0, 0.0, 0.0)), make(pixels))

    np.testing.assert_allclose(prepared.pixels.ravel()[1:-1], 50, atol=1e-9)


def test_what_does_not_come_back_is_measured():
    pixels = np.random.default_rng(1).normal(0, 100, (9, 8, 7)).astype(np.float32)
    image = make(pixels)
    _, record, back = there_and_back(Resample((2.0, 2.0, 2.0)), image)

    apart = back.pixels.astype(float) - image.pixels
    assert record.loss["rms_change"] == pytest.approx(np.sqrt(np.mean(apart**2)))
    assert record.loss["largest_change"] == pytest.approx(np.abs(apart).max())
    assert record.loss["spacing_mm"] == [1, 1, 1]


def test_labels_take_the_nearest_voxel_and_invent_no_class():
    pixels = np.random.default_rng(2).choice([0, 3, 200], (9, 8, 7)).astype(np.uint8)
    prepared, _, back = there_and_back(Resample((0.6, 1.7, 1.0)), make(pixels, unit=Unit.LABEL))

    assert set(np.unique(prepared.pixels)) <= {0, 3, 200}
    assert prepared.pixels.dtype == back.pixels.dtype == np.uint8


def test_the_same_spacing_changes_nothing():
    image = make(np.zeros((3, 4, 5)), spacing=(0.7, 0.7, 2))

    prepared, _, back = there_and_back(Resample((0.7, 0.7, 2.0)), image)

    assert prepared is image
    assert back.grid == image.grid
    assert np.array_equal(back.pixels, image.pixels)


def test_a_picture_of_unknown_pixel_size_is_refused():
    grid = Grid.from_spacing((4, 4, 1), calibrated=False)

    with pytest.raises(SettingsError, match="pixel size is unknown"):
        Resample((1.0, 1.0, 1.0)).apply(Image(np.zeros((1, 4, 4, 1)), grid))


def test_a_spacing_that_would_fill_memory_is_refused_before_it_does():
    with pytest.raises(TooLarge, match="coarser"):
        Resample((1e-4, 1e-4, 1e-4)).apply(make(np.zeros((30, 30, 30))))


def test_a_source_grid_that_would_fill_memory_is_refused_before_it_does():
    _, record = Resample((2.0, 2.0, 2.0)).apply(make(np.zeros((8, 8, 8))))
    record.undo["grid"]["shape"] = [65536, 65536, 1]

    with pytest.raises(LatentError, match="believable"):
        Resample.revert(make(np.zeros((4, 4, 4))), record)


def test_an_axis_whose_weights_would_fill_memory_is_refused_before_they_do():
    with pytest.raises(TooLarge, match="resampling 20000 voxels to 2000 along one axis"):
        Resample((10.0, 0.0, 0.0)).apply(make(np.zeros((20000, 1, 1))))
    prepared, record = Resample((2.0, 0.0, 0.0)).apply(make(np.zeros((1030, 1, 1))))
    record.undo["grid"]["shape"] = [65536, 1, 1]
    with pytest.raises(LatentError, match="resampling 515 voxels to 65536 along one axis"):
        Resample.revert(prepared, record)


@pytest.mark.parametrize("spacing", [(-1.0, 1.0, 1.0), (np.nan, 1.0, 1.0), (1e9, 1.0, 1.0)])
def test_spacings_that_make_no_sense_are_refused(spacing):
    with pytest.raises(SettingsError):
        Resample(spacing)

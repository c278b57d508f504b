import numpy as np
import pytest
from skimage.filters import threshold_isodata

from plica.preparation.threshold import find_air_ceiling, find_isodata


def test_two_levels_are_parted_midway():
    assert find_isodata(np.array([0.0] * 7 + [10.0] * 3)) == pytest.approx(5)


def test_the_threshold_is_midway_between_the_means_of_its_classes():
    values = np.random.default_rng(1).gamma(2, 50, 100_000)
    threshold = find_isodata(values)
    dark, bright = values[values <= threshold], values[values > threshold]

    assert threshold == pytest.approx((dark.mean() + bright.mean()) / 2, rel=1e-4)
    assert threshold == pytest.approx(threshold_isodata(values, nbins=4096), rel=0.01)


def test_a_constant_is_its_own_threshold():
    assert find_isodata(np.full(9, 4.0)) == 4


@pytest.mark.parametrize("hot", [0, 1e5, 1.7e6])
@pytest.mark.parametrize("fat", [60, 300, 3000])
def test_the_ceiling_lies_between_noise_and_the_darkest_tissue(hot, fat):
    """Rayleigh noise of 10, dark tissue of 60, and fat of any brightness."""
    rng = np.random.default_rng(2)
    noise = rng.rayleigh(10, (60, 60, 40))
    image = noise.copy()
    image[10:50, 10:50, 5:35] += fat
    image[20:40, 20:40, 10:30] = 60 + rng.rayleigh(10, (20, 20, 20))
    image[30, 30, 20] = max(hot, 60)

    ceiling = find_air_ceiling(image)

    assert np.mean(noise > ceiling) < 0.04  # of a cell, a quarter must be
    assert ceiling < 60


def test_air_of_nothing_but_nought_ends_at_nought():
    image = np.zeros((30, 30, 30))
    image[10:20, 10:20, 10:20] = 5

    assert find_air_ceiling(image) == 0


def test_a_constant_image_is_air_throughout():
    assert find_air_ceiling(np.full((5, 6, 7), 8.0)) == 8


def test_the_darkest_corner_saves_a_dark_tissue_between_air_and_bright_fat():
    rng = np.random.default_rng(3)
    noise = rng.rayleigh(10, (60, 60, 60))
    image = noise.copy()
    image[8:52, 4:56, :] = rng.normal(60, 5, (44, 52, 60))
    image[12:48, 8:52, :45] = 3000

    assert 20 < find_air_ceiling(image) < 45


def test_the_logarithm_saves_a_tissue_beside_a_hot_spot_where_no_corner_is_air():
    rng = np.random.default_rng(4)
    image = rng.normal(300, 20, (60, 60, 60))
    image[20:40, :, :] = rng.rayleigh(10, (20, 60, 60))
    image[45:55, 15:45, 15:45] = 30_000

    assert 20 < find_air_ceiling(image) < 200

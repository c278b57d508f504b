import numpy as np
import pytest
from tests.preparation.conftest import make, there_and_back

from plica.errors import SettingsError
from plica.preparation.percentiles import Percentiles


def with_one_hot_voxel():
    pixels = np.random.default_rng(3).uniform(0, 400, (20, 20, 20)).astype(np.float32)
    pixels[3, 3, 3] = 1.7e6
    return make(pixels)


def test_one_hot_voxel_does_not_squeeze_the_rest():
    prepared, _, back = there_and_back(Percentiles(), with_one_hot_voxel())

    assert np.percentile(prepared.pixels, 99.5) == pytest.approx(1, abs=1e-3)
    assert prepared.pixels.max() > 1000  # beyond [−1, 1], on purpose
    assert back.pixels.max() == pytest.approx(1.7e6, rel=1e-5)


def test_clipping_is_counted():
    prepared, record, back = there_and_back(Percentiles(clip=True), with_one_hot_voxel())

    assert np.abs(prepared.pixels).max() == 1
    assert record.loss["voxels_above"] == 40  # half a percent of 8000
    assert record.loss["clipped_fraction"] == 0.005
    assert back.pixels.max() < 401


def test_an_almost_empty_image_is_scaled_over_its_whole_range():
    pixels = np.zeros((20, 20, 20), np.uint16)
    pixels[1, 1, 1] = 900
    prepared, _, back = there_and_back(Percentiles(), make(pixels))

    assert prepared.pixels.min() == -1
    assert prepared.pixels.max() == 1
    np.testing.assert_array_equal(back.pixels[0], pixels)


@pytest.mark.parametrize(("lower", "upper"), [(50, 50), (60, 40), (-1, 50), (0, 101)])
def test_percentiles_that_do_not_go_up_are_refused(lower, upper):
    with pytest.raises(SettingsError, match="percentiles"):
        Percentiles(lower, upper)

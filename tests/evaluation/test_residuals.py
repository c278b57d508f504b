"""Residuals: noise has no structure, anatomy has."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from tests.evaluation.phantoms import body, make, smooth_noise

from plica.errors import UnusablePixels
from plica.evaluation.fields import to_field, to_values
from plica.evaluation.residuals import ResidualStructure, judge_residual


@pytest.fixture(scope="module")
def image():
    return body((192, 160, 1))


@pytest.mark.parametrize("seed", range(4))
def test_white_noise_is_no_structure(image, seed):
    noise = np.random.default_rng(seed).normal(0, 10, image.grid.shape)

    found = judge_residual(to_field(image), to_values(image) + noise)

    assert found.rms == pytest.approx(10, rel=0.02)
    assert abs(found.autocorrelation) < 0.02
    assert abs(found.autocorrelation_z) < 3.5
    assert abs(found.anatomy) < 0.12
    assert abs(found.anatomy_z) < 3.5
    assert found.flatness > 0.97


def test_noise_taken_away_by_an_ideal_denoiser_is_no_structure():
    truth = to_values(body((192, 160, 1), noise=0.0))
    noisy = make(truth + np.random.default_rng(2).normal(0, 12, truth.shape))

    found = judge_residual(to_field(noisy), truth)

    assert abs(found.autocorrelation_z) < 3.5
    assert abs(found.anatomy_z) < 3.5


def test_noise_is_no_structure_however_its_power_is_distributed(image):
    power = 5 + 10 * (np.indices(image.grid.shape)[0] > 96)
    noise = power * np.random.default_rng(3).normal(size=image.grid.shape)

    assert abs(judge_residual(to_field(image), to_values(image) + noise).autocorrelation_z) < 3.5


def test_a_map_of_edges_is_anatomy(image):
    values = to_values(image)
    smooth = gaussian_filter(values, (2, 2, 0))
    edges = np.hypot(*np.gradient(smooth, axis=(0, 1)))

    found = judge_residual(to_field(image), values - 0.2 * edges)

    assert found.anatomy > 0.8
    assert found.anatomy_z > 6
    assert found.autocorrelation > 0.8
    assert found.flatness < 0.3


def test_blur_leaves_more_anatomy_in_the_residual_the_stronger_it_is():
    image = body((192, 160, 1), noise=5.0)
    values = to_values(image)
    found = [judge_residual(to_field(image), gaussian_filter(values, (s, s, 0))) for s in (0.6, 2)]

    assert found[0].anatomy_z > 3
    assert found[1].autocorrelation > found[0].autocorrelation


def test_correlated_noise_is_structure_but_not_anatomy(image):
    noise = 10 * smooth_noise(image.grid.shape, 1.5)

    found = judge_residual(to_field(image), to_values(image) + noise)

    assert found.autocorrelation_z > 20
    assert abs(found.anatomy_z) < 3.5


def test_nothing_lost_has_no_structure(image):
    found = judge_residual(to_field(image), to_values(image))

    assert (found.rms, found.anatomy, found.flatness) == (0.0, 0.0, 1.0)


def test_an_offset_has_no_structure(image):
    values = np.rint(to_values(image))
    found = judge_residual(to_field(make(values)), values + 5)

    assert found == ResidualStructure(5.0, 0.0, 0.0, 0.0, 0.0, 1.0)


def test_a_small_body_in_much_air_has_too_few_blocks_to_tell_where_the_residual_lies():
    values = np.full((160, 160, 1), -1000.0)
    values[70:90, 70:90] = 40 + 10 * np.random.default_rng(0).normal(size=(20, 20, 1))
    noise = np.random.default_rng(1).normal(0, 10, values.shape)

    found = judge_residual(to_field(make(values)), values + noise)

    assert (found.anatomy, found.anatomy_z) == (0.0, 0.0)


def test_volumes_too():
    image = body((64, 64, 12))
    noise = np.random.default_rng(0).normal(0, 10, image.grid.shape)

    found = judge_residual(to_field(image), to_values(image) + noise)

    assert abs(found.autocorrelation_z) < 3.5
    assert found.flatness > 0.95


def test_a_small_image_is_refused():
    with pytest.raises(UnusablePixels, match="fewer than 24 blocks"):
        judge_residual(to_field(small := make(smooth_noise((24, 24, 1), 1))), to_values(small))

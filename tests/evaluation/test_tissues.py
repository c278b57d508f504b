"""Bias and error by tissue: what is known of made images must come out."""

import numpy as np
import pytest
from tests.evaluation.phantoms import body, make, smooth_noise

from plica.errors import InputError
from plica.evaluation.fields import to_field, to_values
from plica.evaluation.tissues import judge_ranges, judge_tissues
from plica.grid import Grid
from plica.image import Image, Unit


def judge(image, decoded):
    return {tissue.name: tissue for tissue in judge_tissues(to_field(image), decoded)}


def test_each_tissue_has_its_own_bias():
    image = body(noise=5.0)
    values = to_values(image)
    decoded = values.copy()
    decoded[(values > -180) & (values < -60)] += 7.0
    decoded[values > 500] -= 30.0

    found = judge(image, decoded)

    assert found["fat"].bias == pytest.approx(7.0, abs=0.2)
    assert found["bone"].bias == pytest.approx(-30.0, abs=0.5)
    assert found["soft tissue"].bias == pytest.approx(0.0, abs=0.01)
    assert found["lung"].mae == 0.0
    assert found["fat"].voxels < found["fat"].voxels_all


def test_the_core_leaves_out_the_partial_volume_that_all_voxels_have():
    image = body(noise=1.0)
    values = to_values(image)
    from scipy.ndimage import gaussian_filter

    found = judge(image, gaussian_filter(values, (0.7, 0.7, 0)))

    assert found["bone"].bias_all < -20.0
    assert abs(found["bone"].bias) < 0.4 * abs(found["bone"].bias_all)


def test_taking_noise_away_is_no_bias():
    truth = np.full((128, 128, 1), -985.0)  # less than one deviation from the end of air
    truth[:, 64:] = 40.0
    noisy = truth + np.random.default_rng(1).normal(0, 40, truth.shape)
    image = make(noisy)

    found = judge(image, truth)

    # Chosen by their own value, voxels of air have noise below zero, and any denoiser looks biased.
    assert (truth - noisy)[noisy < -950].mean() > 10
    assert abs(found["soft tissue"].bias) < 1.5
    assert abs(found["air"].bias) < 1.5


def test_images_without_a_scale_have_fifths():
    values = np.linspace(0, 100, 80 * 80).reshape(80, 80, 1)
    image = make(values, unit=Unit.RELATIVE)

    found = judge(image, values * 1.01)

    assert list(found) == [
        "darkest fifth", "dark fifth", "middle fifth", "bright fifth", "brightest fifth",
    ]  # fmt: skip
    assert found["middle fifth"].bias == pytest.approx(0.5, abs=0.01)
    assert found["brightest fifth"].bias == pytest.approx(0.9, abs=0.01)


def test_background_of_one_value_is_no_tissue():
    values = np.zeros((60, 60, 1))
    values[20:40, 20:40] = 100 + smooth_noise((20, 20, 1), 1)
    image = make(values, unit=Unit.RELATIVE)

    found = judge(image, values + 1)

    assert sum(tissue.voxels_all for tissue in found.values()) == 400


def test_a_class_of_no_core_says_so():
    values = np.full((40, 40, 1), 50.0) + np.random.default_rng(0).normal(0, 1, (40, 40, 1))
    values[20, 20] = 6000.0
    tissue = judge(make(values), values)["bone"]

    assert tissue.voxels < tissue.voxels_all
    record = tissue.to_json()
    assert record["high"] is None  # no end


def test_ranges_are_of_two_images_on_one_grid_with_the_same_channels():
    one, two = (
        Image(np.zeros((n, 4, 4, 1), np.int16), Grid.from_spacing((4, 4, 1)), Unit.HU)
        for n in (1, 2)
    )
    moved = Image(one.pixels, Grid.from_spacing((4, 4, 1), (2, 2, 1)), Unit.HU)

    with pytest.raises(InputError, match="channel by channel, but the source has 1 and"):
        judge_ranges(one, two)
    with pytest.raises(InputError, match="not on one grid: spacing"):
        judge_ranges(one, moved)

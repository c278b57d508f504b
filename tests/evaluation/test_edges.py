"""Edges: images moved and blurred by known amounts."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from tests.evaluation.phantoms import body, make, shifted, smooth_noise

from plica.errors import UnusablePixels
from plica.evaluation.edges import judge_edges
from plica.evaluation.fields import to_field, to_values

FACTOR = (4, 4, 1)


@pytest.fixture(scope="module")
def image():
    """A body as a scanner sees it: edges a voxel and a half wide, and noise."""
    sharp = body(noise=0.0)
    values = gaussian_filter(to_values(sharp), (1.2, 1.2, 0))
    return make(values + np.random.default_rng(4).normal(0, 5, values.shape), (0.8, 0.8, 1.0))


@pytest.mark.parametrize("by", [(0.25, 0.0), (-0.4, 0.3), (0.0, 0.75), (1.3, -0.6)])
def test_a_shift_by_parts_of_a_voxel_is_found_in_millimetres(image, by):
    found = judge_edges(to_field(image), shifted(to_values(image), by), FACTOR)

    assert found.length == "mm"
    assert found.n > 100
    assert found.lost == 0
    assert np.array(found.translation[:2]) == pytest.approx(0.8 * np.array(by), abs=0.025)
    assert found.deformation < 0.04
    assert abs(found.growth) < 0.25 * 0.8 * np.hypot(*by) + 0.02


@pytest.mark.parametrize("sigma", [1.0, 2.0])
def test_blur_moves_nothing_and_is_found_in_millimetres(image, sigma):
    found = judge_edges(
        to_field(image), gaussian_filter(to_values(image), (sigma, sigma, 0)), FACTOR
    )

    assert found.shift < 0.03 * sigma
    assert abs(found.growth) < 0.01
    assert np.abs(found.translation).max() < 0.02
    assert found.blur == pytest.approx(0.8 * sigma, rel=0.16)
    assert found.width_decoded > found.width_source


def test_the_width_of_a_known_edge_is_known():
    profile = np.where(np.arange(120) < 60, 100.0, 0.0)[:, None, None] * np.ones((1, 80, 1))
    image = make(gaussian_filter(profile, (1.5, 0, 0)), spacing=(0.5, 0.5, 1.0))

    found = judge_edges(to_field(image), to_values(image), FACTOR)

    assert found.width_source == pytest.approx(2.563 * 1.5 * 0.5, rel=0.06)


def test_bright_things_that_grow_have_grown():
    places = np.hypot(*np.meshgrid(*[np.arange(96) - 47.5] * 2))[:, :, None]
    small, large = (1000 / (1 + np.exp((places - r) / 0.8)) for r in (25.0, 25.5))
    image = make(small)

    found = judge_edges(to_field(image), large, FACTOR)

    assert found.growth == pytest.approx(0.5, abs=0.03)
    assert np.abs(found.translation).max() < 0.02
    assert found.deformation == pytest.approx(0.5, abs=0.03)


def test_an_image_left_as_it_is_has_moved_nowhere(image):
    found = judge_edges(to_field(image), to_values(image), FACTOR)

    assert found.shift == pytest.approx(0, abs=1e-9)
    assert found.blur == pytest.approx(0, abs=1e-6)


def test_noise_moves_edges_a_little_and_to_no_side(image):
    noisy = to_values(image) + np.random.default_rng(0).normal(0, 15, image.grid.shape)
    found = judge_edges(to_field(image), noisy, FACTOR)

    assert found.shift < 0.05
    assert abs(found.growth) < 0.01


def test_edges_that_are_gone_are_counted(image):
    values = to_values(image)
    gone = values.copy()
    gone[:80] = 50.0 + 5 * smooth_noise(gone[:80].shape, 1)

    assert judge_edges(to_field(image), gone, FACTOR).lost > 0.25


def test_volumes_have_edges_in_all_directions():
    axes = np.meshgrid(*[(np.arange(n) - (n - 1) / 2) * s for n, s in ((60, 1), (60, 1), (30, 2))],
                       indexing="ij")  # fmt: skip
    away = np.sqrt(sum(axis**2 for axis in axes))
    ball = 1000 / (1 + np.exp((away - 20) / 1.2))
    moved = np.sqrt(sum((axis - t) ** 2 for axis, t in zip(axes, (0.3, -0.2, 0.5), strict=True)))
    image = make(ball, spacing=(1.0, 1.0, 2.0))

    found = judge_edges(to_field(image), 1000 / (1 + np.exp((moved - 20) / 1.2)), (2, 2, 2))

    assert found.translation == pytest.approx((0.3, -0.2, 0.5), abs=0.04)


def test_an_image_without_edges_is_refused():
    flat = make(100 + np.random.default_rng(0).normal(0, 1, (40, 40, 1)))

    with pytest.raises(UnusablePixels, match="strong edges"):
        judge_edges(to_field(flat), to_values(flat), FACTOR)


def test_a_decoded_image_without_edges_is_refused(image):
    with pytest.raises(UnusablePixels, match=r"of \d+ edges only 0 are left in the decoded image"):
        judge_edges(to_field(image), np.zeros(image.grid.shape), FACTOR)


def test_edges_of_a_real_ct_are_followed(shared):
    from plica.formats.doors import read

    image = read(shared / "data/chest-ct/lidc-idri-0314/dicom/000154.dcm")
    step = image.grid.spacing_mm[0]
    values = to_values(image)

    moved = judge_edges(to_field(image), shifted(values, (0.3, -0.2)), FACTOR)
    blurred = judge_edges(to_field(image), gaussian_filter(values, (1, 1, 0)), FACTOR)

    assert np.array(moved.translation[:2]) == pytest.approx([0.3 * step, -0.2 * step], abs=0.02)
    assert np.abs(blurred.translation).max() < 0.02
    assert blurred.blur == pytest.approx(step, rel=0.15)

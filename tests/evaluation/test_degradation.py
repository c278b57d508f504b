"""Cells, their null space, and bicubic resampling as the codecs do it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.evaluation.phantoms import make, smooth_noise

from plica.evaluation.degradation import (
    average_cells,
    interpolate_bicubic,
    project_null,
    spread_cells,
)


def test_means_of_cells_are_means():
    values = np.arange(24.0).reshape(4, 6, 1)

    means = average_cells(values, (2, 3, 1))

    assert means[:, :, 0].tolist() == [[4.0, 7.0], [16.0, 19.0]]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 100), st.sampled_from([(2, 2, 1), (4, 4, 1), (2, 4, 2), (4, 4, 4)]))
def test_what_means_see_and_what_they_do_not_are_orthogonal(seed, factor):
    values = np.random.default_rng(seed).normal(size=(16, 8, 8))

    unseen = project_null(values, factor)
    seen = values - unseen

    assert abs((seen * unseen).sum()) < 1e-9
    assert np.abs(average_cells(unseen, factor)).max() < 1e-12
    assert np.abs(project_null(unseen, factor) - unseen).max() < 1e-12


def test_incomplete_cells_take_their_last_voxel():
    values = np.array([1.0, 2.0, 6.0]).reshape(3, 1, 1)

    means = average_cells(values, (2, 1, 1))

    assert means.ravel().tolist() == [1.5, 6.0]
    assert spread_cells(means, (2, 1, 1), (3, 1, 1)).ravel().tolist() == [1.5, 1.5, 6.0]


@pytest.mark.parametrize(("name", "factor", "shape"), [
    ("bicubic-4x-2d", (4, 4, 1), (50, 37, 1)),
    ("bicubic-8x-2d", (8, 8, 1), (64, 40, 3)),  # turned round on the way: no incomplete cells
    ("bicubic-4x-3d", (4, 4, 4), (21, 18, 14)),
])  # fmt: skip
def test_bicubic_is_the_codec_of_that_name(name, factor, shape):
    from plica.codecs.catalogue import load

    values = 0.2 * smooth_noise(shape, 2)
    values[0, 0, 0], values[-1, -1, -1] = -3.0, 3.0  # far from the ends, which the codec clips at
    image = make(values, (1.0, 1.0, 3.0))  # slices lie across k
    codec = load(name, device="cpu")

    decoded = codec.decode(codec.encode(image)).pixels[0]
    ours = interpolate_bicubic(image.pixels[0].astype(np.float64), factor)

    assert np.abs(decoded - ours).max() < 1e-3  # of a window of 4095 HU, in float32


def test_bicubic_keeps_a_ramp_nearly_away_from_borders():
    ramp = np.arange(64.0).reshape(64, 1, 1) * np.ones((1, 64, 1))

    kept = interpolate_bicubic(ramp, (4, 4, 1))

    assert np.abs(kept - ramp)[12:-12].max() < 0.01

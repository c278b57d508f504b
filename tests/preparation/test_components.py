import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from plica.preparation.components import label_components

SHAPES = st.lists(st.integers(1, 7), min_size=1, max_size=3).map(tuple)


def same_parts(one, other):
    """Whether two labellings differ in nothing but the numbers."""
    pairs = np.unique(np.stack([one.ravel(), other.ravel()]), axis=1)
    return all(len(np.unique(side)) == pairs.shape[1] for side in pairs)


@given(SHAPES.flatmap(lambda shape: arrays(bool, shape)))
def test_the_parts_are_those_scipy_finds(mask):
    ours = label_components(mask)
    theirs, count = ndimage.label(mask)

    assert ours.shape == mask.shape
    assert same_parts(ours, theirs)
    assert ours.max(initial=0) == count


@pytest.mark.parametrize("density", [0.3, 0.59, 0.7])
def test_large_noisy_masks_too(density):
    mask = np.random.default_rng(5).random((300, 400)) < density

    assert same_parts(label_components(mask), ndimage.label(mask)[0])


def test_a_spiral_is_one_part():
    turn = np.linspace(0, 40 * np.pi, 200_000)
    place = np.rint(300 + (turn[:, None] * 2.2) * np.stack([np.cos(turn), np.sin(turn)], 1))
    mask = np.zeros((600, 600), bool)
    mask[tuple(place.astype(int).T)] = True
    mask[1:] |= mask[:-1]  # diagonal steps touch by their faces
    labels = label_components(mask)

    assert labels.max() == 1


def test_touching_corners_do_not_join():
    assert label_components(np.eye(3, dtype=bool)).max() == 3

"""Foreground: cells that hold more than background, and voxels of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plica.training.foreground import CELL, Foreground, draw_voxel, find_foreground


def ball(side=40, centre=(20, 14, 26), radius=9):
    """A bright ball in a noisy background."""
    places = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), axis=-1)
    inside = np.linalg.norm(places - np.array(centre), axis=-1) < radius
    noise = np.random.default_rng(0).normal(0, 0.01, inside.shape)
    return (np.where(inside, 0.6, -0.95) + noise).astype(np.float32)[None], inside


def test_the_cells_of_a_ball_are_those_it_fills():
    pixels, inside = ball()
    cells = find_foreground(pixels).cells
    share = inside.reshape(5, CELL, 5, CELL, 5, CELL).mean(axis=(1, 3, 5))
    assert cells[share > 0.2].all()
    assert not cells[share == 0].any()


def test_a_drawn_voxel_is_foreground_and_all_of_it_is_drawn():
    pixels, inside = ball()
    foreground = find_foreground(pixels)
    rng = np.random.default_rng(0)

    drawn = [draw_voxel(rng, pixels, foreground) for _ in range(1000)]

    assert all(pixels[0][voxel] > foreground.ceiling for voxel in drawn)
    assert all(inside[voxel] for voxel in drawn)
    cells = {tuple(n // CELL for n in voxel) for voxel in drawn}
    assert len(cells) == foreground.cells.sum()


def test_all_of_an_even_image_counts():
    even = np.full((1, 9, 9, 1), -1.0, np.float32)
    foreground = find_foreground(even)
    assert foreground.cells.all()
    assert foreground.cells.shape == (2, 2, 1)
    draw_voxel(np.random.default_rng(0), even, foreground)


def test_of_a_cell_whose_voxels_rounding_brought_down_any_is_drawn():
    cells = np.zeros((2, 2, 1), bool)
    cells[1, 0] = True
    even = np.full((1, 16, 16, 1), 0.5, np.float16)
    rng = np.random.default_rng(0)

    drawn = {draw_voxel(rng, even, Foreground(cells, 0.5001)) for _ in range(2000)}

    assert drawn == {(i, j, 0) for i in range(8, 16) for j in range(8)}


def test_a_colour_counts_by_its_brightest_channel():
    pixels, _ = ball()
    colours = np.concatenate([np.full_like(pixels, -1), pixels])
    assert np.array_equal(find_foreground(colours).cells, find_foreground(pixels).cells)


@settings(deadline=None)
@given(st.tuples(*[st.integers(1, 12)] * 3), st.integers(0, 2**20))
def test_a_record_gives_the_same_foreground_back(shape, bits):
    cells = np.random.default_rng(bits).random(shape) < 0.5
    again = Foreground.from_json(Foreground(cells, 0.25).to_json())
    assert np.array_equal(again.cells, cells)
    assert again.ceiling == 0.25


RECORD = {"shape": [3, 3, 1], "cells": "AAA=", "ceiling": 0.5}


@pytest.mark.parametrize(
    "change",
    [{"cells": "A?A="}, {"cells": "AA=="}, {"shape": [3, 9, 1]}, {"shape": None}, {"ceiling": []}],
)
def test_what_is_no_record_is_refused(change):
    Foreground.from_json(RECORD)
    with pytest.raises(ValueError, match="not the record of a foreground"):
        Foreground.from_json(RECORD | change)
    with pytest.raises(ValueError, match="not the record of a foreground"):
        Foreground.from_json({})

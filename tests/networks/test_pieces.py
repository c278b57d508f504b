import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plica.networks.pieces import (
    LEAST_SIDE,
    choose_tile,
    count,
    count_boxes,
    cut,
    grow,
    hold,
    lengths,
    scale,
    seen_from,
    starts,
    whole,
)

SIDES = st.lists(st.integers(1, 17), min_size=2, max_size=3).map(tuple)


@st.composite
def maps_and_tiles(draw):
    sides = draw(SIDES)
    return sides, tuple(draw(st.integers(1, side)) for side in sides)


@given(maps_and_tiles())
def test_boxes_cover_every_cell_once(given):
    sides, tile = given
    seen = np.zeros(sides, int)
    boxes = list(cut(sides, tile))
    for box in boxes:
        seen[box] += 1
    assert (seen == 1).all()
    assert len(boxes) == count_boxes(sides, tile)
    assert sum(count(box) for box in boxes) == math.prod(sides)


@given(maps_and_tiles(), st.integers(0, 3))
def test_no_box_with_its_halo_holds_more_than_foretold(given, halo):
    sides, tile = given
    grown = [grow(box, halo, sides) for box in cut(sides, tile)]
    assert max(count(box) for box in grown) <= hold(tile, sides, halo)
    assert all(
        0 <= s.start < s.stop <= side for box in grown for s, side in zip(box, sides, strict=True)
    )


@given(SIDES, st.integers(1, 5000))
def test_a_chosen_tile_is_allowed_and_a_refusal_had_tried_the_least(sides, allowed):
    tile = choose_tile(sides, math.prod, allowed)
    if tile is None:
        assert math.prod(min(side, LEAST_SIDE) for side in sides) > allowed
    else:
        assert math.prod(tile) <= allowed
        assert all(1 <= one <= side for one, side in zip(tile, sides, strict=True))


def test_the_longest_side_is_cut_first():
    assert choose_tile((512, 512, 200), math.prod, 1e7) == (171, 256, 200)
    assert choose_tile((8, 8), math.prod, 64) == (8, 8)
    assert choose_tile((8, 8), math.prod, LEAST_SIDE**2 - 1) is None


def test_places_are_found_again_from_elsewhere_and_on_finer_maps():
    box = (slice(3, 7), slice(0, 2))
    grown = grow(box, 1, (8, 8))
    assert (starts(grown), lengths(grown)) == ((2, 0), (6, 3))
    assert seen_from(box, starts(grown)) == (slice(1, 5), slice(0, 2))
    assert scale(box, 2) == (slice(6, 14), slice(0, 4))
    assert whole((8, 2)) == (slice(0, 8), slice(0, 2))


@pytest.mark.parametrize("side", [9, 40, 100])
def test_sides_are_cut_into_parts_of_about_equal_length(side):
    tile = choose_tile((side, 1), math.prod, side - 1)
    assert tile == (-(-side // 2), 1)

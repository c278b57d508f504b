"""Rates rise, stay or fall as they are told to."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plica.training.recipe import Optimiser
from plica.training.schedule import rate_at


def test_the_rate_rises_in_a_straight_line_while_it_warms_up():
    settings = Optimiser(rate=0.5, warmup=4)
    assert [rate_at(step, 100, settings) for step in range(5)] == [0.125, 0.25, 0.375, 0.5, 0.5]


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_the_rate_begins_at_its_height_and_ends_at_its_share(schedule):
    settings = Optimiser(rate=0.4, schedule=schedule, final=0.25, warmup=10)
    assert rate_at(10, 111, settings) == pytest.approx(0.4)
    assert rate_at(60, 111, settings) == pytest.approx(0.25)  # half way both are in the middle
    assert rate_at(110, 111, settings) == pytest.approx(0.1)


def test_a_quarter_of_the_way_a_cosine_is_above_a_line():
    line, cosine = (
        rate_at(25, 101, Optimiser(rate=1.0, schedule=schedule))
        for schedule in ("linear", "cosine")
    )
    assert line == pytest.approx(0.75)
    assert cosine == pytest.approx((1 + math.cos(math.pi / 4)) / 2)


@given(
    st.sampled_from(["constant", "linear", "cosine"]),
    st.integers(1, 50), st.integers(0, 50), st.floats(0, 1),
)  # fmt: skip
def test_the_rate_is_never_above_its_height_nor_below_its_end(schedule, steps, warmup, final):
    settings = Optimiser(rate=1.0, schedule=schedule, warmup=min(warmup, steps), final=final)
    rates = [rate_at(step, steps, settings) for step in range(steps)]
    assert all(0 < rate <= 1 + 1e-12 or final == 0 for rate in rates)
    after = rates[settings.warmup :]
    assert all(final - 1e-12 <= rate for rate in after)
    assert after == sorted(after, reverse=True)

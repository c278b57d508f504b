"""Numbers wait on the device until they are asked for, and come out as means."""

import pytest
import torch

from plica.errors import TrainingStopped
from plica.training.engine import Engine
from plica.training.players import Turn
from plica.training.tally import Tally


def make_turn(player, **terms):
    turn = Turn(player)
    for name, term in terms.items():
        turn.add("term", name, term)
    return turn


def test_numbers_are_means_over_the_turns_they_appear_in_and_the_rate_is_the_last():
    tally = Tally(Engine("cpu"))
    for step, pixel in enumerate([1.0, 2.0, 6.0]):
        turn = make_turn("codec", pixel=torch.tensor(pixel))
        turn.add("rate", "rate", 0.5 / (1 + step))
        tally.add(step, turn)
        if step == 1:
            tally.check()  # asked for in between, as before a checkpoint
            tally.add(step, make_turn("discriminator", hinge=torch.tensor([4.0])))
    assert tally.close() == pytest.approx({
        ("codec", "term", "pixel"): 3.0, ("codec", "rate", "rate"): 0.5 / 3,
        ("discriminator", "term", "hinge"): 4.0,
    })  # fmt: skip
    assert tally.close() == {}


def test_the_step_and_the_term_that_broke_are_found_later():
    tally = Tally(Engine("cpu"))
    for step, pixel in enumerate([1.0, 2.0, float("nan"), float("nan")]):
        tally.add(step, make_turn("codec", kl=torch.tensor(1.0), pixel=torch.tensor(pixel)))
    with pytest.raises(TrainingStopped, match="'pixel' of 'codec' is nan at step 2"):
        tally.close()


def test_parts_of_a_turn_add_up():
    turn = make_turn("codec", pixel=torch.tensor(1.0))
    turn.add("term", "pixel", torch.tensor(2.0))
    turn.add("fact", "ratio", 0.25)
    turn.add("fact", "ratio", 0.5)
    assert {key: float(value) for key, value in turn.numbers.items()} == {
        ("term", "pixel"): 3.0, ("fact", "ratio"): 0.75,
    }  # fmt: skip

"""A training that leads nowhere is stopped, and the sentence says why, with numbers and steps."""

import math

import pytest
import torch
from tests.training.test_loop import start
from tests.training.toy import Squared, make_recipe, read_losses

from plica.errors import TrainingStopped
from plica.run import Run
from plica.training import checkpoint
from plica.training.guards import check_finite, check_progress, is_better
from plica.training.objective import Measure, Terms
from plica.training.recipe import Optimiser

HIGHER, LOWER = Measure("psnr", "dB", "higher"), Measure("error", "HU", "lower")


def test_what_falls_behind_is_stopped_with_both_numbers_and_the_step():
    check_progress(HIGHER, 30.0, 29.5, 100, 1.0)
    check_progress(LOWER, 30.0, 30.5, 100, 1.0)
    check_progress(HIGHER, math.inf, math.inf, 100, 1.0)
    with pytest.raises(
        TrainingStopped, match=r"after 100 steps psnr is 28\.5 dB.*had 30: more than the 1"
    ):
        check_progress(HIGHER, 30.0, 28.5, 100, 1.0)
    with pytest.raises(TrainingStopped, match=r"error is 31\.5 HU"):
        check_progress(LOWER, 30.0, 31.5, 100, 1.0)
    with pytest.raises(TrainingStopped, match="psnr is nan"):
        check_progress(HIGHER, 30.0, math.nan, 100, 1.0)


def test_what_is_not_finite_is_named():
    check_finite({("codec", "term", "kl"): 1.0, ("codec", "fact", "ratio"): math.inf}, 7)
    with pytest.raises(TrainingStopped, match="the term 'kl' of 'codec' is nan at step 7"):
        check_finite({("codec", "term", "kl"): math.nan}, 7)
    with pytest.raises(TrainingStopped, match="the gradient of 'codec' is inf at step 7"):
        check_finite({("codec", "norm", "gradient"): math.inf}, 7)


def test_better_is_higher_or_lower_and_never_nan():
    assert is_better(HIGHER, 2.0, 1.0)
    assert not is_better(HIGHER, 1.0, 1.0)
    assert is_better(LOWER, 1.0, 2.0)
    assert is_better(LOWER, 1.0, None)
    assert not is_better(HIGHER, math.nan, None)
    assert not is_better(HIGHER, math.nan, 1.0)


# -- in a training -------------------------------------------------------------------------------


class Breaking(Squared):
    """Breaks at a step: a term becomes NaN, or its gradient does."""

    def __init__(self, step, *, gradient):
        super().__init__()
        self.step, self.gradient = step, gradient

    def terms(self, player, batch, step):
        terms = super().terms(player, batch, step)
        if step != self.step:
            return terms
        nought = (self.network.up * 0).sum()
        odd = nought.sqrt() if self.gradient else nought + math.nan
        return Terms({**terms.parts, "odd": odd})


@pytest.mark.parametrize(
    ("gradient", "sentence"),
    [
        (False, "the term 'odd' of 'codec' is nan at step 7"),
        (True, "the gradient of 'codec' is nan at step 7"),
    ],
)
def test_a_number_that_is_not_finite_stops_the_training_before_it_reaches_a_checkpoint(
    tmp_path, gradient, sentence
):
    recipe = make_recipe(log_every=20, average=0.0)
    with pytest.raises(TrainingStopped, match=sentence):
        start(tmp_path / "run", recipe, Breaking(7, gradient=gradient))
    run = Run.open(tmp_path / "run")
    assert run.events()[-1]["event"] == "stopped"
    assert sentence in run.events()[-1]["reason"]
    latest, damaged = checkpoint.load_latest(run.folder / "checkpoints")
    assert (latest.record.step, damaged) == (5, [])
    weights = latest.contents["network"].values()
    assert all(bool(torch.isfinite(weight).all()) for weight in weights)


def test_a_training_that_only_does_harm_is_stopped_at_the_first_judgement_that_shows_it(tmp_path):
    recipe = make_recipe(optimiser=Optimiser(rate=3.0), average=0.0)
    with pytest.raises(TrainingStopped, match=r"after 10 steps psnr_db is .* first weights had"):
        start(tmp_path / "run", recipe)
    assert max(step for step, *_ in read_losses(tmp_path / "run")) == 10


class Poisoned(Squared):
    """The critic's bias is lost at a step at which nothing is computed with it."""

    def terms(self, player, batch, step):
        if step == 1:
            torch.nn.init.constant_(self.critic.bias, math.nan)
        return super().terms(player, batch, step)


def test_weights_that_are_not_finite_never_reach_a_checkpoint(tmp_path):
    recipe = make_recipe(average=0.0, checkpoint_every=2)
    with pytest.raises(TrainingStopped, match="after 2 steps a weight is not finite"):
        start(tmp_path / "run", recipe, Poisoned(critic=True))
    assert checkpoint.list_steps(tmp_path / "run" / "checkpoints") == [0]

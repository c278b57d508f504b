"""Every case is judged once, in order, in evaluation mode, and nothing is left changed."""

import os
import signal

import pytest
import torch
from tests.training.test_loop import start
from tests.training.toy import Ramps, Squared, cases, make_recipe, read_rows

from plica.errors import SettingsError, TrainingInterrupted
from plica.run import Run
from plica.training.engine import Engine
from plica.training.judging import judge
from plica.training.loop import train

ENGINE = Engine("cpu")


class Watched(Squared):
    def judge(self, network, x):
        self.seen = (network.training, torch.is_grad_enabled(), x.shape)
        return super().judge(network, x)


def test_cases_are_judged_one_at_a_time_in_evaluation_mode_without_gradients():
    objective = Watched()
    objective.network.train()
    judgement = judge(objective, objective.network, cases(6), ENGINE, lambda: False)
    assert objective.seen == (False, False, (1, 1, 8, 8))
    assert objective.network.training
    assert [name for name, _ in judgement.rows] == [f"case-{n}" for n in range(6)]
    assert len(judgement.pictures) == 4
    mean = sum(values[0] for _, values in judgement.rows) / 6
    assert judgement.means(objective)["psnr_db"] == pytest.approx(mean)


def test_a_judgement_that_is_stopped_gives_nothing():
    objective = Squared()
    asked = iter([False, False, True])
    assert judge(objective, objective.network, cases(6), ENGINE, lambda: next(asked)) is None


class Signalling(list):
    """Cases of which the second sends a signal when it is judged for the third time."""

    times = 0

    def __getitem__(self, number):
        self.times += number == 1
        if self.times == 3 and number == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().__getitem__(number)


def test_an_interruption_while_judging_is_answered_between_two_cases(tmp_path):
    recipe = make_recipe()
    run = Run.start(tmp_path / "run", recipe)
    with pytest.raises(TrainingInterrupted, match="after 20 of 20"):
        train(recipe, Squared(), Ramps(recipe), Signalling(cases()), run, engine=ENGINE)
    assert {row["step"] for row in read_rows(run.folder / "evaluation.csv")} == {"0", "10"}
    outcome = train(recipe, Squared(), Ramps(recipe), cases(), run, engine=ENGINE)
    whole, *_ = start(tmp_path / "whole", recipe)
    assert (outcome.last, outcome.best_step) == (whole.last, whole.best_step)
    tables = [read_rows(tmp_path / name / "evaluation.csv") for name in ("run", "whole")]
    assert tables[0] == tables[1]


def test_the_moving_average_is_judged_where_there_is_one(tmp_path):
    ends = [
        start(tmp_path / f"{average}", make_recipe(average=average))[0].last
        for average in (0.0, 0.9)
    ]
    assert ends[0] != ends[1]


def test_without_cases_nothing_is_judged_and_the_training_ends(tmp_path):
    recipe = make_recipe()
    run = Run.start(tmp_path / "run", recipe)
    outcome = train(recipe, Squared(), Ramps(recipe), [], run, engine=ENGINE)
    assert (outcome.first, outcome.last, outcome.best) == (None, None, None)
    assert outcome.checkpoint.name == "step-0000020"
    assert not (run.folder / "evaluation.csv").exists()


def test_a_metric_that_is_not_measured_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="no measure 'ssim'; there are: psnr_db, error"):
        start(tmp_path / "run", make_recipe(metric="ssim"))


def test_the_recipes_metric_chooses_the_best(tmp_path):
    outcome, *_ = start(tmp_path / "run", make_recipe(metric="error"))
    assert outcome.metric == "error"
    assert outcome.best == min(outcome.first, outcome.last, outcome.best)

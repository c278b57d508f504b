"""The loop walks from the first step to the last, and goes on where it was."""

import csv

import numpy as np
import pytest
import torch
from tests.training.toy import Ramps, Squared, cases, make_recipe

from plica.run import Run
from plica.training import checkpoint
from plica.training.engine import Engine
from plica.training.loop import train


def start(folder, recipe, objective=None, **options):
    run = Run.start(folder, recipe) if not folder.exists() else Run(folder)
    objective = objective or Squared()
    outcome = train(recipe, objective, Ramps(recipe), cases(), run, engine=Engine("cpu"), **options)
    return outcome, run, objective


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_a_training_learns_and_leaves_tables_panels_and_checkpoints(tmp_path):
    outcome, run, _ = start(tmp_path / "run", make_recipe(steps=100))
    assert outcome.best > outcome.first + 3
    assert run.is_finished
    kept = {outcome.best_step, 95, 100}
    assert set(checkpoint.list_steps(run.folder / "checkpoints")) == kept
    judged = rows(run.folder / "evaluation.csv")
    assert [row["step"] for row in judged[:6]] == ["0", "0", "0", "10", "10", "10"]
    assert judged[0]["case"] == "case-0"
    losses = rows(run.folder / "losses.csv")
    kinds = {(row["player"], row["kind"], row["name"]) for row in losses}
    assert ("codec", "share", "squared") in kinds
    assert ("loop", "fact", "waiting") in kinds
    assert (run.folder / "panels" / "step-0000010.png").is_file()


def test_a_training_cut_in_two_ends_as_one_that_was_not(tmp_path):
    recipe = make_recipe()
    _, _, whole = start(tmp_path / "whole", recipe, Squared(critic=True))

    class Enough(Exception):
        pass

    class Watching:
        def advanced(self, progress):
            if progress.step == 13:
                raise Enough

        def logged(self, step, numbers): ...
        def judged(self, step, means, best): ...
        def said(self, sentence): ...

    folder = tmp_path / "cut"
    with pytest.raises(Enough):
        start(folder, recipe, Squared(critic=True), watcher=Watching())
    _, run, cut = start(folder, recipe, Squared(critic=True, seed=7))
    for name, module in whole.modules().items():
        for mine, its in zip(module.parameters(), cut.modules()[name].parameters(), strict=True):
            assert torch.equal(mine, its)
    one, two = (rows(tmp_path / n / "losses.csv") for n in ("whole", "cut"))
    pick = lambda table: [  # noqa: E731
        (r["step"], r["name"], r["value"]) for r in table if r["player"] != "loop"
    ]
    assert pick(one) == pick(two)
    assert np.array_equal(
        rows(tmp_path / "whole" / "evaluation.csv"), rows(run.folder / "evaluation.csv")
    )


def test_a_damaged_checkpoint_is_passed_over_watched_or_not(tmp_path):
    recipe = make_recipe(steps=10)
    told = []

    class Watching:
        def advanced(self, progress): ...
        def logged(self, step, numbers): ...
        def judged(self, step, means, best): ...

        def said(self, sentence):
            told.append(sentence)

    for watcher in (None, Watching()):
        folder = tmp_path / str(watcher is None)
        whole, run, _ = start(folder, recipe)
        (run.folder / "results.json").unlink()
        steps = checkpoint.list_steps(run.folder / "checkpoints")
        last = checkpoint.locate(run.folder / "checkpoints", steps[-1])
        (last / "network.safetensors").write_bytes(b"")

        again, _, _ = start(folder, recipe, watcher=watcher)

        assert again.last == whole.last
    assert len(told) == 1
    assert told[0].endswith("the one before it is taken")

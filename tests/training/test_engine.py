"""One process is an engine too. What two do is proved where trainings are interrupted."""

import sys

import accelerate
import numpy as np
import pytest
import torch
from tests.training.toy import Ramps, Squared, cases, make_recipe

from plica.errors import MissingExtra, SettingsError, UnknownName
from plica.training.engine import Engine, _pieces
from plica.training.loop import train


def test_one_process_is_the_first_and_has_no_others_to_ask():
    engine = Engine("cpu")
    assert (engine.rank, engine.world, engine.is_first) == (0, 1, True)
    assert engine.gather([1, 2]) == [1, 2]
    assert engine.any(True)
    assert not engine.any(False)
    x = torch.ones(2, requires_grad=True)
    assert torch.equal(engine.average(x), x)
    assert not engine.average(x).requires_grad
    engine.wait()


def test_a_device_that_is_not_here_is_refused():
    with pytest.raises(UnknownName, match="no device 'cuda:99'"):
        Engine("cuda:99")


def test_arrays_that_cannot_be_written_are_copied():
    x = np.zeros((1, 2), np.float32)
    x.flags.writeable = False
    assert Engine("cpu").bring(x).add_(1).sum() == 2
    assert x.sum() == 0


def test_without_accelerate_the_line_that_installs_it_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(MissingExtra, match=r"plica\[train\]"):
        Engine("cpu")


def test_a_batch_that_cannot_be_shared_is_refused_before_the_first_step(tmp_path):
    from plica.run import Run

    recipe = make_recipe(batch=6)
    engine = Engine("cpu")
    engine.world = 4
    run = Run.start(tmp_path / "run", recipe)
    with pytest.raises(SettingsError, match="6 images cannot be shared evenly by 4 processes"):
        train(recipe, Squared(), Ramps(recipe), cases(), run, engine=engine)


def test_processes_wait_for_hours_of_preparing(monkeypatch):
    asked = {}

    def remember(**options):
        asked.update(options)
        return made(**options)

    made = accelerate.PartialState
    monkeypatch.setattr(accelerate, "PartialState", remember)
    Engine("cpu")
    assert asked["timeout"].total_seconds() > 24 * 3600


def test_gradients_travel_in_pieces_of_one_type(monkeypatch):
    monkeypatch.setattr("plica.training.engine._PIECE", 10)
    sizes = [(4, torch.float32), (6, torch.float32), (1, torch.float32), (50, torch.float32)]
    sizes += [(2, torch.float64)]
    parameters = [torch.nn.Parameter(torch.zeros(n, dtype=dtype)) for n, dtype in sizes]
    assert [[p.numel() for p in piece] for piece in _pieces(parameters)] == [[4, 6], [1], [50], [2]]
    assert list(_pieces([])) == []

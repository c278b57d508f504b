"""A checkpoint is whole or not there, and the last good one outlives what goes wrong."""

import errno
import json
import os
import pickle
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save as to_bytes
from tests.training.processes import walk, walk_here
from tests.training.toy import Quiet, Ramps, Squared, cases, make_recipe

from plica.errors import OutputError, SettingsError, UnreadableFile, WeightsError
from plica.run import Run
from plica.training import checkpoint
from plica.training.checkpoint import Record
from plica.training.engine import Engine
from plica.training.loop import train
from plica.training.recipe import Optimiser


def put(folder, step, value=1.0):
    return checkpoint.save(
        folder, {"network": {"w": torch.full((3,), value)}, "optimiser.codec": {}},
        Record(step=step, recipe="steps = 3", best=1.5, best_step=step),
    )  # fmt: skip


def go(folder, recipe=None, *, objective=None, watcher=None):
    recipe = recipe or make_recipe()
    run = Run.open(folder) if folder.exists() else Run.start(folder, recipe)
    objective = objective or Squared()
    engine = Engine("cpu")
    return train(recipe, objective, Ramps(recipe), cases(), run, engine=engine, watcher=watcher)


def test_what_is_saved_is_loaded(tmp_path):
    shared = torch.arange(6.0).view(2, 3)
    contents = {
        "network": {"tied": shared, "also": shared, "turned": shared.T, "n": torch.tensor(3)},
        "optimiser.codec": {"0.step": torch.tensor(2.0)},
    }
    record = Record(step=12, recipe="a = 1", evaluated=10, first=1.0, last=2.0, best=3.0)
    checkpoint.save(tmp_path, contents, record)
    loaded = checkpoint.load(tmp_path, 12)
    assert loaded.record == record
    assert loaded.contents.keys() == contents.keys()
    for file, tensors in contents.items():
        for name, tensor in tensors.items():
            assert torch.equal(loaded.contents[file][name], tensor)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-0000012"]


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-2])


def flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


def put_a_pickle_there(path):
    path.write_bytes(pickle.dumps(print))


@pytest.mark.parametrize(
    ("damage", "name"),
    [
        (cut_short, "record.json"),
        (cut_short, "network.safetensors"),
        (flip_a_bit, "network.safetensors"),
        (put_a_pickle_there, "record.json"),
        (put_a_pickle_there, "network.safetensors"),
        (Path.unlink, "record.json"),
        (Path.unlink, "network.safetensors"),
    ],
)
def test_a_damaged_checkpoint_is_recognised_and_the_one_before_taken(tmp_path, damage, name):
    put(tmp_path, 5)
    path = put(tmp_path, 10)
    damage(path / name)
    latest, damaged = checkpoint.load_latest(tmp_path)
    assert latest.record.step == 5
    assert [str(path) in sentence for sentence in damaged] == [True]
    cut_short(tmp_path / "step-0000005" / "record.json")
    cut_short(tmp_path / "step-0000005" / "network.safetensors")
    with pytest.raises(UnreadableFile, match=r"no checkpoint in .* is whole"):
        checkpoint.load_latest(tmp_path)


def test_a_record_cannot_lead_out_of_its_folder(tmp_path):
    path = put(tmp_path, 1)
    data = to_bytes({"w": torch.zeros(1)})
    (tmp_path / "elsewhere.safetensors").write_bytes(data)
    record = json.loads((path / "record.json").read_text())
    record["files"] = {"../elsewhere": record["files"]["network"]}
    (path / "record.json").write_text(json.dumps(record))
    with pytest.raises(UnreadableFile, match="not the name of a file"):
        checkpoint.load(tmp_path, 1)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("step", True),
        ("best", "as good as can be"),
        ("best_step", 1.5),
        ("recipe", 5),
        ("first", [[]]),
        ("surplus", 1),
        ("files", []),
        ("files", {"network": {"bytes": "many"}}),
    ],
)
def test_a_record_of_other_kinds_is_a_damaged_one(tmp_path, field, value):
    path = put(tmp_path, 1)
    record = json.loads((path / "record.json").read_text())
    (path / "record.json").write_text(json.dumps(record | {field: value}))
    with pytest.raises(UnreadableFile, match="step-0000001"):
        checkpoint.load(tmp_path, 1)


@pytest.mark.parametrize("text", ["[" * 200_000, " " * (2**24 + 1)])
def test_a_record_that_would_take_memory_or_the_stack_is_a_damaged_one(tmp_path, text):
    (put(tmp_path, 1) / "record.json").write_text(text)
    with pytest.raises(UnreadableFile, match="step-0000001"):
        checkpoint.load(tmp_path, 1)


def test_no_checkpoints_are_no_error(tmp_path):
    assert checkpoint.load_latest(tmp_path / "none") == (None, [])


def test_pruning_keeps_what_it_is_told_and_clears_what_a_killed_run_left(tmp_path):
    for step in (5, 10, 15):
        put(tmp_path, step)
    (tmp_path / ".step-0000020.1a2b3c4d.part").mkdir()
    checkpoint.prune(tmp_path, {5, 15})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-0000005", "step-0000015"]


# -- in a training -------------------------------------------------------------------------------


def test_the_last_two_and_the_best_are_kept(tmp_path):
    rising = make_recipe(
        steps=40, average=0.0, tolerance=1e9, optimiser=Optimiser(rate=3.0), evaluate_every=20
    )
    outcome = go(tmp_path / "run", rising)
    assert outcome.best_step == 0  # such a rate only does harm
    assert checkpoint.list_steps(tmp_path / "run" / "checkpoints") == [0, 35, 40]
    assert outcome.checkpoint == tmp_path / "run" / "checkpoints" / "step-0000000"


def test_a_training_goes_on_from_the_checkpoint_before_a_damaged_one_and_says_so(tmp_path):
    folder = tmp_path / "run"
    whole = go(tmp_path / "whole")
    go(folder)
    (folder / "results.json").unlink()
    cut_short(folder / "checkpoints" / "step-0000020" / "network.safetensors")
    watcher = Quiet()
    again = go(folder, watcher=watcher)
    assert again.last == whole.last
    assert re.search(
        r"network has \d+ bytes of \d+; the one before it is taken", *watcher.sentences
    )
    resumed = [event for event in Run.open(folder).events() if event["event"] == "resumed"]
    assert resumed[0]["step"] == 15
    assert "step-0000020" in resumed[0]["damaged"][0]
    assert watcher.progress[0].step == 16


def test_a_damaged_checkpoint_takes_no_place_of_a_whole_one(tmp_path):
    folder = tmp_path / "run"
    go(folder)
    (folder / "results.json").unlink()
    cut_short(folder / "checkpoints" / "step-0000020" / "record.json")

    class Looking(Quiet):
        def advanced(self, progress):
            super().advanced(progress)
            if progress.step == 18:
                self.kept = checkpoint.list_steps(folder / "checkpoints")

    looking = Looking()
    go(folder, make_recipe(checkpoint_every=1), watcher=looking)
    assert looking.kept[-2:] == [16, 17]


def test_a_checkpoint_of_another_recipe_is_refused_by_what_differs(tmp_path):
    folder = tmp_path / "run"
    go(folder)
    (folder / "results.json").unlink()
    with pytest.raises(
        SettingsError, match=r"another recipe: optimiser.rate \(0.01 there, 0.5 here"
    ):
        go(folder, make_recipe(optimiser=Optimiser(rate=0.5)))
    # Words and how often something is written may change.
    assert go(folder, make_recipe(summary="Other words.", checkpoint_every=7)).steps == 20


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    folder = tmp_path / "run"
    go(folder)
    (folder / "results.json").unlink()
    with pytest.raises(WeightsError, match=r"holds network, average, optimiser\.codec, but"):
        go(folder, objective=Squared(critic=True))
    other = Squared()
    other.network.up = torch.nn.Parameter(torch.zeros(64, 5))
    with pytest.raises(WeightsError, match="is of another network"):
        go(folder, objective=other)


def test_a_finished_run_is_not_trained_again(tmp_path):
    go(tmp_path / "run")
    with pytest.raises(SettingsError, match="is finished"):
        go(tmp_path / "run")


# -- a full disk ---------------------------------------------------------------------------------


def test_a_full_disk_is_said_and_leaves_the_last_good_checkpoint(tmp_path, monkeypatch):
    folder, write = tmp_path / "run", Path.write_bytes
    written = []

    def fill(path, data):
        written.append(path)
        if len(written) > 9:  # three for each checkpoint: at 0, 5, 10
            write(path, data[:10])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", fill)
    with pytest.raises(OutputError, match="No space left on device"):
        go(folder)
    monkeypatch.undo()
    assert checkpoint.list_steps(folder / "checkpoints") == [5, 10]
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == [
        "step-0000005", "step-0000010",
    ]  # fmt: skip
    whole = go(tmp_path / "whole")
    assert go(folder).last == whole.last


def test_a_limit_of_the_system_is_said_and_leaves_the_last_good_checkpoint(tmp_path):
    folder = tmp_path / "run"
    assert walk_here(folder, "--send", "SIGTERM", "--after", 11) == 130
    # The network's file fits, its optimiser's does not.
    done = walk(folder, "--most-bytes", 12000)
    assert done.returncode == 1
    assert "OutputError" in done.stderr
    assert "step-0000015 cannot be written: File too large" in done.stderr
    assert checkpoint.load_latest(folder / "checkpoints")[0].record.step == 12
    assert not list(folder.rglob("*.part"))
    assert walk_here(folder) == 0


def test_a_checkpoint_of_another_version_or_step_is_refused(tmp_path):
    put(tmp_path, 3).rename(checkpoint.locate(tmp_path, 4))
    with pytest.raises(UnreadableFile, match="says it is of step 3"):
        checkpoint.load(tmp_path, 4)
    record = put(tmp_path, 5) / checkpoint.RECORD
    record.write_text(json.dumps(json.loads(record.read_text()) | {"version": "other"}))
    with pytest.raises(UnreadableFile, match="written by another version of plica"):
        checkpoint.load(tmp_path, 5)

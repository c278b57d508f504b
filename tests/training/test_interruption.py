"""A training that is interrupted, or killed, ends in the weights of one that was not."""

import signal
import threading

import pytest
import torch
from safetensors.torch import load_file
from tests.training.processes import TWO, walk, walk_here
from tests.training.toy import read_losses, read_rows

from plica.run import Run
from plica.training import checkpoint
from plica.training.interruption import Interruption


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert walk_here(folder) == 0
    return folder


def assert_same_end(folder, other):
    ends = [run / "checkpoints" / "step-0000020" for run in (folder, other)]
    names = [sorted(path.name for path in end.iterdir()) for end in ends]
    assert names[0] == names[1]
    assert len([name for name in names[0] if name.endswith(".safetensors")]) == 5
    for name in names[0]:
        if name.endswith(".safetensors"):
            one, two = (load_file(end / name) for end in ends)
            assert one.keys() == two.keys()
            assert all(torch.equal(one[key], two[key]) for key in one), name
    assert read_losses(folder) == read_losses(other)
    assert read_rows(folder / "evaluation.csv") == read_rows(other / "evaluation.csv")


def test_an_interrupted_training_goes_on_to_the_same_weights(tmp_path, whole):
    folder = tmp_path / "run"
    stopped = walk(folder, "--send", "SIGTERM", "--after", 12)
    assert stopped.returncode == 130, stopped.stderr
    assert "stopped after 13 of 20 steps" in stopped.stdout
    assert f"--resume -o {folder}" in stopped.stdout
    assert checkpoint.list_steps(folder / "checkpoints")[-1] == 13
    assert walk_here(folder) == 0
    assert_same_end(folder, whole)
    events = [event["event"] for event in Run.open(folder).events()]
    assert events.count("interrupted") == events.count("resumed") == 1


def test_a_killed_training_loses_the_steps_since_its_last_checkpoint_and_no_more(tmp_path, whole):
    folder = tmp_path / "run"
    assert walk(folder, "--send", "SIGKILL", "--after", 13).returncode == -signal.SIGKILL
    assert checkpoint.list_steps(folder / "checkpoints")[-1] == 10
    assert max(step for step, *_ in read_losses(folder)) == 13
    assert walk_here(folder) == 0
    assert_same_end(folder, whole)


def test_an_interruption_before_a_judgement_leaves_the_judgement_to_the_next(tmp_path, whole):
    folder = tmp_path / "run"
    assert walk_here(folder, "--send", "SIGINT", "--after", 9) == 130
    assert {row["step"] for row in read_rows(folder / "evaluation.csv")} == {"0"}
    assert walk_here(folder) == 0
    assert_same_end(folder, whole)


def test_two_processes_train_as_one_and_give_way_together(tmp_path, whole):
    folder = tmp_path / "run"
    done = walk(folder, "--send", "SIGTERM", "--after", 12, "--rank", 1, command=TWO)
    assert done.returncode != 0
    assert "stopped after 13 of 20 steps" in done.stdout, done.stderr
    # A fact may be no mean over patches, such as a deviation; everything else is the same.
    shared, alone = (
        {key: value for key, value in read_losses(run).items() if key[0] <= 13 and key[2] != "fact"}
        for run in (folder, whole)
    )
    assert shared == pytest.approx(alone, rel=1e-6, abs=1e-9)
    # What two began, one finishes: the order of the data does not depend on how many they are.
    assert walk_here(folder) == 0
    ends = [read_losses(run) for run in (folder, whole)]
    last = (20, "codec", "term", "squared")
    assert ends[0][last] == pytest.approx(ends[1][last], rel=1e-5)
    judged = [read_rows(path / "evaluation.csv") for path in (folder, whole)]
    assert [row["case"] for row in judged[0]] == [row["case"] for row in judged[1]]
    for ours, theirs in zip(*judged, strict=True):
        assert float(ours["psnr_db"]) == pytest.approx(float(theirs["psnr_db"]), rel=1e-5)


def test_the_second_signal_acts_as_without_us():
    # Started in the background, Python finds SIGINT ignored and leaves it so.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with Interruption() as interruption:
            signal.raise_signal(signal.SIGINT)
            assert interruption.asked
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_outside_the_main_thread_signals_are_left_alone():
    seen = []

    def enter():
        with Interruption() as interruption:
            seen.append((interruption.asked, signal.getsignal(signal.SIGTERM)))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [(False, before)]

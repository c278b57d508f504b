"""The clock counts steps, and waiting, and leaves out what is neither."""

import pytest
import torch
from tests.training.test_loop import start
from tests.training.toy import Quiet, make_recipe

from plica.training import progress
from plica.training.progress import Clock


class Time:
    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr(progress.time, "perf_counter", lambda: self.now)

    def step(self, clock, number, *, waiting=0.0, computing=1.0):
        with clock.wait():
            self.now += waiting
        self.now += computing
        clock.end_step(number)


def test_pauses_count_for_the_time_left_and_for_nothing_else(monkeypatch):
    time = Time(monkeypatch)
    clock = Clock(torch.device("cpu"), batch=8, steps=30)
    time.now += 1000
    clock.start(10)
    for step in range(11, 21):
        time.step(clock, step, waiting=0.5, computing=1.5)
    with clock.pause():
        time.now += 20
    told = clock.progress(20)
    assert told.images_per_second == pytest.approx(4.0)
    assert told.waiting == pytest.approx(0.25)
    assert told.seconds_left == pytest.approx(10 * 4.0)
    assert clock.images_per_second(20) == pytest.approx(4.0)


def test_images_per_second_are_those_of_late(monkeypatch):
    time = Time(monkeypatch)
    clock = Clock(torch.device("cpu"), batch=1, steps=1000)
    clock.start(0)
    for step in range(1, 51):
        time.step(clock, step, computing=9.0)
    for step in range(51, 151):
        time.step(clock, step, computing=0.5)
    assert clock.progress(150).images_per_second == pytest.approx(2.0)


def test_nobody_waits_while_an_accelerator_computes(monkeypatch):
    time = Time(monkeypatch)
    clock = Clock(torch.device("cpu"), batch=1, steps=10)

    class Busy:
        idle = False

        def query(self):
            return self.idle

        def record(self):
            pass

    clock._busy = Busy()
    clock.start(0)
    time.step(clock, 1, waiting=1.0)
    assert clock.progress(1).waiting == 0.0
    clock._busy.idle = True
    time.step(clock, 2, waiting=1.0)
    assert clock.progress(2).waiting == pytest.approx(1 / 4)


def test_a_watcher_is_told_of_every_step_line_and_judgement(tmp_path):
    watcher = Quiet()
    start(tmp_path / "run", make_recipe(log_every=5), watcher=watcher)
    assert [told.step for told in watcher.progress] == list(range(1, 21))
    assert all(told.images_per_second > 0 and 0 <= told.waiting <= 1 for told in watcher.progress)
    assert watcher.progress[-1].seconds_left == 0
    assert list(watcher.numbers) == [5, 10, 15, 20]
    assert ("codec", "term", "squared") in watcher.numbers[5]
    assert list(watcher.means) == [0, 10, 20]
    assert watcher.means[0][1]

"""The simulation of dying workers, against what can be worked out by hand."""

from __future__ import annotations

import math
import runpy
from pathlib import Path

import pytest

MADE = runpy.run_path(
    str(Path(__file__).resolve().parent.parent / "benchmarks" / "failures.py"), run_name="failures"
)
Setting, simulate = MADE["Setting"], MADE["simulate"]
NEVER = {"worker_life_s": math.inf, "node_life_s": math.inf, "driver_life_s": math.inf}


def test_without_deaths_it_takes_the_work_over_the_workers():
    found = simulate(Setting(series=100_000, workers=10, shard=10, booking_s=0.0, **NEVER))
    assert found.hours == pytest.approx(100_000 * 2.0 / 10 / 3600, rel=0.01)
    assert found.done_twice == 0


def test_one_worker_that_dies_takes_as_long_as_the_formula_says():
    """Mean time of a shard, on a worker that dies and comes back."""
    life, back, seconds = 300.0, 60.0, 200.0
    setting = Setting(
        series=20_000, shard=100, workers=1, per_node=1, series_s=2.0, spread=0.0, booking_s=0.0,
        back_s=back, **(NEVER | {"worker_life_s": life}),
    )  # fmt: skip
    hours = [simulate(setting, seed).hours for seed in range(10)]
    expected = 200 * (math.exp(seconds / life) - 1) * (life + back) / 3600
    assert sum(hours) / 10 == pytest.approx(expected, rel=0.05)


def test_a_driver_that_books_slowly_is_what_everybody_waits_for():
    setting = Setting(series=20_000, shard=10, workers=1000, booking_s=1.0, **NEVER)
    assert simulate(setting).hours * 3600 == pytest.approx(2000, rel=0.05)


def test_every_series_is_done_whatever_dies():
    setting = Setting(
        series=50_000, shard=100, workers=50, worker_life_s=2000.0, node_life_s=5000.0,
        driver_life_s=1000.0,
    )  # fmt: skip
    found = simulate(setting)
    assert found.driver_deaths > 0
    assert found.node_deaths > 0
    assert found.hours > found.least_hours
    assert 0 < found.done_twice < 1

r"""Simulate a bulk run on many workers that die: how long it takes, and what is done twice.

    python benchmarks/failures.py --series 10000000 --workers 1000

A shard is the unit of work, and of loss: a worker that dies takes with it what it had done of its
shard, and the driver's death takes every open shard. What is simulated is

    driver      hands a shard to each idle worker and books finished ones, one at a time
    worker      a shard takes the sum of its series' times; dies at random, comes back after a pause
    node        so many workers, which die together
    driver      dies at random, is started again after a pause; what was booked stays booked

Times between deaths are exponential, series' times lognormal. Without deaths of nodes and of the
driver, and with booking that takes no time, a shard of T seconds takes (e^{T/m} − 1)(m + r) seconds
on average for workers that live m seconds and come back after r, which a test holds against it.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import math
from collections import deque
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

import numpy as np

HOUR = 3600.0
Kind = Literal["done", "worker", "back", "node", "driver"]


@dataclass(frozen=True)
class Setting:
    """What is simulated; times in seconds.

    Args:
        series: How many there are.
        shard: Series in a shard.
        workers: How many encode at a time.
        per_node: Workers that die together.
        series_s: Mean time of a series on one worker.
        spread: Standard deviation of the logarithm of a series' time.
        booking_s: What the driver needs to book one shard.
        worker_life_s: Mean time between deaths of a worker.
        node_life_s: Of a node.
        driver_life_s: Of the driver.
        back_s: Until a worker is there again.
        driver_back_s: Until the driver is there again, and has looked through its ledger.
    """

    series: int = 10_000_000
    shard: int = 500
    workers: int = 1000
    per_node: int = 8
    series_s: float = 2.0
    spread: float = 0.5
    booking_s: float = 0.02
    worker_life_s: float = 200 * HOUR
    node_life_s: float = 1000 * HOUR
    driver_life_s: float = 500 * HOUR
    back_s: float = 60.0
    driver_back_s: float = 300.0


@dataclass
class Outcome:
    """What a simulated run came to."""

    hours: float = 0.0
    least_hours: float = 0.0
    worker_deaths: int = 0
    node_deaths: int = 0
    driver_deaths: int = 0
    done_twice: float = 0.0
    driver_busy: float = 0.0
    waited_for_booking: float = 0.0

    @property
    def overhead(self) -> float:
        """Longer than without deaths and booking, as a share."""
        return self.hours / self.least_hours - 1


@dataclass
class Simulation:
    """One run, event by event."""

    setting: Setting
    rng: np.random.Generator
    now: float = 0.0
    lost: float = 0.0
    waited: float = 0.0
    busy: float = 0.0
    booked_until: float = 0.0
    left: int = 0
    todo: deque[float] = field(default_factory=deque)
    began: dict[int, tuple[float, float]] = field(default_factory=dict)
    life: list[int] = field(default_factory=list)
    events: list[tuple[float, int, Kind, int, int]] = field(default_factory=list)
    deaths: dict[str, int] = field(default_factory=lambda: {"worker": 0, "node": 0, "driver": 0})
    idle: deque[int] = field(default_factory=deque)
    _order: itertools.count[int] = field(default_factory=itertools.count)

    def run(self) -> Outcome:
        """Until the last shard is booked."""
        s = self.setting
        self.todo.extend(draw_shards(s, self.rng))
        work, self.left = sum(self.todo), len(self.todo)
        self.life = [0] * s.workers
        for worker in range(s.workers):
            self._plan_death("worker", worker, s.worker_life_s)
            self._hand_out(worker)
        for node in range(math.ceil(s.workers / s.per_node)):
            self._plan_death("node", node, s.node_life_s)
        self._plan_death("driver", 0, s.driver_life_s)
        while self.left:
            self.now, _, kind, which, life = heapq.heappop(self.events)
            getattr(self, f"_on_{kind}")(which, life)
        return Outcome(
            hours=max(self.now, self.booked_until) / HOUR,
            least_hours=work / s.workers / HOUR,
            worker_deaths=self.deaths["worker"],
            node_deaths=self.deaths["node"],
            driver_deaths=self.deaths["driver"],
            done_twice=self.lost / work,
            driver_busy=self.busy / max(self.now, 1e-9),
            waited_for_booking=self.waited / work,
        )

    # -- events --------------------------------------------------------------------------------

    def _on_done(self, worker: int, life: int) -> None:
        if life != self.life[worker]:
            return  # it died before
        del self.began[worker]
        self.left -= 1
        free = max(self.now, self.booked_until)
        self.booked_until = free + self.setting.booking_s
        self.busy += self.setting.booking_s
        # The driver books and hands out in turn: a worker waits for those before it.
        self.waited += self.booked_until - self.now
        self._push(self.booked_until, "back", worker, life)

    def _on_back(self, worker: int, life: int) -> None:
        if life == self.life[worker] and worker not in self.began:
            self._hand_out(worker)

    def _on_worker(self, worker: int, life: int) -> None:
        self.deaths["worker"] += 1
        self._kill(worker, self.setting.back_s)
        self._plan_death("worker", worker, self.setting.worker_life_s)

    def _on_node(self, node: int, life: int) -> None:
        s = self.setting
        self.deaths["node"] += 1
        for worker in range(node * s.per_node, min((node + 1) * s.per_node, s.workers)):
            self._kill(worker, s.back_s)
        self._plan_death("node", node, s.node_life_s)

    def _on_driver(self, which: int, life: int) -> None:
        s = self.setting
        self.deaths["driver"] += 1
        for worker in range(s.workers):
            self._kill(worker, s.driver_back_s)
        self.booked_until = max(self.booked_until, self.now + s.driver_back_s)
        self._plan_death("driver", 0, s.driver_life_s)

    # -- what events do ------------------------------------------------------------------------

    def _hand_out(self, worker: int) -> None:
        if not self.todo:
            self.idle.append(worker)
            return
        seconds = self.todo.popleft()
        self.began[worker] = (self.now, seconds)
        self._push(self.now + seconds, "done", worker, self.life[worker])

    def _kill(self, worker: int, pause: float) -> None:
        self.life[worker] += 1
        if worker in self.began:
            began, seconds = self.began.pop(worker)
            self.lost += self.now - began
            # What was lost is done first, as the engine does it, by whoever has nothing to do.
            self.todo.appendleft(seconds)
            while self.idle and self.todo:
                other = self.idle.popleft()
                if other != worker and other not in self.began:
                    self._hand_out(other)
        self._push(self.now + pause, "back", worker, self.life[worker])

    def _plan_death(self, kind: Kind, which: int, mean: float) -> None:
        if math.isfinite(mean):
            self._push(self.now + self.rng.exponential(mean), kind, which, 0)

    def _push(self, when: float, kind: Kind, which: int, life: int) -> None:
        heapq.heappush(self.events, (when, next(self._order), kind, which, life))


def draw_shards(setting: Setting, rng: np.random.Generator) -> list[float]:
    """Seconds of each shard: of lognormal series, summed."""
    mean = math.log(setting.series_s) - setting.spread**2 / 2
    counts = [setting.shard] * (setting.series // setting.shard)
    if rest := setting.series % setting.shard:
        counts.append(rest)
    return [float(rng.lognormal(mean, setting.spread, n).sum()) for n in counts]


def simulate(setting: Setting, seed: int = 0) -> Outcome:
    """One run of these settings."""
    return Simulation(setting, np.random.default_rng(seed)).run()


def sweep(base: Setting, seed: int = 0) -> list[tuple[str, Setting, Outcome]]:
    """The base, and what changes when one thing does."""
    cases = {
        "as expected": base,
        "nothing dies": replace(
            base, worker_life_s=math.inf, node_life_s=math.inf, driver_life_s=math.inf
        ),
        "workers die ten times as often": replace(base, worker_life_s=base.worker_life_s / 10),
        "nodes die ten times as often": replace(base, node_life_s=base.node_life_s / 10),
        "driver dies ten times as often": replace(base, driver_life_s=base.driver_life_s / 10),
        "shards ten times as large": replace(base, shard=base.shard * 10),
        "shards ten times as small": replace(base, shard=max(1, base.shard // 10)),
        "ten times the workers": replace(base, workers=base.workers * 10),
        "booking ten times as slow": replace(base, booking_s=base.booking_s * 10),
    }
    return [(name, setting, simulate(setting, seed)) for name, setting in cases.items()]


def main() -> None:
    """Simulate and print, as a table or as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    base = Setting()
    for name in ("series", "shard", "workers", "per_node"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=getattr(base, name))
    for name in ("series_s", "spread", "booking_s"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=getattr(base, name))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    given = vars(parser.parse_args())
    seed, as_json = given.pop("seed"), given.pop("json")
    rows = sweep(replace(base, **given), seed)
    if as_json:
        print(json.dumps([{"case": name, **asdict(outcome)} for name, _, outcome in rows]))
        return
    print("\n".join(tabulate(rows)))


def tabulate(rows: list[tuple[str, Setting, Outcome]]) -> list[str]:
    """The sweep as a table of Markdown."""
    lines = [
        "| what | hours | longer by | deaths: workers, nodes, driver | done twice | driver busy |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, _, out in rows:
        lines.append(
            f"| {name} | {out.hours:.2f} | {100 * out.overhead:.1f} % | {out.worker_deaths}, "
            f"{out.node_deaths}, {out.driver_deaths} | {100 * out.done_twice:.2f} % | "
            f"{100 * out.driver_busy:.1f} % |"
        )
    return lines


if __name__ == "__main__":
    main()

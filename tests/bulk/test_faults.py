"""More than fifty kills at random moments, and the store is the one an undisturbed run makes.

Drivers are killed in the middle of discovering, planning, reading, encoding, writing and booking;
Ray's workers in the middle of a shard; and a whole node at once: driver, Ray and workers.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.bulk.driver import HABITS, drive, family
from tests.bulk.stores import contents, needs_ray

from plica.bulk.crew import OwnProcess
from plica.bulk.engine import encode_archive
from plica.bulk.task import Order

DRIVERS, WORKERS, NODES = 46, 6, 2
linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")


@pytest.fixture
def real_archive(archive: Path, shared_or_none: Path | None) -> Path:
    """The made archive, and real series beside it where they are at hand."""
    if shared_or_none is not None:
        source = shared_or_none / "data" / "odd-formats" / "torchio-small-series"
        if source.is_dir():
            shutil.copytree(source, archive / "real")
    return archive


@pytest.fixture
def shared_or_none(request: pytest.FixtureRequest) -> Path | None:
    with contextlib.suppress(pytest.skip.Exception):
        return request.getfixturevalue("shared")
    return None


@pytest.fixture
def context() -> multiprocessing.context.ForkServerContext:
    """Processes that have imported everything: else most kills would hit imports."""
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(["plica.bulk.engine", "torch", "tests.bulk.driver"])
    return made


def undisturbed(order: Callable[..., Order]) -> dict[str, object]:
    whole = order("undisturbed")
    encode_archive(whole, lambda: OwnProcess(whole), habits=HABITS)
    return contents(whole.store)


def start(context, order: Order, workers: int = 0):
    process = context.Process(target=drive, args=(order, workers))
    process.start()
    return process


def finish(context, order: Order) -> None:
    process = start(context, order)
    process.join(120)
    assert process.exitcode == 0


@linux
def test_a_store_survives_its_driver_being_killed_again_and_again(
    real_archive: Path, order: Callable[..., Order], context
):
    expected = undisturbed(order)
    rng, kills, stores = random.Random(11), 0, 0
    killed = order("killed0")
    while kills < DRIVERS:
        process = start(context, killed)
        process.join(rng.uniform(0.05, 0.6))
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            kills += 1
            continue
        # It came to its end in spite of all: the next kills fall on a new store.
        assert process.exitcode == 0
        assert contents(killed.store) == expected
        stores += 1
        killed = order(f"killed{stores}")
    finish(context, killed)
    assert contents(killed.store) == expected


@linux
@needs_ray
def test_a_store_survives_the_deaths_of_workers_and_of_a_whole_node(
    real_archive: Path, order: Callable[..., Order], context
):
    expected = undisturbed(order)
    killed, rng = order("killed"), random.Random(7)
    deaths = 0
    for _ in range(NODES):
        process = start(context, killed, workers=2)
        for _ in range(WORKERS // NODES):
            deaths += kill_a_worker(killed.store, process, rng)
        for pid in family(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.join()
    assert deaths >= WORKERS // 2
    finish(context, killed)
    assert contents(killed.store) == expected


def kill_a_worker(store: Path, process, rng: random.Random) -> bool:
    """One of the workers that are at a shard at this moment; whether there was one."""
    end = time.monotonic() + 200
    while process.is_alive() and time.monotonic() < end:
        time.sleep(rng.uniform(0, 0.05))
        for marker in (store / "work").glob("*.json"):
            with contextlib.suppress(OSError, ValueError):
                said = json.loads(marker.read_text())
                if said["at"]:
                    os.kill(said["pid"], signal.SIGKILL)
                    marker.unlink(missing_ok=True)
                    return True
    return False

"""A driver as a process of its own, to be killed."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from plica.bulk.crew import OwnProcess, RayCrew
from plica.bulk.engine import Habits, encode_archive
from plica.bulk.task import Order

HABITS = Habits(shard_series=3, most_deaths=9)


def drive(order: Order, workers: int) -> None:
    """What `plica bulk encode` does, until it is done or killed."""
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 2)
    crew = (lambda: OwnProcess(order)) if workers == 0 else (lambda: RayCrew(order, workers))
    with contextlib.suppress(BrokenPipeError):
        encode_archive(order, crew, habits=HABITS)


def family(pid: int) -> list[int]:
    """A process and all that came from it, children first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        found.append(one)
        todo.extend(children.get(one, []))
    return found[::-1]

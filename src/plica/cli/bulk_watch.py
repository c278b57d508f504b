"""What `plica bulk encode` shows while it works: a bar, an estimate, and that it is stopping."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import Any

from rich.text import Text

from plica.bulk.engine import Watcher
from plica.bulk.forecast import Estimate, Forecast
from plica.bulk.task import Death, Made
from plica.cli.console import format_bytes, format_duration

_STDERR = 2


class _Bar:
    """Counts series as they are encoded, though shards are booked many at a time."""

    def __init__(self, bar: Any, limit: int | None, *, silent: bool, hired: int) -> None:
        self._bar = bar
        self._crew = f"{hired} worker{'s' * (hired > 1)} (Ray)" if hired else ""
        self._task = bar.add_task("looking through the archive", total=None)
        # Changed within the handler of a signal, which may wait for none of the bar's locks.
        self._row = bar.tasks[0]
        self._stops = ""
        self._limit = limit
        self._silent = silent
        self._waits = False  # for the first image of a crew that was just hired
        self._speed = 0.0
        self._before = self._booked = self._bytes = 0
        self._forecast = Forecast(0)

    def looked(self, folders: int, files: int) -> None:
        self._describe(f"looking: {folders} folders, {files} files")

    def planned(self, waiting: int, done: int) -> None:
        coming = waiting if self._limit is None else min(waiting, self._limit)
        self._before = done
        self._forecast = Forecast(coming)
        self._bar.reset(
            self._task, total=coming + done, completed=done,
            description=self._stops or "encoding", starts_slowly=True,
        )  # fmt: skip

    def starting(self) -> None:
        if not self._crew:
            return
        self._waits = True
        self._describe(f"starting {self._crew} …")
        if self._bar.disable and not self._silent:  # in a log, where there is no bar
            self._bar.console.print(Text(f"starting {self._crew} …"), soft_wrap=True)

    def through(self, series: int, size: int) -> None:
        done = self._booked + series
        if done and self._waits:
            self._waits = False
            self._describe("encoding")
        self._bar.update(self._task, completed=self._before + done)
        self._speed = self._bar.tasks[0].speed or 0.0
        estimate = self._forecast.look(done, self._bytes + size, time.monotonic())
        if estimate is not None and not self._silent:
            # Past the bar, which would else be written into.
            said = Text.assemble(("note: ", "yellow"), _speak(estimate))
            self._bar.console.print(said, soft_wrap=True)

    def booked(self, made: Made) -> None:
        self._booked += len(made.outcomes)
        self._bytes += made.bytes

    def died(self, death: Death) -> None:
        self._describe("encoding (a worker died, and was replaced)")

    def _describe(self, said: str) -> None:
        self._bar.update(self._task, description=self._stops or said)

    def stopping(self, shards: int, series: int) -> None:
        """Said past all buffers and locks, since it is said within the handler of a signal."""
        self._stops = self._row.description = "finishing" if shards else "stopping"
        if self._silent:
            return
        said = "stopping; Ctrl-C again stops at once"
        if shards:
            said = f"finishing {shards} shard{'s' * (shards != 1)}"
            said += f", {series} series" if series else ""
            if series and self._speed:
                said += f", about {format_duration(series / self._speed)}"
            said += f"; Ctrl-C again loses {'it' if shards == 1 else 'them'}"
        with suppress(OSError):
            os.write(_STDERR, f"\nnote: {said}\n".encode())


def watch(bar: Any, limit: int | None, *, silent: bool, hired: int = 0) -> Watcher:
    """A bar that counts series, first discovered and then encoded.

    Args:
        bar: Of `console.progress`.
        limit: So many series are encoded at most.
        silent: Whether notes are left out.
        hired: So many workers have to be started first, which takes Ray a while.

    Examples:
        >>> from plica.cli.console import progress
        >>> with progress(quiet=True) as bar:
        ...     watch(bar, None, silent=True).planned(100, 20)
        ...     bar.tasks[0].total
        120
    """
    one = _Bar(bar, limit, silent=silent, hired=hired)
    return Watcher(
        looked=one.looked, planned=one.planned, through=one.through, booked=one.booked,
        stopping=one.stopping, died=one.died, starting=one.starting,
    )  # fmt: skip


def _speak(estimate: Estimate) -> str:
    return (
        f"about {format_duration(estimate.seconds)} for the other {estimate.series} series, and "
        f"{format_bytes(estimate.bytes)} ({format_bytes(estimate.each)} each)"
    )

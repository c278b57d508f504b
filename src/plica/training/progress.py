"""Progress: what someone who watches a training is told, and the clock that measures it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch


@dataclass(frozen=True)
class Progress:
    """How a training stands.

    Args:
        step: Steps that are done.
        steps: Steps of the whole training.
        images_per_second: Of late, over all processes; judging and checkpoints do not count.
        seconds_left: Until the last step, at the pace of late, judging and checkpoints included.
        waiting: Share of the steps' time in which the device waited for data.
    """

    step: int
    steps: int
    images_per_second: float
    seconds_left: float
    waiting: float


@runtime_checkable
class Watcher(Protocol):
    """Someone who watches; a command line draws a bar of it."""

    def advanced(self, progress: Progress) -> None:
        """A step is done."""
        ...

    def logged(self, step: int, numbers: Mapping[tuple[str, str, str], float]) -> None:
        """A line of the log, by player, kind ("term", "fact", "share", "norm", "rate") and name."""
        ...

    def judged(self, step: int, means: Mapping[str, float], best: bool) -> None:
        """The validation cases were judged."""
        ...

    def said(self, sentence: str) -> None:
        """Something one should know."""
        ...


class Clock:
    """Measures steps, the waiting for data within them, and the time left.

    Args:
        device: Where the steps run.
        batch: Images per step, over all processes.
        first: Steps done before.
        steps: Of the whole training.
    """

    def __init__(self, device: torch.device, *, batch: int, first: int, steps: int) -> None:
        self._batch, self._first, self._steps = batch, first, steps
        self._begun = self._mark = time.perf_counter()
        self._stepping = self._waited = 0.0
        self._pace = 0.0  # seconds per step, of late
        self._busy: Any = None
        if device.type == "cuda":
            self._busy = torch.cuda.Event()  # type: ignore[no-untyped-call]

    def begin_waiting(self) -> None:
        """The loop asks for the next batch."""
        self._mark = time.perf_counter()

    def end_waiting(self) -> None:
        """The batch is here. While an accelerator still computes, nobody waited."""
        if self._busy is None or self._busy.query():
            self._waited += time.perf_counter() - self._mark

    def end_step(self) -> None:
        """The step is taken, or given to the accelerator."""
        if self._busy is not None:
            self._busy.record()
        took = time.perf_counter() - self._mark
        self._stepping += took
        self._pace = took if not self._pace else 0.98 * self._pace + 0.02 * took

    def progress(self, step: int) -> Progress:
        """How it stands after `step` steps."""
        done = max(step - self._first, 1)
        elapsed = time.perf_counter() - self._begun
        return Progress(
            step=step, steps=self._steps,
            images_per_second=self._batch / max(self._pace, 1e-9),
            seconds_left=(self._steps - step) * elapsed / done,
            waiting=self._waited / max(self._stepping, 1e-9),
        )  # fmt: skip

    def images_per_second(self, step: int) -> float:
        """Over all steps since the clock began."""
        return (step - self._first) * self._batch / max(self._stepping, 1e-9)

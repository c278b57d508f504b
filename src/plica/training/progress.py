"""Progress: what someone who watches a training is told, and the clock that measures it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch

_LATE = 100  # steps that count as of late


@dataclass(frozen=True)
class Progress:
    """How a training stands.

    Args:
        step: Steps that are done.
        steps: Steps of the whole training.
        images_per_second: Of late, over all processes; judging and checkpoints do not count.
        seconds_left: Until the last step, at the pace since the start, judging and checkpoints
            included.
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
        steps: Of the whole training.
    """

    def __init__(self, device: torch.device, *, batch: int, steps: int) -> None:
        self._batch, self._steps = batch, steps
        self._busy: Any = None
        if device.type == "cuda":
            self._busy = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self.start(0)

    def start(self, first: int) -> None:
        """Steps begin, after `first` that were done before."""
        self._begun = time.perf_counter()
        self._waited = self._paused = 0.0
        # The time at the end of late steps, and at the first's beginning; pauses are left out.
        self._late = deque([(first, 0.0)], maxlen=_LATE + 1)
        self._first = first

    @property
    def _stepping(self) -> float:
        return time.perf_counter() - self._begun - self._paused

    @contextmanager
    def wait(self) -> Iterator[None]:
        """The loop waits for a batch; while an accelerator still computes, nobody waits."""
        begun = time.perf_counter()
        yield
        if self._busy is None or self._busy.query():
            self._waited += time.perf_counter() - begun

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Something else than steps goes on: judging, writing a checkpoint."""
        begun = time.perf_counter()
        yield
        self._paused += time.perf_counter() - begun

    def end_step(self, step: int) -> None:
        """`step` steps are taken, or given to the accelerator."""
        if self._busy is not None:
            self._busy.record()
        self._late.append((step, self._stepping))

    def progress(self, step: int) -> Progress:
        """How it stands after `step` steps."""
        (before, begun), (now, ended) = self._late[0], self._late[-1]
        elapsed = time.perf_counter() - self._begun
        return Progress(
            step=step, steps=self._steps,
            images_per_second=(now - before) * self._batch / max(ended - begun, 1e-9),
            seconds_left=(self._steps - step) * elapsed / max(step - self._first, 1),
            waiting=self._waited / max(self._stepping, 1e-9),
        )  # fmt: skip

    def images_per_second(self, step: int) -> float:
        """Over all steps since the clock was started."""
        return (step - self._first) * self._batch / max(self._stepping, 1e-9)

"""Watching a training: a bar on a terminal, a line for each judgement elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from plica.cli.console import format_duration, print_note, stderr

if TYPE_CHECKING:
    from plica.training.data import Progress as Preparing
    from plica.training.progress import Progress as Standing


EVERY_SECONDS = 10.0
"""Between two lines on preparing, where there is no terminal to draw a bar on."""


class Watching:
    """What `plica train` shows on stderr while it runs; it is entered before the first step.

    Args:
        name: Of the recipe.
        steps: Of the whole training.
        quiet: Shows nothing.
    """

    def __init__(self, name: str, steps: int, *, quiet: bool) -> None:
        self._quiet, self._steps = quiet, steps
        self._live = not quiet and sys.stderr.isatty()
        self._told = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[pace]}"),
            TextColumn("{task.fields[parts]}", style="dim"),
            TextColumn("{task.fields[metric]}", style="bold"),
            console=stderr(),
            disable=not self._live,
            transient=True,
        )
        self._task = self._bar.add_task(name, total=steps, pace="", parts="", metric="")

    def __enter__(self) -> Watching:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def preparing(self, progress: Preparing) -> None:
        """An image is about to be prepared."""
        whole, done = progress.total, progress.done
        self._bar.update(
            self._task, total=whole, completed=done, parts=f"preparing {progress.name}"
        )
        if not (self._live or self._quiet) and time.monotonic() - self._told >= EVERY_SECONDS:
            self._told = time.monotonic()
            print_note(f"preparing image {min(done + 1, whole)} of {whole}")
        if done == whole:
            self._bar.update(self._task, total=self._steps, completed=0, parts="")

    def advanced(self, progress: Standing) -> None:
        """A step is done."""
        left = format_duration(progress.seconds_left)
        pace = (
            f"{progress.images_per_second:.3g} images/s, {left} left, "
            f"waiting {progress.waiting:.0%}"
        )
        self._bar.update(self._task, completed=progress.step, pace=pace)

    def logged(self, step: int, numbers: Mapping[tuple[str, str, str], float]) -> None:
        """A line of the log: the terms by name; those of other players by the players'."""
        parts = " ".join(
            f"{name if player == 'codec' else player} {value:.3g}"
            for (player, kind, name), value in numbers.items()
            if kind == "term"
        )
        self._bar.update(self._task, parts=parts)

    def judged(self, step: int, means: Mapping[str, float], best: bool) -> None:
        """The validation cases were judged."""
        name, value = next(iter(means.items()))
        self._bar.update(self._task, metric=f"{name} {value:.4g}{' best' if best else ''}")
        if not self._quiet and not self._live:
            shown = ", ".join(f"{name} {value:.4g}" for name, value in means.items())
            self._print(f"step {step}: {shown}{' (best so far)' if best else ''}")

    def said(self, sentence: str) -> None:
        """Something one should know."""
        if not self._quiet:
            self._bar.stop()
            print_note(sentence)
            self._bar.start()

    def _print(self, line: str) -> None:
        stderr().print(Text(line), soft_wrap=True)

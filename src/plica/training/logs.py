"""Logs: losses and judgements as tables for people and programs, and as TensorBoard's events."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from plica.errors import MissingExtra, OutputError
from plica.formats.atomic import new_file

LOSSES, EVALUATION, EVENTS = "losses.csv", "evaluation.csv", "tensorboard"


class Table:
    """A CSV file that grows by whole lines, whose first column is the step.

    Args:
        path: The file; it is made with its header by the first rows.
        columns: Names of the columns after `step`.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._path = path
        self._header = ["step", *columns]

    def add(self, step: int, rows: Iterable[Sequence[Any]]) -> None:
        """Append rows of one step, all or none.

        Raises:
            OutputError: The file cannot be written.
        """
        begun = self._path.is_file()
        lines = [[step, *row] for row in rows]
        text = _to_csv(lines if begun else [self._header, *lines])
        try:
            # One write in append mode: a run that is killed leaves whole lines.
            with self._path.open("ab", buffering=0) as file:
                file.write(text.encode())
        except OSError as error:
            raise OutputError(f"{self._path} cannot be written: {error}") from error

    def cut(self, step: int) -> None:
        """Drop the rows after `step`, and a line that was cut off.

        Raises:
            OutputError: The file cannot be written.
        """
        if not self._path.is_file():
            return
        header, *lines = self._path.read_text(encoding="utf-8").split("\n")[:-1] or [""]
        kept = [line for line in lines if int(line.partition(",")[0]) <= step]
        with new_file(self._path, overwrite=True) as file:
            file.write("".join(f"{line}\n" for line in [header, *kept]).encode())


def _to_csv(rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


class Logs:
    """What a training says of itself, in its run's folder.

    Args:
        folder: The run's.
        measures: Names of what each case is judged by.
        step: Steps that are done: later rows, of a training that went on and was lost, are dropped.
        evaluated: The same for judgements.

    Raises:
        MissingExtra: TensorBoard is not installed.
        OutputError: The folder cannot be written.
    """

    def __init__(self, folder: Path, measures: Sequence[str], *, step: int, evaluated: int) -> None:
        try:
            from torch.utils.tensorboard.writer import SummaryWriter
        except ImportError as error:
            raise MissingExtra("training", "tensorboard", "train") from error
        self._losses = Table(folder / LOSSES, ("player", "kind", "name", "value"))
        self._judgements = Table(folder / EVALUATION, ("case", *measures))
        self._losses.cut(step)
        self._judgements.cut(evaluated)
        self._events = SummaryWriter(os.fspath(folder / EVENTS), purge_step=step + 1)

    def losses(self, step: int, numbers: Mapping[tuple[str, str, str], float]) -> None:
        """Numbers by player, kind and name, after `step`."""
        self._losses.add(step, ([*key, repr(value)] for key, value in numbers.items()))
        for (player, kind, name), value in numbers.items():
            self._events.add_scalar(f"{player}/{kind}/{name}", value, step)

    def judgements(
        self, step: int, rows: Sequence[tuple[str, Sequence[float]]], means: Mapping[str, float]
    ) -> None:
        """One row per case, and the means over the cases."""
        self._judgements.add(step, ([case, *map(repr, values)] for case, values in rows))
        for name, mean in means.items():
            self._events.add_scalar(f"evaluation/{name}", mean, step)
        self._events.flush()

    def close(self) -> None:
        """Close TensorBoard's file."""
        self._events.close()

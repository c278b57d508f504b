"""Logs: losses and judgements as tables for people and programs, and as TensorBoard's events."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from plica.errors import MissingExtra, OutputError, UnreadableFile
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
            UnreadableFile: It is no such table.
            OutputError: It cannot be written.
        """
        if not self._path.is_file():
            return
        header, *rows = self._read_rows() or [self._header]
        if header != self._header or any(not row or not row[0].isdecimal() for row in rows):
            raise UnreadableFile(
                f"{self._path} is not the table of this training; move it away to go on"
            )
        kept = [header, *(row for row in rows if int(row[0]) <= step)]
        with new_file(self._path, overwrite=True) as file:
            file.write(_to_csv(kept).encode())

    def _read_rows(self) -> list[list[str]]:
        try:
            whole_lines = self._path.read_text(encoding="utf-8").rpartition("\n")[0]
            return list(csv.reader(io.StringIO(whole_lines)))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise UnreadableFile(f"{self._path} cannot be read: {error}") from error


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
        UnreadableFile: One of its tables is not as it was written.
    """

    def __init__(self, folder: Path, measures: Sequence[str], *, step: int, evaluated: int) -> None:
        self._losses = Table(folder / LOSSES, ("player", "kind", "name", "value"))
        self._judgements = Table(folder / EVALUATION, ("case", *measures))
        self._losses.cut(step)
        self._judgements.cut(evaluated)
        self._events = _open_events(folder / EVENTS, step + 1)

    def losses(self, step: int, numbers: Mapping[tuple[str, str, str], float]) -> None:
        """Numbers by player, kind and name, after `step`."""
        self._losses.add(step, ([*key, repr(value)] for key, value in numbers.items()))
        self._draw(step, {"/".join(key): value for key, value in numbers.items()})

    def judgements(
        self, step: int, rows: Sequence[tuple[str, Sequence[float]]], means: Mapping[str, float]
    ) -> None:
        """One row per case, and the means over the cases."""
        self._judgements.add(step, ([case, *map(repr, values)] for case, values in rows))
        self._draw(step, {f"evaluation/{name}": mean for name, mean in means.items()})

    def _draw(self, step: int, numbers: Mapping[str, float]) -> None:
        try:
            for name, value in numbers.items():
                self._events.add_scalar(name, value, step)
        except OSError as error:  # of an earlier number: another thread writes them
            raise OutputError(f"TensorBoard's events cannot be written: {error}") from error

    def close(self) -> None:
        """Close TensorBoard's file.

        Raises:
            OutputError: What it still had to write cannot be written.
        """
        try:
            self._events.close()
        except OSError as error:
            raise OutputError(f"TensorBoard's events cannot be written: {error}") from error


def _open_events(folder: Path, first: int) -> Any:
    """TensorBoard's file; what another file there says of steps from `first` on, it takes back."""
    try:
        from torch.utils.tensorboard.writer import SummaryWriter
    except ImportError as error:
        raise MissingExtra("training", "tensorboard", "train") from error
    try:
        return SummaryWriter(os.fspath(folder), purge_step=first)
    except OSError as error:
        raise OutputError(f"TensorBoard's events cannot be written: {error}") from error

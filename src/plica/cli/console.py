"""What the command line prints: tables and JSON on stdout; progress and errors on stderr."""

from __future__ import annotations

import io
import json
import os
import re
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

KILO = 1000
GAP = "  "
NARROW = 16  # letters a name or a remark keeps in a line before it is folded
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_MOMENTS, _MINUTES = 30.0, 300.0  # over which a rate is taken
EXIT_FAILED = 1
LINE_EACH, LINE_MEANWHILE = 3.0, 20.0
"""Seconds between lines of progress: of work that is done, and of work that is still going on."""
SPELT = {
    "volume": "--volume",
    "series": "--series",
    "unit": "--unit",
    "spacing_mm": "--spacing",
    "max_bytes": "--max-bytes",
    "data_range": "--data-range",
    "memory": "--memory",
    "device_memory": "--device-memory",
    "tiling": "--tiling",
    "tile": "--tile",
}
_OPTIONS = {
    "axis": "--axis",
    "fill_nonfinite": "--fill-nonfinite",
    "keep_outside": "--keep-outside",
    "foreground": "--foreground",
    "spacing_mm": "--resample",
    "pipeline": "--pipeline",
}
"""How the library's settings of preparing are called here."""


def ready_streams() -> None:
    """Let nothing that is printed be an error: closed streams, or letters a terminal lacks."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by who started us
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def stdout() -> Console:
    """Where results go. Made when asked for, so that a redirected stream is the one written to."""
    return Console(file=sys.stdout, highlight=False)


def stderr() -> Console:
    """Where progress and errors go."""
    return Console(file=sys.stderr, highlight=False)


def speak_shell(message: str) -> str:
    """The library's sentences name its arguments; here they are options: volume=0 is --volume 0."""
    bare = re.sub(
        r"\bspacing_mm=\(([^)]*)\)", lambda m: "--spacing " + m[1].replace(" ", ""), message
    )
    bare = bare.replace("say overwrite=True", "say --overwrite").replace("`like`", "--like")
    bare = re.sub(
        r"(is said by: )([a-z_, ]+)$",
        lambda m: m[1] + ", ".join(_OPTIONS.get(name, name) for name in m[2].split(", ")),
        bare,
    )
    return re.sub(rf"\b({'|'.join(SPELT)})=", lambda found: f"{SPELT[found[1]]} ", bare)


def describe_failure(error: BaseException) -> str:
    """The sentence of an error; the system's names its file, and not its number."""
    if isinstance(error, OSError) and error.strerror:
        what = "reading or writing failed" if error.filename is None else (
            f"{error.filename} cannot be used")  # fmt: skip
        return f"{what}: {error.strerror}"
    return speak_shell(str(error)) or "there is not enough memory"


def print_error(message: str) -> None:
    """One error, the same form everywhere."""
    stderr().print(Text.assemble(("error: ", "bold red"), message), soft_wrap=True)


def print_note(message: str) -> None:
    """Something worth knowing that stops nothing."""
    stderr().print(Text.assemble(("note: ", "yellow"), message), soft_wrap=True)


def print_json(record: Any) -> None:
    """One JSON document on stdout; numbers that JSON has no word for become null.

    In ASCII, so that it is the same whatever the terminal speaks and file names hold.
    """
    sys.stdout.write(json.dumps(_finite(record), indent=2) + "\n")
    sys.stdout.flush()


def _finite(record: Any) -> Any:
    if isinstance(record, Mapping):
        return {str(key): _finite(value) for key, value in record.items()}
    if isinstance(record, list | tuple):
        return [_finite(value) for value in record]
    if isinstance(record, float) and (record != record or abs(record) == float("inf")):
        return None
    return record


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str = ""
) -> None:
    """A table: the first column to the left, numbers to the right.

    Its first and last column, names and remarks, are folded where the terminal is narrow; the
    others never. Where that is not enough, each row becomes a paragraph.
    """
    rows = [tuple(row) for row in rows]
    console = stdout()
    if not sys.stdout.isatty():
        console.width = 200  # a file or a pipe has no edge to wrap at
    headings = [[name] for name in columns]
    if not _fits(widths := _measure(headings, rows), console.width):
        headings = [name.split() for name in columns]  # which may be folded between words
        if not _fits(widths := _measure(headings, rows), console.width):
            _print_paragraphs(console, title, columns, rows, caption)
            return
    # As texts, since in what is no text rich takes "[a]" of a file's name for markup.
    table = Table(
        title=Text(title, style="bold") if title else None,
        caption=Text(caption, style="dim") if caption else None,
        title_justify="left",
        box=None,
    )
    table.header_style = "bold cyan"
    table.caption_justify = "left"
    table.pad_edge = False
    for place, name in enumerate(columns):
        numeric = place > 0 and bool(rows) and all(_is_number(row[place]) for row in rows)
        inside = 0 < place < len(columns) - 1
        table.add_column(Text(name), justify="right" if numeric else "left", overflow="fold",
                         width=widths[place] if inside else None)  # fmt: skip
    for row in rows:
        table.add_row(*[Text(cell) for cell in row])
    console.print(table)


def _measure(headings: Sequence[Sequence[str]], rows: Sequence[Sequence[str]]) -> list[int]:
    """Letters each column needs for the lines of its heading and for its cells."""
    return [
        max(cell_len(text) for text in (*heading, *(row[place] for row in rows)))
        for place, heading in enumerate(headings)
    ]


def _fits(widths: Sequence[int], room: int) -> bool:
    """Whether all columns have room, the first and last folded where they are long."""
    ends = sum(min(width, NARROW) for width in (widths[0], widths[-1]))
    return ends + sum(widths[1:-1]) + len(GAP) * (len(widths) - 1) <= room


def _print_paragraphs(
    console: Console,
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    caption: str,
) -> None:
    if title:
        console.print(Text(title, style="bold"))
    for name, *cells in rows:
        console.print(Text(name, style="bold cyan"))
        line = Text()
        for heading, cell in zip(columns[1:], cells, strict=True):
            fact = Text.assemble(GAP, (f"{heading} ", "dim"), cell)
            if line and line.cell_len + fact.cell_len > console.width:
                console.print(line)
                line = Text()
            line += fact if cell else Text()
        console.print(line)
    if caption:
        console.print(Text(caption, style="dim"))


def _is_number(cell: str) -> bool:
    return not cell or cell[0].isdigit() or cell[0] in "+-−∞≤"


def format_bytes(count: float) -> str:
    """A size people can read: 1.3 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < KILO:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.3g} {unit}"
        count /= KILO
    return f"{count:.3g} TB"


def format_shape(shape: Sequence[int]) -> str:
    """512 × 512 × 40, without the last side of a single slice."""
    sides = [*shape[:2], *(side for side in shape[2:] if side > 1)]
    return "×".join(str(side) for side in sides)


class _Rate(ProgressColumn):
    """Images per second, or seconds per image."""

    def render(self, task: Task) -> Text:
        return Text(_say_rate(task), style="dim")


def _say_rate(task: Task) -> str:
    speed = task.finished_speed or task.speed
    if not speed:
        return ""
    return f"{speed:.1f}/s" if speed >= 1 else f"{1 / speed:.1f} s each"


class _Part(ProgressColumn):
    """How much is done of all, where a file is in work whose codec tells how far it is."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.percentage:.0f} %" if task.completed % 1 else "", style="dim")


class _Left(ProgressColumn):
    """The time left at the pace so far; rich's own forgets what is told less often than in 30 s."""

    def render(self, task: Task) -> Text:
        left = _estimate_left(task)
        return Text("" if left is None else f"{format_duration(left)} left", style="cyan")


def _estimate_left(task: Task) -> float | None:
    """Seconds until a task is done; where it `starts_slowly`, at the rate that is shown."""
    if task.fields.get("starts_slowly"):  # which is of the time since its first piece
        speed = task.finished_speed or task.speed
        return None if not speed else task.remaining and max(0.0, task.remaining) / speed
    return estimate_left(task.elapsed, task.completed, task.total)


def estimate_left(elapsed: float | None, done: float, total: float | None) -> float | None:
    """Seconds until all is done at the pace so far; None where nothing is done yet."""
    if not elapsed or not total or done <= 0:
        return None
    return elapsed * max(0.0, total - done) / done


def format_duration(seconds: float) -> str:
    """A time people can read: 42 s, 1 min 35 s, 12 min, 3 h 05 min, 8.3 days."""
    if not seconds < float("inf"):
        return "unknown"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < 10 * _MINUTE:
        return f"{whole // _MINUTE} min {whole % _MINUTE:02d} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min"
    if whole < 2 * _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE:02d} min"
    return f"{whole / _DAY:.1f} days"


def keep_end(name: str, most: int) -> str:
    """The end of a long name, which tells more than its beginning, with a sign that it is cut.

    Examples:
        >>> keep_end("archive/patient/slice.dcm", 12)
        '…t/slice.dcm'
    """
    return name if len(name) <= most else f"…{name[1 - most :]}"


class _Lines(Progress):
    """Progress told in lines: one for what is done, and now and then one for what takes long.

    Where work takes hours (`each` is a minute), lines hold the rate, too.
    """

    def __init__(self, *columns: str | ProgressColumn, each: float, **options: Any) -> None:
        super().__init__(*columns, **options)
        self._each = each
        self._said_at, self._said = time.monotonic(), 0.0

    def advance(self, *args: Any, **options: Any) -> None:
        super().advance(*args, **options)
        self._say(self._tasks[args[0]])

    def update(self, *args: Any, **options: Any) -> None:
        super().update(*args, **options)
        self._say(self._tasks[args[0]])

    def _say(self, task: Task) -> None:
        now = time.monotonic()
        meanwhile = max(self._each, LINE_MEANWHILE)
        if now - self._said_at < (self._each if task.completed != self._said else meanwhile):
            return
        self._said_at, self._said = now, task.completed
        of = "" if task.total is None else f" of {task.total:,.0f}"
        left = _estimate_left(task)
        still = "" if left is None else f", {format_duration(left)} left"
        rate = f", {_say_rate(task)}" if self._each >= _MINUTE and _say_rate(task) else ""
        line = (
            f"{task.completed:,.0f}{of} done in {format_duration(task.elapsed or 0)}"
            f"{rate}{still} · {task.description.strip()}"
        )
        self.console.print(Text(line), soft_wrap=True)


def progress(*, quiet: bool, lines: bool = False, each: float | None = None) -> Progress:
    """A progress bar with rate and time left, on stderr; silent where that is no terminal.

    Args:
        quiet: Silent on a terminal, too.
        lines: Where stderr is no terminal a line for each piece of work, but one in `each` seconds
            at most: for what takes minutes, and would look dead in a log.
        each: Seconds between such lines, `LINE_EACH` if left out; a minute or more for what takes
            hours. Its rate is then that of the last minutes, and not of the last moments.
    """
    console, each = stderr(), LINE_EACH if each is None else each
    told = lines and not quiet and not sys.stderr.isatty()
    kind = partial(_Lines, each=each) if told else Progress
    return kind(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        _Part(),
        TimeElapsedColumn(),
        _Left(),
        console=console,
        disable=quiet or not sys.stderr.isatty(),
        transient=True,
        speed_estimate_period=_MINUTES if each >= _MINUTE else _MOMENTS,
    )

"""What the command line prints: tables and JSON on stdout; progress and errors on stderr."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
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
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

KILO = 1000
GAP = "  "
NARROW = 16  # letters a name or a remark keeps in a line before it is folded
EXIT_FAILED = 1
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
    return re.sub(rf"\b({'|'.join(SPELT)})=", lambda found: f"{SPELT[found[1]]} ", bare)


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
    table = Table(title=title or None, caption=caption or None, title_justify="left", box=None)
    table.title_style, table.caption_style, table.header_style = "bold", "dim", "bold cyan"
    table.caption_justify = "left"
    table.pad_edge = False
    for place, name in enumerate(columns):
        numeric = place > 0 and bool(rows) and all(_is_number(row[place]) for row in rows)
        inside = 0 < place < len(columns) - 1
        table.add_column(name, justify="right" if numeric else "left", overflow="fold",
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
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("")
        return Text(f"{speed:.1f}/s" if speed >= 1 else f"{1 / speed:.1f} s each", style="dim")


def progress(*, quiet: bool) -> Progress:
    """A progress bar with rate and time left, on stderr; silent where that is no terminal."""
    console = stderr()
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        disable=quiet or not sys.stderr.isatty(),
        transient=True,
    )

"""Markdown: a report as text that reads well by itself, with its figures beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from plica.evaluation.report import Figure, Report, Section, Table
from plica.evaluation.text import is_numeric, tame

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~&!$])")


def write_markdown(
    report: Report, sections: Sequence[Section], named: Mapping[Figure, str], files: Sequence[str]
) -> str:
    """The report as Markdown (GitHub's, for its tables).

    Args:
        sections: The report's own, and those made of its results.
        named: Each figure's file name without ending.
        files: What else lies beside it.

    Examples:
        >>> text = write_markdown(report, report.sections, {}, ())
        >>> text.startswith(f"# {report.title}")
        True
    """
    parts = [f"# {escape(report.title)}", *map(escape, report.summary)]
    for section in sections:
        parts += [f"## {escape(section.title)}", *map(escape, section.prose)]
        for table in section.tables:
            parts += _write_table(table)
        for figure in section.figures:
            parts += _write_figure(figure, named[figure])
    parts += ["## What it stands on", *_write_table(_tabulate(report.setting))]
    parts += ["In this folder: " + ", ".join(f"[{name}]({name})" for name in files)]
    return "\n\n".join(part for part in parts if part) + "\n"


def escape(text: str) -> str:
    """Text that Markdown takes as it is, in one line."""
    line = " ".join(tame(text).split())
    line = _SPECIAL.sub(r"\\\1", line)
    # Only at a line's beginning do these make lists and headings.
    return re.sub(r"^(\s*)([-+=]|\d+[.)])(?=\s|$)", r"\1\\\2", line)


def _write_table(table: Table) -> list[str]:
    right = [
        place > 0 and bool(table.rows) and all(is_numeric(row[place]) for row in table.rows)
        for place in range(len(table.columns))
    ]
    lines = [_line(table.columns), _rule(right), *map(_line, table.rows)]
    title = f"**{escape(table.title)}**" if table.title else ""
    return [title, "\n".join(lines), escape(table.caption)]


def _write_figure(figure: Figure, name: str) -> list[str]:
    alt = escape(figure.alt or figure.caption)
    pdf = f" ([PDF](figures/{name}.pdf))" if figure.pdf else ""
    return [f"![{alt}](figures/{name}.png)", f"{escape(figure.caption)}{pdf}"]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(escape(cell) for cell in cells) + " |"


def _rule(right: Sequence[bool]) -> str:
    return "| " + " | ".join("---:" if is_right else "---" for is_right in right) + " |"


def _tabulate(setting: Mapping[str, str]) -> Table:
    return Table("", ("what", "which"), tuple(setting.items()))

"""Report: what an evaluation found, as prose, tables and figures, before it is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from plica.evaluation.results import Results


@dataclass(frozen=True)
class Table:
    """Rows of cells for people; the numbers behind them stand in the report's record.

    Args:
        title: One line.
        columns: Headings, each with its unit.
        rows: Cells as written; of one length with `columns`.
        caption: What a reader must know to read it: n, interval, test, direction.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""


@dataclass(frozen=True)
class Figure:
    """One picture, for screens and for papers.

    Args:
        name: Of its files, without ending.
        caption: What it shows.
        alt: The same for those who cannot see it.
        png: The picture.
        pdf: The same as vectors; empty for photographs.
    """

    name: str
    caption: str
    alt: str
    png: bytes = field(repr=False)
    pdf: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Section:
    """A part of a report: paragraphs, then tables, then figures.

    Args:
        title: Its heading.
        prose: Paragraphs of plain text.
    """

    title: str
    prose: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()


@dataclass(frozen=True)
class Report:
    """What an evaluation found, and all that is needed to repeat it.

    Args:
        title: What was judged.
        summary: What came of it, in a paragraph or two.
        sections: In order.
        record: Everything as JSON: protocol, summaries, comparisons, with full digits.
        setting: What it stands on, in words by name: protocol and version, cohort, codecs with the
            fingerprints of their weights, versions, hardware.
        results: Case by case, where there are cases.
    """

    title: str
    summary: tuple[str, ...]
    sections: tuple[Section, ...]
    record: Mapping[str, Any]
    setting: Mapping[str, str]
    results: Results = field(default_factory=lambda: Results(()))

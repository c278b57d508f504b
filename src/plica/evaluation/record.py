"""Record: a report as strict JSON with all its digits, and read back to be compared."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from plica.errors import InputError, TooLarge, UnreadableFile
from plica.evaluation.report import Figure, Report, Section, Table
from plica.evaluation.results import Result, Results
from plica.evaluation.text import distinguish, slug

VERSION = "plica.report/1"
RECORD = "report.json"
MOST_BYTES = 1 << 30


@dataclass(frozen=True)
class Recorded:
    """What was recorded of a report.

    Args:
        name: The folder's, to speak of it.
        title: What was judged.
        setting: What it stands on.
        record: Protocol, summaries, comparisons.
        results: Case by case.
    """

    name: str
    title: str
    setting: Mapping[str, str]
    record: Mapping[str, Any]
    results: Results = field(default_factory=lambda: Results(()))


def name_figures(report: Report) -> dict[Figure, str]:
    """Each figure's file name without ending, in order, no two alike."""
    taken: set[str] = set()
    named: dict[Figure, str] = {}
    for section in report.sections:
        for figure in section.figures:
            if figure not in named:
                named[figure] = distinguish(slug(figure.name), taken)
    return named


def figure_files(figure: Figure, name: str) -> dict[str, bytes]:
    """A figure's files, by their paths in the report's folder."""
    files = {f"figures/{name}.png": figure.png, f"figures/{name}.pdf": figure.pdf}
    return {path: content for path, content in files.items() if content}


def record_report(report: Report, files: Iterable[str] = ()) -> dict[str, Any]:
    """A report as JSON has it: numbers with all digits, NaN as null, infinity as "Infinity".

    Args:
        files: The other files in the report's folder.

    Raises:
        InputError: The report's record holds something that JSON has no word for.

    Examples:
        >>> sorted(record_report(report))[:3]
        ['files', 'record', 'results']
    """
    named = name_figures(report)
    return {
        "version": VERSION,
        "title": report.title,
        "summary": list(report.summary),
        "setting": dict(report.setting),
        "sections": [_record_section(section, named) for section in report.sections],
        "record": make_strict(report.record),
        "results": [make_strict(result.to_json()) for result in report.results],
        "files": list(files),
    }


def read_record(path: Path) -> Recorded:
    """The record in a report's folder, or in its report.json.

    Raises:
        UnreadableFile: It is no JSON, or no report's record.
        TooLarge: It is beyond any report.
    """
    file = path / RECORD if path.is_dir() else path
    try:
        if (size := file.stat().st_size) > MOST_BYTES:
            raise TooLarge(f"{file} has {size} bytes, and {MOST_BYTES} are the limit")
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        what = f"{path} holds no report" if path.exists() else f"there is no {path}"
        raise UnreadableFile(f"{what}: give the folder that an evaluation wrote") from error
    except (OSError, ValueError, RecursionError) as error:
        raise UnreadableFile(
            f"{file} cannot be read as a report: {error}; give the folder that an evaluation wrote"
        ) from error
    if not isinstance(found, dict) or found.get("version") != VERSION:
        said = found.get("version") if isinstance(found, dict) else type(found).__name__
        raise UnreadableFile(
            f"{file} is no report of the kind {VERSION}, but says {str(said)[:80]!r}: "
            "run the evaluation again with this version of plica"
        )
    return _understand(found, file)


def _understand(found: dict[str, Any], file: Path) -> Recorded:
    try:
        return Recorded(
            name=file.parent.resolve().name or str(file),
            title=str(found["title"]),
            setting={str(key): str(value) for key, value in found["setting"].items()},
            record=dict(found["record"]),
            results=Results(tuple(Result.from_json(record) for record in found["results"])),
        )
    except (KeyError, TypeError, ValueError, AttributeError, InputError) as error:
        raise UnreadableFile(f"{file} is a damaged report: {error}") from error


def make_strict(thing: Any) -> Any:
    """The same in words that strict JSON has.

    Raises:
        InputError: It has none for this.
    """
    if thing is None or isinstance(thing, bool | str | int):
        return thing
    if isinstance(thing, float | np.floating):
        return _strict_number(float(thing))
    if isinstance(thing, np.generic | np.ndarray):
        return make_strict(thing.tolist())
    if isinstance(thing, Mapping):
        return {str(key): make_strict(value) for key, value in thing.items()}
    if isinstance(thing, list | tuple | set | frozenset):
        return [make_strict(value) for value in thing]
    if isinstance(thing, Path):
        return str(thing)
    if is_dataclass(thing) and not isinstance(thing, type):
        return make_strict(asdict(thing))
    raise InputError(f"a report's record cannot hold a {type(thing).__name__}: {thing!r:.80}")


def _strict_number(value: float) -> float | str | None:
    if math.isnan(value):
        return None
    return value if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")


def _record_section(section: Section, named: Mapping[Figure, str]) -> dict[str, Any]:
    return {
        "title": section.title,
        "prose": list(section.prose),
        "tables": [_record_table(table) for table in section.tables],
        "figures": [_record_figure(figure, named[figure]) for figure in section.figures],
    }


def _record_table(table: Table) -> dict[str, Any]:
    return {
        "title": table.title,
        "columns": list(table.columns),
        "rows": [list(row) for row in table.rows],
        "caption": table.caption,
    }


def _record_figure(figure: Figure, name: str) -> dict[str, Any]:
    return {
        "name": figure.name,
        "caption": figure.caption,
        "alt": figure.alt,
        "files": list(figure_files(figure, name)),
    }

"""Publish: a report as a folder to open in a browser, to cite, and to compute with."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from plica.errors import MissingExtra, OutputError
from plica.evaluation.casebook import (
    COLUMNS,
    list_facts,
    list_values,
    show_cases,
    show_failures,
    show_metrics,
    write_csv,
    write_parquet,
)
from plica.evaluation.html import write_html
from plica.evaluation.markdown import write_markdown
from plica.evaluation.record import RECORD, figure_files, name_figures, record_report
from plica.evaluation.report import Report, Section
from plica.formats.atomic import new_folder

PAGE = "index.html"
RUN = "run"
"""A run's own folder may lie in the report's: it is neither foreign nor ours to replace."""

Files = dict[str, bytes]


def publish(report: Report, folder: Path, *, overwrite: bool = False) -> Path:
    """Write a report's folder: the page, and the same as Markdown, JSON, CSV and Parquet.

    All of it is made before anything is replaced, and the page comes last: whoever finds a page
    finds all that it speaks of. Files of others in the folder are left alone.

    Args:
        folder: A new one, an empty one, or one that holds nothing but a run.
        overwrite: Whether an earlier report in it is replaced.

    Returns:
        The page.

    Raises:
        OutputError: The folder holds other things and `overwrite` is false, or cannot be written.
        InputError: The report's record holds something that JSON has no word for.

    Examples:
        >>> publish(report, Path("report")).name
        'index.html'
    """
    refuse_folder(folder, overwrite=overwrite)
    files = compose(report)
    if not folder.exists() or not any(folder.iterdir()):
        with new_folder(folder) as part:
            _write(files, part)
    else:
        _replace(files, folder)
    return folder / PAGE


def refuse_folder(folder: Path, *, overwrite: bool = False) -> None:
    """Stop before any work where a report would have no place.

    Raises:
        OutputError: It is a file, or holds something other than a run and `overwrite` is false.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise OutputError(f"{folder} is a file, but a report is a folder; choose another name")
    others = sorted(path.name for path in folder.iterdir() if path.name != RUN)
    if others and not overwrite:
        raise OutputError(
            f"{folder} holds {others[0]}"
            + (f" and {len(others) - 1} more" if len(others) > 1 else "")
            + " already; choose another folder or say overwrite=True"
        )


def compose(report: Report) -> Files:
    """All files of a report by their paths in its folder; the page is the last.

    Raises:
        InputError: The report's record holds something that JSON has no word for.
    """
    named = name_figures(report)
    files: Files = {}
    for figure, name in named.items():
        files |= figure_files(figure, name)
    remark = _add_tables(report, files)
    beside = [path for path in files if "/" not in path]
    sections = _all_sections(report, remark)
    listed = ["report.md", RECORD, *beside]
    record = record_report(report, [PAGE, "report.md", RECORD, *files])
    files["report.md"] = write_markdown(report, sections, named, listed[1:]).encode("utf-8")
    text = json.dumps(record, ensure_ascii=True, allow_nan=False, indent=1)
    files[RECORD] = text.encode("ascii") + b"\n"
    files[PAGE] = write_html(report, sections, show_cases(report.results), named, listed).encode(
        "utf-8"
    )
    return files


def _add_tables(report: Report, files: Files) -> str:
    """Add the cases' tables; says which is missing and why."""
    if not len(report.results):
        return ""
    files["cases.csv"] = write_csv(COLUMNS, list_values(report.results))
    files["facts.csv"] = write_csv(*list_facts(report.results))
    try:
        files["cases.parquet"] = write_parquet(report.results)
    except MissingExtra as error:
        return f"There is no cases.parquet: {error}."
    return ""


def _all_sections(report: Report, remark: str) -> list[Section]:
    """The report's sections and those that its results make; what is missing is said."""
    made = [show_failures(report.results), show_metrics(report.results)]
    more = [Section("What is missing", (remark,))] if remark else []
    return [*report.sections, *(section for section in made if section is not None), *more]


# -- on disk ---------------------------------------------------------------------------------------


def _write(files: Mapping[str, bytes], folder: Path) -> None:
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def _replace(files: Mapping[str, bytes], folder: Path) -> None:
    """Put files in a folder that holds others: all are on disk before the first is replaced."""
    stale = _earlier(folder) - files.keys()
    try:
        part = Path(tempfile.mkdtemp(prefix=".report.", suffix=".part", dir=folder))
        try:
            _write(files, part)
            for path in files:
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                os.replace(part / path, folder / path)  # noqa: PTH105 - as in formats.atomic
        finally:
            shutil.rmtree(part, ignore_errors=True)
        for path in stale:
            (folder / path).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"the report in {folder} cannot be written: {error.strerror or error}"
        ) from error


def _earlier(folder: Path) -> set[str]:
    """What an earlier report in the folder wrote, in words of its own record."""
    try:
        files = json.loads((folder / RECORD).read_text(encoding="utf-8"))["files"]
        named = {str(path) for path in files}
    except (OSError, ValueError, KeyError, TypeError):
        return set()  # there is none, or it is not ours: then nothing of it is taken away
    return {path for path in named if _is_ours(path)}


def _is_ours(path: str) -> bool:
    """Whether a report could have written this: a record from elsewhere cannot name other files."""
    name = path.removeprefix("figures/")
    endings = (".png", ".pdf") if path != name else (".csv", ".parquet")
    return "/" not in name and "\\" not in name and name.endswith(endings)

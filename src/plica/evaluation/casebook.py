"""Casebook: results case by case, as rows for CSV and Parquet and as tables for people."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from plica.errors import MissingExtra
from plica.evaluation.record import make_strict
from plica.evaluation.report import Section, Table
from plica.evaluation.results import Result, Results
from plica.evaluation.text import head_value, name_case, say_number, tame_cell
from plica.metrics.metric import Value

WHERE = ("patient", "study", "series", "group", "codec", "draw")
COLUMNS = (
    *WHERE, "metric", "value", "unit", "better", "data_range", "note"
)  # fmt: skip
MOST_SHOWN = 1500  # rows a page still scrolls through; the files have all

Row = tuple[Any, ...]


def list_values(results: Results) -> Iterator[Row]:
    """One row for each case, codec, draw and metric, under `COLUMNS`."""
    for result in results:
        for v in result.values:
            yield (
                *_where(result), v.metric, v.value, v.unit, v.better, v.data_range, v.note
            )  # fmt: skip


def list_facts(results: Results) -> tuple[tuple[str, ...], list[Row]]:
    """Columns and rows of all that was counted besides: one row for each case, codec and draw."""
    names = tuple(dict.fromkeys(name for result in results for name in result.facts))
    rows = [
        (*_where(result), result.error, *(_plain(result.facts.get(name)) for name in names))
        for result in results
    ]
    return (*WHERE, "error", *names), rows


def write_csv(columns: Sequence[str], rows: Iterable[Row]) -> bytes:
    """A CSV file: numbers with all digits, text that no spreadsheet takes for a formula."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([tame_cell(name) for name in columns])
    writer.writerows([_spell(cell) for cell in row] for row in rows)
    return out.getvalue().encode("utf-8")


def write_parquet(results: Results) -> bytes:
    """The values as a Parquet file.

    Raises:
        MissingExtra: pyarrow is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtra("writing Parquet tables", "pyarrow", "tables") from error
    kinds = {"draw": pyarrow.int64(), "value": pyarrow.float64(), "data_range": pyarrow.float64()}
    schema = pyarrow.schema([(name, kinds.get(name, pyarrow.string())) for name in COLUMNS])
    rows = [tuple(_storable(cell) for cell in row) for row in list_values(results)]
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(COLUMNS)
    arrays = [
        pyarrow.array(column, type=field.type)
        for column, field in zip(columns, schema, strict=True)
    ]
    out = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(arrays, schema=schema), out)
    return out.getvalue()


# -- for people ------------------------------------------------------------------------------------


def show_failures(results: Results) -> Section | None:
    """What failed and why; None where nothing did."""
    failures = results.failures
    if not len(failures):
        return None
    rows = tuple((name_case(r.case), r.codec, r.group, r.error) for r in failures)
    return Section(
        title="What failed",
        prose=(
            f"{len(rows)} of {len(results)} results are missing. They are left out of every "
            "number above.",
        ),
        tables=(
            Table("Refusals, each with its reason", ("case", "codec", "group", "reason"), rows),
        ),
    )


def show_metrics(results: Results) -> Section | None:
    """What each metric is; None where there is none."""
    if not results.metrics:
        return None
    rows = tuple(_explain(results, metric) for metric in results.metrics)
    return Section(
        title="What the numbers mean",
        tables=(Table("Metrics", ("metric", "unit", "better", "data range", "definition"), rows),),
    )


def show_cases(results: Results) -> list[Table]:
    """A table for each group: a row for each case, codec and draw, a column for each metric."""
    tables = []
    left = MOST_SHOWN
    for group in results.groups:
        found = results.of(group=group)
        shown = found.all[: max(left, 0)]
        left -= len(shown)
        if shown:
            tables.append(_tabulate(group, found, shown))
    return tables


def _tabulate(group: str, found: Results, shown: Sequence[Result]) -> Table:
    metrics = found.metrics
    several = any(result.draw for result in found)
    cases = len({result.case for result in found})
    heads = [head_value(found.describe(metric)) for metric in metrics]
    rows = tuple(
        (name_case(r.case), r.codec, *([str(r.draw)] if several else []), *_cells(r, metrics))
        for r in shown
    )
    hidden = len(found) - len(shown)
    more = f"; {hidden} more rows stand in cases.csv" if hidden else ""
    return Table(
        title=group or "All cases",
        columns=("case", "codec", *(["draw"] if several else []), *heads),
        rows=rows,
        caption=f"{cases} cases, {len(found.codecs)} codecs{more}.",
    )


def _cells(result: Result, metrics: Sequence[str]) -> list[str]:
    values = (result.value(metric) for metric in metrics)
    return [say_number(None if value is None else value.value) for value in values]


def _explain(results: Results, metric: str) -> tuple[str, ...]:
    values = [v for r in results if (v := r.value(metric)) is not None]
    units = dict.fromkeys(v.unit for v in values)
    return (
        metric,
        ", ".join(units),
        values[0].better,
        _say_ranges(values),
        values[0].definition,
    )


def _say_ranges(values: Sequence[Value]) -> str:
    ranges = sorted({v.data_range for v in values if v.data_range is not None})
    if not ranges:
        return "needs none"
    if len(ranges) == 1:
        return f"{ranges[0]:g}"
    return f"of each image: {ranges[0]:g} to {ranges[-1]:g}"


# -- cells -----------------------------------------------------------------------------------------


def _where(result: Result) -> Row:
    return (*result.case, result.group, result.codec, result.draw)


def _plain(fact: Any) -> Any:
    """A fact as one cell: what has parts becomes JSON."""
    strict = make_strict(fact)
    return json.dumps(strict, ensure_ascii=False) if isinstance(strict, dict | list) else strict


def _spell(cell: Any) -> str:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if isinstance(cell, bool | int | float):
        return repr(cell)
    return tame_cell(str(cell))


def _storable(cell: Any) -> Any:
    if isinstance(cell, float) and math.isnan(cell):
        return None
    return cell.encode("utf-8", "backslashreplace").decode() if isinstance(cell, str) else cell

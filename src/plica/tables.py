"""Tables: rows of a CSV, TSV or Parquet file as strings by column name, bounded and checked."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from plica.errors import InputError, MissingExtra, TooLarge

Row = dict[str, str]

MOST_BYTES = 1 << 29
"""Of a table on disk, and of a Parquet table unpacked."""

MOST_ROWS = 5_000_000
MOST_COLUMNS = 1000
_AT_ONCE = 1024
_SEPARATORS = {".tsv": "\t"}


def read_table(path: Path, columns: tuple[str, ...] = (), *, otherwise: str = "") -> list[Row]:
    """All rows of a table; what is empty is "".

    Parquet by its ending, TSV by its, all else is CSV; text is UTF-8.

    Args:
        columns: That it must have.
        otherwise: What can be done where one is lacking; ends the error.

    Raises:
        InputError: It cannot be read, lacks a column, or is no table.
        TooLarge: It is beyond any list of images.
        MissingExtra: Parquet needs pyarrow.

    Examples:
        read_table(Path("images.csv"), ("path",))
    """
    try:
        size = path.stat().st_size
    except (OSError, ValueError) as error:
        raise InputError(f"the table {path} cannot be read: {error}") from error
    if size > MOST_BYTES:
        raise TooLarge(f"the table {path.name} has {size} bytes, and {MOST_BYTES} are the limit")
    reading = _read_parquet if path.suffix.lower() == ".parquet" else _read_text
    names, rows = reading(path)
    _check_header(path, names, columns, otherwise)
    return list(_bounded(path, rows))


def _check_header(path: Path, names: list[str], columns: tuple[str, ...], otherwise: str) -> None:
    if lacking := sorted(set(columns) - set(names)):
        has = f"{path.name} lacks the column {', '.join(lacking)}; it has: {', '.join(names[:20])}"
        raise InputError(f"{has}; {otherwise}" if otherwise else has)
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"{path.name} has two columns called {', '.join(twice)}; rename one")


def _bounded(path: Path, rows: Iterator[Row]) -> Iterator[Row]:
    for number, row in enumerate(rows):
        if number >= MOST_ROWS:
            raise TooLarge(f"the table {path.name} has more than {MOST_ROWS} rows")
        yield row


# -- text ----------------------------------------------------------------------------------------


def _read_text(path: Path) -> tuple[list[str], Iterator[Row]]:
    lines = _lines(path)
    names = next(lines, [])
    if len(names) > MOST_COLUMNS:
        raise TooLarge(f"the table {path.name} has {len(names)} columns; {MOST_COLUMNS} may be")
    return names, _paired(path, names, lines)


def _lines(path: Path) -> Iterator[list[str]]:
    separator = _SEPARATORS.get(path.suffix.lower(), ",")
    try:
        # Spreadsheets put a byte order mark first.
        with path.open(newline="", encoding="utf-8-sig") as file:
            yield from csv.reader(file, delimiter=separator, strict=True)
    except UnicodeDecodeError as error:
        raise InputError(
            f"the table {path} cannot be read: its text is not UTF-8; save it as UTF-8 (in a "
            "spreadsheet 'CSV UTF-8')"
        ) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"the table {path} cannot be read: {reason.lower()}") from error
    except csv.Error as error:
        raise InputError(f"the table {path} cannot be read: {error}") from error


def _paired(path: Path, names: list[str], lines: Iterator[list[str]]) -> Iterator[Row]:
    for number, cells in enumerate(lines, start=2):
        if not cells:
            continue
        if len(cells) != len(names):
            raise InputError(
                f"{path.name}, line {number}: the row has another number of cells than the header"
            )
        yield dict(zip(names, cells, strict=True))


# -- Parquet -------------------------------------------------------------------------------------


def _read_parquet(path: Path) -> tuple[list[str], Iterator[Row]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtra("reading Parquet tables", "pyarrow", "tables") from error
    try:
        file = pyarrow.parquet.ParquetFile(path)
        facts = file.metadata
        unpacked = sum(facts.row_group(n).total_byte_size for n in range(facts.num_row_groups))
        if unpacked > MOST_BYTES or facts.num_rows > MOST_ROWS or facts.num_columns > MOST_COLUMNS:
            raise TooLarge(
                f"the table {path.name} unpacks to {unpacked} bytes in {facts.num_rows} rows and "
                f"{facts.num_columns} columns: beyond any list of images"
            )
        schema = file.schema_arrow
        for field in schema:
            _check_kind(path, field.name, field.type)
        rows = list(_spell(path, file.iter_batches(batch_size=_AT_ONCE)))
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise InputError(f"the table {path} cannot be read: {error}") from error
    return list(schema.names), iter(rows)


def _check_kind(path: Path, name: str, kind: Any) -> None:
    import pyarrow.types

    if pyarrow.types.is_nested(kind) or pyarrow.types.is_binary(kind):
        raise InputError(f"{path.name}: the column {name} holds {kind}, not text or numbers")


def _spell(path: Path, batches: Iterable[Any]) -> Iterator[Row]:
    """Rows as text; nothing is ""."""
    taken = 0
    for batch in batches:
        # A repeated text is stored once: only now does it show how long the rows are.
        taken += batch.nbytes
        if taken > MOST_BYTES:
            raise TooLarge(f"the table {path.name} unpacks to more than {MOST_BYTES} bytes")
        columns = [["" if x is None else str(x) for x in c.to_pylist()] for c in batch.columns]
        for row in zip(*columns, strict=True):
            yield dict(zip(batch.schema.names, row, strict=True))

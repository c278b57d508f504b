"""Labels for the latents of a store, joined from a table or a cohort; what does not fit fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plica.cohort import Cohort
from plica.errors import InputError
from plica.formats.store import Store
from plica.tables import Row, read_table

Value = str | int | float


@dataclass(frozen=True)
class Labels:
    """What is known of each latent beside its codes.

    Args:
        table: CSV, TSV or Parquet with one row per latent; or a cohort, whose labels, patient and
            split are taken.
        on: The index's column that says which row belongs to which latent.
        column: The table's column of the same values.
        kinds: Which columns to take, and as what: {"finding": float}. None takes all as text.
        subset: Whether latents without a row are left out. Otherwise they are an error. A row
            without a latent always is.

    Example:
        Labels("labels.csv", kinds={"finding": float, "patient": str})
    """

    table: str | PathLike[str] | Cohort
    on: str = "source"
    column: str = "path"
    kinds: Mapping[str, type[Value]] | None = None
    subset: bool = False

    @property
    def name(self) -> str:
        """What the labels are called in messages."""
        return "the cohort" if isinstance(self.table, Cohort) else Path(self.table).name


@dataclass(frozen=True)
class Joined:
    """Labels of some latents of a store.

    Args:
        numbers: Which latents, ascending.
        values: By column, one for each of them.
    """

    numbers: NDArray[np.int64]
    values: Mapping[str, Sequence[Value]]


def join(labels: Labels, store: Store) -> Joined:
    """Find the latent of each row, and the row of each latent.

    Raises:
        InputError: A row has no latent, a latent no row, something stands twice, a column is
            missing, or a value is not of its kind.
    """
    rows = _read(labels)
    row_of = {row[labels.column]: n for n, row in enumerate(rows)}
    if len(row_of) < len(rows):
        twice = _first_twice([row[labels.column] for row in rows])
        raise InputError(f"{labels.name} has two rows of {labels.column} {twice!r}; keep one")
    numbers, order, without = _find(labels, store, row_of)
    if len(order) < len(rows):
        lost = next(iter(set(range(len(rows))) - set(order)))
        raise InputError(
            f"{len(rows) - len(order)} of {len(rows)} rows of {labels.name} have no latent in the "
            f"store, such as {labels.column} {rows[lost][labels.column]!r}; compare it with the "
            f"index's column {labels.on!r}, or encode what is missing"
        )
    if without and not labels.subset:
        raise InputError(
            f"{len(without)} latents have no row in {labels.name}, such as {labels.on} "
            f"{without[0]!r}; add them, or say subset=True to leave such latents out"
        )
    values = {
        name: [_convert(rows[n], name, kind, labels) for n in order]
        for name, kind in _choose(labels, rows).items()
    }
    return Joined(np.array(numbers, np.int64), values)


def _read(labels: Labels) -> list[Row]:
    if isinstance(labels.table, Cohort):
        rows = [
            {**case.labels, "patient": case.patient, "split": case.split} for case in labels.table
        ]
        if lacking := [row for row in rows if labels.column not in row]:
            raise InputError(
                f"{len(lacking)} cases of the cohort have no label {labels.column!r}; there are: "
                f"{', '.join(lacking[0])}"
            )
    else:
        rows = read_table(Path(labels.table), (labels.column, *(labels.kinds or ())))
    if not rows:
        raise InputError(f"{labels.name} has no rows: nothing is labelled")
    return rows


def _find(
    labels: Labels, store: Store, row_of: Mapping[str, int]
) -> tuple[list[int], list[int], list[str]]:
    """Numbers of latents that have a row, the rows, and what the other latents are called."""
    numbers: list[int] = []
    order: list[int] = []
    without: list[str] = []
    number = 0
    for table in store.tables((labels.on,)):
        for value in map(str, table.column(0).to_pylist()):
            row = row_of.get(value)
            if row is None:
                without.append(value)
            else:
                numbers.append(number)
                order.append(row)
            number += 1
    if len(set(order)) < len(order):
        twice = {row: value for value, row in row_of.items()}[int(_first_twice(order))]
        raise InputError(
            f"two latents of the store have the {labels.on} {twice!r}, a row is of one; join on "
            "a column that tells them apart"
        )
    return numbers, order, without


def _first_twice(values: Sequence[Value]) -> Value:
    seen: set[Value] = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return ""


def _choose(labels: Labels, rows: Sequence[Row]) -> Mapping[str, type[Value]]:
    if labels.kinds is None:
        return dict.fromkeys(rows[0], str)
    if unknown := sorted(set(labels.kinds) - set(rows[0])):
        raise InputError(
            f"{labels.name} has no column {', '.join(unknown)}; there are: {', '.join(rows[0])}"
        )
    return labels.kinds


def _convert(row: Row, name: str, kind: type[Value], labels: Labels) -> Value:
    try:
        return kind(row[name])
    except (KeyError, ValueError) as error:
        raise InputError(
            f"{labels.name}, {labels.column} {row[labels.column]!r}: {name} is "
            f"{row.get(name, '')!r}, but {kind.__name__} was expected"
        ) from error

"""Labels for the latents of a store, joined from a table or a cohort; what does not fit fails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from plica.cohort import Cohort
from plica.errors import InputError, SettingsError
from plica.formats.store import Store
from plica.formats.store_paths import LEDGER, open_paths
from plica.tables import Row, read_table

Value = str | int | float | np.generic
_BOOLEANS = (bool, np.bool_)
_TRUTHS = {"true": True, "false": False}
SOURCE = "source"
LEAVING_OUT = 'Labels(..., missing="leave-out")'
"""How rows without a latent are left out, as messages say it."""
_ABSENT = "no image of that path was in the archive when it was last looked through"
_UNASKED = (
    f"its image was not in the archive or failed, which {LEDGER} knew, and that does not lie "
    "beside the store"
)


@dataclass(frozen=True)
class Labels:
    """What is known of each latent beside its codes.

    Args:
        table: CSV, TSV or Parquet with one row per latent; or a cohort, whose labels, patient and
            split are taken.
        on: The index's column that says which row belongs to which latent. Where the index holds no
            paths, `source` is asked of the store's ledger (`ledger.sqlite`), which does.
        column: The table's column of the same values.
        kinds: Which columns to take, and as what: {"finding": float}. None takes all as text. A
            float comes as float32, as codes do; np.float64 keeps double precision. A bool is read
            from 0, 1, true and false, and these two are 1 and 0 where a number is asked for.
        subset: Whether latents without a row are left out. Otherwise they are an error. A row
            without a latent is another matter: see `missing`.
        missing: What to do with rows that have no latent, for their image is not in the archive or
            failed: "refuse", or "leave-out", which counts them. That no row has one is an error
            always.

    Examples:
        >>> labels = Labels("labels.csv", kinds={"finding": float, "patient": str})
        >>> plica.open_store("archive.store", labels=labels)[0]["finding"].dtype
        dtype('float32')
    """

    table: str | PathLike[str] | Cohort
    on: str = SOURCE
    column: str = "path"
    kinds: Mapping[str, type[Value]] | None = None
    subset: bool = False
    missing: Literal["refuse", "leave-out"] = "refuse"

    def __post_init__(self) -> None:
        if self.missing not in {"refuse", "leave-out"}:
            raise SettingsError(f"missing is 'refuse' or 'leave-out', but it is {self.missing!r}")
        for name, kind in (self.kinds or {}).items():
            if not isinstance(kind, type):
                raise SettingsError(
                    f"kinds says by a type what a column is, such as {{{name!r}: float}}, but it "
                    f"has {kind!r} for {name!r}: give float, int, str or a type of NumPy"
                )

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
        left_out: How many rows were left out, for they have no latent.
    """

    numbers: NDArray[np.int64]
    values: Mapping[str, Sequence[Value]]
    left_out: int = 0


def join(labels: Labels, store: Store) -> Joined:
    """Find the latent of each row, and the row of each latent.

    Raises:
        InputError: A row has no latent (unless such are left out, and some have one), a latent no
            row, something stands twice, a column is missing, or a value is not of its kind.
    """
    rows = _read(labels)
    row_of = {row[labels.column]: n for n, row in enumerate(rows)}
    if len(row_of) < len(rows):
        twice = _first_twice([row[labels.column] for row in rows])
        raise InputError(f"{labels.name} has two rows of {labels.column} {twice!r}; keep one")
    numbers, order, without = _find(labels, store, row_of)
    if len(order) < len(rows) and not (order and labels.missing == "leave-out"):
        lost = min(set(range(len(rows))) - set(order))
        path = rows[lost][labels.column]
        raise InputError(
            f"{len(rows) - len(order)} of {len(rows)} rows of {labels.name} have no latent in the "
            f"store, such as {labels.column} {path!r}; "
            + (
                _explain(labels, store, path)
                if order
                else _explain_all(labels, store, without, path)
            )
        )
    if without and not labels.subset:
        raise InputError(
            f"{len(without)} latents have no row in {labels.name}, such as {labels.on} "
            f"{without[0]!r}; add them, or leave such latents out by Labels(..., subset=True)"
        )
    values = {
        name: [_convert(rows[n], name, kind, labels) for n in order]
        for name, kind in _choose(labels, rows).items()
    }
    return Joined(np.array(numbers, np.int64), values, len(rows) - len(order))


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
    for number, value in enumerate(_name_latents(labels, store)):
        row = row_of.get(value)
        if row is None:
            without.append(value)
        else:
            numbers.append(number)
            order.append(row)
    if len(set(order)) < len(order):
        twice = {row: value for value, row in row_of.items()}[int(_first_twice(order))]
        raise InputError(
            f"two latents of the store have the {labels.on} {twice!r}, a row is of one; join on "
            "a column that tells them apart"
        )
    return numbers, order, without


def _name_latents(labels: Labels, store: Store) -> Iterator[str]:
    """What the column to join on says of each latent; a path it lacks is asked of the ledger."""
    if labels.on != SOURCE:
        for table in store.tables((labels.on,)):
            yield from map(str, table.column(0).to_pylist())
        return
    with open_paths(store.folder) as paths:
        columns = store.tables(("key", SOURCE))
        for shard, table in zip(store.shards, columns, strict=True):
            keys, sources = (table.column(name).to_pylist() for name in ("key", SOURCE))
            known = {} if paths is None or all(sources) else paths.of_shard(shard)
            yield from (
                source or known.get(key, "") for key, source in zip(keys, sources, strict=True)
            )


def _explain(labels: Labels, store: Store, path: str) -> str:
    """Why a row has no latent where others have theirs, and what to do."""
    if labels.on != SOURCE:
        told = _compare(labels)
    else:
        told = _ask_ledger(store, path, unknown=_ABSENT, silent=_UNASKED)
    return f"{told}: drop the row, or leave such rows out by {LEAVING_OUT}"


def _explain_all(labels: Labels, store: Store, without: Sequence[str], path: str) -> str:
    """Why no row at all has a latent, and what to do."""
    if labels.on != SOURCE:
        return _compare(labels)
    if told := _ask_ledger(store, path):
        return told
    like = next(filter(None, without), "")
    with open_paths(store.folder) as paths:
        if paths is not None:
            like = like or paths.example()
    if like or paths is not None or not without:
        return "paths begin below the archive's folder" + (f", such as {like!r}" if like else "")
    return (
        f"the index holds no paths (the store was made without --keep-paths) and {LEDGER}, which "
        "knows them, does not lie beside it: put it there, or join by key, which "
        "`plica bulk status STORE -o keys.csv` lists by path where the ledger is: "
        'Labels(..., on="key", column="key")'
    )


def _compare(labels: Labels) -> str:
    return f"compare it with the index's column {labels.on!r}, or encode what is missing"


def _ask_ledger(store: Store, path: str, *, unknown: str = "", silent: str = "") -> str:
    """What the ledger says of a path, or else: it does not know it, or it is not there."""
    with open_paths(store.folder) as paths:
        return silent if paths is None else paths.explain(path) or unknown


def _first_twice(values: Sequence[Value]) -> Value:
    return next(value for value, count in Counter(values).items() if count > 1)


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
        return _parse(row[name], kind)
    except (KeyError, ValueError, OverflowError) as error:
        raise InputError(
            f"{labels.name}, {labels.column} {row[labels.column]!r}: {name} is "
            f"{row.get(name, '')!r}, but {kind.__name__} was expected{_explain_kind(kind)}"
        ) from error


def _parse(text: str, kind: type[Value]) -> Value:
    """A cell as what it shall be; Parquet's booleans come as "True" and "False"."""
    truth = _TRUTHS.get(text.strip().lower())
    if issubclass(kind, _BOOLEANS):  # Python's own bool is True of any text, "0" too
        number = float(text) if truth is None else float(truth)
        if number not in {0.0, 1.0}:
            raise ValueError(f"{text} is neither")
        return kind(number)
    if issubclass(kind, int | float | np.number) and truth is not None:
        return kind(truth)
    with np.errstate(over="ignore"):
        value = kind(text)
        # A float is handed out as float32, where 1e300 would be infinite.
        seen = np.float32(value) if kind is float else value
    if isinstance(seen, float | np.inexact) and not np.isfinite(seen):
        raise ValueError(f"{text} is no finite number")
    return value


def _explain_kind(kind: type[Value]) -> str:
    if issubclass(kind, _BOOLEANS):
        return ": 0, 1, true or false"
    return ": a finite number" if issubclass(kind, float | np.inexact) else ""

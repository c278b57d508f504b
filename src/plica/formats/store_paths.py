"""Paths of a store's images, where its ledger lies beside it and the index does not hold them.

The ledger is what `plica bulk encode` remembers its work by (`plica.bulk.ledger`, which writes it);
here it is only asked, and need not be there.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from plica.errors import LatentError

LEDGER = "ledger.sqlite"
LEDGER_SCHEMA = 1
PATHS = "paths"
"""The setting of a store that says whether its index holds the images' paths, too."""


class StorePaths:
    """The paths a ledger knows.

    Args:
        db: Its connection; see `open_paths`.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def of_shard(self, shard: str) -> dict[str, str]:
        """Path by key of the series in a shard."""
        rows = self._db.execute(
            "SELECT key, path FROM series WHERE shard = ? AND state = 'done'", (shard,)
        )
        return dict(rows.fetchall())

    def below(self, folder: str) -> set[str]:
        """Keys of the series at a path or below it; of a copy, the key of the series it is of."""
        rows = self._db.execute(
            "SELECT CASE copy_of WHEN '' THEN key ELSE copy_of END FROM series "
            "WHERE path = :path OR substr(path, 1, length(:path) + 1) = :path || '/'",
            {"path": folder},
        )
        return {key for (key,) in rows.fetchall()}

    def explain(self, path: str) -> str:
        """What became of the image of a path that has no latent; empty where nobody knows it."""
        row = self._db.execute(
            "SELECT state, reason FROM series WHERE path = ? ORDER BY state", (path,)
        ).fetchone()
        if row is not None:
            state, reason = row
            said = "it failed" if state == "failed" else f"the ledger says '{state}' of it"
            return said + (f": {reason}" if reason else "")
        row = self._db.execute("SELECT reason FROM left_out WHERE path = ?", (path,)).fetchone()
        if row is not None:
            return f"it was left out: {row[0]}"
        return ""

    def example(self) -> str:
        """The path of one image that has a latent; empty where there is none."""
        row = self._db.execute("SELECT path FROM series WHERE state = 'done' LIMIT 1").fetchone()
        return "" if row is None else str(row[0])


def say_paths(folder: Path, settings: Mapping[str, Any]) -> str:
    """Where a store holds the paths of its images, which may name patients; "" where nowhere.

    Args:
        folder: The store's.
        settings: Its settings, as store.json has them.

    Examples:
        >>> say_paths(Path("nowhere"), {"paths": True})
        'index/'
    """
    kept = ["index/"] if settings.get(PATHS) else []
    return " and ".join(kept + ([LEDGER] if (folder / LEDGER).is_file() else []))


@contextmanager
def open_paths(folder: Path) -> Iterator[StorePaths | None]:
    """The paths of a store's ledger; None where none lies beside it.

    Raises:
        LatentError: The ledger is damaged, or of another plica.
    """
    place = folder / LEDGER
    if not place.is_file():
        yield None
        return
    # Where nobody can write, nothing changes: SQLite needs to be told, or it wants to write.
    # Reading only, it would leave behind the files it reads a ledger at work through.
    how = "mode=rw" if os.access(folder, os.W_OK) and os.access(place, os.W_OK) else "immutable=1"
    try:
        with closing(sqlite3.connect(f"{place.absolute().as_uri()}?{how}", uri=True)) as db:
            facts = dict(db.execute("SELECT name, value FROM facts").fetchall())
            check_schema(place, facts.get("schema"))
            yield StorePaths(db)
    except sqlite3.DatabaseError as error:
        raise LatentError(f"the ledger {place} cannot be read: {error}") from error


def check_schema(place: Path, schema: str | None) -> None:
    """Stop at a ledger of another schema.

    Raises:
        LatentError: It is of one.
    """
    if schema == str(LEDGER_SCHEMA):
        return
    if schema is not None and schema.isdecimal() and int(schema) > LEDGER_SCHEMA:
        raise LatentError(
            f"{place} was written by a newer plica (schema {schema}; this one knows "
            f"{LEDGER_SCHEMA}); update plica"
        )
    raise LatentError(f"{place} has schema {schema!r}, and {LEDGER_SCHEMA} was expected; damaged")

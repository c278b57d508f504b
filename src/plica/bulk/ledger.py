"""Ledger: what became of every series of an archive, on disk, in one SQLite file.

    waiting ──► done          in a shard that is on the disk
       ▲  │
       │  ├───► failed        with the reason; waits again only when that is asked for
       │  └───► gone          it was discovered, and its files are no more
       │
    duplicate                 the same DICOM series lies elsewhere, too
    scattered                 its images lie in several folders, and no folder holds the series

A shard is *open* from when its series were assigned to it until one transaction says that it is
done and what became of each of them. Nothing else decides whether a shard counts: a file of a shard
that is not done here is what a broken run left.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from plica.bulk.look import SPREAD, Look
from plica.bulk.naming import name_shard
from plica.bulk.planning import FIRST_SERIES, group
from plica.bulk.task import Death, Item, Made, Task
from plica.errors import LatentError, OutputError
from plica.formats.store_paths import LEDGER, LEDGER_SCHEMA, check_schema

DELETED = "its files are gone; its latent stays"
RENEWED = "its files have another size or time now; its latent is of what they were (--renew)"
STAYS = (
    "its files have another size or time now; its latent stays, for its shard also holds a series "
    "that cannot be encoded again"
)
BEGUN = "begun"  # the fact of when the last run began to encode
LOOKING = "looking"  # the fact that a run has not begun to encode yet
STATES = ("waiting", "done", "failed", "gone", "duplicate", "scattered")
_PAGE = 4096  # rows held at a time where all are gone through
# Finished shards with changed series, unless a latent would be lost: of files that are gone, or of
# a series of which only a part would be read.
_STALE = f"""SELECT shard FROM series WHERE state = 'done' AND changed AND shard NOT IN
    (SELECT shard FROM series WHERE state = 'done' AND (folder = '' OR reason = '{SPREAD}'))"""
_TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE folders (path TEXT PRIMARY KEY, signature TEXT NOT NULL, seen INTEGER NOT NULL)
    WITHOUT ROWID;
CREATE TABLE series (
    key TEXT PRIMARY KEY, folder TEXT NOT NULL, path TEXT NOT NULL, part TEXT,
    files TEXT NOT NULL, bytes INTEGER NOT NULL, signature TEXT NOT NULL,
    instances TEXT NOT NULL, copy_of TEXT NOT NULL, state TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '', shard TEXT NOT NULL DEFAULT '',
    deaths INTEGER NOT NULL DEFAULT 0, suspect INTEGER NOT NULL DEFAULT 0,
    changed INTEGER NOT NULL DEFAULT 0, seconds REAL NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX series_by_state ON series (state, shard, key);
CREATE INDEX series_by_folder ON series (folder);
CREATE INDEX series_by_shard ON series (shard);
CREATE INDEX series_by_original ON series (copy_of) WHERE copy_of != '';
CREATE TABLE shards (
    name TEXT PRIMARY KEY, number INTEGER NOT NULL, state TEXT NOT NULL,
    bytes INTEGER NOT NULL DEFAULT 0, index_sha256 TEXT NOT NULL DEFAULT '',
    series INTEGER NOT NULL DEFAULT 0, booked REAL NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX shards_by_state ON shards (state, number);
CREATE TABLE left_out (path TEXT PRIMARY KEY, folder TEXT NOT NULL, reason TEXT NOT NULL)
    WITHOUT ROWID;
CREATE INDEX left_out_by_folder ON left_out (folder);
"""


@dataclass(frozen=True)
class ShardRow:
    """A finished shard as the ledger has it."""

    name: str
    bytes: int
    index_sha256: str


class Ledger:
    """The ledger of one store.

    Args:
        folder: The store's.

    Raises:
        OutputError: It cannot be made or written.
        LatentError: What is there is no ledger, or a newer one.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LEDGER
        # Where nobody can write, nothing changes: SQLite needs to be told, or it wants to write.
        fixed = self.path.is_file() and not os.access(folder, os.W_OK)
        place = f"{self.path.absolute().as_uri()}?immutable=1" if fixed else str(self.path)
        with self._naming(), ExitStack() as opened:
            self._db = sqlite3.connect(place, isolation_level=None, timeout=60, uri=fixed)
            opened.callback(self._db.close)
            if not fixed:
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=FULL")
            if self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
                self._make()
            self._check()
            opened.pop_all()

    def _make(self) -> None:
        with self.transaction():
            for statement in _TABLES.split(";"):
                self._db.execute(statement)
            self._db.execute("INSERT INTO facts VALUES ('schema', ?)", (str(LEDGER_SCHEMA),))

    def _check(self) -> None:
        try:
            schema = self.facts().get("schema")
        except sqlite3.DatabaseError as error:
            raise LatentError(f"{self.path} is no ledger of a store ({error})") from error
        check_schema(self.path, schema)

    @contextmanager
    def _naming(self) -> Iterator[None]:
        """SQLite says what happened; the user needs to know to which file."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise OutputError(f"the ledger {self.path} cannot be written: {error}") from error
        except sqlite3.DatabaseError as error:
            raise LatentError(f"the ledger {self.path} is damaged: {error}") from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it, or nothing."""
        with self._naming():
            self._db.execute("BEGIN IMMEDIATE")
            whole = False
            try:
                yield
                self._db.execute("COMMIT")
                whole = True
            finally:
                if not whole and self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self.close()
        if isinstance(error, sqlite3.DatabaseError):
            with self._naming():
                raise error

    # -- facts -----------------------------------------------------------------------------------

    def facts(self) -> dict[str, str]:
        """What was noted of the store as a whole."""
        return dict(self._db.execute("SELECT name, value FROM facts").fetchall())

    def note(self, name: str, value: str) -> None:
        """Note something of the store as a whole."""
        with self.transaction():
            self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    # -- discovery -------------------------------------------------------------------------------

    @contextmanager
    def looking(self) -> Iterator[Look]:
        """A look through the archive; what was recorded stays, however it ends."""
        look = Look(self._db, int(self.facts().get("looks", "0")) + 1)
        self.note("looks", str(look.number))
        with self._naming():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield look
            finally:
                # Folders that were looked into stay known: an interrupted look goes on.
                if self._db.in_transaction:
                    self._db.execute("COMMIT")

    # -- planning --------------------------------------------------------------------------------

    def plan(self, *, most_series: int, most_bytes: int, most: int | None = None) -> int:
        """Assign each waiting series that has none to a shard; says how many shards came.

        Series are taken by key, so that the same archive makes the same shards. It is one
        transaction: there is no half-made plan. The first shards of a store are small ones.

        Args:
            most_series: In a shard.
            most_bytes: Of the files of a shard's series.
            most: So many series at most; the others wait for another plan.
        """
        made = 0
        with self.transaction():
            number = self._db.execute("SELECT coalesce(max(number), 0) FROM shards").fetchone()[0]
            planned = group(
                islice(self._unplanned(), most),
                most_series=most_series,
                most_bytes=most_bytes,
                first_series=FIRST_SERIES if number == 0 else None,
            )
            for name, keys in planned:
                made += 1
                # Series that failed and are tried again may make up the very shard they did.
                while self._has_shard(name):
                    name = name_shard([name, *keys])
                self._db.execute(
                    "INSERT INTO shards (name, number, state) VALUES (?, ?, 'open')",
                    (name, number + made),
                )
                self._db.executemany(
                    "UPDATE series SET shard = ? WHERE key = ?", ((name, key) for key in keys)
                )
        return made

    def _unplanned(self) -> Iterator[tuple[str, int]]:
        """Key and bytes of each series that waits and has no shard, by key."""
        last = ""
        while rows := self._db.execute(
            "SELECT key, bytes FROM series WHERE state = 'waiting' AND shard = '' AND key > ? "
            "ORDER BY key LIMIT ?",
            (last, _PAGE),
        ).fetchall():
            yield from rows
            last = rows[-1][0]

    def _has_shard(self, name: str) -> bool:
        return (
            self._db.execute("SELECT 1 FROM shards WHERE name = ?", (name,)).fetchone() is not None
        )

    def tasks(self) -> Iterator[Task]:
        """Shards that are open, in the order they were planned."""
        last = -1
        while True:
            row = self._db.execute(
                "SELECT name, number FROM shards WHERE state = 'open' AND number > ? "
                "ORDER BY number LIMIT 1",
                (last,),
            ).fetchone()
            if row is None:
                return
            name, last = row
            yield self.task(name)

    def task(self, shard: str) -> Task:
        """What is to be done for a shard."""
        return Task(shard, self._items(shard, "waiting"))

    def _items(self, shard: str, state: str) -> tuple[Item, ...]:
        rows = self._db.execute(
            "SELECT key, path, part, signature, suspect, bytes, files FROM series "
            "WHERE shard = ? AND state = ? ORDER BY key",
            (shard, state),
        )
        return tuple(
            Item(key, path, part, signature, bool(suspect), size, tuple(json.loads(files)))
            for key, path, part, signature, suspect, size, files in rows
        )

    def count_planned(self) -> int:
        """Series that wait in shards."""
        return self._count("series WHERE state = 'waiting' AND shard != ''")

    def count_open(self) -> int:
        """Shards that are open."""
        return self._count("shards WHERE state = 'open'")

    # -- what came of it -------------------------------------------------------------------------

    def book(self, made: Made) -> None:
        """A shard is on the disk: it and its series are done, or failed, from now on."""
        with self.transaction():
            self._book(made)

    def _book(self, made: Made) -> None:
        encoded = sum(not one.error for one in made.outcomes)
        self._db.execute(
            "UPDATE shards SET state = 'done', bytes = ?, index_sha256 = ?, series = ?, "
            "booked = ? WHERE name = ?",
            (made.bytes, made.index_sha256, encoded, time.time(), made.shard),
        )
        self._db.executemany(
            "UPDATE series SET state = ?, reason = ?, seconds = ?, suspect = 0 WHERE key = ?",
            (
                ("failed" if one.error else "done", one.error, one.seconds, one.key)
                for one in made.outcomes
            ),
        )

    def book_death(self, death: Death, *, most_deaths: int) -> dict[str, str]:
        """A worker died over these series; those it dies of alone too often have failed.

        Where it was at several at once, which of them it was is found out by doing each alone.

        Returns:
            The keys that have failed, with the reason. One that was done before stays done.
        """
        failed = {}
        with self.transaction():
            for key in death.keys:
                deaths = self._db.execute(
                    "SELECT deaths FROM series WHERE key = ? AND state IN ('waiting', 'done')",
                    (key,),
                ).fetchone()
                if deaths is None:
                    continue
                count = deaths[0] + death.alone
                self._db.execute(
                    "UPDATE series SET suspect = 1, deaths = ? WHERE key = ?", (count, key)
                )
                if count >= most_deaths:
                    said = f": {death.reason}" if death.reason else ""
                    failed[key] = f"the worker died {count} times over it{said}"
                    self._db.execute(
                        "UPDATE series SET state = 'failed', reason = ? "
                        "WHERE key = ? AND state = 'waiting'",
                        (failed[key], key),
                    )
        return failed

    def reopen(self, shard: str) -> None:
        """A finished shard that is no longer on the disk: its series wait again."""
        with self.transaction():
            self._db.execute("UPDATE shards SET state = 'open' WHERE name = ?", (shard,))
            self._db.execute(
                "UPDATE series SET state = 'waiting', changed = 0, reason = '' "
                "WHERE shard = ? AND state = 'done'",
                (shard,),
            )

    def retry_failed(self) -> int:
        """Let failed series wait again, in shards of their own; says how many."""
        with self.transaction():
            return self._db.execute(
                "UPDATE series SET state = 'waiting', reason = '', shard = '', deaths = 0, "
                "suspect = 0 WHERE state = 'failed'"
            ).rowcount

    # -- what is known ---------------------------------------------------------------------------

    def count(self) -> dict[str, int]:
        """How many series are in each state."""
        found = dict(self._db.execute("SELECT state, count(*) FROM series GROUP BY state"))
        return {state: int(found.get(state, 0)) for state in STATES}

    def count_changed(self) -> int:
        """Series that were encoded, and whose files have changed since."""
        return self._count(f"series WHERE state = 'done' AND (changed OR reason = '{SPREAD}')")

    def count_renewable(self) -> int:
        """Of them, those whose shards can be encoded again."""
        return self._count(f"series WHERE state = 'done' AND changed AND shard IN ({_STALE})")

    def count_renewing(self) -> int:
        """All series of the shards that can be encoded again."""
        return self._count(f"series WHERE state = 'done' AND shard IN ({_STALE})")

    def changed(self) -> Iterator[tuple[str, str, str]]:
        """Key, path and reason of each series in the store whose files are no longer those."""
        yield from self._db.cursor().execute(
            "SELECT key, path, CASE WHEN folder = '' THEN ? WHEN reason = ? THEN reason "
            f"WHEN shard IN ({_STALE}) THEN ? ELSE ? END FROM series WHERE state = 'done' "
            "AND (changed OR folder = '' OR reason = ?) ORDER BY path, key",
            (DELETED, SPREAD, RENEWED, STAYS, SPREAD),
        )

    def count_deleted(self) -> int:
        """Series that were encoded, and whose files are gone since."""
        return self._count("series WHERE state = 'done' AND folder = ''")

    def _count(self, which: str) -> int:
        return int(self._db.execute(f"SELECT count(*) FROM {which}").fetchone()[0])

    def stale(self) -> list[str]:
        """Finished shards with changed series, all of which can be encoded again.

        A shard that also holds a series whose files are gone, or lie in several folders now, stays:
        that latent would be lost.
        """
        return [name for (name,) in self._db.execute(f"{_STALE} GROUP BY shard ORDER BY shard")]

    def renewal(self, shard: str) -> Task:
        """What is to be done to make a finished shard again, under another name."""
        items = self._items(shard, "done")
        keys = [item.key for item in items]
        name = name_shard(keys)
        while self._has_shard(name):
            name = name_shard([name, *keys])
        return Task(name, items, whole=True)

    def replace(self, shard: str, made: Made) -> None:
        """A shard was made again and is on the disk: from now on it counts, and the old one not."""
        with self.transaction():
            self._db.execute("UPDATE shards SET name = ? WHERE name = ?", (made.shard, shard))
            self._db.execute(
                "UPDATE series SET shard = CASE state WHEN 'done' THEN ? ELSE '' END, changed = 0, "
                "deaths = 0 WHERE shard = ?",
                (made.shard, shard),
            )
            self._book(made)

    def keep(self, shard: str) -> None:
        """A finished shard cannot be made again and stays; nobody is suspected any more."""
        with self.transaction():
            self._db.execute("UPDATE series SET suspect = 0, deaths = 0 WHERE shard = ?", (shard,))

    def totals(self) -> Mapping[str, float]:
        """Bytes of files and of shards, and seconds of encoding, of what is done."""
        files, seconds = self._db.execute(
            "SELECT coalesce(sum(bytes), 0), coalesce(sum(seconds), 0) FROM series "
            "WHERE state = 'done'"
        ).fetchone()
        sizes = [one.bytes for one in self.shards()]
        return {"source_bytes": files, "seconds": seconds, "shards": len(sizes),
                "shard_bytes": sum(sizes)}  # fmt: skip

    def rate(self, through: int = 0, *, working: bool = False, seconds: float = 3600) -> float:
        """Series a second of the run that is at work, or of the last; 0 where nothing came of it.

        Args:
            through: Series that workers are through with, in shards not written yet.
            working: Whether a run is at work: its time goes on to this moment.
            seconds: Of its last so many seconds, or as long as the last shard took.
        """
        facts = self.facts()
        if working and facts.get(LOOKING):
            return 0.0
        begun = float(facts.get(BEGUN, "inf"))
        until = time.time() if working else self._find_booked(begun, float("inf"))
        # From one booking to another: series are encoded before they are booked, or told through.
        since = max(begun, self._find_booked(begun, until - seconds))
        row = self._db.execute("SELECT sum(series) FROM shards WHERE booked > ?", (since,))
        done = int(row.fetchone()[0] or 0) + through
        return done / (until - since) if until > since else 0.0

    def _find_booked(self, begun: float, until: float) -> float:
        """When the last shard was booked, between these times; 0 where none was."""
        row = self._db.execute(
            "SELECT max(booked) FROM shards WHERE booked BETWEEN ? AND ?", (begun, until)
        )
        return float(row.fetchone()[0] or 0)

    def failures(self) -> Iterator[tuple[str, str, str]]:
        """Key, path and reason of each series that failed."""
        yield from self.others("failed")

    def others(self, state: str) -> Iterator[tuple[str, str, str]]:
        """Key, path and reason of each series in a state."""
        yield from self._db.cursor().execute(
            "SELECT key, path, reason FROM series WHERE state = ? ORDER BY path, key", (state,)
        )

    def left_out(self) -> Iterator[tuple[str, str]]:
        """Path and reason of each file that is no image."""
        yield from self._db.cursor().execute("SELECT path, reason FROM left_out ORDER BY path")

    def places(self) -> Iterator[tuple[str, bool]]:
        """Where each series lies or was met last, and whether UIDs tell it wherever it lies."""
        yield from self._db.cursor().execute("SELECT path, instances != '' FROM series")

    def knows(self, key: str) -> bool:
        """Whether there is such a series."""
        row = self._db.execute("SELECT 1 FROM series WHERE key = ?", (key,))
        return row.fetchone() is not None

    def shards(self) -> Iterator[ShardRow]:
        """Finished shards that hold something."""
        rows = self._db.cursor().execute(
            "SELECT name, bytes, index_sha256 FROM shards WHERE state = 'done' AND bytes > 0 "
            "ORDER BY name"
        )
        yield from (ShardRow(*row) for row in rows)

    def is_done(self, shard: str) -> bool:
        """Whether a shard of this name counts."""
        row = self._db.execute(
            "SELECT 1 FROM shards WHERE name = ? AND state = 'done' AND bytes > 0", (shard,)
        )
        return row.fetchone() is not None

    def keys(self, shard: str) -> list[str]:
        """The series that a finished shard holds."""
        rows = self._db.execute(
            "SELECT key FROM series WHERE shard = ? AND state = 'done' ORDER BY key", (shard,)
        )
        return [key for (key,) in rows]

"""Renewing: a finished shard is made again beside itself, and goes only when its successor counts.

Nothing of it is planned in the ledger: until a successor is booked, the old shard is done and its
series are, whatever breaks a run off.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from plica.bulk.ledger import Ledger
from plica.bulk.task import Death, Made, Task
from plica.formats.store import Store


@dataclass(frozen=True)
class Kept:
    """A series that could not be encoded again, for which its old shard stays.

    Args:
        key: Its name.
        path: Where it lies, below the archive.
        reason: Why it could not.
    """

    key: str
    path: str
    reason: str


class Renewals:
    """Books what comes of tasks: those of open shards, and those that renew finished ones.

    Args:
        ledger: Of the store.
        store: The store's folder.
    """

    def __init__(self, ledger: Ledger, store: Path) -> None:
        self._ledger = ledger
        self._store = store
        self._old: dict[str, str] = {}  # by the successor's name, of those in work

    def tasks(self) -> Iterator[Task]:
        """The shards that can be renewed, one by one as they are asked for."""
        for old in self._ledger.stale():
            task = self._ledger.renewal(old)
            self._old[task.shard] = old
            yield task

    def book(self, made: Made) -> list[Kept]:
        """A shard is on the disk; the one it renews is removed.

        Returns:
            The series for which an old shard stays: then nothing of the new one was written.
        """
        old = self._old.pop(made.shard, None)
        if old is None:
            self._ledger.book(made)
            return []
        if errors := {one.key: one.error for one in made.outcomes if one.error}:
            return self._keep(old, errors)
        self._ledger.replace(old, made)
        Store.open(self._store).discard(old)
        return []

    def book_death(self, death: Death, *, most_deaths: int) -> tuple[Task | None, list[Kept]]:
        """A worker died over a shard.

        Returns:
            The shard's task to be done again, if it is, and the series for which an old one stays.
        """
        failed = self._ledger.book_death(death, most_deaths=most_deaths)
        old = self._old.get(death.shard)
        if old is None:
            return self._ledger.task(death.shard), []
        if failed:
            del self._old[death.shard]
            return None, self._keep(old, failed)
        return self._ledger.renewal(old), []

    def _keep(self, old: str, errors: dict[str, str]) -> list[Kept]:
        paths = {item.key: item.path for item in self._ledger.renewal(old).items}
        self._ledger.keep(old)
        return [Kept(key, paths[key], reason) for key, reason in errors.items()]

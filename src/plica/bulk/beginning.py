"""Beginning a store: one that a run made, and of which nothing came, goes again when it ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from plica.bulk.ledger import Ledger
from plica.bulk.lock import LOCK, hold
from plica.bulk.marker import FOLDER
from plica.errors import PlicaError
from plica.formats.store import Store
from plica.formats.store_facts import FACTS
from plica.formats.store_paths import LEDGER


@contextmanager
def removing_unused(folder: Path) -> Iterator[None]:
    """Leave no store behind that was not there before, and that knows of no series in the end.

    It would be bound to the archive it was begun with, which may have been the wrong one.

    Args:
        folder: The store's, which is made meanwhile.

    Examples:
        >>> identity = Store.open("archive.store").codec
        >>> with removing_unused(Path("wrong.store")):
        ...     begun = Store.create("wrong.store", codec=identity)
        >>> begun.folder.exists()
        False
    """
    known, there = (folder / FACTS).is_file(), folder.is_dir()
    try:
        yield
    finally:
        # A folder that is no store was refused, and holds somebody's files.
        if not known and (folder / FACTS).is_file():
            # Whoever else is at it, or cannot be written over, keeps what there is.
            with suppress(PlicaError, OSError):
                _remove_unused(folder, whole=not there)


def _remove_unused(folder: Path, *, whole: bool) -> None:
    with hold(folder):
        if (folder / LEDGER).is_file():
            with Ledger(folder) as ledger:
                if any(ledger.count().values()):
                    return
        store = Store.open(folder)
        for part in (store.shards_folder, store.index_folder, folder / FOLDER):
            if part.is_dir():
                part.rmdir()  # and nothing goes where it is not empty
        for name in (LEDGER, f"{LEDGER}-wal", f"{LEDGER}-shm", FACTS, LOCK):
            (folder / name).unlink(missing_ok=True)
    if whole:
        folder.rmdir()

"""What a store holds, so that two can be compared."""

from __future__ import annotations

import importlib.util
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from plica.formats.store import Store
from plica.formats.store_index import COLUMNS
from plica.formats.store_paths import LEDGER

# Not `importorskip`: Ray reads how quiet it should be when it is imported, which `RayCrew` does.
needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs Ray")


def contents(folder: Path) -> dict[str, object]:
    """Bytes of all shards, rows of all indices, and what became of each series."""
    store = Store.open(folder)
    columns = [name for name in COLUMNS if name != "seconds"]
    with closing(sqlite3.connect(folder / LEDGER)) as ledger:
        series = ledger.execute("SELECT key, path, state, reason, shard FROM series ORDER BY key")
        rows = series.fetchall()
    return {
        "shards": {path.name: path.read_bytes() for path in store.shards_folder.iterdir()},
        "index": sorted(store.rows(columns).to_pylist(), key=lambda row: row["key"]),
        "series": rows,
    }

"""Markers: what a worker is at, on disk, so that it is known when it dies."""

from __future__ import annotations

import json
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from plica.errors import OutputError

FOLDER = "work"


class Marker:
    """The series a worker is at for one shard, in a small file.

    Not synchronised to the disk: a process that dies leaves what it wrote to the system, and after
    a loss of power nobody is to blame.

    Args:
        store: The store's folder.
        shard: The shard's name.
    """

    def __init__(self, store: Path, shard: str) -> None:
        self._path = _place(store, shard)
        self._lock = threading.Lock()
        self._at: list[str] = []
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        try:
            self._path.parent.mkdir(exist_ok=True)
            self._handle = os.open(self._path, flags, 0o644)
        except OSError as error:
            raise self._refused(error) from error
        self._write()

    def begin(self, key: str) -> None:
        """The worker is at this series, too, from now on."""
        with self._lock:
            self._at.append(key)
            self._write()

    def end(self, key: str) -> None:
        """It is through with it."""
        with self._lock:
            self._at.remove(key)
            self._write()

    def _write(self) -> None:
        text = json.dumps({"pid": os.getpid(), "at": self._at}).encode()
        try:
            os.pwrite(self._handle, text + b"\n", 0)
            os.ftruncate(self._handle, len(text) + 1)
        except OSError as error:
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> OutputError:
        return OutputError(f"{self._path} cannot be written: {error.strerror or error}")

    def close(self) -> None:
        """Let go of the file; it stays for whoever asks."""
        os.close(self._handle)


def read_marker(store: Path, shard: str) -> dict[str, Any]:
    """The process that was last at a shard, and the series it was at; empty where none was."""
    with suppress(OSError, ValueError):
        said = json.loads(_place(store, shard).read_text(encoding="utf-8"))
        if isinstance(said, dict) and isinstance(said.get("at"), list):
            return said
    return {}


def remove_marker(store: Path, shard: str) -> None:
    """Forget who was at a shard."""
    _place(store, shard).unlink(missing_ok=True)


def _place(store: Path, shard: str) -> Path:
    return store / FOLDER / f"{shard}.json"

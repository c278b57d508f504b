"""Markers: what a worker is at, on disk, so that it is known when it dies."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Mapping
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
        self._through = self._bytes = 0
        self._begun = False
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        try:
            self._path.parent.mkdir(exist_ok=True)
            self._handle = os.open(self._path, flags, 0o644)
        except OSError as error:
            raise self._refused(error) from error
        self._write()

    def take_turn(self) -> None:
        """The shard is being encoded from now on, and no longer only read ahead."""
        with self._lock:
            self._begun = True
            self._write()

    def begin(self, key: str) -> None:
        """The worker is at this series, too, from now on."""
        with self._lock:
            self._at.append(key)
            self._write()

    def end(self, key: str, size: int = 0) -> None:
        """It is through with it, and its latent takes about so many bytes."""
        with self._lock:
            self._at.remove(key)
            self._through += 1
            self._bytes += size
            self._write()

    def _write(self) -> None:
        said = {"pid": os.getpid(), "at": self._at, "through": self._through, "bytes": self._bytes,
                "begun": self._begun}  # fmt: skip
        text = json.dumps(said).encode()
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


def count_through(store: Path, shards: Iterable[str] | None = None) -> tuple[int, int]:
    """Series that workers are through with, of shards that are not written yet, and their bytes.

    Args:
        store: The store's folder.
        shards: Which; None for all that were begun.

    Examples:
        >>> count_through(Path("archive.store"))
        (0, 0)
    """
    if shards is None:
        shards = [path.stem for path in (store / FOLDER).glob("[!.]*.json")]
    series = size = 0
    for shard in shards:
        said = read_marker(store, shard)
        series += _whole(said.get("through"))
        size += _whole(said.get("bytes"))
    return series, size


def count_begun(store: Path, shards: Mapping[str, int]) -> tuple[int, int]:
    """Of shards that were handed out: how many are being encoded, and what series of them is left.

    Args:
        store: The store's folder.
        shards: How many series each is to hold, by name.

    Examples:
        >>> count_begun(Path("archive.store"), {"shard": 16})  # nobody has begun it
        (0, 0)
    """
    begun = left = 0
    for shard, series in shards.items():
        said = read_marker(store, shard)
        if said.get("begun"):
            begun += 1
            left += max(0, series - _whole(said.get("through")))
    return begun, left


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0


def remove_marker(store: Path, shard: str) -> None:
    """Forget who was at a shard."""
    _place(store, shard).unlink(missing_ok=True)


def _place(store: Path, shard: str) -> Path:
    return store / FOLDER / f"{shard}.json"

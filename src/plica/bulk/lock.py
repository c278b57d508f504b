"""One driver for a store: a second is refused, whatever became of the first."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from plica.errors import OutputError

LOCK = "driver.lock"


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Be the only driver of the store in this folder.

    The operating system lets go of the lock when the process ends, however it ends; the file that
    is left behind holds nobody up. Between machines it holds where their file system shares locks
    (NFS 4, Lustre with `flock`); elsewhere, see to it yourself that one driver runs.

    Raises:
        OutputError: Another driver holds it, or the folder cannot be written.
    """
    path = folder / LOCK
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise OutputError(
                f"another driver works on {folder}{_say(read_owner(folder))}: wait for it, or stop "
                "it first"
            ) from error
        owner = {"host": socket.gethostname(), "pid": os.getpid(),
                 "since": datetime.now(UTC).isoformat(timespec="seconds")}  # fmt: skip
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(owner).encode(), 0)
        yield
        os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def find_driver(folder: Path) -> dict[str, Any]:
    """Who drives the store at this moment; empty where nobody does."""
    path = folder / LOCK
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return {}
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return read_owner(folder) or {"pid": 0}
    finally:
        os.close(handle)
    return {}


def read_owner(folder: Path) -> dict[str, Any]:
    """What the last driver wrote of itself; empty where it is not readable."""
    with suppress(OSError, ValueError):
        said = json.loads((folder / LOCK).read_text(encoding="utf-8") or "{}")
        if isinstance(said, dict):
            return said
    return {}


def _say(owner: dict[str, Any]) -> str:
    if not owner:
        return ""
    return f" (process {owner.get('pid')} on {owner.get('host')}, since {owner.get('since')})"

"""Cache: prepared images on disk, uncompressed, so that a crop costs a few pages and no decoding.

```text
<key>.npy    (channel, k, j, i), memory-mapped; a slice across k lies in one piece
<key>.json   its shape, checksum and what else is known; written last: without it, no entry
```
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from plica.errors import InputError, OutputError
from plica.formats.atomic import new_file

Array = NDArray[Any]
Precision = Literal["float32", "float16"]

LAYOUT = 1
"""Of the files; entries of another layout are made anew."""

# Headers that keep their voxels in a file beside them.
_PARTS = {
    ".mhd": (".raw", ".zraw"),
    ".nhdr": (".raw", ".raw.gz", ".gz"),
    ".hdr": (".img", ".img.gz"),
}
_PIECE = 1 << 24
_MOST_RECORD_BYTES = 1 << 24


class Entry(NamedTuple):
    """One prepared image on disk: the array, and what else is known of it, as JSON."""

    path: Path
    facts: Mapping[str, Any]


def open_pixels(path: Path) -> Array:
    """The pixels (channel, i, j, k) of an entry, memory-mapped and read-only.

    Not kept open: a cohort has more images than a process may have files.

    Raises:
        InputError: The entry was removed or cut since it was found.
    """
    try:
        stored = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError) as error:
        raise _lost(path, error) from error
    return stored.transpose(0, 3, 2, 1)


def read_facts(path: Path) -> Mapping[str, Any]:
    """What else is known of an entry.

    Raises:
        InputError: The entry was removed or cut since it was found.
    """
    record = _read_record(path.with_suffix(".json"))
    if record is None:
        raise _lost(path, None)
    facts: Mapping[str, Any] = record["facts"]
    return facts


def _lost(path: Path, error: Exception | None) -> InputError:
    return InputError(
        f"the prepared image {path} was removed or damaged while it was in use: start again, and "
        f"it is made anew{f' ({error})' if error else ''}"
    )


class Cache:
    """A folder of prepared images that several processes may share.

    Args:
        folder: Where; None takes `default_folder()`.
        precision: Type of the stored values.
    """

    def __init__(self, folder: Path | None = None, precision: Precision = "float32") -> None:
        self.folder = default_folder() if folder is None else folder
        self._dtype = np.dtype({"float32": "<f4", "float16": "<f2"}[precision])

    def fetch(self, identity: str, make: Callable[[], tuple[Array, Mapping[str, Any]]]) -> Entry:
        """The entry of that identity; made and stored where it is missing, cut or damaged.

        Args:
            identity: Of the source and of all that is done to it.
            make: Gives pixels (channel, i, j, k) and JSON-ready facts.

        Raises:
            OutputError: The entry cannot be written: no space, no permission.
        """
        key = hashlib.sha256(f"{LAYOUT} {self._dtype.str} {identity}".encode()).hexdigest()[:40]
        path, record = self.folder / f"{key}.npy", self.folder / f"{key}.json"
        known = _read_record(record)
        if known is not None and _is_whole(path, known):
            return Entry(path, known["facts"])
        pixels, facts = make()
        self._store(path, record, pixels, facts)
        return Entry(path, facts)

    def _store(self, path: Path, record: Path, pixels: Array, facts: Mapping[str, Any]) -> None:
        stored = np.ascontiguousarray(pixels.transpose(0, 3, 2, 1), dtype=self._dtype)
        try:
            with new_file(path, overwrite=True) as file:
                np.lib.format.write_array(file, stored, allow_pickle=False)
                file.flush()
                os.fsync(file.fileno())
            content = {"stamp": _stamp(path), "checksum": _describe(stored, facts)}
            with new_file(record, overwrite=True) as file:
                file.write(json.dumps({"content": content, "facts": facts}).encode())
        except (OSError, OutputError) as error:
            raise OutputError(
                f"a prepared image cannot be kept: {error}; make room, or choose another folder "
                "for the cache"
            ) from error


def default_folder() -> Path:
    """Where prepared images are kept unless told otherwise: the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME")
    root = Path(base) if base else Path.home() / ".cache"
    return root / "plica" / "prepared"


def identify(path: Path) -> str:
    """Name, size and time of change of a file, of its parts, or of all files in a folder.

    Raises:
        InputError: There is no such file or folder.
    """
    try:
        if path.is_dir():
            files = sorted(file for file in path.rglob("*") if file.is_file())
        else:
            endings = _PARTS.get(path.suffix.lower(), ())
            beside = [path.with_suffix(ending) for ending in endings]
            files = [path, *(part for part in beside if part.is_file())]
        facts = [(str(file.resolve()), file.stat()) for file in files]
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    return json.dumps([(name, fact.st_size, fact.st_mtime_ns) for name, fact in facts])


def _read_record(path: Path) -> dict[str, Any] | None:
    """What is known of an entry; None where there is none, or it is no record."""
    try:
        if path.stat().st_size > _MOST_RECORD_BYTES:
            return None
        record = json.loads(path.read_bytes())
        whole = isinstance(record["facts"], dict) and isinstance(record["content"], dict)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return record if whole else None


def _is_whole(path: Path, record: Mapping[str, Any]) -> bool:
    """By size and time of change, or else, in a copied cache, by content."""
    content = record["content"]
    try:
        if content.get("stamp") == _stamp(path):
            return True
        stored = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError):
        return False
    return stored.ndim == 4 and content.get("checksum") == _describe(stored, record["facts"])


def _stamp(path: Path) -> list[int]:
    fact = path.stat()
    return [fact.st_size, fact.st_mtime_ns]


def _describe(stored: Array, facts: Mapping[str, Any]) -> dict[str, int]:
    """What an entry is known by again."""
    written = json.dumps(facts, sort_keys=True).encode()
    return {
        "bytes": stored.nbytes,
        "pixels": _checksum(stored.data.cast("B")),
        "facts": _checksum(memoryview(written)),
    }


def _checksum(content: memoryview) -> int:
    total = 0
    for start in range(0, len(content), _PIECE):
        total = zlib.crc32(content[start : start + _PIECE], total)
    return total

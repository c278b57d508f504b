"""Whether what a command wrote is whole: every file is read again, by what would read it."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

import plica
from plica.bulk.checking import verify
from plica.bulk.ledger import Ledger
from plica.errors import PlicaError
from plica.formats.latents import read as read_latent
from plica.formats.store import Store

IMAGES = (".nii", ".nii.gz", ".nrrd", ".mha", ".npz", ".png", ".tif", ".tiff", ".dcm")
TEXTS = (".csv", ".md")
LEDGER, STORE = "ledger.sqlite", "store.json"
UNREADABLE = (PlicaError, ValueError, OSError, SafetensorError, sqlite3.Error)


def find_parts(folder: Path) -> list[str]:
    """Hidden files and folders that a writer leaves only when it was stopped."""
    return sorted(path.name for path in folder.rglob(".*") if path.name.endswith(".part"))


def find_unmatched(folder: Path, patterns: Sequence[str]) -> str:
    """What is wrong with what a command wrote: a pattern that nothing matches, or a file.

    Args:
        folder: Where it was written.
        patterns: Each has to match something, and all that it matches has to be whole.
    """
    for pattern in patterns:
        found = sorted(folder.glob(pattern))
        if not found:
            return f"nothing was written as {pattern}"
        if wrong := find_wrong(found):
            return wrong
    return ""


def find_wrong(outputs: Iterable[Path]) -> str:
    """What is wrong with the first output that is not whole; "" where all are."""
    for path in outputs:
        try:
            _read(path)
        except UNREADABLE as error:
            return f"{path.name}: {error}"
    return ""


def list_files(outputs: Iterable[Path]) -> Iterator[Path]:
    """The files among outputs and in those that are folders."""
    for path in outputs:
        yield from ([path] if path.is_file() else (one for one in path.rglob("*") if one.is_file()))


def digest(path: Path) -> str:
    """Of an output's values and place, whatever else stands in its file."""
    if path.is_dir():
        return _digest_folder(path)
    if path.suffix == ".latent":
        latent = read_latent(path)
        return _hash(latent.codes, latent.grid.affine, latent.source.affine)
    if path.name.endswith(IMAGES):
        image = plica.read(path)
        return _hash(image.pixels, image.grid.affine)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _digest_folder(path: Path) -> str:
    """Of a store its latents, by their keys; of another folder all its files, by their names."""
    if (path / STORE).is_file():
        store = Store.open(path)
        parts = [f"{key} {_hash(store.read(key).codes)}" for key in sorted(store.keys)]
    else:
        files = sorted(one for one in path.rglob("*") if one.is_file())
        parts = [f"{one.relative_to(path)} {digest(one)}" for one in files]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _hash(*arrays: np.ndarray) -> str:
    found = hashlib.sha256()
    for array in arrays:
        found.update(f"{array.dtype} {array.shape}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def _read(path: Path) -> None:
    if path.is_dir():
        _read_folder(path)
    elif path.suffix == ".latent":
        read_latent(path)
    elif path.name.endswith(IMAGES):
        plica.read(path)
    elif path.suffix == ".json":
        json.loads(path.read_text(encoding="utf-8"))
    elif path.suffix == ".html":
        if not path.read_text(encoding="utf-8").rstrip().endswith("</html>"):
            raise ValueError("the page ends before its end")
    else:
        _read_rows(path)


def _read_rows(path: Path) -> None:
    """Tensors, tables and texts."""
    if path.suffix == ".safetensors":
        with safe_open(path, framework="np"):  # its header has to be that of all its bytes
            pass
    elif path.suffix == ".parquet":
        from pyarrow.parquet import read_table

        read_table(path)
    elif path.suffix == ".sqlite":
        _read_database(path)
    elif path.suffix in TEXTS and not path.read_text(encoding="utf-8").strip():
        raise ValueError("it is empty")


def _read_database(path: Path) -> None:
    """A copy of it: to open one is to write beside it, where there may be no room."""
    with tempfile.TemporaryDirectory() as folder:
        for one in path.parent.glob(f"{path.name}*"):
            shutil.copy(one, folder)
        base = sqlite3.connect(Path(folder) / path.name)
        try:
            said = base.execute("PRAGMA integrity_check").fetchone()[0]
        finally:
            base.close()
    if said != "ok":
        raise ValueError(f"the database says {said}")


def _read_folder(path: Path) -> None:
    """A store as `bulk verify` would look at it, any other folder file by file."""
    if not (path / STORE).is_file():
        for one in sorted(path.rglob("*")):
            if one.is_file():
                _read(one)
        return
    store = Store.open(path)
    with Ledger(path) as ledger:
        for fault in verify(store, ledger):
            raise ValueError(f"shard {fault.shard}: {fault.what}")
    for key in store.keys:
        store.read(key)

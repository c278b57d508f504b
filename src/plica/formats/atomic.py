"""Writing a file or folder whole or not at all, and never over another by accident."""

from __future__ import annotations

import io
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from plica.errors import OutputError


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Stop before any work where the result would stand in another's place.

    An empty folder is nobody's result and is taken.

    Raises:
        OutputError: Something is there and `overwrite` is false, or it is a folder where a file
            is to be written (or the other way round; see `new_file`, `new_folder`).
    """
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not overwrite:
        raise OutputError(f"{path} exists; choose another name or say overwrite=True")


@contextmanager
def new_file(
    path: Path, *, overwrite: bool = False, durable: bool = False
) -> Iterator[io.BufferedWriter]:
    """A file that appears under its name only when it is complete.

    It is written under a hidden name in the same folder and renamed at the end; folders that are
    missing are made. If anything fails, both are gone again.

    Args:
        path: The file to be.
        overwrite: Whether a file of that name may be replaced.
        durable: Whether it must outlast a loss of power: the disk is waited for, which takes
            milliseconds.

    Raises:
        OutputError: It exists, is a folder, or cannot be written.

    Examples:
        >>> with new_file(Path("notes.txt")) as file:
        ...     file.write(b"whole or not at all")
        19
    """
    refuse_existing(path, overwrite=overwrite)
    if path.is_dir():
        raise OutputError(f"{path} is a folder, but a file is to be written; choose another name")
    made = _make_parents(path)
    part = _hidden_beside(path)
    try:
        with part.open("xb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(part, path)  # noqa: PTH105 - named so in every text on atomic writing
        if durable:
            _sync_folder(path.parent)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(
            OSError
        ):  # a folder that became read-only, or is gone: the first error counts
            part.unlink(missing_ok=True)
        _remove_if_empty(made)


@contextmanager
def new_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A folder that appears under its name only when it is complete.

    Args:
        path: The folder to be.
        overwrite: Whether a folder of that name may be replaced, with all that is in it.

    Raises:
        OutputError: It exists and is not empty, is a file, or cannot be written.

    Examples:
        >>> with new_folder(Path("latents")) as folder:
        ...     _ = (folder / "notes.txt").write_text("all of it, or no folder")
        >>> Path("latents/notes.txt").exists()
        True
    """
    refuse_existing(path, overwrite=overwrite)
    if path.is_file():
        raise OutputError(f"{path} is a file, but a folder is to be written; choose another name")
    made = _make_parents(path)
    part = _hidden_beside(path)
    old = _hidden_beside(path)
    try:
        part.mkdir()
        yield part
        if path.exists():
            path.rename(old)
        part.rename(path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        if old.exists() and not path.exists():
            old.rename(path)
        shutil.rmtree(old, ignore_errors=True)
        shutil.rmtree(part, ignore_errors=True)
        _remove_if_empty(made)


def _sync_folder(folder: Path) -> None:
    """Make a rename outlast a loss of power, where folders can be opened (POSIX)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _hidden_beside(path: Path) -> Path:
    return path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.part")


def _make_parents(path: Path) -> list[Path]:
    """Make the folders above `path`; the ones made, deepest first."""
    missing = []
    for folder in path.parents:
        if folder.exists():
            break
        missing.append(folder)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"the folder {path.parent} cannot be made: {error.strerror or error}"
        ) from error
    return missing


def _remove_if_empty(folders: list[Path]) -> None:
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return  # another file is in it: it stays

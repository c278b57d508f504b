"""Discovery: which series an archive holds, looking again only at folders that changed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from plica.bulk.ledger import Ledger
from plica.bulk.naming import name_key
from plica.bulk.task import Found
from plica.errors import UnreadableFile
from plica.formats.sources import Source, find_in_folder, list_parts

Tell = Callable[[int, int], None]
"""Is told how many folders and files were looked at."""
_AT_ONCE = 200  # folders in a transaction


@dataclass(frozen=True)
class Folder:
    """A folder's own files as the file system lists them.

    Args:
        path: The folder.
        files: Name, bytes and time of change of each, sorted.
    """

    path: Path
    files: tuple[tuple[str, int, int], ...]

    @property
    def signature(self) -> str:
        """Changes when a file comes, goes, or is written."""
        return _digest(self.files)


def discover(archive: Path, ledger: Ledger, tell: Tell = lambda folders, files: None) -> None:
    """Bring the ledger up to date with the archive.

    Headers are read in folders that are new or whose list of files changed; of the others only the
    list is. One folder is held in memory at a time. What was found is kept folder by folder, so
    that an interrupted discovery goes on.

    Raises:
        UnreadableFile: The archive is no folder.
    """
    if not archive.is_dir():
        raise UnreadableFile(f"{archive}: there is no such folder; check the path")
    folders = files = 0
    with ledger.looking() as look:
        for folder in walk(archive):
            folders, files = folders + 1, files + len(folder.files)
            below = folder.path.relative_to(archive).as_posix()
            if not look.knows(below, folder.signature):
                look.record(below, folder.signature, *_look_into(archive, folder))
            if folders % _AT_ONCE == 0:
                look.keep()
                tell(folders, files)
    tell(folders, files)


def walk(tree: Path) -> Iterator[Folder]:
    """Every folder of a tree that holds files, in the same order each time.

    Hidden folders and links to folders are left out: a link may lead in a circle.
    """
    todo = [tree]
    while todo:
        path = todo.pop()
        files, folders = [], []
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(Path(entry.path))
                    elif entry.is_file():
                        facts = entry.stat()
                        files.append((entry.name, facts.st_size, facts.st_mtime_ns))
        except FileNotFoundError:
            continue  # gone between being listed and being looked into
        if files:
            yield Folder(path, tuple(sorted(files)))
        todo.extend(sorted(folders, reverse=True))


def _look_into(archive: Path, folder: Folder) -> tuple[list[Found], list[tuple[str, str]]]:
    """The series among a folder's files, and what was left out with the reason."""
    looked = find_in_folder(
        archive, folder.path, [folder.path / name for name, _, _ in folder.files]
    )
    found = [_describe(archive, source) for source in looked.sources]
    left = [(path.relative_to(archive).as_posix(), reason) for path, reason in looked.skipped]
    return found, left


def _describe(archive: Path, source: Source) -> Found:
    path = source.path.relative_to(archive).as_posix()
    identity = f"dicom {source.mark}" if source.mark else f"file {path} {source.series or ''}"
    files = list_files(source.path)
    return Found(
        key=name_key(identity),
        path=path,
        series=source.series,
        bytes=sum(size for _, size, _ in files),
        signature=_digest(files),
    )


def sign(path: Path) -> str:
    """The signature of a source's files as they are now; of a folder: of all its own files.

    Raises:
        UnreadableFile: They are gone.
    """
    return _digest(list_files(path))


def list_files(path: Path) -> list[tuple[str, int, int]]:
    """Name, bytes and time of change of a source's files.

    Raises:
        UnreadableFile: They are gone.
    """
    try:
        if not path.exists():
            raise UnreadableFile(f"{path.name} is gone since it was discovered")
        files = sorted(path.iterdir()) if path.is_dir() else list_parts(path)
        kept = [file for file in files if not file.name.startswith(".") and file.is_file()]
        facts = [(file.name, file.stat()) for file in kept]
    except OSError as error:
        raise UnreadableFile(f"{path.name} cannot be read: {error.strerror or error}") from error
    return [(name, one.st_size, one.st_mtime_ns) for name, one in facts]


def _digest(files: Sequence[tuple[str, int, int]]) -> str:
    text = "\n".join(f"{name}\0{size}\0{changed}" for name, size, changed in files)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]

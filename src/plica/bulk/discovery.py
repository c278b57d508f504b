"""Discovery: which series an archive holds, looking again only at folders that changed."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from plica.bulk.ledger import Ledger
from plica.bulk.naming import name_key
from plica.bulk.task import Found
from plica.errors import UnreadableFile
from plica.formats.sources import Source, find_in_folder, list_parts

Tell = Callable[[int, int], None]
"""Is told how many folders and files were looked at."""
_AT_ONCE = 256  # folders in a transaction
_WORTH_IT = 64  # new folders among them, for which processes are started


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


def discover(
    archive: Path,
    ledger: Ledger,
    tell: Tell = lambda folders, files: None,
    *,
    lookers: int = 1,
) -> None:
    """Bring the ledger up to date with the archive.

    Headers are read in folders that are new or whose list of files changed; of the others only the
    list is. Some folders are held in memory at a time. What was found is kept as it is found, so
    that an interrupted discovery goes on.

    Args:
        archive: The tree.
        ledger: What is known of it.
        tell: Is told how far it is.
        lookers: Processes that read headers, where many folders are new.

    Raises:
        UnreadableFile: The archive is no folder.
    """
    if not archive.is_dir():
        raise UnreadableFile(f"{archive}: there is no such folder; check the path")
    folders = files = 0
    walked = walk(archive)
    with ledger.looking() as look, _Lookers(archive, lookers) as through:
        while some := list(itertools.islice(walked, _AT_ONCE)):
            folders, files = folders + len(some), files + sum(len(one.files) for one in some)
            new = [one for one in some if not look.knows(_below(archive, one), one.signature)]
            for folder, (found, left) in zip(new, through.look(new), strict=True):
                look.record(_below(archive, folder), folder.signature, found, left)
            look.keep()
            tell(folders, files)


def _below(archive: Path, folder: Folder) -> str:
    return folder.path.relative_to(archive).as_posix()


Inside = tuple[list[Found], list[tuple[str, str]]]


class _Lookers:
    """Those who look into folders: this process, or several once there is enough to look into."""

    def __init__(self, archive: Path, processes: int) -> None:
        self._look = partial(_look_into, archive)
        self._processes = processes
        self._pool: ProcessPoolExecutor | None = None

    def look(self, folders: Sequence[Folder]) -> Iterator[Inside]:
        """What each folder holds, in their order."""
        if self._processes < 2 or len(folders) < _WORTH_IT:
            return map(self._look, folders)
        if self._pool is None:
            # Not forked: threads of torch, if there are any, would be lost halfway.
            self._pool = ProcessPoolExecutor(self._processes, get_context("spawn"))
        return self._pool.map(self._look, folders, chunksize=4)

    def __enter__(self) -> _Lookers:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


def walk(tree: Path) -> Iterator[Folder]:
    """Every folder of a tree that holds files, in the same order each time.

    Hidden folders and links to folders are left out: a link may lead in a circle.
    """
    unmet = [tree]
    while unmet:
        path = unmet.pop()
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
        unmet.extend(sorted(folders, reverse=True))


def _look_into(archive: Path, folder: Folder) -> Inside:
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

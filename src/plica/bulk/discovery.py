"""Discovery: which series an archive holds, looking again only at folders that changed."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from plica.bulk.ledger import Ledger
from plica.bulk.look import Look
from plica.bulk.naming import name_key
from plica.bulk.reading import digest, list_files
from plica.bulk.task import Found
from plica.errors import UnreadableFile
from plica.formats.sources import Source, find_in_folder

Tell = Callable[[int, int], None]
"""Is told how many folders and files were looked at."""
_AT_ONCE = 256  # folders in a transaction
_WORTH_IT = 64  # new folders among them, for which processes are started
NO_TEXT = "its name is no text in UTF-8: rename it"


@dataclass(frozen=True)
class Folder:
    """A folder's own files as the file system lists them.

    Args:
        path: The folder.
        files: Name, bytes and time of change of each, sorted.
        unfit: Names of what is in it and cannot be looked at, with the reason.
        closed: Why it cannot be listed; empty where it can.
    """

    path: Path
    files: tuple[tuple[str, int, int], ...]
    unfit: tuple[tuple[str, str], ...] = ()
    closed: str = ""

    @property
    def signature(self) -> str:
        """Changes when a file comes, goes, or is written."""
        return digest([*self.files, *((name, -1, -1) for name, _ in self.unfit)])


def discover(
    archive: Path,
    ledger: Ledger,
    tell: Tell = lambda folders, files: None,
    *,
    lookers: int = 1,
    stopped: Callable[[], bool] = lambda: False,
) -> bool:
    """Bring the ledger up to date with the archive.

    Headers are read in folders that are new or whose list of files changed; of the others only the
    list is. Some folders are held in memory at a time. What was found is kept as it is found, so
    that an interrupted discovery goes on.

    Args:
        archive: The tree.
        ledger: What is known of it.
        tell: Is told how far it is.
        lookers: Processes that read headers, where many folders are new.
        stopped: Asked now and then whether to leave it at that.

    Returns:
        Whether the whole archive was looked through.

    Raises:
        UnreadableFile: The archive is no folder, or cannot be listed.

    Examples:
        >>> from plica.bulk.ledger import Ledger
        >>> Path("own.store").mkdir()
        >>> discover(Path("study"), Ledger(Path("own.store")))
        True
    """
    if archive.is_file():
        zipped = archive.suffix.lower() == ".zip"
        do = "is a zip: unpack it" if zipped else "is a file: put it into a folder"
        raise UnreadableFile(
            f"{archive} {do} and give the folder, which each run looks through again; "
            "one image alone is for `plica encode`"
        )
    if not archive.is_dir():
        raise UnreadableFile(f"{archive}: there is no such folder; check the path")
    folders = files = 0
    walked = walk(archive)
    with ledger.looking() as look, _Lookers(archive, lookers) as through:
        while some := list(itertools.islice(walked, _AT_ONCE)):
            folders, files = folders + len(some), files + sum(len(one.files) for one in some)
            new = list(_keep_new(archive, some, look))
            for folder, (found, left) in zip(new, through.look(new), strict=True):
                look.record(_below(archive, folder), folder.signature, found, left)
            look.keep()
            tell(folders, files)
            if stopped():
                return False
        look.end()
    return True


def look_through(archive: Path) -> Iterator[list[Found]]:
    """The series of each folder in turn, of which nothing is kept.

    Examples:
        >>> sum(len(found) for found in look_through(Path("study"))) > 0
        True
    """
    return (_look_into(archive, folder)[0] for folder in walk(archive))


def _keep_new(archive: Path, folders: Sequence[Folder], look: Look) -> Iterator[Folder]:
    """Those to be looked into."""
    for folder in folders:
        if folder.closed and folder.path == archive:
            raise UnreadableFile(f"{archive} cannot be listed: {folder.closed}")
        if folder.closed:
            look.record_closed(_below(archive, folder), folder.closed)
        elif not look.knows(_below(archive, folder), folder.signature):
            yield folder


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
            # Ctrl-C is for this process, which lets them finish.
            self._pool = ProcessPoolExecutor(
                self._processes, get_context("spawn"), signal.signal,
                (signal.SIGINT, signal.SIG_IGN),
            )  # fmt: skip
        return self._look_apart(self._pool, folders)

    def _look_apart(self, pool: ProcessPoolExecutor, folders: Sequence[Folder]) -> Iterator[Inside]:
        try:
            yield from pool.map(self._look, folders, chunksize=4)
        except BrokenProcessPool as error:
            raise UnreadableFile(
                f"a process that looked into folders from {folders[0].path} on was ended by the "
                "system: see whether there is memory enough; what was found is kept, and the same "
                "command goes on"
            ) from error

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
        folder, below = _list(unmet.pop())
        if folder.files or folder.unfit or folder.closed:
            yield folder
        unmet.extend(sorted(below, reverse=True))


def _list(path: Path) -> tuple[Folder, list[Path]]:
    """A folder and the folders in it."""
    files, below, unfit = [], [], []
    try:
        with os.scandir(path) as entries:
            seen = [entry for entry in entries if not entry.name.startswith(".")]
    except FileNotFoundError:
        return Folder(path, ()), []
    except OSError as error:
        return Folder(path, (), closed=error.strerror or str(error)), []
    for entry in seen:
        if not _is_text(entry.name):
            unfit.append((_spell(entry.name), NO_TEXT))
            continue
        try:
            if entry.is_dir(follow_symlinks=False):
                below.append(Path(entry.path))
            elif entry.is_file():
                facts = entry.stat()
                files.append((entry.name, facts.st_size, facts.st_mtime_ns))
        except FileNotFoundError:
            continue  # gone between being listed and being looked at
        except OSError as error:
            unfit.append((entry.name, error.strerror or str(error)))
    return Folder(path, tuple(sorted(files)), tuple(sorted(unfit))), below


def _is_text(name: str) -> bool:
    """Whether a name can be kept and shown: names are bytes, and may be those of another code."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _spell(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _look_into(archive: Path, folder: Folder) -> Inside:
    """The series among a folder's files, and what was left out with the reason."""
    looked = find_in_folder(
        archive, folder.path, [folder.path / name for name, _, _ in folder.files]
    )
    left = [(one.path.relative_to(archive).as_posix(), one.reason) for one in looked.skipped]
    found = []
    for source in looked.sources:
        try:
            found.append(_describe(archive, source))
        except UnreadableFile as error:  # gone while it was looked at: the next look will see
            left.append((source.path.relative_to(archive).as_posix(), str(error)))
    below = folder.path.relative_to(archive)
    left += [((below / name).as_posix(), reason) for name, reason in folder.unfit]
    return found, left


def _describe(archive: Path, source: Source) -> Found:
    path = source.path.relative_to(archive).as_posix()
    # Without UIDs of its images it cannot be told from others of its series, and is itself.
    known = source.mark and source.instances
    by_path = f"file {path} {source.series or ''}"
    identity = f"dicom {source.mark}" if known else by_path
    zipped = known and source.path.suffix.lower() == ".zip"
    names = tuple(sorted(file.name for file in source.files))
    files = list_files(source.path, names)
    return Found(
        key=name_key(identity),
        path=path,
        series=source.series,
        bytes=sum(size for _, size, _ in files),
        signature=digest(files),
        files=names,
        instances=source.instances if known else "",
        former=name_key(by_path) if zipped else "",
    )

"""What goes to a worker and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

AT_ONCE = 2  # tasks of a worker: while one shard is written, the next is read


@dataclass(frozen=True)
class Found:
    """A series as discovery found it.

    Args:
        key: Its name in the store.
        path: Where it lies, below the archive.
        series: Which series of that path, where it holds several.
        bytes: Of its files.
        signature: Of its files; see `reading.sign`.
        files: Their names, where `path` is a folder of several series.
        instances: Of a DICOM series: a hash of its images, equal for copies.
        former: The key that ledgers from before DICOM in zips was known by its UIDs have for it.
    """

    key: str
    path: str
    series: str | None
    bytes: int
    signature: str
    files: tuple[str, ...] = ()
    instances: str = ""
    former: str = ""


@dataclass(frozen=True)
class Item:
    """A series to be encoded.

    Args:
        key: Its name in the store.
        path: Where it lies, below the archive.
        series: Which series of that path, where it holds several.
        signature: Of its files when it was discovered; see `reading.sign`.
        suspect: Whether a worker died while at it: it is then done first, and alone.
        bytes: Of its files.
        files: Their names, where `path` is a folder of several series.
    """

    key: str
    path: str
    series: str | None
    signature: str
    suspect: bool = False
    bytes: int = 0
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Task:
    """A shard to be made: the unit of work, and of what is lost when a worker dies.

    Args:
        shard: Its name.
        items: The series that are to be in it.
        whole: Whether nothing of it is written where one of them cannot be encoded: it takes the
            place of a shard that holds them all.
    """

    shard: str
    items: tuple[Item, ...]
    whole: bool = False

    @property
    def suspicious(self) -> bool:
        """Whether a worker should do nothing else meanwhile: should it die, it is known of what."""
        return any(item.suspect for item in self.items)


@dataclass(frozen=True)
class Order:
    """How series are encoded: the same for all workers of a run.

    Args:
        archive: The folder that paths are below.
        store: The store's folder, on a file system all workers see.
        codec: Name of the codec, or the folder of a trained one.
        weights: As `plica.load` takes them.
        device: Where the network runs.
        options: Further ones of `plica.load`.
        kind: Which latent; None for the codec's first.
        keep_paths: Whether paths go into the index; they may hold names of patients.
        max_bytes: Refuse images of more decoded bytes than this.
        readers: Threads that read ahead of a codec.
        ahead: How many images may be read ahead.
        ahead_bytes: How much they may hold, as far as that can be foretold; one always may.
        memory: The most a worker's process may hold; None for what the codec makes of it.
        device_memory: The most of a card that feature maps may take; None for what is free.
        threads: Of torch, for each worker; 0 leaves them as they are.
        batch: How many images are encoded together.
    """

    archive: Path
    store: Path
    codec: str
    weights: str | None = None
    device: str = "auto"
    options: Mapping[str, Any] = field(default_factory=dict)
    kind: str | None = None
    keep_paths: bool = False
    max_bytes: int = 1 << 33
    readers: int = 2
    ahead: int = 4
    ahead_bytes: int = 1 << 30
    memory: int | None = None
    device_memory: int | None = None
    threads: int = 0
    batch: int = 1


@dataclass(frozen=True)
class Outcome:
    """What became of a series.

    Args:
        key: Its name.
        error: Why it failed; empty where it did not.
        changed: Whether it failed because its files changed while they were read.
        seconds: Of its encoding.
        image_bytes: Of its pixels.
        burned_in: Whether the file says that text is burnt into its pixels.
    """

    key: str
    error: str = ""
    changed: bool = False
    seconds: float = 0.0
    image_bytes: int = 0
    burned_in: bool = False


@dataclass
class Clock:
    """Seconds by what they went into. Reading overlaps with encoding; `waiting` is what it did not.

    Args:
        reading: In reading threads, summed.
        waiting: The codec had nothing to do, because nothing was read yet.
        encoding: The codec worked.
        writing: The shard was put together and brought to the disk.
    """

    reading: float = 0.0
    waiting: float = 0.0
    encoding: float = 0.0
    writing: float = 0.0

    def __iadd__(self, other: Clock) -> Clock:
        self.reading += other.reading
        self.waiting += other.waiting
        self.encoding += other.encoding
        self.writing += other.writing
        return self


@dataclass(frozen=True)
class Made:
    """What a worker made of a task.

    Args:
        shard: Its name.
        outcomes: Of each of its series.
        bytes: Of the shard's file; 0 where no series was left to be written.
        index_sha256: Of the index file.
        clock: Where the time went.
    """

    shard: str
    outcomes: tuple[Outcome, ...]
    bytes: int = 0
    index_sha256: str = ""
    clock: Clock = field(default_factory=Clock)


@dataclass(frozen=True)
class Unbegun:
    """A task that was handed out and given back, for the crew was told to halt.

    Args:
        shard: Its name.
    """

    shard: str


@dataclass(frozen=True)
class Death:
    """A worker that died over a task.

    Args:
        shard: The task's.
        keys: The series of it that the worker was at.
        alone: Whether it was at one series and nothing else.
        reason: What it died of, where that is known.
    """

    shard: str
    keys: tuple[str, ...] = ()
    alone: bool = False
    reason: str = ""


@dataclass(frozen=True)
class Trouble:
    """A task that could not be done for a reason that lies outside its series, such as the disk."""

    shard: str
    error: Exception

"""The engine: discover, plan, hand out, book; whatever dies, the same command finishes the rest."""

from __future__ import annotations

import itertools
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from plica.bulk.crew import Crew
from plica.bulk.discovery import discover
from plica.bulk.ledger import LEDGER, Ledger, dump_facts
from plica.bulk.lock import hold
from plica.bulk.marker import FOLDER, remove_marker
from plica.bulk.naming import name_key
from plica.bulk.planning import MOST_BYTES, MOST_SERIES
from plica.bulk.task import Clock, Death, Made, Order, Task
from plica.codecs.codec import Codec
from plica.errors import OutputError, SettingsError
from plica.formats.codes import StorageType
from plica.formats.store import Store
from plica.formats.store_facts import FACTS
from plica.latent import CodecIdentity

MOST_DEATHS = 3
ARCHIVE = "archive"
_PATIENCE_S = 0.5


@dataclass(frozen=True)
class Habits:
    """How a run goes about it.

    Args:
        shard_series: At most so many series in a shard.
        shard_bytes: At most so many bytes of their files.
        most_deaths: A series over which a worker died so often, alone, has failed.
        retry_failed: Whether series that failed before are tried again.
        moved: Whether the archive lies elsewhere than before.
        lookers: Processes that read headers in discovery, where much is new.
    """

    shard_series: int = MOST_SERIES
    shard_bytes: int = MOST_BYTES
    most_deaths: int = MOST_DEATHS
    retry_failed: bool = False
    moved: bool = False
    lookers: int = 1

    def __post_init__(self) -> None:
        for name, least in (
            ("shard_series", 1),
            ("shard_bytes", 1),
            ("most_deaths", 1),
            ("lookers", 1),
        ):
            if getattr(self, name) < least:
                raise SettingsError(f"{name} is at least {least}, but got {getattr(self, name)}")


@dataclass
class Ran:
    """What a run did.

    Args:
        done: Series encoded by this run, or failed in it.
        failed: Of them, those that failed.
        shards: Shards written.
        image_bytes: Pixels that were encoded.
        shard_bytes: Of the shards written.
        deaths: Workers that died.
        wall: Seconds from the first task to the last.
        looked: Seconds of discovery and planning.
        workers: How many there were.
        clock: Where the workers' time went.
        interrupted: Whether it was asked to stop before the end.
    """

    done: int = 0
    failed: int = 0
    shards: int = 0
    image_bytes: int = 0
    shard_bytes: int = 0
    deaths: int = 0
    wall: float = 0.0
    looked: float = 0.0
    workers: int = 1
    clock: Clock = field(default_factory=Clock)
    interrupted: bool = False

    @property
    def share(self) -> float:
        """Of the workers' time, the part in which their codecs worked."""
        return self.clock.encoding / (self.wall * self.workers) if self.wall else 0.0

    @property
    def bottleneck(self) -> str:
        """What the codecs waited for most, where they did."""
        if self.share >= 0.9:
            return "the codec"
        rest = self.wall * self.workers - self.clock.encoding
        waited = {"reading": self.clock.waiting, "writing": self.clock.writing}
        name = max(waited, key=lambda one: waited[one])
        return name if waited[name] > rest / 2 else "starting and handing out"


@dataclass(frozen=True)
class Watcher:
    """Who is told how far a run is.

    Args:
        looked: Folders and files looked at so far.
        planned: Series that wait when work begins, and those that are done already.
        booked: Of each shard: what was made.
        died: Of each worker that died: the series it was at.
    """

    looked: Callable[[int, int], None] = lambda folders, files: None
    planned: Callable[[int, int], None] = lambda waiting, done: None
    booked: Callable[[Made], None] = lambda made: None
    died: Callable[[Death], None] = lambda death: None


def open_store(folder: Path, codec: Codec, dtype: StorageType, facts: dict[str, Any]) -> Store:
    """The store of a run: made if it is not there, else of the very same codec and settings.

    Raises:
        SettingsError: It was made with others; they are named.
        OutputError: The folder holds something else.
    """
    identity = CodecIdentity(codec.card.name, codec.fingerprint, codec.card.to_json())
    if not (folder / FACTS).is_file():
        return Store.create(folder, codec=identity, dtype=dtype, settings=facts)
    store = Store.open(folder)
    here = {"codec": store.codec.name, "weights": store.codec.fingerprint, "dtype": store.dtype,
            **store.settings}  # fmt: skip
    asked = {"codec": identity.name, "weights": identity.fingerprint, "dtype": dtype, **facts}
    for name in sorted(here.keys() | asked.keys()):
        if dump_facts({"": here.get(name)}) != dump_facts({"": asked.get(name)}):
            raise SettingsError(
                f"{folder} was made with {name} {here.get(name)!r}, and {asked.get(name)!r} is "
                "asked for: one store holds latents of one kind; choose another folder"
            )
    return store


def encode_archive(
    order: Order,
    hire: Callable[[], Crew],
    *,
    habits: Habits | None = None,
    watcher: Watcher | None = None,
) -> Ran:
    """Encode what of an archive is not in the store yet.

    Args:
        order: How series are encoded; the store is there.
        hire: Makes the crew, once there is something to do.
        habits: How to go about it.
        watcher: Who is told.

    Raises:
        OutputError: Another driver works on the store, or it cannot be written (a full disk, for
            instance): what is booked is done, and the same command does the rest.
    """
    habits, watcher = habits or Habits(), watcher or Watcher()
    with hold(order.store), _open_ledger(order.store) as ledger, _Stop() as stop:
        begun = time.perf_counter()
        _check_archive(order, ledger, moved=habits.moved)
        clean(order.store, ledger)
        if habits.retry_failed:
            ledger.retry_failed()
        whole = discover(
            order.archive,
            ledger,
            watcher.looked,
            lookers=habits.lookers,
            stopped=lambda: stop.asked,
        )
        if not whole:
            return Ran(looked=time.perf_counter() - begun, interrupted=True)
        ledger.plan(most_series=habits.shard_series, most_bytes=habits.shard_bytes)
        counts = ledger.count()
        watcher.planned(counts["waiting"], counts["done"])
        ran = Ran(looked=time.perf_counter() - begun)
        if ledger.count_open():
            crew = hire()
            stop.listen()  # Ray listens to SIGTERM in its own way
            try:
                ran.workers = crew.size
                _work(ledger, crew, order, habits, watcher, ran, stop)
            finally:
                crew.close()
        return ran


def _open_ledger(folder: Path) -> Ledger:
    """The store's ledger, made where there is nothing yet that one could have known of."""
    if not (folder / LEDGER).is_file() and any(_visible(Store.open(folder).shards_folder)):
        raise OutputError(
            f"{folder} holds shards and no ledger: it was made by other means, or {LEDGER} was "
            "left behind; put that back, or give this archive a store of its own"
        )
    return Ledger(folder)


def _check_archive(order: Order, ledger: Ledger, *, moved: bool) -> None:
    """One store has one archive: with another, all that is not done would count as gone."""
    here = name_key(str(order.archive.resolve()))
    if ledger.facts().get(ARCHIVE, here) != here and not moved:
        raise SettingsError(
            f"{order.store} was begun with another archive than {order.archive}: give that one a "
            "store of its own, or say that the archive was moved (--moved)"
        )
    ledger.note(ARCHIVE, here)


def _work(
    ledger: Ledger,
    crew: Crew,
    order: Order,
    habits: Habits,
    watcher: Watcher,
    ran: Ran,
    stop: _Stop,
) -> None:
    begun = time.perf_counter()
    coming, at = ledger.tasks(), 0
    next_up: list[Task] = []  # tasks to be done again, and the one nobody was free for
    unexplained: Counter[str] = Counter()
    while True:
        while not stop.asked:
            task = next_up.pop(0) if next_up else next(coming, None)
            if task is None:
                break
            if not crew.submit(task):
                next_up.insert(0, task)
                break
            at += 1
        if at == 0:
            break
        for event in crew.collect(_PATIENCE_S):
            at -= 1
            if isinstance(event, Made):
                _book(ledger, order.store, event, ran, watcher)
            elif isinstance(event, Death):
                ran.deaths += 1
                watcher.died(event)
                unexplained[event.shard] += not event.keys
                _check_deaths(event, unexplained[event.shard], habits.most_deaths)
                ledger.book_death(event, most_deaths=habits.most_deaths)
                next_up.append(ledger.task(event.shard))
            else:
                raise event.error
    ran.wall = time.perf_counter() - begun
    ran.interrupted = stop.asked


def _check_deaths(death: Death, unexplained: int, most: int) -> None:
    """Workers that die before they are at a series would die for ever."""
    if unexplained >= most:
        said = f" ({death.reason})" if death.reason else ""
        raise OutputError(
            f"a worker died {unexplained} times while it was at no series{said}: see whether the "
            "machine has memory enough for the codec, or try fewer workers; the same command goes "
            "on"
        )


def _book(ledger: Ledger, store: Path, made: Made, ran: Ran, watcher: Watcher) -> None:
    ledger.book(made)
    remove_marker(store, made.shard)
    ran.done += len(made.outcomes)
    ran.failed += sum(bool(one.error) for one in made.outcomes)
    ran.shards += made.bytes > 0
    ran.image_bytes += sum(one.image_bytes for one in made.outcomes)
    ran.shard_bytes += made.bytes
    ran.clock += made.clock
    watcher.booked(made)


def clean(folder: Path, ledger: Ledger) -> tuple[list[str], list[str]]:
    """Make disk and ledger agree: what a broken run left goes, what is missing is made again.

    Returns:
        Names of shards that were removed, and of those that wait again.
    """
    store = Store.open(folder)
    there = {path.name.split(".")[0] for path in _visible(store.shards_folder)}
    there |= {path.name.split(".")[0] for path in _visible(store.index_folder)}
    removed = [name for name in sorted(there) if not ledger.is_done(name)]
    for name in removed:
        store.discard(name)
    for hidden in itertools.chain(
        store.shards_folder.glob(".*"), store.index_folder.glob(".*"), (folder / FOLDER).glob("*")
    ):
        hidden.unlink(missing_ok=True)
    missing = [
        row.name
        for row in list(ledger.shards())
        if not (store.shard_path(row.name).is_file() and store.index_path(row.name).is_file())
    ]
    for name in missing:
        ledger.reopen(name)
    return removed, missing


def _visible(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if not path.name.startswith("."))


class _Stop:
    """The first SIGINT or SIGTERM lets shards in work be finished; the second stops at once."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Stop:
        self.listen()
        return self

    def listen(self) -> None:
        """Take the signals from whoever has them."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                before = signal.signal(number, self._ask)
                self._before.setdefault(number, before)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)


@contextmanager
def reading_only(folder: Path) -> Iterator[tuple[Store, Ledger]]:
    """A store with its ledger, for those who ask.

    Raises:
        OutputError: There is no ledger: the store was not made by `plica bulk encode`.
    """
    store = Store.open(folder)
    if not (folder / LEDGER).is_file():
        raise OutputError(
            f"{folder} has no ledger: it was not made by plica bulk encode, or the ledger was left "
            "behind"
        )
    with Ledger(folder) as ledger:
        yield store, ledger

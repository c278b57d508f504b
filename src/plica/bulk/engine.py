"""The engine: discover, plan, hand out, book; whatever dies, the same command finishes the rest."""

from __future__ import annotations

import itertools
import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from plica.bulk.crew import Crew
from plica.bulk.discovery import discover
from plica.bulk.ledger import BEGUN, LOOKING, Ledger
from plica.bulk.lock import hold
from plica.bulk.marker import FOLDER, count_begun, count_through, remove_marker
from plica.bulk.moving import check_archive
from plica.bulk.planning import MOST_BYTES, MOST_SERIES
from plica.bulk.renewal import Kept, Renewals
from plica.bulk.task import Clock, Death, Made, Order, Task, Unbegun
from plica.codecs.codec import Codec
from plica.errors import OutputError, SettingsError
from plica.formats.codes import StorageType
from plica.formats.store import Store
from plica.formats.store_facts import FACTS
from plica.formats.store_paths import LEDGER, PATHS

MOST_DEATHS = 3
_PATIENCE_S = 0.5
_LOOKING = 50  # times as long as looking how far workers are took, nobody looks again


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
        renew: Whether shards that hold series whose files have changed since are encoded again,
            after what is not in the store yet. Each stays until it is replaced.
        limit: Encode so many series in this run and leave the others for another; a shard that was
            begun is finished.
    """

    shard_series: int = MOST_SERIES
    shard_bytes: int = MOST_BYTES
    most_deaths: int = MOST_DEATHS
    retry_failed: bool = False
    moved: bool = False
    lookers: int = 1
    renew: bool = False
    limit: int | None = None

    def __post_init__(self) -> None:
        for name, least in (
            ("shard_series", 1),
            ("shard_bytes", 1),
            ("most_deaths", 1),
            ("lookers", 1),
        ):
            if getattr(self, name) < least:
                raise SettingsError(f"{name} is at least {least}, but got {getattr(self, name)}")
        if self.limit is not None and self.limit < 1:
            raise SettingsError(f"limit is at least 1, but got {self.limit}")


@dataclass
class Ran:
    """What a run did.

    Args:
        done: Series encoded by this run, or failed in it.
        failed: Of them, those that failed.
        shards: Shards written.
        kept: Series that could not be encoded again, for which their shards stay as they were.
        image_bytes: Pixels that were encoded.
        burned_in: Series of which their files say that text is burnt into their pixels.
        shard_bytes: Of the shards written.
        deaths: Workers that died.
        wall: Seconds from the first task to the last.
        looked: Seconds of discovery and planning.
        started: Seconds until the crew was hired.
        workers: How many there were.
        clock: Where the workers' time went.
        interrupted: Whether it was asked to stop, and left something for that.
    """

    done: int = 0
    failed: int = 0
    shards: int = 0
    kept: list[Kept] = field(default_factory=list)
    image_bytes: int = 0
    burned_in: int = 0
    shard_bytes: int = 0
    deaths: int = 0
    wall: float = 0.0
    looked: float = 0.0
    started: float = 0.0
    workers: int = 1
    clock: Clock = field(default_factory=Clock)
    interrupted: bool = False

    @property
    def share(self) -> float:
        """Of the workers' time, the part in which their codecs worked."""
        return self.clock.encoding / (self.wall * self.workers) if self.wall else 0.0

    @property
    def bottleneck(self) -> str:
        """What took most of the time: the codecs, with what they waited for most, or that alone."""
        if self.share >= 0.9:
            return "the codec"
        waited = self._find_waited()
        return f"the codec; besides it {waited}" if self.share >= 0.5 else waited

    def _find_waited(self) -> str:
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
        starting: Before the crew is hired, which takes Ray a while.
        through: Of shards in work: series that are encoded so far, and about their latents' bytes.
        booked: Of each shard: what was made.
        stopping: Of the first signal to stop, at once: how many shards are being encoded and will
            be finished, and of how many series. It is called within the signal's handler.
        died: Of each worker that died: the series it was at.
    """

    looked: Callable[[int, int], None] = lambda folders, files: None
    planned: Callable[[int, int], None] = lambda waiting, done: None
    starting: Callable[[], None] = lambda: None
    through: Callable[[int, int], None] = lambda series, size: None
    booked: Callable[[Made], None] = lambda made: None
    stopping: Callable[[int, int], None] = lambda shards, series: None
    died: Callable[[Death], None] = lambda death: None


def open_store(folder: Path, codec: Codec, dtype: StorageType, facts: dict[str, Any]) -> Store:
    """The store of a run: made if it is not there, else of the very same codec and settings.

    Raises:
        SettingsError: It was made with others; they are named.
        OutputError: The folder holds something else.
    """
    identity = codec.card.identify(codec.fingerprint)
    if not (folder / FACTS).is_file():
        return Store.create(folder, codec=identity, dtype=dtype, settings=facts)
    store = Store.open(folder)
    here = {"codec": store.codec.name, "weights": store.codec.fingerprint, "dtype": store.dtype,
            "codec settings": dict(store.codec.settings), **store.settings}  # fmt: skip
    asked = {"codec": identity.name, "weights": identity.fingerprint, "dtype": dtype,
             "codec settings": dict(identity.settings), **facts}  # fmt: skip
    for name in sorted(here.keys() | asked.keys()):
        if _dump(here.get(name)) != _dump(asked.get(name)):
            raise SettingsError(_say_other(folder, name, here.get(name), asked.get(name)))
    return store


def _dump(value: object) -> str:
    """As text in which equal values are equal, whatever became of them in JSON."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _say_other(folder: Path, name: str, here: Any, asked: Any) -> str:
    if name == PATHS:
        made, now = ("with", "without") if here else ("without", "with")
        return (
            f"{folder} was made {made} --keep-paths, and now the command is {now} it: "
            + ("give it again; " if here else "leave it out; labels find their latents by path "
               "through the store's ledger all the same; ")
            + "to have it otherwise, encode into another folder"
        )  # fmt: skip
    return (
        f"{folder} was made with {name} {here!r}, and {asked!r} is asked for: one store holds "
        "latents of one kind; choose another folder"
    )


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
    stop = _Stop(order.store, watcher)
    with hold(order.store), _open_ledger(order.store) as ledger, stop:
        begun = time.perf_counter()
        check_archive(order, ledger, moved=habits.moved)
        ledger.note(LOOKING, "yes")
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
        ledger.plan(
            most_series=habits.shard_series,
            most_bytes=habits.shard_bytes,
            most=None if habits.limit is None else max(0, habits.limit - ledger.count_planned()),
        )
        counts = ledger.count()
        renewing = ledger.count_renewing() if habits.renew else 0
        watcher.planned(counts["waiting"] + renewing, counts["done"] - renewing)
        ran = Ran(looked=time.perf_counter() - begun)
        if renewing or ledger.count_open():
            watcher.starting()
            since = time.perf_counter()
            crew = hire()
            ran.started = time.perf_counter() - since
            stop.listen()  # Ray listens to SIGTERM in its own way
            try:
                ran.workers = crew.size
                _work(ledger, crew, order, habits, watcher, ran, stop)
            finally:
                crew.close()
                # A shard and its successor hold the same keys: no reader should meet both.
                _remove_unbooked(Store.open(order.store), ledger)
        return ran


def _open_ledger(folder: Path) -> Ledger:
    """The store's ledger, made where there is nothing yet that one could have known of."""
    if not (folder / LEDGER).is_file() and any(_visible(Store.open(folder).shards_folder)):
        raise OutputError(
            f"{folder} holds shards and no ledger: it was made by other means, or {LEDGER} was "
            "left behind; put that back, or give this archive a store of its own"
        )
    return Ledger(folder)


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
    ledger.note(BEGUN, repr(time.time()))
    ledger.note(LOOKING, "")
    renewals = Renewals(ledger, order.store)
    tasks = itertools.chain(ledger.tasks(), renewals.tasks() if habits.renew else ())
    hands = _Hands(crew, _limit(tasks, habits.limit), stop)
    gauge = _Gauge(order.store, watcher)
    unexplained: Counter[str] = Counter()
    while True:
        hands.give()
        if not stop.at:
            break
        for event in crew.collect(_PATIENCE_S):
            stop.at.pop(event.shard, None)
            if isinstance(event, Made):
                _book(renewals, order.store, event, ran, watcher)
                gauge.look(stop.at, now=True)
            elif isinstance(event, Unbegun):
                hands.left = True
                remove_marker(order.store, event.shard)
            elif isinstance(event, Death):
                ran.deaths += 1
                watcher.died(event)
                unexplained[event.shard] += not event.keys
                _check_deaths(event, unexplained[event.shard], habits.most_deaths)
                again, kept = renewals.book_death(event, most_deaths=habits.most_deaths)
                hands.again += [again] if again else []
                _count_kept(ran, kept)
            else:
                raise event.error
        gauge.look(stop.at)
    ran.wall = time.perf_counter() - begun
    ran.interrupted = stop.asked and hands.has_more()


class _Hands:
    """Hands tasks out, until it is to stop: then takes back those nobody has begun."""

    def __init__(self, crew: Crew, coming: Iterator[Task], stop: _Stop) -> None:
        self._crew, self._coming, self._stop = crew, coming, stop
        self._halted = False
        self.again: list[Task] = []  # to be done again, and the one nobody was free for
        self.left = False  # whether a task came back that nobody had begun

    def give(self) -> None:
        """Give the crew what it takes."""
        while not self._stop.asked:
            task = self.again.pop(0) if self.again else next(self._coming, None)
            if task is None:
                return
            if not self._crew.submit(task):
                self.again.insert(0, task)
                return
            self._stop.at[task.shard] = len(task.items)
        if not self._halted:
            self._halted = True
            self._crew.halt()

    def has_more(self) -> bool:
        """Whether anything is left that this run was to do, once the crew has ended."""
        return self.left or bool(self.again) or next(self._coming, None) is not None


def _limit(tasks: Iterator[Task], most: int | None) -> Iterator[Task]:
    """Tasks until they hold so many series."""
    given = 0
    while most is None or given < most:
        task = next(tasks, None)
        if task is None:
            return
        given += len(task.items)
        yield task


class _Gauge:
    """How far shards in work are, asked of their markers no oftener than it pays."""

    def __init__(self, store: Path, watcher: Watcher) -> None:
        self._store = store
        self._watcher = watcher
        self._due = 0.0

    def look(self, shards: Iterable[str], *, now: bool = False) -> None:
        """Tell the watcher, unless it was told just now."""
        begun = time.monotonic()
        if begun < self._due and not now:
            return
        self._watcher.through(*count_through(self._store, shards))
        passed = time.monotonic() - begun
        self._due = begun + passed + max(_PATIENCE_S, _LOOKING * passed)


def _check_deaths(death: Death, unexplained: int, most: int) -> None:
    """Workers that die before they are at a series would die for ever."""
    if unexplained >= most:
        said = f" ({death.reason})" if death.reason else ""
        raise OutputError(
            f"a worker died {unexplained} times while it was at no series{said}: see whether the "
            "machine has memory enough for the codec, or try fewer workers; the same command goes "
            "on"
        )


def _book(renewals: Renewals, store: Path, made: Made, ran: Ran, watcher: Watcher) -> None:
    kept = renewals.book(made)
    remove_marker(store, made.shard)
    if kept:
        _count_kept(ran, kept)
    else:
        ran.done += len(made.outcomes)
        ran.failed += sum(bool(one.error) for one in made.outcomes)
    ran.shards += made.bytes > 0
    ran.image_bytes += sum(one.image_bytes for one in made.outcomes)
    ran.burned_in += sum(one.burned_in for one in made.outcomes)
    ran.shard_bytes += made.bytes
    ran.clock += made.clock
    watcher.booked(made)


def _count_kept(ran: Ran, kept: list[Kept]) -> None:
    ran.kept += kept
    ran.done += len(kept)
    ran.failed += len(kept)


def clean(folder: Path, ledger: Ledger) -> tuple[list[str], list[str]]:
    """Make disk and ledger agree: what a broken run left goes, what is missing is made again.

    Returns:
        Names of shards that were removed, and of those that wait again.
    """
    store = Store.open(folder)
    removed = _remove_unbooked(store, ledger)
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


def _remove_unbooked(store: Store, ledger: Ledger) -> list[str]:
    there = {path.name.split(".")[0] for path in _visible(store.shards_folder)}
    there |= {path.name.split(".")[0] for path in _visible(store.index_folder)}
    removed = [name for name in sorted(there) if not ledger.is_done(name)]
    for name in removed:
        store.discard(name)
    return removed


def _visible(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if not path.name.startswith("."))


class _Stop:
    """The first SIGINT or SIGTERM lets begun shards be finished; the second stops at once.

    Args:
        store: The store's folder.
        watcher: Who is told.
    """

    def __init__(self, store: Path, watcher: Watcher) -> None:
        self.asked = False
        self.at: dict[str, int] = {}  # shards that were handed out, and how many series are theirs
        self._store = store
        self._tell = watcher.stopping
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
        self._tell(*count_begun(self._store, self.at))

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
            "behind; plica inspect and plica bulk verify need none"
        )
    with Ledger(folder) as ledger:
        yield store, ledger

"""Crews: who does the tasks: this process, or Ray's workers on this machine or a cluster."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from plica.bulk.marker import read_marker
from plica.bulk.task import AT_ONCE, Death, Made, Order, Task, Trouble, Unbegun
from plica.bulk.worker import Worker
from plica.codecs.codec import Codec
from plica.errors import MissingExtra, OutputError, PlicaError, SettingsError

Event = Made | Death | Trouble | Unbegun
# A machine of a cluster may have to be started first.
_MOST_START_S = 900


@runtime_checkable
class Crew(Protocol):
    """Those who do the tasks.

    Contract: each task that was taken comes back exactly once: made, with its worker dead, in
    trouble, or, once the crew was told to halt, unbegun. A worker that died is replaced. A
    suspicious task is done by a worker that does nothing else meanwhile.
    """

    size: int

    def submit(self, task: Task) -> bool:
        """Give a task to whoever has least to do; False where nobody is free for it."""
        ...

    def collect(self, seconds: float) -> list[Event]:
        """What came back, waiting at most so long for the first."""
        ...

    def halt(self) -> None:
        """Begin no task more: those of which nothing is done yet are given back."""
        ...

    def close(self) -> None:
        """Let all go, whatever they are at."""
        ...


class OwnProcess:
    """One worker in this process, for archives that one processor or card can do.

    Args:
        order: How series are encoded.
        codec: Loaded already; else it is loaded here.
    """

    size = 1

    def __init__(self, order: Order, codec: Codec | None = None) -> None:
        self._worker = Worker(order, codec)
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="shard")
        self._at: dict[Future[Made | Unbegun], Task] = {}
        self._store = order.store

    def submit(self, task: Task) -> bool:
        """Give the worker a task; False where it has enough to do."""
        if not _has_room(list(self._at.values()), task):
            return False
        self._at[self._pool.submit(self._worker.run, task)] = task
        return True

    def collect(self, seconds: float) -> list[Event]:
        """What came back, waiting at most so long for the first."""
        done, _ = wait(self._at, timeout=seconds, return_when=FIRST_COMPLETED)
        return [self._open(future, self._at.pop(future)) for future in done]

    def _open(self, future: Future[Made | Unbegun], task: Task) -> Event:
        error = future.exception()
        if error is None:
            return future.result()
        if isinstance(error, PlicaError):
            return Trouble(task.shard, error)
        if isinstance(error, Exception):
            return _blame(self._store, task, error)
        raise error

    def halt(self) -> None:
        """Begin no task more: what is only read ahead is given back."""
        self._worker.halt()

    def close(self) -> None:
        """Wait for the series that are being encoded, and drop the rest."""
        self._worker.abandon()
        self._pool.shutdown(wait=True, cancel_futures=True)


class RayCrew:
    """Ray's actors: each has loaded the codec once.

    Args:
        order: How series are encoded.
        workers: How many; on a cluster they go where there is room.
        address: Of a Ray cluster; "" starts Ray on this machine alone, without a dashboard.
        cpus: Processors each counts for.
        gpus: Cards each counts for, or a part of one.

    Raises:
        MissingExtra: Ray is not installed.
        OutputError: There is no cluster at the address, or no room in it.
        SettingsError: This machine has not the cards that each is to take.
    """

    def __init__(
        self, order: Order, workers: int, *, address: str = "", cpus: float = 1, gpus: float = 0
    ) -> None:
        self._ray = _import_ray()
        _connect(self._ray, address, workers, cpus)
        cards = self._ray.cluster_resources().get("GPU", 0)
        if not address and gpus > cards:
            self.close()
            raise SettingsError(
                f"each worker was to take {gpus:g} cards, and Ray finds {cards:g} on this machine: "
                "leave out --gpus"
            )
        self.size = workers
        self._store = order.store
        # One more than tasks: a worker that has its hands full must still hear that it is to halt.
        options = {"num_cpus": cpus, "num_gpus": gpus, "max_concurrency": AT_ONCE + 1}
        remote = self._ray.remote(Worker).options(**options)
        self._hire: Callable[[], Any] = lambda: remote.remote(order)
        self._actors = [self._hire() for _ in range(workers)]
        self._at: dict[Any, tuple[int, Task]] = {}
        self._check_first()

    def _check_first(self) -> None:
        """What is wrong with the codec is wrong for all, and is said once and by its own error."""
        try:
            self._ray.get(self._actors[0].__ray_ready__.remote(), timeout=_MOST_START_S)
        except self._ray.exceptions.GetTimeoutError as error:
            self.close()
            raise OutputError(
                f"no worker was started within {_MOST_START_S} s: the cluster has no room for one; "
                "ask for fewer --gpus, or wait until others are done"
            ) from error
        except self._ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None)
            self.close()
            raise (
                cause
                if isinstance(cause, PlicaError)
                else OutputError(f"a worker could not be started: {_shorten(error)}")
            ) from error

    def submit(self, task: Task) -> bool:
        """Give a task to the worker that has least to do; False where none is free for it."""
        loads: list[list[Task]] = [[] for _ in range(self.size)]
        for place, other in self._at.values():
            loads[place].append(other)
        free = [place for place in range(self.size) if _has_room(loads[place], task)]
        if not free:
            return False
        place = min(free, key=lambda one: len(loads[one]))
        self._at[self._actors[place].run.remote(task)] = (place, task)
        return True

    def collect(self, seconds: float) -> list[Event]:
        """What came back, waiting at most so long for the first."""
        if not self._at:
            return []
        done, _ = self._ray.wait(list(self._at), num_returns=1, timeout=seconds)
        return [event for ref in done if ref in self._at for event in self._take(ref)]

    def _take(self, ref: Any) -> list[Event]:
        place, task = self._at.pop(ref)
        try:
            return [self._ray.get(ref)]
        except self._ray.exceptions.RayTaskError as error:
            cause = _cause(error)
            if isinstance(cause, PlicaError):
                return [Trouble(task.shard, cause)]
            return [_blame(self._store, task, cause)]
        except self._ray.exceptions.RayActorError as error:
            return self._bury(place, task, _shorten(error))
        except self._ray.exceptions.RayError as error:  # such as its guard of the memory
            self._ray.kill(self._actors[place])
            return self._bury(place, task, _shorten(error))

    def _bury(self, place: int, task: Task, reason: str) -> list[Event]:
        """All tasks of a worker die with it; another takes its place."""
        lost = [task]
        for ref, (where, other) in list(self._at.items()):
            if where == place:
                del self._at[ref]
                lost.append(other)
        self._actors[place] = self._hire()
        at = [_find_keys(self._store, one.shard) for one in lost]
        if sum(map(len, at)):
            reason = ""  # what Ray says of a death is many words, and none of the cause
        alone = len(lost) == 1 and len(at[0]) == 1
        return [Death(one.shard, keys, alone, reason) for one, keys in zip(lost, at, strict=True)]

    def halt(self) -> None:
        """Begin no task more: what workers only read ahead they give back."""
        for actor in self._actors:
            actor.halt.remote()

    def close(self) -> None:
        """Let all go, whatever they are at."""
        self._ray.shutdown()


def _has_room(at: list[Task], task: Task) -> bool:
    """Whether a worker that is at some tasks may be given one more."""
    if any(one.suspicious for one in at):
        return False
    return len(at) < (1 if task.suspicious else AT_ONCE)


def _blame(store: Path, task: Task, error: Exception) -> Death:
    """An error that nobody foresaw is a death, too: whose it is is found in the same way."""
    keys = _find_keys(store, task.shard)
    return Death(task.shard, keys, len(keys) == 1, f"{type(error).__name__}: {_shorten(error)}")


def _cause(error: Any) -> Exception:
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, Exception) else error


def _find_keys(store: Path, shard: str) -> tuple[str, ...]:
    return tuple(str(key) for key in read_marker(store, shard).get("at", ()))


def _import_ray() -> Any:
    # Ray asks its makers' servers for nothing, and says nothing of itself.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # What it says of deaths it says on stdout, whatever log_to_driver is; the report says it, too.
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".*")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise MissingExtra("encoding with several workers", "ray", "bulk") from error
    return ray


def _connect(ray: Any, address: str, workers: int, cpus: float) -> None:
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": False}
    try:
        # Ray speaks of its own doings on stdout, which may be somebody's JSON.
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            if address:
                ray.init(address=address, **quiet)
            else:
                ray.init(num_cpus=max(1, round(workers * cpus)), include_dashboard=False, **quiet)
    except (ConnectionError, ValueError) as error:
        raise OutputError(
            f"there is no Ray cluster at {address} ({_shorten(error)}): start one with `ray start "
            "--head`, or leave out --address"
        ) from error


def _shorten(error: Exception) -> str:
    return " ".join(str(error).split())[:200]

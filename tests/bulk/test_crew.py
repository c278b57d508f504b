"""What Ray says of its workers' ends becomes what the engine knows; Ray itself is acted here."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from plica.bulk.crew import RayCrew
from plica.bulk.marker import Marker
from plica.bulk.task import Death, Item, Made, Order, Task, Trouble, Unbegun
from plica.errors import OutputError, SettingsError, UnknownName

ITEMS = tuple(Item(key, f"{key}.nii", None, "") for key in "ab")


class RayError(Exception):
    """As Ray's: what a task raised is its cause."""

    def __init__(self, said: str = "", cause: object = None) -> None:
        super().__init__(said)
        self.cause = cause


class GetTimeoutError(RayError):
    """Nobody was started in time."""


class RayTaskError(RayError):
    """A task raised something."""


class RayActorError(RayError):
    """A worker died."""


class Ray:
    """One worker, whose answers come from a list; the first says whether it could be started."""

    exceptions = SimpleNamespace(
        RayError=RayError, GetTimeoutError=GetTimeoutError, RayTaskError=RayTaskError,
        RayActorError=RayActorError,
    )  # fmt: skip

    def __init__(self, *answers: object, refuse: Exception | None = None) -> None:
        self.answers = list(answers)
        self.refuse = refuse
        self.killed = self.shut = 0
        self.halted: list[int] = []

    def init(self, **_: Any) -> None:
        if self.refuse:
            raise self.refuse

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 2}

    def remote(self, _: type) -> Any:
        method = SimpleNamespace(remote=lambda *_: object())
        halt = SimpleNamespace(remote=lambda: self.halted.append(1))
        actor = SimpleNamespace(__ray_ready__=method, run=method, halt=halt)
        return SimpleNamespace(options=lambda **_: SimpleNamespace(remote=lambda _: actor))

    def get(self, ref: object, timeout: float | None = None) -> object:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def wait(self, refs: list[object], **_: Any) -> tuple[list[object], list[object]]:
        return refs[:1], refs[1:]

    def kill(self, _: object) -> None:
        self.killed += 1

    def shutdown(self) -> None:
        self.shut += 1


@pytest.fixture
def order(tmp_path: Path) -> Order:
    return Order(tmp_path / "archive", tmp_path, "none")


def hire(
    ray: Ray, order: Order, monkeypatch: pytest.MonkeyPatch, workers: int = 1, **options: Any
) -> RayCrew:
    monkeypatch.setitem(sys.modules, "ray", ray)
    return RayCrew(order, workers, **options)


@pytest.mark.parametrize(
    ("ray", "options", "error", "said"),
    [
        (Ray(), {"gpus": 1}, SettingsError, "Ray finds 0 on this machine: leave out --gpus"),
        (Ray(refuse=ConnectionError("refused")), {"address": "h:1"}, OutputError,
         r"no Ray cluster at h:1 \(refused\)"),
        (Ray(GetTimeoutError()), {}, OutputError, "no worker was started within 900 s"),
        (Ray(RayTaskError("a", UnknownName("no codec"))), {}, UnknownName, "no codec"),
        (Ray(RayError("out of  places")), {}, OutputError, "not be started: out of places"),
    ],
    ids=["no cards", "no cluster", "no room", "no codec", "no start"],
)  # fmt: skip
def test_a_crew_that_cannot_be_hired_is_a_sentence(ray, options, error, said, order, monkeypatch):
    with pytest.raises(error, match=said):
        hire(ray, order, monkeypatch, **options)
    assert ray.shut == (ray.refuse is None)  # nothing of it is left at work


@pytest.mark.parametrize(
    ("answer", "event"),
    [
        (Made("s", ()), Made("s", ())),
        (RayTaskError("", OutputError("full")), Trouble),
        (RayTaskError("", ZeroDivisionError("by  0")),
         Death("s", ("a",), True, "ZeroDivisionError: by 0")),
        (RayTaskError("lost"), Death("s", ("a",), True, "RayTaskError: lost")),
        (RayActorError("many words"), Death("s", ("a",), True, "")),
        (RayError("memory"), Death("s", ("a",), True, "")),
    ],
    ids=["made", "trouble", "unforeseen", "no cause", "dead", "killed"],
)  # fmt: skip
def test_what_became_of_a_task_is_told_with_whom_it_was_at(answer, event, order, monkeypatch):
    ray = Ray(None, answer)
    crew = hire(ray, order, monkeypatch)
    assert crew.collect(0.1) == []
    assert crew.submit(Task("s", ITEMS))
    marker = Marker(order.store, "s")
    marker.begin("a")
    marker.close()

    [came] = crew.collect(0.1)

    assert isinstance(came, Trouble) if event is Trouble else came == event
    assert ray.killed == (type(answer) is RayError)
    assert crew.collect(0.1) == []


def test_a_crew_that_halts_tells_its_workers_and_gives_tasks_back(order, monkeypatch):
    ray = Ray(None, Unbegun("s"))
    crew = hire(ray, order, monkeypatch)
    assert crew.submit(Task("s", ITEMS))
    crew.halt()
    assert ray.halted == [1]
    assert crew.collect(0.1) == [Unbegun("s")]


def test_all_tasks_of_a_dead_worker_come_back_and_nobody_is_blamed_alone(order, monkeypatch):
    crew = hire(Ray(None, RayActorError("no memory")), order, monkeypatch)
    assert crew.submit(Task("s", ITEMS))
    assert crew.submit(Task("t", ITEMS))
    assert not crew.submit(Task("u", ITEMS))  # it has enough to do
    assert crew.collect(0.1) == [Death("s", (), False, "no memory"),
                                 Death("t", (), False, "no memory")]  # fmt: skip


def test_a_worker_is_alone_with_a_series_that_is_suspected(order, monkeypatch):
    suspect = tuple(replace(item, suspect=True) for item in ITEMS)
    crew = hire(Ray(None, Made("s", ())), order, monkeypatch)
    assert crew.submit(Task("s", suspect))
    assert not crew.submit(Task("t", ITEMS))
    assert crew.collect(0.1) == [Made("s", ())]
    assert crew.submit(Task("t", ITEMS))
    assert not crew.submit(Task("s", suspect))


def test_a_worker_that_dies_takes_no_task_of_another_with_it(order, monkeypatch):
    ray = Ray(None, RayActorError("no memory"), Made("t", ()))
    crew = hire(ray, order, monkeypatch, workers=2)
    assert crew.submit(Task("s", ITEMS))
    assert crew.submit(Task("t", ITEMS))
    assert crew.collect(0.1) == [Death("s", (), False, "no memory")]
    assert crew.collect(0.1) == [Made("t", ())]

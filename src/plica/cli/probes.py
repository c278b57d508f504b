"""Probes on a command line: the views of each codec, and one fit after another."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from plica.cli.console import keep_end, progress
from plica.cli.contenders import Contender
from plica.cli.posing import Asked, Task, sight_of
from plica.cli.resuming import refuse_report
from plica.errors import PlicaError, SettingsError, TrainingInterrupted
from plica.evaluation.predictions import Predictions
from plica.evaluation.publish import RUN
from plica.run import RECIPE, Run
from plica.training.data import name_of
from plica.training.views import FULL, View, Views

if TYPE_CHECKING:
    from plica.training.probing import Course, Plan
    from plica.training.progress import Progress as Standing


@dataclass
class Session:
    """One run: all codecs, folds and seeds.

    Args:
        asked: What was asked for.
        task: Labelled images.
        plan: How probes are fitted.
        contenders: The codecs.
        cache: Where views and features are kept; None takes the user's folder.
        device: Where probes run.
        silent: Shows nothing.
    """

    asked: Asked
    task: Task
    plan: Plan
    contenders: tuple[Contender, ...]
    cache: Path | None
    device: str
    silent: bool
    shown: dict[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """What is shown to probes, the baseline first."""
        names = [FULL, *(one.name for one in self.contenders)]
        return self.asked.baseline, *(name for name in names if name != self.asked.baseline)

    def show(self) -> dict[str, list[View]]:
        """What each codec makes of each image; what is kept is not made again.

        Raises:
            PlicaError: An image or a codec cannot be used.
        """
        with progress(quiet=self.silent, lines=True) as bar:
            return self._show(bar)

    def run(self, folder: Path, views: Mapping[str, list[View]]) -> tuple[Predictions, ...]:
        """All predictions; those that are kept are not made again.

        Args:
            folder: Of the run.
            views: What `show` gave.

        Raises:
            TrainingInterrupted: It was asked to stop; what is done is kept.
            InputError: The views are of no use to the probe.
        """
        from plica.training.engine import Engine

        with progress(quiet=self.silent, lines=True) as bar:
            engine = Engine(self.device, self.plan.precision)
            fits = len(self.names) * len(self.task.parts) * self.asked.seeds
            job = bar.add_task("fitting", total=fits)
            return tuple(
                predictions
                for name in self.names
                for predictions in self._fit_codec(
                    name, views[name], _Place(folder, engine, bar, job)
                )
            )

    def _show(self, bar: Progress) -> dict[str, list[View]]:
        views = Views(sight_of(self.asked), self.cache)
        shown: dict[str, list[View]] = {name: [] for name in self.names}
        job = bar.add_task("showing", total=len(self.task.subjects) * len(self.names))
        codecs = {one.name: one.codec for one in self.contenders}
        for subject in self.task.subjects:
            for name in self.names:
                bar.update(job, description=f"{keep_end(name_of(subject.case), 30)} · {name}")
                try:
                    view = (
                        views.of_codec(subject, codecs[name])
                        if name in codecs
                        else views.of_image(subject)
                    )
                except PlicaError as error:
                    raise type(error)(f"{name_of(subject.case)} under {name}: {error}") from error
                shown[name].append(view)
                bar.advance(job)
        return shown

    def _fit_codec(self, name: str, views: list[View], place: _Place) -> Iterator[Predictions]:
        from plica.training.probing import Course

        found: dict[int, list[NDArray[np.float64]]] = {n: [] for n in range(self.asked.seeds)}
        plan = self._plan_of(name)
        for fold, part in enumerate(self.task.parts):
            course = Course(
                plan, views, self.task.targets, part.train, part.test, engine=place.engine,
                cache=self.cache,
            )  # fmt: skip
            self.shown[name] = course.shape
            for seed in range(self.asked.seeds):
                place.bar.update(place.job, description=f"{name} · fold {fold + 1} · seed {seed}")
                found[seed].append(self._fit(course, name, (fold, seed), place))
                place.bar.advance(place.job)
        for seed, scores in found.items():
            yield self._gather(name, seed, scores)

    def _plan_of(self, name: str) -> Plan:
        """The plan; a protocol may say another batch for images at full resolution."""
        full = name == FULL or self.asked.decoded
        batch = self.asked.batch_full if full else 0
        return replace(self.plan, batch=batch) if batch else self.plan

    def _fit(
        self, course: Course, name: str, which: tuple[int, int], place: _Place
    ) -> NDArray[np.float64]:
        fold, seed = which
        spelt = re.sub(r"[^\w.-]+", "-", name).strip("-.")
        mark = hashlib.sha256(name.encode()).hexdigest()[:6]
        folder = place.folder / f"{spelt}-{mark}" / f"fold{fold}-seed{seed}"
        watcher = None if self.silent else _Steps(place.bar, name)
        try:
            course.look(None if watcher is None else watcher.look)
            return course.fit(seed, folder, name=f"{spelt}-fold{fold}-seed{seed}", watcher=watcher)
        except TrainingInterrupted as error:
            raise TrainingInterrupted(
                "stopped; the probes that are done are kept, and the one at work has a checkpoint: "
                "run the same command with --resume"
            ) from error
        finally:
            if watcher is not None:
                watcher.leave()

    def _gather(self, name: str, seed: int, scores: list[NDArray[np.float64]]) -> Predictions:
        tested = [number for part in self.task.parts for number in part.test]
        folds = [n for n, part in enumerate(self.task.parts) for _ in part.test]
        return Predictions(
            codec=name,
            seed=seed,
            classes=self.task.labelled.classes,
            cases=tuple(self.task.subjects[number].key for number in tested),
            labels=self.task.targets[tested],
            scores=np.concatenate(scores),
            folds=tuple(folds),
        )


class _Place(NamedTuple):
    """Where fits are kept and computed, and who is told."""

    folder: Path
    engine: Any
    bar: Progress
    job: Any


class _Steps:
    """A bar for the steps of one fit, as the loop tells them."""

    def __init__(self, bar: Progress, name: str) -> None:
        self._bar, self._task = bar, bar.add_task(f"  {name}", total=None)

    def look(self, done: int, total: int) -> None:
        self._bar.update(self._task, description="  features", completed=done, total=total)

    def advanced(self, progress: Standing) -> None:
        self._bar.update(
            self._task, description="  steps", completed=progress.step, total=progress.steps
        )

    def logged(self, step: int, numbers: Mapping[tuple[str, str, str], float]) -> None:
        pass

    def judged(self, step: int, means: Mapping[str, float], best: bool) -> None:
        pass

    def said(self, sentence: str) -> None:
        self._bar.console.print(sentence)

    def leave(self) -> None:
        self._bar.remove_task(self._task)


def make_plan(asked: Asked, classes: int, weights: str | None) -> Plan:
    """How probes are fitted.

    Raises:
        WeightsError: The probe's weights are nowhere, or damaged.
    """
    from plica.codecs.card import WeightsSource
    from plica.codecs.weights import fingerprint, read, resolve
    from plica.training.probing import plan_for

    plan = plan_for(
        asked.probe, classes=classes, linear=asked.mode == "linear", channels=asked.channels,
        epochs=asked.epochs or None, batch=asked.batch or None, rate=asked.rate or None,
        balanced=asked.balanced, precision=asked.precision,
    )  # fmt: skip
    if weights is None:
        return plan
    state = read(resolve(WeightsSource(), weights, name=asked.probe))
    return replace(plan, weights=state, weights_fingerprint=fingerprint(state))


def check_folder(out: Path, asked: Asked, *, overwrite: bool, resume: bool) -> None:
    """Refuse a report's folder before any work.

    Raises:
        OutputError: There is something already, and nothing was said of it.
        SettingsError: It is resumed with other settings; names them.
    """
    folder = out / RUN
    refuse_report(out, overwrite=overwrite, resume=resume)
    if overwrite or not (folder / RECIPE).is_file():
        return
    begun = asdict(Run.open(folder).recipe(Asked))
    if differing := [name for name, value in asdict(asked).items() if begun[name] != value]:
        raise SettingsError(
            f"{folder} was begun with another {', '.join(differing)}: repeat the same command, or "
            "begin anew with --overwrite"
        )


def start_folder(out: Path, asked: Asked, *, overwrite: bool) -> Path:
    """The folder in which probes are kept as they come, once it is known that there will be some.

    Raises:
        OutputError: It cannot be written.
    """
    folder = out / RUN
    if overwrite and (folder / RECIPE).is_file():
        shutil.rmtree(folder)
    return folder if (folder / RECIPE).is_file() else Run.start(folder, asked).folder

"""The loop: steps, judgements and checkpoints of any objective; it knows no autoencoder."""

from __future__ import annotations

import shlex
from collections.abc import Generator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray

from plica.errors import SettingsError, TrainingInterrupted, TrainingStopped
from plica.run import Run
from plica.training import checkpoint
from plica.training.engine import Engine
from plica.training.guards import check_progress, is_better
from plica.training.interruption import Interruption
from plica.training.judging import Cases, Judgement, judge
from plica.training.logs import Logs
from plica.training.objective import Batch, Measure, Objective, Player
from plica.training.panels import write_panels
from plica.training.progress import Clock, Progress, Watcher
from plica.training.recipe import Recipe, fingerprint
from plica.training.state import State
from plica.training.tally import Tally

CHECKPOINTS, PANELS = "checkpoints", "panels"

Share = (
    tuple[NDArray[np.float32], tuple[int, ...]]
    | tuple[NDArray[np.float32], tuple[int, ...], NDArray[np.int64]]
)
Stream = Generator[Share, None, None]


@runtime_checkable
class Batches(Protocol):
    """Where batches come from, in the order of steps.

    Contract: the batch of a step is a function of the recipe's seed, the step, and this process's
    place among all. The iterator is a generator: closing it ends whatever makes batches ahead.
    """

    def stream(self, first: int, last: int, *, rank: int, world: int) -> Stream:
        """For each step from `first` up to `last`, without it: this process's share of the batch.

        The share is (batch / world, channel, *space) in [−1, 1], one seed per patch, and, where
        patches have targets, the targets.
        """
        ...


@dataclass(frozen=True)
class Outcome:
    """How a training ended.

    Args:
        steps: Steps that are done.
        metric: What chose the best checkpoint.
        first: Its mean under the first weights, None without cases.
        last: Under the last.
        best: Under those of `best_step`.
        best_step: Steps that were done when it was best.
        images_per_second: Over this session, without judging and checkpoints.
        waiting: Share of the steps' time in which the device waited for data.
        checkpoint: The folder of the best checkpoint; the last one's without cases.
    """

    steps: int
    metric: str
    first: float | None
    last: float | None
    best: float | None
    best_step: int
    images_per_second: float
    waiting: float
    checkpoint: Path


def train(
    recipe: Recipe, objective: Objective, batches: Batches, cases: Cases, run: Run, *,
    engine: Engine, watcher: Watcher | None = None,
) -> Outcome:  # fmt: skip
    """Train until the recipe's last step; a run that has checkpoints goes on from its last.

    Args:
        recipe: What the objective, batches and cases were made by.
        run: Takes logs, panels, checkpoints and the results.
        engine: Where it runs.
        watcher: Is told how it goes; only the first process tells.

    Raises:
        TrainingStopped: A term is not finite, or the metric fell behind that of the first weights.
        TrainingInterrupted: SIGINT or SIGTERM came; a checkpoint of the last step was written.
        SettingsError: The run's checkpoint was made by another recipe, the run is finished, or
            the batch cannot be shared by the processes.
        OutputError: The run's folder cannot be written; the checkpoints in it are left.
    """
    _refuse_what_cannot_be(recipe, run, engine)
    training = _Training(recipe, objective, cases, run, engine=engine, watcher=watcher)
    with Interruption() as interruption:
        return training.go(batches, interruption)


class _Training:
    def __init__(
        self, recipe: Recipe, objective: Objective, cases: Cases, run: Run, *,
        engine: Engine, watcher: Watcher | None,
    ) -> None:  # fmt: skip
        self._recipe, self._objective, self._cases, self._run = recipe, objective, cases, run
        self._engine = engine
        self._watcher = watcher if engine.is_first else None
        self._measure = _choose_measure(objective, recipe.metric)
        self._state = State(recipe, objective, engine)
        self._tally = Tally(engine)
        self._clock = Clock(engine.device, batch=recipe.batch, steps=recipe.steps)
        self._compared: set[Player] = set()  # whose terms were, since the last line of the log
        self._folder = run.folder / CHECKPOINTS
        self._logs: Logs | None = None

    # -- from the first step to the last ---------------------------------------------------------

    def go(self, batches: Batches, interruption: Interruption) -> Outcome:
        """All steps that are left."""
        try:
            self._begin()
            self._run_steps(batches, interruption)
            return self._finish()
        except TrainingStopped as error:
            self._note("stopped", step=self._state.step, reason=str(error))
            raise
        finally:
            if self._logs is not None:
                self._logs.close()

    def _begin(self) -> None:
        latest, damaged = checkpoint.load_latest(self._folder)
        if latest is not None:
            self._state.restore(latest)
        state = self._state
        if self._engine.is_first:
            names = [measure.name for measure in self._objective.measures]
            self._logs = Logs(self._run.folder, names, step=state.step, evaluated=state.evaluated)
        for sentence in damaged:
            self._say(f"{sentence}; the one before it is taken")
        self._note(
            "resumed" if latest is not None else "started", step=state.step, damaged=damaged,
            fingerprint=fingerprint(self._recipe), device=self._engine.device.type,
            processes=self._engine.world, precision=self._engine.precision,
        )  # fmt: skip
        self._engine.wait()  # until all have read what the first one may remove later

    def _run_steps(self, batches: Batches, interruption: Interruption) -> None:
        first, last = self._state.step, self._recipe.steps
        if self._state.evaluated < first and self._is_due(self._recipe.evaluate_every):
            self._judge_and_save(interruption, due=False)
        self._clock.start(first)
        stream = batches.stream(first, last, rank=self._engine.rank, world=self._engine.world)
        with closing(stream):
            for step in range(first, last):
                self._take(self._next(stream), step)
                self._state.step = step + 1
                self._clock.end_step(step + 1)
                self._follow(interruption)

    def _next(self, stream: Stream) -> Batch:
        with self._clock.wait():
            x, seeds, *targets = next(stream)
        aims = torch.from_numpy(targets[0]).to(self._engine.device) if targets else None
        return Batch(self._engine.bring(x), tuple(seeds), self._engine.average, aims)

    def _take(self, batch: Batch, step: int) -> None:
        """One turn of each player whose turn it is."""
        for player in self._objective.turns(step):
            turn = self._state.learners[player].learn(
                batch, step, engine=self._engine, parts=self._recipe.accumulate,
                compare=player not in self._compared,
            )  # fmt: skip
            self._tally.add(step, turn)
            self._compared.add(player)
        if self._state.average is not None:
            self._state.average.update(self._state.modules["network"], step)

    # -- what follows a step ---------------------------------------------------------------------

    def _follow(self, interruption: Interruption) -> None:
        progress = self._clock.progress(self._state.step)
        if self._watcher is not None:
            self._watcher.advanced(progress)
        if self._is_due(self._recipe.log_every):
            self._write_losses(progress)
        asked = self._engine.any(interruption.asked)
        if self._is_due(self._recipe.evaluate_every) and not asked:
            self._judge_and_save(interruption, due=self._is_due(self._recipe.checkpoint_every))
        elif self._is_due(self._recipe.checkpoint_every) or asked:
            self._save()
        if asked:
            self._give_way()

    def _is_due(self, every: int) -> bool:
        return self._state.step % every == 0 or self._state.step == self._recipe.steps

    def _write_losses(self, progress: Progress) -> None:
        numbers = self._tally.close()
        self._compared.clear()
        loop = {"images_per_second": progress.images_per_second, "waiting": progress.waiting}
        if self._logs is not None:
            logged = {**numbers, **{("loop", "fact", key): value for key, value in loop.items()}}
            self._logs.losses(self._state.step, logged)
        if self._watcher is not None:
            self._watcher.logged(self._state.step, numbers)

    def _judge_and_save(self, interruption: Interruption, *, due: bool) -> None:
        self._tally.check()
        with self._clock.pause():
            judgement = judge(
                self._objective, self._state.judged, self._cases, self._engine,
                lambda: interruption.asked,
            )  # fmt: skip
            improved = judgement is not None and self._take_in(judgement)
        if improved or due or judgement is None:
            self._save()
        if judgement is None:
            self._give_way()

    def _take_in(self, judgement: Judgement) -> bool:
        """Log a judgement; whether the metric is the best so far."""
        state, measure = self._state, self._measure
        state.evaluated = state.step
        if not judgement.rows:
            return False
        means = judgement.means(self._objective)
        state.last = means[measure.name]
        improved = is_better(measure, state.last, state.best)
        if improved:
            state.best, state.best_step = state.last, state.step
        self._tell(judgement, means, improved)
        if state.first is None:
            state.first = state.last
        check_progress(measure, state.first, state.last, state.step, self._recipe.tolerance)
        return improved

    def _tell(self, judgement: Judgement, means: dict[str, float], improved: bool) -> None:
        step = self._state.step
        if self._logs is not None:
            self._logs.judgements(step, judgement.rows, means)
            if judgement.pictures:
                path = self._run.folder / PANELS / f"step-{step:07d}.png"
                write_panels(judgement.pictures, path)
        self._note("judged", step=step, cases=len(judgement.rows), best=improved, **means)
        if self._watcher is not None:
            self._watcher.judged(step, means, improved)

    def _save(self) -> None:
        """Write a checkpoint; keep the last two and the best."""
        self._tally.check()
        if not self._state.is_finite():
            raise TrainingStopped(
                f"after {self._state.step} steps a weight is not finite; the last checkpoint is "
                f"left as it is: try a lower rate, or clip the gradient (optimiser.clip)"
            )
        with self._clock.pause():
            if self._engine.is_first:
                self._write_checkpoint()
            self._engine.wait()

    def _write_checkpoint(self) -> None:
        state = self._state
        checkpoint.save(self._folder, state.contents(), state.record())
        # Later ones are damaged, or this training would have gone on from there.
        done = [step for step in checkpoint.list_steps(self._folder) if step <= state.step]
        checkpoint.prune(self._folder, {*done[-2:], state.best_step})
        self._note("checkpoint", step=state.step)

    def _give_way(self) -> None:
        step, folder = self._state.step, self._run.folder
        self._note("interrupted", step=step)
        raise TrainingInterrupted(
            f"stopped after {step} of {self._recipe.steps} steps, which are in a checkpoint; go on "
            f"with: plica train --resume -o {shlex.quote(str(folder))}"
        )

    def _finish(self) -> Outcome:
        state, progress = self._state, self._clock.progress(self._state.step)
        best = state.best_step if state.best_step >= 0 else state.step
        outcome = Outcome(
            steps=state.step, metric=self._measure.name, first=state.first, last=state.last,
            best=state.best, best_step=best,
            images_per_second=self._clock.images_per_second(state.step),
            waiting=progress.waiting, checkpoint=checkpoint.locate(self._folder, best),
        )  # fmt: skip
        if self._engine.is_first and not self._run.is_finished:
            self._run.finish({**asdict(outcome), "checkpoint": outcome.checkpoint.name})
        return outcome

    # -- saying ----------------------------------------------------------------------------------

    def _note(self, event: str, **facts: Any) -> None:
        if self._engine.is_first:
            self._run.log(event, **facts)

    def _say(self, sentence: str) -> None:
        if self._watcher is not None:
            self._watcher.said(sentence)


def _refuse_what_cannot_be(recipe: Recipe, run: Run, engine: Engine) -> None:
    if run.is_finished:
        raise SettingsError(f"{run.folder} is finished; start another run")
    if recipe.batch % (recipe.accumulate * engine.world):
        raise SettingsError(
            f"batch: {recipe.batch} images cannot be shared evenly by {engine.world} processes, "
            f"each computing its share in {recipe.accumulate} parts"
        )


def _choose_measure(objective: Objective, name: str) -> Measure:
    measures = {measure.name: measure for measure in objective.measures}
    if name and name not in measures:
        raise SettingsError(f"metric: no measure '{name}'; there are: {', '.join(measures)}")
    return measures[name] if name else objective.measures[0]

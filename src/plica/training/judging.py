"""Judging: every validation case, one at a time, shared among the processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from plica.training.engine import Engine
from plica.training.objective import Objective

PANELS = 4


@runtime_checkable
class Cases(Protocol):
    """Validation cases by number; a list of pairs is one.

    Contract: each is the case's name in tables and x, (channel, *space) in [−1, 1], the same
    every time.
    """

    def __len__(self) -> int:
        """How many there are."""
        ...

    def __getitem__(self, number: int, /) -> tuple[str, NDArray[np.float32] | Tensor]:
        """The case's name and x."""
        ...


@dataclass(frozen=True)
class Judgement:
    """What came of judging.

    Args:
        rows: Each case's name, and its values in the order of the objective's measures.
        pictures: Source and reconstruction of the first cases.
    """

    rows: list[tuple[str, list[float]]]
    pictures: list[tuple[NDArray[np.float32], NDArray[np.float32]]]

    def means(self, objective: Objective) -> dict[str, float]:
        """The mean over the cases of each measure."""
        columns = np.array([values for _, values in self.rows], dtype=np.float64)
        names = [measure.name for measure in objective.measures]
        return {name: float(column.mean()) for name, column in zip(names, columns.T, strict=True)}


def judge(
    objective: Objective, network: nn.Module, cases: Cases, engine: Engine,
    asked: Callable[[], bool],
) -> Judgement | None:  # fmt: skip
    """Judge all cases under `network`, in its weights' own precision.

    Args:
        asked: Whether to stop before the end.

    Returns:
        The judgement, in the order of the cases; None where it was stopped.

    Examples:
        >>> from plica.training.engine import Engine
        >>> from plica.training.objectives import build_objective
        >>> objective = build_objective(recipe)
        >>> cases = [("p0", np.zeros((1, 16, 16), np.float32))]
        >>> found = judge(objective, objective.network, cases, Engine("cpu"), lambda: False)
        >>> [name for name, values in found.rows]
        ['p0']
    """
    was_training = network.training
    network.eval()
    found: list[Any] = []
    try:
        for begin in range(0, len(cases), engine.world):
            if engine.any(asked()):
                return None
            number = begin + engine.rank
            if number < len(cases):
                found.append((number, *_judge_one(objective, network, cases, number, engine)))
    finally:
        network.train(was_training)
    found = sorted(engine.gather(found), key=lambda entry: entry[0])
    return Judgement(
        [(name, values) for _, name, values, _ in found],
        [pair for *_, pair in found if pair is not None],
    )


@torch.no_grad()
def _judge_one(
    objective: Objective, network: nn.Module, cases: Cases, number: int, engine: Engine
) -> tuple[str, list[float], Any]:
    name, x = cases[number]
    x = engine.bring(x)[None]
    measured: Mapping[str, float]
    measured, decoded = objective.judge(network, x)
    values = [float(measured[measure.name]) for measure in objective.measures]
    if decoded is None or number >= PANELS:
        return name, values, None
    return name, values, (x[0].cpu().numpy(), decoded[0].float().cpu().numpy())

"""The tally: numbers of each step stay on the device until a line of the log asks for them."""

from __future__ import annotations

import torch
from torch import Tensor

from plica.training.engine import Engine
from plica.training.guards import check_finite
from plica.training.players import Turn

Numbers = dict[tuple[str, str, str], float]


class Tally:
    """Turns since the last line of the log.

    Fetching a number makes the device wait, which costs a small network as much as its step.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._turns: list[tuple[int, Turn]] = []
        self._known: list[Numbers] = []

    def add(self, step: int, turn: Turn) -> None:
        """Keep the numbers of a turn of `step`."""
        self._turns.append((step, turn))

    def check(self) -> None:
        """Fetch what was added since.

        Raises:
            TrainingStopped: A term or a gradient was not finite; the message says at which step.
        """
        values = self._fetch([value for _, turn in self._turns for value in turn.numbers.values()])
        for step, turn in self._turns:
            numbers = {(turn.player, *key): values.pop(0) for key in turn.numbers}
            check_finite(numbers, step)
            self._known.append(numbers)
        self._turns = []

    def close(self) -> Numbers:
        """The means since the last line of the log (the rate: its last value), and begin anew.

        Raises:
            TrainingStopped: As for `check`.
        """
        self.check()
        series: dict[tuple[str, str, str], list[float]] = {}
        for numbers in self._known:
            for key, value in numbers.items():
                series.setdefault(key, []).append(value)
        self._known = []
        return {
            key: values[-1] if key[1] == "rate" else sum(values) / len(values)
            for key, values in series.items()
        }

    def _fetch(self, numbers: list[Tensor | float]) -> list[float]:
        """All numbers in one transfer, averaged over the processes."""
        tensors = [n.to(self._engine.device) for n in numbers if isinstance(n, Tensor)]
        plain = [float(n) for n in numbers if not isinstance(n, Tensor)]
        ours = iter(self._average(torch.tensor(plain)) if self._engine.world > 1 else plain)
        others = iter(self._average(torch.stack(tensors)) if tensors else [])
        return [next(others if isinstance(n, Tensor) else ours) for n in numbers]

    def _average(self, numbers: Tensor) -> list[float]:
        return list(self._engine.average(numbers.to(self._engine.device)).tolist())

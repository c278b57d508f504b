"""Players: each has parameters, an optimiser and a gradient of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from plica.errors import WeightsError
from plica.training.engine import Engine
from plica.training.objective import Batch, Objective, Player, Terms
from plica.training.recipe import Optimiser
from plica.training.schedule import rate_at

_KINDS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


@dataclass
class Turn:
    """What came of one player's step: numbers still on the device, means over the batch's parts.

    Args:
        numbers: By kind ("term", "fact", "share", "norm", "rate") and name.
    """

    player: Player
    numbers: dict[tuple[str, str], Tensor | float] = field(default_factory=dict)

    def add(self, kind: str, name: str, value: float | Tensor) -> None:
        """Add to a number, which is 0 before."""
        value = value.detach().float().reshape(()) if isinstance(value, Tensor) else value
        key = (kind, name)
        self.numbers[key] = self.numbers[key] + value if key in self.numbers else value


class Learner:
    """One player, taught by its terms.

    Args:
        name: The player.
        objective: What names its parameters and its terms.
        settings: How its steps are taken.
        steps: Of the whole training.
    """

    def __init__(
        self, name: Player, objective: Objective, settings: Optimiser, *, steps: int
    ) -> None:
        self.name = name
        self.parameters = list(objective.players()[name])
        self._objective = objective
        self._settings = settings
        self._steps = steps
        self._optimiser = _KINDS[settings.kind](
            self.parameters, lr=settings.rate, betas=settings.betas,
            weight_decay=settings.weight_decay,
        )  # fmt: skip

    def learn(self, batch: Batch, step: int, *, engine: Engine, parts: int, compare: bool) -> Turn:
        """Take one step.

        Args:
            batch: This process's share.
            step: Its number, from 0.
            engine: Precision, and the other processes.
            parts: In how many pieces of equal size the share is computed, one after another; the
                gradient is that of the whole.
            compare: Whether the terms' shares of the gradient are measured.
        """
        turn = Turn(self.name)
        self._optimiser.zero_grad(set_to_none=True)
        for part in _split(batch, parts):
            with engine.autocast():
                terms = self._objective.terms(self.name, part, step)
            if compare and "share" not in {kind for kind, _ in turn.numbers}:
                self._compare(terms, turn, engine)
            torch.autograd.backward(terms.total / parts, inputs=self.parameters)
            for name, term in terms.parts.items():
                turn.add("term", name, term.detach() / parts)
            for name, fact in terms.facts.items():
                turn.add("fact", name, fact / parts)
        engine.average_gradients(self.parameters)
        self._step(turn, step)
        return turn

    def _step(self, turn: Turn, step: int) -> None:
        greatest = self._settings.clip or float("inf")
        turn.add("norm", "gradient", nn.utils.clip_grad_norm_(self.parameters, greatest))
        rate = rate_at(step, self._steps, self._settings)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        self._optimiser.step()
        turn.add("rate", "rate", rate)

    def _compare(self, terms: Terms, turn: Turn, engine: Engine) -> None:
        """Each term's share of the gradient at the probe, by its norm."""
        probe = self._objective.probe(self.name)
        norms = {}
        for name, term in terms.parts.items():
            if term.requires_grad:
                (gradient,) = torch.autograd.grad(term, probe, retain_graph=True, allow_unused=True)
                gradient = torch.zeros_like(probe) if gradient is None else gradient
                norms[name] = engine.average(gradient).norm()
        whole = sum(norms.values(), torch.zeros((), device=probe.device)).clamp_min(1e-30)
        for name, norm in norms.items():
            turn.add("share", name, norm / whole)

    def state(self) -> dict[str, Tensor]:
        """The optimiser's memory, by number of the parameter and name."""
        memory = self._optimiser.state_dict()["state"]
        return {
            f"{number}.{name}": torch.as_tensor(value)
            for number, values in memory.items()
            for name, value in values.items()
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state` gave.

        Raises:
            WeightsError: It belongs to other parameters.
        """
        memory: dict[int, dict[str, Tensor]] = {}
        for key, tensor in state.items():
            number, _, name = key.partition(".")
            memory.setdefault(int(number) if number.isdecimal() else -1, {})[name] = tensor
        if not all(self._fits(number, values) for number, values in memory.items()):
            raise WeightsError(f"the optimiser of '{self.name}' has a memory of other parameters")
        groups = self._optimiser.state_dict()["param_groups"]
        self._optimiser.load_state_dict({"state": memory, "param_groups": groups})

    def _fits(self, number: int, values: Mapping[str, Tensor]) -> bool:
        """Whether that is what Adam remembers of one parameter."""
        if not 0 <= number < len(self.parameters):
            return False
        shape = self.parameters[number].shape
        wanted = {"step": torch.Size(()), "exp_avg": shape, "exp_avg_sq": shape}
        return {name: value.shape for name, value in values.items()} == wanted


def _split(batch: Batch, parts: int) -> Iterator[Batch]:
    size = len(batch.seeds) // parts
    for begin in range(0, size * parts, size):
        place = slice(begin, begin + size)
        targets = None if batch.targets is None else batch.targets[place]
        yield Batch(batch.x[place], batch.seeds[place], batch.average, targets)

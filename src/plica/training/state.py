"""State: all of a training that changes, put into checkpoints and taken out again."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from plica import settings
from plica.errors import WeightsError
from plica.training.average import Average
from plica.training.checkpoint import Checkpoint, Record
from plica.training.engine import Engine
from plica.training.objective import Objective
from plica.training.players import Learner
from plica.training.recipe import Recipe, refuse_another

NETWORK, AVERAGE, OPTIMISER = "network", "average", "optimiser."


class State:
    """Weights, their average, the optimisers' memories, and how far a training has come.

    Args:
        recipe: Of the training.
        objective: Its modules and players; its modules are moved to the engine's device.
        engine: Where it runs.
    """

    def __init__(self, recipe: Recipe, objective: Objective, engine: Engine) -> None:
        self.modules = dict(objective.modules())
        for module in self.modules.values():
            module.to(engine.device).train()
        engine.share_weights(self.modules.values())
        self.average = (
            Average(self.modules[NETWORK], recipe.average) if recipe.average > 0.0 else None
        )
        self.learners = {
            player: Learner(player, objective, recipe.optimiser_of(player), steps=recipe.steps)
            for player in objective.players()
        }
        self.step, self.evaluated = 0, -1
        self.first: float | None = None
        self.last: float | None = None
        self.best: float | None = None
        self.best_step = -1
        self._recipe = recipe

    @property
    def judged(self) -> nn.Module:
        """The network that is judged and exported: the average, where one is kept."""
        return self.modules[NETWORK] if self.average is None else self.average.network

    def record(self) -> Record:
        """What a checkpoint says of now."""
        return Record(
            step=self.step, recipe=settings.to_toml(self._recipe),
            evaluated=self.evaluated, first=self.first, last=self.last, best=self.best,
            best_step=self.best_step,
        )  # fmt: skip

    def contents(self) -> dict[str, Mapping[str, Tensor]]:
        """All tensors, by file and name."""
        files = {name: module.state_dict() for name, module in self.modules.items()}
        if self.average is not None:
            files[AVERAGE] = self.average.network.state_dict()
        memories = {f"{OPTIMISER}{name}": each.state() for name, each in self.learners.items()}
        return {**files, **memories}

    def is_finite(self) -> bool:
        """Whether every weight is a number."""
        weights = (p for module in self.modules.values() for p in module.parameters())
        return all(bool(torch.isfinite(weight).all()) for weight in weights)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Take over a checkpoint.

        Raises:
            SettingsError: It was made by another recipe; the message names where they differ.
            WeightsError: It holds other modules or shapes than the objective.
        """
        record = checkpoint.record
        self._refuse_another_recipe(record)
        expected = self.contents().keys()
        if expected != checkpoint.contents.keys():
            raise WeightsError(
                f"the checkpoint of step {record.step} holds {', '.join(checkpoint.contents)}, but "
                f"this training has {', '.join(expected)}"
            )
        for name, tensors in checkpoint.contents.items():
            self._restore(name, tensors)
        self.step, self.evaluated = record.step, record.evaluated
        self.first, self.last = record.first, record.last
        self.best, self.best_step = record.best, record.best_step

    def _refuse_another_recipe(self, record: Record) -> None:
        # Read as a recipe: a setting that did not exist when it was written has its default.
        there = settings.parse(Recipe, record.recipe)
        refuse_another(there, self._recipe, whose=f"the checkpoint of step {record.step}")

    def _restore(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        if name.startswith(OPTIMISER):
            self.learners[name.removeprefix(OPTIMISER)].restore(tensors)
            return
        module = self.judged if name == AVERAGE else self.modules[name]
        try:
            module.load_state_dict(tensors)
        except RuntimeError as error:
            raise WeightsError(
                f"the checkpoint's '{name}' is of another network: {error}"
            ) from error

"""The table of objectives: what a recipe's `objective.kind` leads to."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from plica.registry import Registry
from plica.training.objective import Objective
from plica.training.recipe import Recipe

OBJECTIVES = Registry(
    "objective",
    (
        ("reconstruction", "plica.training.reconstruction:build"),
        ("projection", "plica.training.projection:build"),
        ("classification", "plica.training.classification:build"),
    ),
)


def build_objective(
    recipe: Recipe,
    *,
    network: nn.Module | None = None,
    weights_dir: str | Path | None = None,
    device: str | torch.device = "cpu",
) -> Objective:
    """The objective of a recipe with all networks it needs, on `device`.

    Args:
        network: Trained instead of the one `starting.build_network` makes of the recipe.
        weights_dir: Where weights files lie.

    Raises:
        SettingsError: The recipe's settings do not go together.
        WeightsError: Weights the recipe asks for are missing or damaged; names the path.

    Examples:
        >>> type(build_objective(recipe)).__name__
        'ReconstructionObjective'
    """
    from plica.training.starting import build_network

    build = OBJECTIVES.get_thing(recipe.objective.kind)
    if network is None:
        network = build_network(recipe, weights_dir=weights_dir)
    objective: Objective = build(recipe, network, weights_dir=weights_dir, device=device)
    return objective

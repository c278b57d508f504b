"""Projection: MedVAE's second stage in 2D, towards b(z̄) = b(x) on the projection layers alone.

    L = mean over images of ‖b(x) − b(z̄ / d)‖²        b: BiomedCLIP's image tower
                                                      z̄: the projected latent, d: `divisor`

x is shown from 0 to 1 and clamped; z̄ / d is averaged over its channels, shown as if it were from 0
to 1, and not clamped: as in the published program (Varma et al., 2025, appendix A.3).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from plica.codecs.pretrained import load_embedding
from plica.errors import SettingsError
from plica.networks.discriminator import last_kernel
from plica.networks.vision import VisionTower
from plica.training.latents import describe, draw
from plica.training.objective import Batch, Measure, Player, Terms
from plica.training.recipe import Projection, Recipe
from plica.training.reconstruction import CODEC
from plica.training.starting import SEPARABLE

MEASURES = (Measure("embedding_distance", "1", "lower"),)


class ProjectionObjective:
    """Trains the layers of the second latent; everything else in the network is frozen.

    Args:
        settings: The divisor.
        network: A two-dimensional autoencoder with projection layers.
        tower: BiomedCLIP's image tower.

    Raises:
        SettingsError: The network has no projection layers, or is not for pictures.
    """

    measures = MEASURES

    def __init__(self, settings: Projection, network: nn.Module, tower: VisionTower) -> None:
        if not getattr(network, "projects", False) or network.dims != 2:
            raise SettingsError(
                "the projection objective trains the projection layers of a 2D network: "
                "set network.projection = true and network.dims = 2"
            )
        self.settings = settings
        self.network = network
        self._tower = tower
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name.startswith(SEPARABLE))
        self._trained = tuple(p for p in network.parameters() if p.requires_grad)

    def modules(self) -> Mapping[str, nn.Module]:
        """The network."""
        return {"network": self.network}

    def players(self) -> Mapping[Player, tuple[nn.Parameter, ...]]:
        """The projection layers' parameters."""
        return {CODEC: self._trained}

    def turns(self, step: int) -> tuple[Player, ...]:
        """There is one player."""
        return (CODEC,)

    def probe(self, player: Player) -> nn.Parameter:
        """The last projection."""
        return last_kernel(self.network)

    def terms(self, player: Player, batch: Batch, step: int) -> Terms:
        """The mean squared distance of the embeddings; z is a sample, as published."""
        self.network.eval()  # nothing in encoder and decoder may learn from what it sees
        with torch.no_grad():
            codes = draw(self.network, batch.x, batch.seeds)
        distance = self._measure(self.network, batch.x, codes.z).mean()
        return Terms({"embedding": distance}, describe(codes))

    @torch.no_grad()
    def judge(self, network: nn.Module, x: Tensor) -> tuple[Mapping[str, float], Tensor | None]:
        """The squared distance of the embeddings of one case, from the posterior's mean."""
        z: Tensor = network.encode(x)  # type: ignore[operator]  # an Autoencoder
        return {"embedding_distance": float(self._measure(network, x, z))}, None

    def _measure(self, network: nn.Module, x: Tensor, z: Tensor) -> Tensor:
        """One squared distance per image."""
        with torch.no_grad():
            wanted = self._tower.embed(x)
        projected: Tensor = network.project(z)  # type: ignore[operator]  # Projecting
        picture = 2 * (projected / self.settings.divisor).mean(1, keepdim=True) - 1
        return (wanted - self._tower.embed(picture, clamp=False)).float().square().sum(1)


def build(
    recipe: Recipe,
    network: nn.Module,
    *,
    weights_dir: str | Path | None = None,
    device: str | torch.device = "cpu",
) -> ProjectionObjective:
    """The objective of a recipe; see `objectives.build_objective`."""
    settings = recipe.objective
    if not isinstance(settings, Projection):
        raise SettingsError(f"the recipe {recipe.name} asks for no projection")
    start = recipe.start
    if start.adapters or any(not f"{name}.".startswith(SEPARABLE) for name in start.train):
        raise SettingsError(
            "the projection objective trains channel_ds and channel_proj alone: leave out "
            "start.adapters and all else in start.train"
        )
    tower = load_embedding(weights_dir).to(device)
    return ProjectionObjective(settings, network.to(device), tower)

"""Reconstruction: towards x̂ = x, with the terms of latent diffusion and of MedVAE."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from plica.errors import SettingsError
from plica.metrics.metric import Pair
from plica.metrics.pixel import MAE, PSNR
from plica.metrics.structural import SSIM
from plica.training.latents import Draw, describe, draw
from plica.training.objective import Batch, Measure, Player, Terms
from plica.training.recipe import Recipe, Reconstruction

MEASURES = (
    Measure("psnr", "dB", "higher"),
    Measure("mae", "1", "lower"),
    Measure("ssim", "1", "higher"),
)
DATA_RANGE = 2.0
# log₁₀ of a squared error of 1e-10 of the range: what an image in 16 bits cannot fall below.
_LEAST_SQUARE = 4e-10


class ReconstructionObjective:
    """Trains an autoencoder towards its own input.

    Args:
        settings: The terms and their weights.
        network: An Autoencoder.
    """

    measures = MEASURES

    def __init__(self, settings: Reconstruction, network: nn.Module) -> None:
        self.settings = settings
        self.network = network
        self._trained = tuple(p for p in network.parameters() if p.requires_grad)
        if not self._trained:
            raise SettingsError("the network has no parameter that is trained: see start.train")

    def modules(self) -> Mapping[str, nn.Module]:
        """Everything that is kept in a checkpoint, by name."""
        return {"network": self.network}

    def players(self) -> Mapping[Player, tuple[nn.Parameter, ...]]:
        """The parameters each player trains."""
        return {"codec": self._trained}

    def turns(self, step: int) -> tuple[Player, ...]:
        """Who is trained at `step`."""
        return ("codec",)

    def probe(self, player: Player) -> nn.Parameter:
        """The parameter at which the terms' shares of the gradient are compared."""
        return last_kernel(self._trained)

    def terms(self, player: Player, batch: Batch, step: int) -> Terms:
        """What `player` minimises on the batch."""
        codes = draw(self.network, batch.x, batch.seeds, commitment=self.settings.commitment)
        y = self.network.decode(codes.z).float()  # type: ignore[operator]  # an Autoencoder
        parts = {"pixel": self.settings.pixel_weight * self._pixel(batch.x, y)}
        parts |= self._hold(codes)
        return Terms(parts, describe(codes))

    def _pixel(self, x: Tensor, y: Tensor) -> Tensor:
        error = (y - x).flatten(1)
        if self.settings.pixel == "psnr":
            return error.square().mean(1).clamp_min(_LEAST_SQUARE).log10().mean()
        each = error.abs() if self.settings.pixel == "l1" else error.square()
        return each.mean() if self.settings.reduction == "mean" else each.sum(1).mean()

    def _hold(self, codes: Draw) -> dict[str, Tensor]:
        held = {}
        for name, each in (("kl", codes.kl), ("codebook", codes.codebook)):
            weight: float = getattr(self.settings, name)
            if weight and each is not None:
                value = each.mean()
                if self.settings.reduction == "mean":
                    value = value / codes.mean[0].numel()
                held[name] = weight * value
        return held

    @torch.no_grad()
    def judge(self, network: nn.Module, x: Tensor) -> tuple[Mapping[str, float], Tensor | None]:
        """PSNR, mean absolute error and SSIM of one case, clamped to [−1, 1] as images are."""
        y = reconstruct(network, x).float().clamp(-1, 1)
        return compare(x, y), y


def reconstruct(network: nn.Module, x: Tensor) -> Tensor:
    """An image through its codes' means; incomplete cells are filled with the border's voxels."""
    factor: int = network.factor  # type: ignore[assignment]  # an Autoencoder
    sides = tuple(x.shape[2:])
    missing = [(-side) % factor for side in sides]
    margin = [width for short in reversed(missing) for width in (0, short)]
    whole = functional.pad(x, margin, mode="replicate") if any(missing) else x
    y: Tensor = network.decode(network.encode(whole))  # type: ignore[operator]
    for axis, side in enumerate(sides, start=2):
        y = y.narrow(axis, 0, side)
    return y


def compare(x: Tensor, y: Tensor) -> dict[str, float]:
    """The measures of one case (1, channel, *space), of values in [−1, 1]."""
    sides = (*x.shape[1:], 1) if x.ndim == 4 else x.shape[1:]
    source, decoded = (side[0].float().cpu().numpy().reshape(sides) for side in (x, y))
    pair = Pair(source, decoded, None, DATA_RANGE)
    return {metric.name: metric.function(pair).value for metric in (PSNR, MAE, SSIM)}


def last_kernel(parameters: tuple[nn.Parameter, ...]) -> nn.Parameter:
    """The last of the parameters that is a kernel or matrix, else the last."""
    kernels = [parameter for parameter in parameters if parameter.ndim > 1]
    return (kernels or list(parameters))[-1]


def build(
    recipe: Recipe,
    network: nn.Module,
    *,
    weights_dir: str | Path | None = None,
    device: str | torch.device = "cpu",
) -> ReconstructionObjective:
    """The objective of a recipe; see `objectives.build_objective`."""
    settings = recipe.objective
    if not isinstance(settings, Reconstruction):
        raise SettingsError(f"the recipe {recipe.name} asks for no reconstruction")
    return ReconstructionObjective(settings, network.to(device))

"""Reconstruction: towards x̂ = x, with the terms of latent diffusion and of MedVAE.

    pixel         |x̂ − x|, (x̂ − x)², or log₁₀ of an image's mean square error
    perceptual    LPIPS(x, x̂)
    adversarial   − λ D(x̂), see `adversary`
    kl, codebook  what holds the codes in shape, see `latents`
    embedding     ‖b(x) − b(x̂)‖², b: BiomedCLIP's image tower

Each is a mean over the batch's images. Where a recipe's reduction is "sum", pixel, kl and codebook
add up over an image's voxels and codes, and the perceptual term counts once for each voxel: the
published programs broadcast it over the map of pixel errors before they sum.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from plica.codecs.pretrained import load_embedding, load_perceptual
from plica.errors import SettingsError
from plica.metrics.pair import Pair
from plica.metrics.pixel import MAE, PSNR
from plica.metrics.structural import SSIM
from plica.networks.discriminator import PatchDiscriminator, last_kernel
from plica.networks.vision import VisionTower
from plica.training.adversary import Opponent, weigh
from plica.training.latents import Draw, decode, describe, draw, generator
from plica.training.objective import Batch, Measure, Player, Terms
from plica.training.pictures import Cut, choose_cuts, mean_over_pictures
from plica.training.recipe import Adversary, Recipe, Reconstruction

MEASURES = (
    Measure("psnr", "dB", "higher"),
    Measure("mae", "1", "lower"),
    Measure("ssim", "1", "higher"),
)
CODEC, DISCRIMINATOR = "codec", "discriminator"
DATA_RANGE = 2.0
# An image of 16 bits, rounded, has a mean square error of 8e-11 of this range. Without a least one,
# a judged crop of mere background would be known to infinitely many decibels, and no later
# checkpoint could be better.
_LEAST_SQUARE = 1e-10
MOST_PSNR = 10 * math.log10(DATA_RANGE**2 / _LEAST_SQUARE)

Likeness = Callable[[Tensor, Tensor], Tensor]


class ReconstructionObjective:
    """Trains an autoencoder towards its own input.

    Args:
        settings: The terms and their weights.
        network: An Autoencoder.
        perceptual: Pairs of pictures in [−1, 1] → one distance each; where the term is wanted.
        tower: BiomedCLIP's image tower; where the embedding term is wanted.
        opponent: The discriminator; where the term is wanted.
    """

    measures = MEASURES

    def __init__(
        self,
        settings: Reconstruction,
        network: nn.Module,
        *,
        perceptual: Likeness | None = None,
        tower: VisionTower | None = None,
        opponent: Opponent | None = None,
    ) -> None:
        self.settings = settings
        self.network = network
        self._perceptual = perceptual
        self._tower = tower
        self._opponent = opponent
        self._trained = tuple(p for p in network.parameters() if p.requires_grad)
        if next(network.parameters(), None) is None:
            raise SettingsError(
                f"{type(network).__name__} has no parameters: steps find nothing for it, and its "
                "weights come from a closed form; train a network that has some"
            )
        if not self._trained:
            raise SettingsError("the network has no parameter that is trained: see start.train")
        self._last = last_layer(network)

    # -- who is trained ----------------------------------------------------------------------

    def modules(self) -> Mapping[str, nn.Module]:
        """Everything that is kept in a checkpoint, by name."""
        modules = {"network": self.network}
        if self._opponent is not None:
            modules[DISCRIMINATOR] = self._opponent.discriminator
        return modules

    def players(self) -> Mapping[Player, tuple[nn.Parameter, ...]]:
        """The parameters each player trains."""
        players = {CODEC: self._trained}
        if self._opponent is not None:
            players[DISCRIMINATOR] = tuple(self._opponent.discriminator.parameters())
        return players

    def turns(self, step: int) -> tuple[Player, ...]:
        """Who is trained at `step`: the discriminator from its start step on."""
        if self._opponent_at(step) is None:
            return (CODEC,)
        if self.settings.adversary.alternate:
            return (DISCRIMINATOR,) if step % 2 else (CODEC,)
        return (CODEC, DISCRIMINATOR)

    def probe(self, player: Player) -> nn.Parameter:
        """The parameter at which the terms' shares of the gradient are compared."""
        return last_kernel(self.modules()["network" if player == CODEC else player])

    def _opponent_at(self, step: int) -> Opponent | None:
        return self._opponent if step >= self.settings.adversary.start else None

    # -- what is minimised -------------------------------------------------------------------

    def terms(self, player: Player, batch: Batch, step: int) -> Terms:
        """What `player` minimises on the batch."""
        if player == DISCRIMINATOR and self._opponent is not None:
            return self._learn(self._opponent, batch)
        codes, y = self._run(batch)
        cuts = self._cut(batch)
        parts = self._compare(batch.x, y, cuts)
        reconstruction = torch.stack(tuple(parts.values())).sum()
        facts = describe(codes) | {"batch_psnr": _psnr(batch.x, y)}
        if self._tower is not None:
            parts["embedding"] = self.settings.embedding * mean_over_pictures(
                embedding_distance(self._tower), batch.x, y, cuts, side=self._tower.side
            )
        parts |= self._hold(codes)
        if "kl" in parts:
            facts["kl_to_reconstruction"] = (parts["kl"] / reconstruction).detach()
        opponent = self._opponent_at(step)
        if opponent is not None:
            adversarial = opponent.resist(y, cuts)
            ratio = self._weigh(reconstruction, adversarial, batch.average)
            parts["adversarial"] = self.settings.adversary.weight * ratio * adversarial
            facts["adaptive_weight"] = ratio
        return Terms(parts, facts)

    def _run(self, batch: Batch) -> tuple[Draw, Tensor]:
        codes = draw(self.network, batch.x, batch.seeds, commitment=self.settings.commitment)
        return codes, decode(self.network, codes.z).float()

    def _cut(self, batch: Batch) -> tuple[Cut, ...]:
        return choose_cuts(
            tuple(batch.x.shape[2:]),
            batch.seeds,
            axes=self.settings.slices,
            share=self.settings.slice_share,
        )

    def _compare(self, x: Tensor, y: Tensor, cuts: tuple[Cut, ...]) -> dict[str, Tensor]:
        """The terms that the adaptive weight weighs the adversary against."""
        parts = {"pixel": self.settings.pixel_weight * self._pixel(x, y)}
        if self._perceptual is not None:
            voxels = x[0].numel() if self.settings.reduction == "sum" else 1
            distance = mean_over_pictures(self._perceptual, x, y, cuts)
            parts["perceptual"] = self.settings.perceptual * voxels * distance
        return parts

    def _pixel(self, x: Tensor, y: Tensor) -> Tensor:
        error = (y - x).flatten(1)
        if self.settings.pixel == "psnr":
            return (error.square().mean(1) + self.settings.pixel_floor).log10().mean()
        each = error.abs() if self.settings.pixel == "l1" else error.square()
        return each.mean() if self.settings.reduction == "mean" else each.sum(1).mean()

    def _hold(self, codes: Draw) -> dict[str, Tensor]:
        """What holds the codes in shape."""
        held = {}
        for name, each in (("kl", codes.kl), ("codebook", codes.codebook)):
            weight: float = getattr(self.settings, name)
            if weight and each is not None:
                share = 1 if self.settings.reduction == "sum" else codes.mean[0].numel()
                held[name] = weight * each.mean() / share
        return held

    def _weigh(
        self, reconstruction: Tensor, adversarial: Tensor, average: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """What the adversary's weight is multiplied by: λ, or 1."""
        if not self.settings.adversary.adaptive:
            return torch.ones((), device=adversarial.device)
        return weigh(reconstruction, adversarial, self._last, average)

    def _learn(self, opponent: Opponent, batch: Batch) -> Terms:
        """What the discriminator minimises."""
        with torch.no_grad():
            _, y = self._run(batch)
        hinge, facts = opponent.learn(batch.x, y, self._cut(batch))
        return Terms({"hinge": hinge}, facts)

    # -- how it is judged --------------------------------------------------------------------

    @torch.no_grad()
    def judge(self, network: nn.Module, x: Tensor) -> tuple[Mapping[str, float], Tensor | None]:
        """PSNR, mean absolute error and SSIM of one case, clamped to [−1, 1] as images are."""
        y = reconstruct(network, x).float().clamp(-1, 1)
        return compare(x, y), y


def embedding_distance(tower: VisionTower) -> Likeness:
    """The squared distance of the tower's embeddings of two pictures, both clamped to [−1, 1]."""

    def distance(x: Tensor, y: Tensor) -> Tensor:
        return (tower.embed(x) - tower.embed(y)).float().square().sum(1)

    return distance


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
    """The measures of one case (1, channel, *space), of values in [−1, 1]; all are finite."""
    sides = (*x.shape[1:], 1) if x.ndim == 4 else x.shape[1:]
    source, decoded = (side[0].float().cpu().numpy().reshape(sides) for side in (x, y))
    pair = Pair(source, decoded, None, DATA_RANGE)
    measured = {metric.name: metric.function(pair).value for metric in (PSNR, MAE, SSIM)}
    return measured | {"psnr": min(measured["psnr"], MOST_PSNR)}


def last_layer(network: nn.Module) -> nn.Parameter:
    """The kernel of the decoder's last layer, trained or not."""
    decoder = getattr(network, "decoder", None)
    inside = tuple(decoder.parameters()) if isinstance(decoder, nn.Module) else ()
    parameters = inside or tuple(network.parameters())
    kernels = [parameter for parameter in parameters if parameter.ndim > 1]
    return (kernels or parameters)[-1]


@torch.no_grad()
def _psnr(x: Tensor, y: Tensor) -> Tensor:
    """Mean over the images of their PSNR, in dB."""
    squares = (y - x).flatten(1).square().mean(1).clamp_min(_LEAST_SQUARE)
    return (10 * (DATA_RANGE**2 / squares).log10()).mean()


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
    perceptual = tower = opponent = None
    if settings.perceptual:
        perceptual = load_perceptual(settings.perceptual_network, weights_dir).to(device)
        _check_crop(recipe, perceptual.least_side, "LPIPS")
    if settings.embedding:
        tower = load_embedding(weights_dir).to(device)
    if settings.adversary.weight:
        discriminator = _make_discriminator(recipe, network).to(device)
        _check_crop(recipe, discriminator.least_side, "the discriminator")
        opponent = Opponent(discriminator)
    return ReconstructionObjective(
        settings, network.to(device), perceptual=perceptual, tower=tower, opponent=opponent
    )


def _make_discriminator(recipe: Recipe, network: nn.Module) -> PatchDiscriminator:
    settings: Adversary = recipe.objective.adversary  # type: ignore[union-attr]
    in_channels: int = network.in_channels  # type: ignore[assignment]  # an Autoencoder
    with torch.random.fork_rng(devices=[]):  # layers draw weights that are replaced at once
        return PatchDiscriminator(
            in_channels=in_channels,
            width=settings.width,
            layers=settings.layers,
            normalisation=settings.normalisation,
            generator=generator(recipe.seed, "discriminator"),
        )


def _check_crop(recipe: Recipe, least: int, whose: str) -> None:
    if recipe.data.crop < least:
        raise SettingsError(
            f"data.crop is {recipe.data.crop}, but {whose} sees pictures of at least {least} "
            "pixels a side: take larger crops"
        )

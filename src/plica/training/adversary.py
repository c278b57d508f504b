"""Adversary: a patch discriminator D in training, and what it costs the decoder.

    decoder          − λ w mean D(x̂)
    discriminator    ½ mean max(0, 1 − D(x)) + ½ mean max(0, 1 + D(x̂))        (hinge)

    λ = ‖∇ rec‖ / (‖∇ adv‖ + δ), at most 10⁴, ∇ at the decoder's last layer   (Esser et al., 2021,
        equation 7; δ = 10⁻⁴ and the bound as in the authors' program)

Where that layer is frozen, as with low-rank adapters, λ = 1, as in MedVAE's program. The slices of
volumes are judged one by one, as MedVAE's paper says; its program averages the logits of all slices
before it takes the hinge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from plica.networks.discriminator import adaptive_weight, hinge_discriminator
from plica.training.pictures import Cut, count_pictures, mean_over_pictures, pictures

# Pixels it sees at a time, of which it keeps 0.6 kB each: batch normalisation should see many.
CHUNK_PIXELS = 2**23


class Opponent:
    """A discriminator and the two sides of its game.

    Args:
        discriminator: Pictures (batch, channel, …) → a map of logits, higher for real ones.
    """

    def __init__(self, discriminator: nn.Module) -> None:
        self.discriminator = discriminator

    def resist(self, y: Tensor, cuts: tuple[Cut, ...]) -> Tensor:
        """What a reconstruction costs that is told from an image: − mean D(x̂).

        D is left as it is: its parameters get no gradient, and its batch normalisation uses the
        pictures' statistics without keeping them.
        """

        def cost(_: Tensor, pictures_of_y: Tensor) -> Tensor:
            with _untouched(self.discriminator):
                return -_mean(self.discriminator(pictures_of_y))

        return mean_over_pictures(cost, y.detach(), y, cuts, most=CHUNK_PIXELS)

    def learn(
        self, x: Tensor, y: Tensor, cuts: tuple[Cut, ...]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The hinge loss of D between images and their reconstructions, in training mode.

        Returns:
            The loss, and the mean logits of both for the log.
        """
        self.discriminator.train()
        n = count_pictures(x, cuts)
        loss = torch.zeros((), device=x.device)
        facts = {name: torch.zeros((), device=x.device) for name in ("logits_real", "logits_fake")}
        for xs, ys in pictures(x, y.detach(), cuts, most=CHUNK_PIXELS):
            real, fake = (self.discriminator(side.contiguous()).float() for side in (xs, ys))
            loss = loss + hinge_discriminator(real, fake) * len(xs) / n
            facts["logits_real"] += _mean(real.detach()).sum() / n
            facts["logits_fake"] += _mean(fake.detach()).sum() / n
        return loss, facts


def weigh(
    reconstruction: Tensor,
    adversarial: Tensor,
    last: nn.Parameter,
    average: Callable[[Tensor], Tensor],
) -> Tensor:
    """λ, a number without gradient; 1 where the last layer is frozen.

    Args:
        average: The mean over the processes that share the batch.

    Examples:
        >>> last = nn.Parameter(torch.ones(1))
        >>> round(weigh(6 * last.sum(), 2 * last.sum(), last, torch.detach).item(), 2)
        3.0
    """
    if not last.requires_grad:
        return torch.ones((), device=last.device)
    return adaptive_weight(reconstruction, adversarial, last, average=average)


def _mean(logits: Tensor) -> Tensor:
    """One number per picture."""
    return logits.float().flatten(1).mean(1)


@contextmanager
def _untouched(network: nn.Module) -> Iterator[None]:
    """A network in training mode that learns nothing from what it sees."""
    learning = [p for p in network.parameters() if p.requires_grad]
    tracking = [
        part
        for part in network.modules()
        if isinstance(part, _BatchNorm) and part.track_running_stats
    ]
    was_training = network.training
    network.train()
    for parameter in learning:
        parameter.requires_grad_(False)
    for part in tracking:
        part.track_running_stats = False
    try:
        yield
    finally:
        network.train(was_training)
        for parameter in learning:
            parameter.requires_grad_(True)
        for part in tracking:
            part.track_running_stats = True

"""Latents: what the decoder is given in training, asked of any autoencoder in one place.

    KL      z = μ + σ ε                  ε: standard normal, drawn patch by patch from seeds
    VQ      z = h + sg(e − h)            e: the entry nearest to h; the gradient passes by
    others  z = encode(x)

and with it what holds the codes in shape, as a sum over each image's codes:

    KL      ½ Σ (μ² + σ² − 1 − log σ²)                       (Kingma and Welling, 2014)
    VQ      Σ (sg(h) − e)² + β Σ (h − sg(e))²                (van den Oord et al., 2017)

sg stops the gradient.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from plica.networks.autoencoder import Autoencoder, Sampling
from plica.networks.vq import VqAutoencoder

# A unit of the latent is active where its posterior mean varies more than this over the data
# (Burda, Grosse and Salakhutdinov, 2016, section 5.3).
ACTIVE_VARIANCE = 0.01
_SEED_BITS = 63


@dataclass(frozen=True)
class Draw:
    """Codes of a batch, for training.

    Args:
        z: What the decoder is given.
        mean: The codes without chance: the posterior's mean, or z itself.
        kl: Divergence of each image's posterior from a standard normal; None without one.
        codebook: Codebook and commitment terms of each image; None without a codebook.
        usage: Share of the codebook's entries that the batch uses; None without a codebook.
    """

    z: Tensor
    mean: Tensor
    kl: Tensor | None = None
    codebook: Tensor | None = None
    usage: float | None = None


def draw(
    network: nn.Module, x: Tensor, seeds: tuple[int, ...], *, commitment: float = 0.25
) -> Draw:
    """The codes of x that the decoder is trained on.

    Args:
        seeds: One per image; the same seed draws the same noise beside whatever other images.
        commitment: β of the codebook's terms.

    Examples:
        >>> draw(network, torch.zeros(2, 1, 16, 16), seeds=(7, 8)).z.shape
        torch.Size([2, 2, 8, 8])
    """
    if isinstance(network, Sampling):
        return _sample(network, x, seeds)
    if isinstance(network, VqAutoencoder):
        found = network.quantise(x)
        entries = network.quantize.embedding.num_embeddings
        return Draw(
            found.z,
            found.e,
            codebook=found.losses(beta=commitment),
            usage=found.usage(entries),
        )
    z = cast("Autoencoder", network).encode(x)
    return Draw(z, z)


def decode(network: nn.Module, z: Tensor) -> Tensor:
    """The image of codes that `draw` gave."""
    if isinstance(network, VqAutoencoder):
        return network.decode_entries(z)
    return cast("Autoencoder", network).decode(z)


def _sample(network: Sampling, x: Tensor, seeds: tuple[int, ...]) -> Draw:
    mean, logvar = (moment.float() for moment in network.posterior(x))
    noise = draw_noise(seeds, tuple(mean.shape[1:])).to(mean.device)
    z = mean + torch.exp(logvar / 2) * noise
    return Draw(z, mean, kl=divergence(mean, logvar))


def divergence(mean: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(μ, σ²) ‖ N(0, 1)) of each image, in nats: summed over its codes."""
    return (mean.square() + logvar.exp() - 1 - logvar).flatten(1).sum(1) / 2


# -- chance --------------------------------------------------------------------------------------


def generator(seed: int, purpose: str) -> torch.Generator:
    """A stream of chance for one patch and one purpose, unlike those of all others."""
    digest = hashlib.blake2b(f"{purpose}:{seed}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest) >> (64 - _SEED_BITS))


def draw_noise(seeds: tuple[int, ...], shape: tuple[int, ...]) -> Tensor:
    """Standard normal noise (batch, *shape) on the CPU, each patch's from its own seed."""
    return torch.stack(
        [torch.randn(shape, generator=generator(seed, "posterior")) for seed in seeds]
    )


# -- facts ---------------------------------------------------------------------------------------


@torch.no_grad()
def describe(codes: Draw) -> dict[str, float | Tensor]:
    """Facts about a batch's codes for the log.

    latent_deviation is that of the codes' means, channel by channel, averaged; active_channels
    counts channels that vary over images and places, active_units is the share of single codes
    that vary from image to image.
    """
    mean = codes.mean.float()
    by_channel = mean.movedim(1, 0).flatten(1)
    facts: dict[str, float | Tensor] = {
        "latent_deviation": by_channel.std(1, correction=0).mean(),
        "active_channels": (by_channel.var(1, correction=0) > ACTIVE_VARIANCE).sum(),
    }
    if len(mean) > 1:
        facts["active_units"] = (mean.var(0) > ACTIVE_VARIANCE).float().mean()
    if codes.kl is not None:
        facts["divergence"] = codes.kl.mean()
    if codes.usage is not None:
        facts["codebook_usage"] = codes.usage
    return facts

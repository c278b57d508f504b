"""MedVAE's second latent: codes mixed across channels, made for classifiers.

    z̄ = proj(ds(z) + z)          ds: 1×1 → ReLU → 3×3 → ReLU → 1×1, 64 channels inside

Varma et al. (2025) train the two layers in a second stage, so that BiomedCLIP sees in z̄ what it
sees in the image. The decoder does not know z̄.
"""

from __future__ import annotations

from torch import nn

from plica.networks.blocks import CONVOLUTION

WIDTH = 64


def channel_ds(dims: int, channels: int) -> nn.Sequential:
    """The three convolutions, under the published keys 0, 2 and 4."""
    convolution = CONVOLUTION[dims]
    return nn.Sequential(
        convolution(channels, WIDTH, 1),
        nn.ReLU(inplace=False),
        convolution(WIDTH, WIDTH, 3, padding=1),
        nn.ReLU(inplace=False),
        convolution(WIDTH, channels, 1),
    )


def channel_proj(dims: int, channels: int) -> nn.Module:
    """The last, 1×1 convolution."""
    return CONVOLUTION[dims](channels, channels, 1)

"""Small networks for tests of training: made in milliseconds, the same each time."""

import numpy as np
import torch
from torch import nn

from plica.networks.kl import KlAutoencoder
from plica.training.objective import Batch


def make_kl(dims=2, channels=2, in_channels=1, projection=False) -> KlAutoencoder:
    torch.manual_seed(0)
    return KlAutoencoder(
        dims=dims, in_channels=in_channels, code_channels=channels, widths=(32, 32), blocks=1,
        projection=projection,
    )  # fmt: skip


def make_batch(shape=(3, 1, 16, 16), seeds=None) -> Batch:
    x = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    return Batch(torch.from_numpy(x), seeds or tuple(range(7, 7 + shape[0])))


class Critic(nn.Module):
    """A patch discriminator with batch normalisation."""

    def __init__(self, channels=1):
        super().__init__()
        torch.manual_seed(1)
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4), nn.LeakyReLU(0.2),
            nn.Conv2d(4, 1, 3, padding=1),
        )  # fmt: skip

    def forward(self, x):
        return self.layers(x)


def squared_distance(x, y):
    """Stands where LPIPS stands: one number per pair of pictures."""
    return (x - y).square().flatten(1).mean(1) + 0.1 * (x - y).abs().flatten(1).amax(1)

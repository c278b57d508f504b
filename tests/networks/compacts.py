"""Small compact networks of every build, with weights of a trained network's strength."""

import math

import torch

from plica.networks.blocks import lay_out
from plica.networks.compact import Compact

SIZES = {
    "one grid, 2D": {
        "dims": 2, "factor": 4, "code_channels": 3, "encoder": (4, 16, 2), "decoder": (4, 16, 3),
    },
    "several grids, 2D": {
        "dims": 2, "factor": 8, "code_channels": 4,
        "encoder": (2, 8, 1, 4, 16, 1), "decoder": (8, 16, 1, 4, 16, 1, 2, 8, 1),
    },
    "finer decoder, 3D": {
        "dims": 3, "factor": 4, "code_channels": 1,
        "encoder": (4, 8, 1), "decoder": (4, 8, 1, 2, 8, 1),
    },
    "finer encoder, 3D": {
        "dims": 3, "factor": 4, "code_channels": 4, "encoder": (2, 8, 1), "decoder": (2, 8, 1),
    },
    "flat and wide kernels, 2D": {
        "dims": 2, "factor": 4, "code_channels": 1, "encoder": (4, 8, 1), "decoder": (4, 8, 2),
        "kernels": (5, 1), "expansion": 2,
    },
    "no encoder, 2D": {
        "dims": 2, "factor": 4, "code_channels": 1, "encoder": (), "decoder": (4, 8, 1),
    },
    "no decoder, 3D": {
        "dims": 3, "factor": 2, "code_channels": 2, "encoder": (2, 8, 1), "decoder": (),
    },
}  # fmt: skip


def randomise(network: Compact) -> Compact:
    """Weights of a trained network's strength, so that whatever is seen shows."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for tensor in network.state_dict().values():
            drawn = torch.randn(tensor.shape, generator=generator)
            fan_in = tensor[0].numel() if tensor.ndim > 1 else 1
            tensor.copy_(1 + 0.1 * drawn if tensor.ndim == 1 else drawn / math.sqrt(fan_in))
    lay_out(network)
    return network.eval().requires_grad_(False)


def make(size, **changes) -> Compact:
    return randomise(Compact(**{**size, **changes}))

"""Made weights that keep the maps of a deep network of rectifiers alive, and made pictures.

Weights of a key come from NumPy's legacy generator, which is frozen for ever, seeded by the key's
CRC-32; convolutions are drawn with the deviation √(2 / inputs), moments near 0 and 1. Needs
neither plica nor what it is compared with.
"""

import zlib

import numpy as np
import torch


def make_state(shapes) -> dict[str, torch.Tensor]:
    return {key: make_tensor(key, tuple(shape)) for key, shape in shapes.items()}


def make_tensor(key: str, shape: tuple[int, ...]) -> torch.Tensor:
    v = np.random.RandomState(zlib.crc32(key.encode())).standard_normal(shape)
    if key.endswith("running_var"):
        v = np.exp(0.2 * v)
    elif key.endswith(("bias", "running_mean")):
        v = 0.1 * v
    elif len(shape) == 1 and "embedding" not in key:
        v = 1 + 0.1 * v
    elif len(shape) > 1:
        v *= np.sqrt(2 / np.prod(shape[1:]))
    return torch.from_numpy(np.asarray(v, np.float32))


def make_input(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Pictures in [0, 1]: slow waves with noise."""
    chance = np.random.RandomState(zlib.crc32(f"input:{name}".encode()))
    x = np.linspace(0, 6, shape[-1])
    y = np.linspace(0, 4, shape[-2])[:, None]
    phases = chance.uniform(0, 6, (*shape[:-2], 1, 1))
    waves = 0.5 + 0.3 * np.sin(x + phases) * np.cos(y - phases)
    noisy = waves + 0.1 * chance.standard_normal(shape)
    return torch.from_numpy(np.clip(noisy, 0, 1).astype(np.float32))

"""Made weights: tensors made from their keys, for networks whose real weights are not here.

The rule is the one of tests/golden/medvae/README.md: NumPy's legacy generator, which is frozen for
ever, seeded by the key's CRC-32.
"""

import json
import zlib
from pathlib import Path

import numpy as np
import torch

from plica.codecs.weights import fill
from plica.networks.kl import KlAutoencoder
from plica.networks.lora import fold_lora

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "medvae"
NAMES = tuple(sorted(path.name.removesuffix(".keys.json") for path in GOLDEN.glob("*.keys.json")))


def make_tensor(key: str, shape: tuple[int, ...]) -> torch.Tensor:
    v = np.random.RandomState(zlib.crc32(key.encode())).standard_normal(tuple(shape))
    if key.endswith(".bias"):
        v *= 0.02
    elif len(shape) == 1:
        v = 1 + 0.1 * v
    else:
        v /= np.sqrt(np.prod(shape[1:]))
    return torch.from_numpy(v.astype(np.float32))


def make_state(shapes) -> dict[str, torch.Tensor]:
    """Weights for keys and shapes, or for the parameters of a network."""
    if isinstance(shapes, torch.nn.Module):
        shapes = {key: tuple(value.shape) for key, value in shapes.state_dict().items()}
    return {key: make_tensor(key, tuple(shape)) for key, shape in shapes.items()}


def read_keys(name: str) -> dict[str, tuple[int, ...]]:
    """Keys and shapes of an official MedVAE checkpoint: "medvae_4_1_2d"."""
    record = json.loads((GOLDEN / f"{name}.keys.json").read_text())
    return {key: tuple(shape) for key, shape in record.items()}


def make_input(name: str, shape) -> torch.Tensor:
    seed = zlib.crc32(f"input:{name}".encode())
    x = np.random.RandomState(seed).uniform(-1, 1, tuple(shape))
    return torch.from_numpy(x.astype(np.float32))


def save_checkpoint(name: str, path: Path) -> Path:
    """A made checkpoint in the official layout: a pickle of {"state_dict": …}."""
    torch.save({"state_dict": make_state(read_keys(name))}, path)
    return path


def build_medvae(name: str) -> KlAutoencoder:
    """One of the six published networks, with weights made from its published keys."""
    _, factor, channels, dims = name.split("_")
    with torch.device("meta"):
        network = KlAutoencoder(
            dims=int(dims[0]),
            in_channels=1 if channels == "1" else 3,
            code_channels=int(channels),
            widths=(128, 256, 512, 512)[: {"4": 3, "8": 4}[factor]],
            projection=True,
        )
    fill(network, fold_lora(make_state(read_keys(name))), name=name)
    return network.eval()

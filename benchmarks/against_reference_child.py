"""One side of `against_reference.py`, in a process of its own that is told what to do.

It imports nothing of plica where it runs the reference: that interpreter may not have it. Orders
and answers are lines of JSON on stdin and stdout.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
import types
from pathlib import Path
from typing import Any

import torch

WIDTHS = (128, 256, 512)


def build_reference(checkout: Path, dims: int, state: dict[str, torch.Tensor]) -> Any:
    """The reference's network, from its own files.

    Its package imports what its training and its downloads need; the networks' files do not, so
    the package is entered without running its own start.
    """
    for name in ("medvae", "medvae.utils", "medvae.utils.vae", "medvae.models"):
        package = types.ModuleType(name)
        package.__path__ = [str(checkout.joinpath(*name.split(".")))]
        sys.modules[name] = package
    import importlib

    suffix = "_3d" if dims == 3 else ""
    module = importlib.import_module(f"medvae.models.autoencoder_kl{suffix}")
    settings = {
        "double_z": True, "z_channels": 1, "resolution": 256, "in_channels": 1, "out_ch": 1,
        "ch": WIDTHS[0], "ch_mult": [width // WIDTHS[0] for width in WIDTHS],
        "num_res_blocks": 2, "attn_resolutions": [], "dropout": 0.0,
    }  # fmt: skip
    network = module.AutoencoderKL(ddconfig=settings, embed_dim=1)
    network.load_state_dict(state, strict=True)
    return network.eval().requires_grad_(False)


def build_plica(dims: int, state: dict[str, torch.Tensor], precision: str) -> Any:
    """Plica's network, as its codec leads it."""
    from plica.networks.blocks import lay_out
    from plica.networks.kl import KlAutoencoder
    from plica.networks.precision import set_precision

    network = KlAutoencoder(
        dims=dims, in_channels=1, code_channels=1, widths=WIDTHS, projection=True
    )
    network.load_state_dict(state)
    network.eval().requires_grad_(False)
    lay_out(network)
    set_precision(network, precision)
    return network


class Side:
    """A network, and what is done with it."""

    def __init__(self, order: dict[str, Any]) -> None:
        state = torch.load(order["state"], weights_only=True)
        self.reference = order["side"] == "reference"
        dims = order["dims"]
        if self.reference:
            self.network = build_reference(Path(order["checkout"]), dims, state)
        else:
            self.network = build_plica(dims, state, order["precision"])
        generator = torch.Generator().manual_seed(1)
        side, factor = order["voxels"], 2 ** (len(WIDTHS) - 1)
        self.x = torch.rand(1, 1, *[side] * dims, generator=generator) * 2 - 1
        self.z = torch.randn(1, 1, *[side // factor] * dims, generator=generator)

    @torch.no_grad()
    def run(self, part: str) -> torch.Tensor:
        """Mean codes of the image, or the image of the codes."""
        if self.reference:
            network = self.network
            return network.decode(self.z) if part == "decode" else network.encode(self.x).mode()
        from plica.networks.heap import keeping_freed

        with keeping_freed():  # as codecs do
            return self.network.decode(self.z) if part == "decode" else self.network.encode(self.x)


def measure(side: Side, part: str) -> dict[str, float]:
    """Wall and processor seconds of one run."""
    wall, before = time.perf_counter(), os.times()
    result = side.run(part)
    after, wall = os.times(), time.perf_counter() - wall
    cpu = after.user + after.system - before.user - before.system
    return {"wall": wall, "cpu": cpu, "peak": peak(), "mean": float(result.double().mean())}


def peak() -> float:
    """The most GiB this process has held."""
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 2**20
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def main() -> None:
    """Do what stdin says, line by line, until it ends."""
    answers, sys.stdout = sys.stdout, sys.stderr  # the reference prints as it is built
    side: Side | None = None
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "build":
            torch.set_num_threads(order["threads"])
            side = Side(order)
            answer: dict[str, Any] = {"torch": torch.__version__, "peak": peak()}
        elif order["do"] == "run":
            answer = measure(side, order["part"])
        else:
            torch.save(side.run(order["part"]), order["to"])
            answer = {}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()

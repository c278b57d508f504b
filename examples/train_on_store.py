"""Train a classifier on stored latents: computer-aided diagnosis without reading an image again.

    plica bulk encode images/ -o images.store --codec compact-4x3-2d
    python examples/train_on_store.py images.store images.csv --finding pneumonia

`images.csv` has one row per image: path (as below images/), patient, split (train or dev-test), and
the finding as 0 or 1. What is printed last is the area under the ROC curve on dev-test, which no
step of the training has seen. Several processes: `torchrun --nproc-per-node 2 examples/…`, whose
streams share each epoch out; this file leaves out what wraps the network for that.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

import plica
from plica.cohort import Cohort
from plica.training.store_labels import Labels
from plica.training.stored import StoredLatents


class Classifier(nn.Module):
    """A small residual network over latents of two or three axes, and any size."""

    def __init__(self, channels: int, *, dims: int, width: int = 32) -> None:
        super().__init__()
        conv = {2: nn.Conv2d, 3: nn.Conv3d}[dims]
        # Latents' channels differ in scale from codec to codec; the first layer learns theirs.
        self.scale = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[dims](channels, affine=False)
        self.first = conv(channels, width, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.GroupNorm(8, width), nn.SiLU(), conv(width, width, 3, padding=1))
            for _ in range(3)
        )
        self.last = nn.Linear(width, 1)

    def forward(self, codes: Tensor) -> Tensor:
        """The log odds of the finding, one for each latent."""
        x = self.first(self.scale(codes))
        for block in self.blocks:
            x = x + block(x)
            x = {4: F.avg_pool2d, 5: F.avg_pool3d}[x.ndim](x, 2, ceil_mode=True)
        return self.last(x.flatten(2).mean(2)).squeeze(1)


class Resize:
    """Codes of one size, so that images of several can stand in one batch."""

    def __init__(self, side: int) -> None:
        self.side = side

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        """The item with its codes resized."""
        codes = item["codes"]
        size = [self.side] * (codes.ndim - 1)
        mode = {3: "bilinear", 4: "trilinear"}[codes.ndim]
        return item | {"codes": F.interpolate(codes[None], size=size, mode=mode)[0]}


def open_split(asked: argparse.Namespace, split: str) -> StoredLatents:
    """The latents of one split, each with its finding; whatever has no latent is an error."""
    cases = Cohort.from_table(asked.labels, path_column="path").of_split(split)
    labels = Labels(cases, kinds={"patient": str, asked.finding: float}, subset=True)
    return plica.open_store(
        asked.store, labels=labels, dims=asked.dims, transform=Resize(asked.side)
    )


def load(data: Dataset[Any], asked: argparse.Namespace) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of codes and findings."""
    loader = DataLoader(data, asked.batch, num_workers=asked.workers)
    for batch in loader:
        yield batch["codes"].to(asked.device), batch[asked.finding].float().to(asked.device)


def train(network: nn.Module, data: StoredLatents, asked: argparse.Namespace) -> None:
    """Passes over the shuffled latents; each epoch's order is another, and the same next time."""
    stream = data.stream(seed=asked.seed)
    optimiser = torch.optim.AdamW(network.parameters(), lr=asked.rate)
    for epoch in range(asked.epochs):
        stream.set_epoch(epoch)
        losses = []
        for codes, findings in load(stream, asked):
            loss = F.binary_cross_entropy_with_logits(network(codes), findings)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        print(f"epoch {epoch + 1}: cross-entropy {np.mean(losses):.3f} nats", file=sys.stderr)


@torch.no_grad()
def judge(network: nn.Module, data: StoredLatents, asked: argparse.Namespace) -> float:
    """Area under the ROC curve: how often a case with the finding scores above one without it."""
    network.eval()
    scored = [(network(codes), findings) for codes, findings in load(data, asked)]
    scores = torch.cat([score for score, _ in scored])
    found = torch.cat([finding for _, finding in scored]) > 0.5
    above = scores[found][:, None] - scores[~found][None, :]
    return float(((above > 0).float() + (above == 0).float() / 2).mean())


def read_arguments(words: list[str] | None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path, help="what `plica bulk encode` wrote")
    parser.add_argument("labels", type=Path, help="CSV with path, patient, split and the finding")
    parser.add_argument("--finding", default="finding", help="its column, 0 or 1")
    parser.add_argument("--dims", type=int, choices=(2, 3), default=2, help="axes of the latents")
    parser.add_argument("--side", type=int, default=64, help="codes along each axis, resized")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=1e-3, help="the learning rate")
    parser.add_argument("--workers", type=int, default=0, help="processes that read")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> float:
    """Train, and print what dev-test says of it."""
    asked = read_arguments(words)
    torch.manual_seed(asked.seed)
    cases = open_split(asked, "train")
    network = Classifier(len(cases[0]["codes"]), dims=asked.dims).to(asked.device)
    train(network, cases, asked)
    held_out = open_split(asked, "dev-test")
    area = judge(network, held_out, asked)
    print(f"AUROC {area:.3f} on {len(held_out)} images of dev-test")
    return area


if __name__ == "__main__":
    main()

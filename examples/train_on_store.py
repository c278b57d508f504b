"""Train a classifier on stored latents: computer-aided diagnosis without reading an image again.

    plica bulk encode images/ -o images.store --codec compact-4x3-2d
    python examples/train_on_store.py images.store images.csv --finding pneumonia

`images.csv` has one row per image: path (as below images/), patient, split (train or dev-test), and
the finding as 0 or 1; without the column split, patients are divided 9 to 1. What is printed last
is the area under the ROC curve on dev-test, which no step of the training has seen. A row
whose image has no latent (it failed, or was never there) stops it, unless `--leave-out-missing`
says to leave such rows out; so does a split of which all images have the finding, or none. With
`--save run.pt` each epoch is kept, and `--resume` goes on after the last. Several processes:
`torchrun --nproc-per-node 2 examples/…`, whose streams share each epoch out; this file leaves out
what wraps the network for that.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

import plica
from plica.cohort import Cohort
from plica.errors import InputError, PlicaError
from plica.tables import read_table
from plica.training.store_labels import LEAVING_OUT, Labels
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


def read_cases(asked: argparse.Namespace) -> Cohort:
    """The table's images, in the splits it names, or with whole patients drawn for them."""
    rows = read_table(asked.labels, ("path", "patient", asked.finding))
    if not rows:
        raise InputError(f"{asked.labels} has no rows: give one for each image")
    if "split" in rows[0]:
        return Cohort.from_table(asked.labels)
    cases = Cohort.from_table(asked.labels, split="")
    cases = cases.with_splits({"train": 0.9, "dev-test": 0.1}, seed=asked.seed)
    counts = " and ".join(f"{len(cases.of_split(name).patients)} {name}" for name in cases.splits)
    print(f"no column 'split': patients divided by seed {asked.seed}, {counts}", file=sys.stderr)
    return cases


def open_split(asked: argparse.Namespace, cases: Cohort, split: str) -> StoredLatents:
    """The latents of one split, each with its finding; what has none is an error, or counted."""
    labels = Labels(
        cases.of_split(split),
        kinds={"patient": str, asked.finding: float},
        subset=True,
        missing="leave-out" if asked.leave_out_missing else "refuse",
    )
    data = plica.open_store(
        asked.store, labels=labels, dims=asked.dims, transform=Resize(asked.side)
    )
    if data.labels and data.labels.left_out:
        print(f"{split}: rows left out, without a latent: {data.labels.left_out}", file=sys.stderr)
    check_finding(data, asked, split)
    return data


def check_finding(data: StoredLatents, asked: argparse.Namespace, split: str) -> None:
    """Refuse before the training a split of one kind, of which nothing is learnt or judged."""
    values = np.array([data.labels_of(at)[asked.finding] for at in range(len(data))])
    found = int((values > 0.5).sum())
    if 0 < found < len(data):
        return
    raise InputError(
        f"{found} of the {len(data)} images of {split} have {asked.finding} > 0.5, and an AUROC "
        "compares images with the finding and without it: divide the patients otherwise, by "
        "another --seed or a column 'split', or give more of them"
    )


def check_channels(splits: Sequence[StoredLatents], asked: argparse.Namespace) -> None:
    """Refuse before the training codes of unequal channels: images in colour have more."""
    channels = [
        data.store.places[int(number)].shape[0]
        for data in splits
        for number in (range(len(data)) if data.labels is None else data.labels.numbers)
    ]
    fewest = min(channels)
    more = [count for count in channels if count > fewest]
    if more:
        raise InputError(
            f"{len(more)} of the {len(channels)} latents have codes of {max(more)} channels, as of "
            f"images in colour, and the others of {fewest}, but a network takes equally many: name "
            f"images of one kind alone in {asked.labels}, or let the Resize of this file take the "
            f"first {fewest} of each"
        )


def load(data: Dataset[Any], asked: argparse.Namespace) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of codes and findings."""
    loader = DataLoader(data, asked.batch, num_workers=asked.workers)
    for batch in loader:
        yield batch["codes"].to(asked.device), batch[asked.finding].to(asked.device)


def train(network: nn.Module, data: StoredLatents, asked: argparse.Namespace) -> None:
    """Passes over the shuffled latents; each epoch's order is another, and the same next time."""
    stream = data.stream(seed=asked.seed)
    optimiser = torch.optim.AdamW(network.parameters(), lr=asked.rate)
    first = restore(network, optimiser, asked) if asked.resume else 0
    for epoch in range(first, asked.epochs):
        begun = time.perf_counter()
        stream.resume(epoch=epoch, batches=0)  # or in the middle, after so many batches
        losses = []
        for codes, findings in load(stream, asked):
            loss = F.binary_cross_entropy_with_logits(network(codes), findings)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        if asked.save:
            save(network, optimiser, epoch + 1, asked.save)
        seconds = time.perf_counter() - begun
        print(f"epoch {epoch + 1} of {asked.epochs}: cross-entropy {np.mean(losses):.3f} nats, "
              f"{seconds:.1f} s", file=sys.stderr)  # fmt: skip


def save(network: nn.Module, optimiser: torch.optim.Optimizer, epochs: int, path: Path) -> None:
    """Keep what a later run needs to go on; whole, or the one before."""
    beside = path.with_name(path.name + ".part")
    state = {"network": network.state_dict(), "optimiser": optimiser.state_dict()}
    torch.save(state | {"epochs": epochs}, beside)
    beside.replace(path)


def restore(network: nn.Module, optimiser: torch.optim.Optimizer, asked: argparse.Namespace) -> int:
    """Go on where a run was left; says how many epochs are done."""
    if asked.save is None or not asked.save.is_file():
        raise InputError("--resume goes on with a file that --save names, and there is none yet")
    kept = torch.load(asked.save, map_location=asked.device, weights_only=True)
    network.load_state_dict(kept["network"])
    optimiser.load_state_dict(kept["optimiser"])
    print(f"epochs that are done already: {kept['epochs']}", file=sys.stderr)
    return int(kept["epochs"])


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
    parser.add_argument(
        "labels", type=Path, help="CSV with path, patient, the finding and perhaps split"
    )
    parser.add_argument("--finding", default="finding", help="its column, 0 or 1")
    parser.add_argument(
        "--leave-out-missing", action="store_true", help="leave out rows without a latent"
    )
    parser.add_argument("--dims", type=int, choices=(2, 3), default=2, help="axes of the latents")
    parser.add_argument("--side", type=int, default=64, help="codes along each axis, resized")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=1e-3, help="the learning rate")
    parser.add_argument("--workers", type=int, default=0, help="processes that read")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--save", type=Path, help="keep network and optimiser after each epoch")
    parser.add_argument("--resume", action="store_true", help="go on with what --save has kept")
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> float:
    """Train, and print what dev-test says of it."""
    asked = read_arguments(words)
    torch.manual_seed(asked.seed)
    table = read_cases(asked)
    cases, held_out = (open_split(asked, table, split) for split in ("train", "dev-test"))
    check_channels((cases, held_out), asked)
    network = Classifier(len(cases[0]["codes"]), dims=asked.dims).to(asked.device)
    train(network, cases, asked)
    area = judge(network, held_out, asked)
    print(f"AUROC {area:.3f} on {len(held_out)} images of dev-test")
    return area


if __name__ == "__main__":
    try:
        main()
    except PlicaError as error:  # one sentence: what came, what was expected, what to do
        sys.exit(f"error: {error}".replace(LEAVING_OUT, "--leave-out-missing"))

"""Classification: a probe learns the classes of images; an objective over the one loop.

```text
              ┌───────┐        ┌──────┐
x, class ──►──┤ trunk ├───►────┤ head ├──► logits ──► − log p(class)
              └───────┘        └──────┘
```

One logit is a yes or no, and its loss the binary cross-entropy; several are classes, and theirs
the cross-entropy of a softmax. Nothing is judged along the way: the papers score the weights of the
last step, and whoever chose a step by the test images would flatter the probe.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from plica.errors import SettingsError
from plica.networks.probes import Probe, trained_parameters
from plica.training.objective import Batch, Measure, Player, Terms
from plica.training.recipe import Classification, Recipe

Float32 = NDArray[np.float32]
PROBE = "probe"
_ORDER, _SEEDS = 0, 1  # one stream of chance for each purpose


class Classifier:
    """The objective: cross-entropy, towards the batch's targets.

    Args:
        network: Gives logits (batch, classes); a `Probe`, or the head of one on its own.
        trained: The parameters that are; the others stay.
    """

    measures: tuple[Measure, ...] = (Measure("entropy", "nat", "lower"),)

    def __init__(self, network: nn.Module, trained: tuple[nn.Parameter, ...]) -> None:
        if not trained:
            raise SettingsError("a probe with nothing to train learns nothing")
        self._network = network
        self._trained = trained
        ours = {id(parameter) for parameter in trained}
        for parameter in network.parameters():
            parameter.requires_grad_(id(parameter) in ours)

    def modules(self) -> Mapping[str, nn.Module]:
        """The network."""
        return {"network": self._network}

    def players(self) -> Mapping[Player, tuple[nn.Parameter, ...]]:
        """One, with all that is trained."""
        return {PROBE: self._trained}

    def turns(self, step: int) -> tuple[Player, ...]:
        """Always its."""
        return (PROBE,)

    def terms(self, player: Player, batch: Batch, step: int) -> Terms:
        """Cross-entropy, and how many of the batch are right, for the log."""
        if batch.targets is None:
            raise SettingsError("classification needs batches with targets")
        logits = self._network(batch.x).float()
        right = (choose(logits) == batch.targets).float().mean()
        return Terms({"cross-entropy": cross_entropy(logits, batch.targets)}, {"right": right})

    def probe(self, player: Player) -> nn.Parameter:
        """The last layer's."""
        return self._trained[-1]

    def judge(self, network: nn.Module, x: Tensor) -> tuple[Mapping[str, float], Tensor | None]:
        """How undecided the network is about one image, whatever its class."""
        p = probabilities(network(x).float())[0].detach()
        return {"entropy": float(-(p * p.clamp_min(1e-30).log()).sum())}, None


def build(
    recipe: Recipe,
    network: nn.Module,
    *,
    weights_dir: str | Path | None = None,
    device: str | torch.device = "cpu",
) -> Classifier:
    """The objective of a recipe for a probe.

    Raises:
        SettingsError: The recipe is no classification, or the network no probe.
    """
    if not isinstance(recipe.objective, Classification) or not isinstance(network, Probe):
        raise SettingsError(
            "a classification trains a probe on images with classes: `plica evaluate probe` makes "
            "its recipes, and codecs are trained by another objective"
        )
    return Classifier(network, trained_parameters(network, linear=recipe.objective.linear))


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean over the batch, in nats."""
    if logits.shape[1] == 1:
        return functional.binary_cross_entropy_with_logits(logits[:, 0], targets.float())
    return functional.cross_entropy(logits, targets)


def choose(logits: Tensor) -> Tensor:
    """The likeliest class of each image."""
    return (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(1)


def probabilities(logits: Tensor) -> Tensor:
    """(batch, classes): of a yes or no both, no first."""
    if logits.shape[1] == 1:
        return torch.cat([torch.sigmoid(-logits), torch.sigmoid(logits)], 1)
    return logits.softmax(1)


# -- batches ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Labelled:
    """What a probe learns from.

    Args:
        load: The input of a number, (channel, *space) or (features,).
        targets: The classes of numbers 0, 1, …
    """

    load: Callable[[int], Float32]
    targets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.targets)


class Draws:
    """The batches of a probe's training.

    Which image is at place p of step t depends on (seed, t, p) alone. Every image is drawn once
    before any is drawn again; balanced, each epoch draws as many, with equal chances of all
    classes.

    Args:
        images: What is drawn from.
        recipe: Seed, batch, and whether classes are balanced.
    """

    def __init__(self, images: Labelled, recipe: Recipe) -> None:
        self._images, self._recipe = images, recipe
        self._balanced = isinstance(recipe.objective, Classification) and recipe.objective.balanced
        self._epoch = lru_cache(maxsize=2)(self._draw_epoch)

    def numbers(self, step: int, rank: int = 0, world: int = 1) -> list[int]:
        """Of the images in one process's share of a step."""
        each, count = self._recipe.batch // world, len(self._images)
        first = step * self._recipe.batch + rank * each
        return [int(self._epoch(n // count)[n % count]) for n in range(first, first + each)]

    def stream(
        self, first: int, last: int, *, rank: int, world: int
    ) -> Generator[tuple[Float32, tuple[int, ...], NDArray[np.int64]], None, None]:
        """See `loop.Batches`; the next batch is read while one is computed."""
        with ThreadPoolExecutor(1) as reader:
            ahead = reader.submit(self._read, first, rank, world) if first < last else None
            for step in range(first, last):
                assert ahead is not None
                share = ahead.result()
                if step + 1 < last:
                    ahead = reader.submit(self._read, step + 1, rank, world)
                yield share

    def _read(
        self, step: int, rank: int, world: int
    ) -> tuple[Float32, tuple[int, ...], NDArray[np.int64]]:
        numbers = self.numbers(step, rank, world)
        x = np.stack([self._images.load(number) for number in numbers])
        seeds = self._rng(_SEEDS, step, rank).integers(0, 2**31, len(numbers))
        return x, tuple(int(seed) for seed in seeds), self._images.targets[numbers]

    def _draw_epoch(self, epoch: int) -> NDArray[np.int64]:
        rng, targets = self._rng(_ORDER, epoch, 0), self._images.targets
        if not self._balanced:
            return rng.permutation(len(targets))
        counts = np.bincount(targets)
        chance = 1 / counts[targets] / np.count_nonzero(counts)
        return rng.choice(len(targets), len(targets), p=chance / chance.sum())

    def _rng(self, *where: int) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64([self._recipe.seed, *where]))

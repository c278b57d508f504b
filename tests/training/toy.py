"""A tiny training whose every part is real: an autoencoder of sixteen numbers on ramps of light."""

import csv

import numpy as np
import torch
from torch import nn

from plica.training.objective import Measure, Terms
from plica.training.recipe import Data, Optimiser, Recipe

SIDE = 8


class Folding(nn.Module):
    """Patches of 8 × 8 as sixteen numbers and back."""

    def __init__(self, seed=0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.down = nn.Parameter(torch.randn(16, SIDE * SIDE, generator=generator) / SIDE)
        self.up = nn.Parameter(torch.randn(SIDE * SIDE, 16, generator=generator) / SIDE)
        self.register_buffer("scale", torch.ones(1))

    def forward(self, x):
        return (x.flatten(1) @ self.down.T @ self.up.T).view_as(x)


class Squared:
    """‖x̂ − x‖² and a little noise, with a critic that learns to guess the brightness."""

    measures = (Measure("psnr_db", "dB", "higher"), Measure("error", "", "lower"))

    def __init__(self, *, critic=False, seed=0):
        self.network = Folding(seed)
        self.critic = nn.Linear(SIDE * SIDE, 1) if critic else None
        if critic:
            nn.init.constant_(self.critic.weight, 0.01)
            nn.init.zeros_(self.critic.bias)

    def modules(self):
        critic = {} if self.critic is None else {"discriminator": self.critic}
        return {"network": self.network, **critic}

    def players(self):
        players = {"codec": tuple(self.network.parameters())}
        if self.critic is not None:
            players["discriminator"] = tuple(self.critic.parameters())
        return players

    def turns(self, step):
        return ("codec",) if self.critic is None or step < 2 else ("codec", "discriminator")

    def terms(self, player, batch, step):
        x = batch.x
        if player == "discriminator":
            guess = self.critic(x.flatten(1))[:, 0]
            return Terms({"guess": (guess - x.mean((1, 2, 3))).square().mean()})
        noise = torch.stack(
            [
                torch.randn(x.shape[1:], generator=torch.Generator().manual_seed(seed))
                for seed in batch.seeds
            ]
        )
        decoded = self.network(x + 0.01 * noise)
        parts = {"squared": (decoded - x).square().mean()}
        if self.critic is not None and step >= 2:
            parts["critic"] = 0.1 * self._balance(parts["squared"], decoded, batch)
        return Terms(parts, {"deviation": decoded.detach().std()})

    def _balance(self, squared, decoded, batch):
        """The critic's term, as strong at the last layer as the other over the whole batch."""
        critic = self.critic(decoded.flatten(1)).square().mean()
        norms = [
            batch.average(torch.autograd.grad(term, self.network.up, retain_graph=True)[0]).norm()
            for term in (squared, critic)
        ]
        return critic * norms[0] / norms[1]

    def probe(self, player):
        return self.network.up if player == "codec" else self.critic.weight

    def judge(self, network, x):
        decoded = network(x)
        error = float((decoded - x).square().mean())
        return {"psnr_db": -10.0 * np.log10(error / 4.0), "error": error}, decoded


class Ramps:
    """Batches of ramps, each a function of the recipe's seed, the step and its position."""

    def __init__(self, recipe):
        self._recipe = recipe
        self.closed = 0

    def stream(self, first, last, *, rank, world):
        size = self._recipe.batch // world
        try:
            for step in range(first, last):
                numbers = range(
                    step * self._recipe.batch + rank * size,
                    step * self._recipe.batch + (rank + 1) * size,
                )
                yield np.stack([ramp(self._recipe.seed, n) for n in numbers]), tuple(numbers)
        finally:
            self.closed += 1


def ramp(seed, number):
    draw = np.random.default_rng([seed, number])
    i, j = np.meshgrid(*[np.linspace(-1, 1, SIDE)] * 2, indexing="ij")
    a, b = draw.uniform(-0.5, 0.5, 2)
    return (a * i + b * j).astype(np.float32)[None]


def cases(count=3):
    return [(f"case-{n}", ramp(99, n)) for n in range(count)]


def make_recipe(**changes):
    settings = {
        "name": "toy", "summary": "Ramps.", "network": {"kind": "folding"}, "steps": 20,
        "batch": 4, "optimiser": Optimiser(rate=1e-2), "data": Data(crop=SIDE), "average": 0.9,
        "evaluate_every": 10, "checkpoint_every": 5, "log_every": 1, "tolerance": 3.0,
    }  # fmt: skip
    return Recipe(**{**settings, **changes})


class Quiet:
    """A watcher that remembers what it was told."""

    def __init__(self):
        self.progress, self.numbers, self.means, self.sentences = [], {}, {}, []

    def advanced(self, progress):
        self.progress.append(progress)

    def logged(self, step, numbers):
        self.numbers[step] = dict(numbers)

    def judged(self, step, means, best):
        self.means[step] = (dict(means), best)

    def said(self, sentence):
        self.sentences.append(sentence)


def read_rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def read_losses(folder):
    """Each number of losses.csv but those of time, by step, player, kind and name."""
    found = {}
    for row in read_rows(folder / "losses.csv"):
        key = (int(row["step"]), row["player"], row["kind"], row["name"])
        assert key not in found, f"{key} stands there twice"
        if row["player"] != "loop":
            found[key] = float(row["value"])
    return found

"""Probing: a probe is fitted to what it is shown, once for each seed, and asked about the rest.

A linear probe reads features of a trunk that stays as it is. They are computed once and kept, and
the head alone goes through the loop: the same weights come out as when the trunk is run at every
step, a hundred epochs sooner.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from plica.errors import InputError, SettingsError, UnreadableFile
from plica.formats.atomic import new_file
from plica.networks.probes import Probe, build_probe, find_probe
from plica.run import Run
from plica.training import checkpoint
from plica.training.cache import Cache, open_pixels
from plica.training.classification import Classifier, Draws, Labelled, probabilities
from plica.training.engine import Engine
from plica.training.loop import CHECKPOINTS, train
from plica.training.progress import Watcher
from plica.training.recipe import Classification, Optimiser, Recipe, refuse_another
from plica.training.views import View

Float32 = NDArray[np.float32]
Numbers = Sequence[int]
Telling = Callable[[int, int], None]
"""Is told how many images of how many are done."""

PREDICTIONS = "predictions.json"
_CHUNK = 16  # images whose features are computed, and kept, together
_CHECKPOINTS = 20  # of a full training, besides the last
_TRUNK_SEED = 0
VERSION = 1


@dataclass(frozen=True)
class Plan:
    """How a probe is fitted.

    Args:
        probe: In `networks.probes.PROBES`.
        classes: How many there are.
        linear: Whether the head alone is trained.
        channels: "mean" shows the mean over code channels, as the papers do; "all" shows all.
        epochs: Passes over the training images.
        batch: Images per step; at most all of them are taken.
        rate: Learning rate of AdamW.
        weight_decay: Of AdamW.
        balanced: Whether all classes are drawn equally often (weighted sampling).
        precision: What the probe computes in.
        weights: State dict of a pretrained trunk; None draws it.
        weights_fingerprint: What names them in records; "" without.
    """

    probe: str
    classes: int
    linear: bool
    epochs: int
    batch: int
    rate: float
    channels: Literal["mean", "all"] = "mean"
    weight_decay: float = 0.01
    balanced: bool = False
    precision: Literal["float32", "bfloat16"] = "float32"
    weights: dict[str, Tensor] | None = None
    weights_fingerprint: str = ""

    @property
    def logits(self) -> int:
        """One for a yes or no."""
        return 1 if self.classes == 2 else self.classes


class Course:
    """One codec's views, divided into training and test: what all seeds share.

    Args:
        plan: How probes are fitted.
        views: Of all images.
        targets: Their classes, as numbers from 0.
        train: Numbers of the images that are learnt from.
        test: Of those that are asked about.
        engine: Where it runs.
        cache: Folder of kept features; None takes the user's.

    Raises:
        InputError: The views are not of one shape, too small for the probe, or a class has no
            image to learn from.
    """

    def __init__(
        self, plan: Plan, views: Sequence[View], targets: NDArray[np.int64], train: Numbers,
        test: Numbers, *, engine: Engine, cache: Path | None = None,
    ) -> None:  # fmt: skip
        self._plan, self._engine, self._cache = plan, engine, Cache(cache)
        self._views, self._targets = views, targets
        self._train, self._test = list(train), list(test)
        _check(plan, views, targets[self._train])
        self._features: Float32 | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of what the probe is given: (channel, *space)."""
        return tuple(self._raw(0).shape)

    # -- what is given ----------------------------------------------------------------------------

    @cached_property
    def _spread(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return _measure(self._raw(number) for number in self._train)

    def _raw(self, number: int) -> Float32:
        """(channel, *space): (row, column) = (j, i) of pictures, (i, j, k) of volumes."""
        values = self._views[number].open()
        if find_probe(self._plan.probe).dims == 2:
            values = values[..., 0].transpose(0, 2, 1)
        if self._plan.channels == "mean" and len(values) > 1:
            return values.mean(0, keepdims=True, dtype=np.float32)
        return np.asarray(values, dtype=np.float32)

    def load(self, number: int) -> Float32:
        """An image's input, standardised by the training images."""
        x = self._raw(number)
        mean, deviation = (one.reshape(-1, *(1,) * (x.ndim - 1)) for one in self._spread)
        return np.ascontiguousarray((x - mean) / deviation, dtype=np.float32)

    def look(self, telling: Telling | None = None) -> None:
        """Compute the features of all images a linear probe needs, or find those that are kept."""
        if not self._plan.linear or self._features is not None:
            return
        probe = None
        used = [*self._train, *self._test]
        features: list[Float32] = []
        for begin in range(0, len(used), _CHUNK):
            part = used[begin : begin + _CHUNK]
            if telling is not None:
                telling(begin, len(used))

            def make(part: list[int] = part) -> tuple[Float32, dict[str, Any]]:
                nonlocal probe
                if probe is None:
                    probe = self._build(_TRUNK_SEED).to(self._engine.device).eval()
                found = self._run(probe.trunk, self.load, part)
                return found[:, :, None, None], {"images": len(part)}

            entry = self._cache.fetch(self._name_features(part), make)
            features.append(np.asarray(open_pixels(entry.path))[:, :, 0, 0])
        table = np.concatenate(features)
        mean, deviation = _moments(table[: len(self._train)])
        self._features = np.zeros((len(self._views), table.shape[1]), np.float32)
        self._features[used] = (table - mean) / deviation

    def _name_features(self, part: list[int]) -> str:
        plan = self._plan
        facts = {
            "version": VERSION, "probe": plan.probe, "weights": plan.weights_fingerprint,
            "channels": plan.channels, "precision": plan.precision,
            "spread": [one.tolist() for one in self._spread],
            "views": [self._views[number].path.name for number in part],
        }  # fmt: skip
        return f"features {json.dumps(facts)}"

    def _build(self, seed: int) -> Probe:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return build_probe(
                self._plan.probe, in_channels=self.shape[0], classes=self._plan.logits,
                weights=self._plan.weights,
            )  # fmt: skip

    # -- fitting ----------------------------------------------------------------------------------

    def fit(
        self, seed: int, folder: Path, *, name: str, watcher: Watcher | None = None
    ) -> NDArray[np.float64]:
        """Probabilities (test image, class) under a probe of this seed; found where they are kept.

        Args:
            folder: Of the run; one that was cut off goes on.
            name: What the run is called in messages and its recipe.

        Raises:
            TrainingInterrupted: It was asked to stop, and can go on.
            SettingsError: The folder holds a run of other settings.
        """
        recipe = self.recipe(seed, name)
        run = Run.open(folder) if (folder / "recipe.toml").is_file() else Run.start(folder, recipe)
        refuse_another(run.recipe(Recipe), recipe, whose=f"the run {folder}")
        kept = self._read_kept(folder / PREDICTIONS)
        if kept is not None:
            return kept
        self.look()
        network, load = self._network(seed)
        if run.is_finished:
            _restore(network, folder)
            network.to(self._engine.device)
        else:
            images = Labelled(lambda n: load(self._train[n]), self._targets[self._train])
            objective = Classifier(network, tuple(network.parameters()))
            draws = Draws(images, recipe)
            train(recipe, objective, draws, [], run, engine=self._engine, watcher=watcher)
        found = self._ask(network, load)
        self._keep(folder / PREDICTIONS, found)
        return found

    def recipe(self, seed: int, name: str) -> Recipe:
        """What the loop is given."""
        plan, count = self._plan, len(self._train)
        batch = min(plan.batch, count)
        steps = max(1, math.ceil(plan.epochs * count / batch))
        every = steps if plan.linear else max(1, math.ceil(steps / _CHECKPOINTS))
        return Recipe(
            name=name,
            summary=f"{plan.probe}, {'head alone' if plan.linear else 'all of it'}, on {name}.",
            network={
                "kind": plan.probe, "in_channels": self.shape[0], "classes": plan.logits,
                "weights": plan.weights_fingerprint,
            },
            objective=Classification(
                linear=plan.linear, balanced=plan.balanced, inputs=self._describe_inputs()
            ),
            optimiser=Optimiser(kind="adamw", rate=plan.rate, weight_decay=plan.weight_decay),
            steps=steps, batch=batch, precision=plan.precision, seed=seed,
            evaluate_every=steps, checkpoint_every=every, log_every=max(1, steps // 20),
        )  # fmt: skip

    def _describe_inputs(self) -> str:
        shown = [[self._views[n].path.name, int(self._targets[n])] for n in self._train]
        return hashlib.sha256(json.dumps([self._plan.channels, shown]).encode()).hexdigest()

    def _network(self, seed: int) -> tuple[nn.Module, Callable[[int], Float32]]:
        features = self._features
        if features is None:
            return self._build(seed), self.load
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return nn.Linear(features.shape[1], self._plan.logits), lambda number: features[number]

    # -- asking -----------------------------------------------------------------------------------

    def _ask(self, network: nn.Module, load: Callable[[int], Float32]) -> NDArray[np.float64]:
        network.eval()
        logits = self._run(network, load, self._test)
        return probabilities(torch.from_numpy(logits).double()).numpy()

    @torch.no_grad()
    def _run(self, network: nn.Module, load: Callable[[int], Float32], numbers: Numbers) -> Float32:
        outputs = []
        for begin in range(0, len(numbers), _CHUNK):
            x = np.stack([load(number) for number in numbers[begin : begin + _CHUNK]])
            with self._engine.autocast():
                outputs.append(network(self._engine.bring(x)).float().cpu().numpy())
        return np.concatenate(outputs)

    def _names(self) -> list[str]:
        return [self._views[number].path.name for number in self._test]

    def _keep(self, path: Path, found: NDArray[np.float64]) -> None:
        record = {"images": self._names(), "probabilities": found.tolist()}
        with new_file(path, overwrite=True) as file:
            file.write(json.dumps(record).encode())

    def _read_kept(self, path: Path) -> NDArray[np.float64] | None:
        if not path.is_file():
            return None
        try:
            record = json.loads(path.read_bytes())
            found = np.array(record["probabilities"], dtype=np.float64)
            same = record["images"] == self._names()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UnreadableFile(f"{path} is damaged: delete it, and run again") from error
        if not same or found.shape != (len(self._test), self._plan.classes):
            raise SettingsError(
                f"{path} is about other images or classes: begin anew in another folder"
            )
        return found


def plan_for(name: str, *, classes: int, linear: bool, **changes: Any) -> Plan:
    """A plan with the probe's own epochs, batch and rate; changes that are None are none.

    Raises:
        UnknownName: There is no such probe.
    """
    kind = find_probe(name)
    plan = Plan(name, classes, linear, kind.epochs, kind.batch, kind.rate)
    given = {key: value for key, value in changes.items() if value is not None}
    plan = replace(plan, **given)
    if plan.epochs < 1 or plan.batch < 1 or not plan.rate > 0:
        raise SettingsError(
            f"a probe needs an epoch, an image per step and a rate above zero, but got "
            f"{plan.epochs}, {plan.batch} and {plan.rate}"
        )
    return plan


def _check(plan: Plan, views: Sequence[View], targets: NDArray[np.int64]) -> None:
    shapes = {view.shape for view in views}
    if len(shapes) > 1:
        one, other = sorted(shapes)[:2]
        raise InputError(
            f"the images are of {len(shapes)} shapes, such as {one} and {other} (channel, i, j, "
            "k), and a probe sees batches of one: give a size, such as --size 256x256"
        )
    kind = find_probe(plan.probe)
    sides = next(iter(shapes))[1 : 1 + kind.dims]
    if min(sides) < kind.least:
        raise InputError(
            f"what the probe is shown has sides {sides}, but {plan.probe} needs {kind.least} at "
            "least: take a larger --size, a lower factor, or a small probe"
        )
    found = np.bincount(targets, minlength=plan.classes)
    if (found == 0).any():
        raise InputError(
            f"class number {int(found.argmin())} has no image among the {len(targets)} to learn "
            "from: leave the class out, or divide the patients otherwise"
        )


def _measure(images: Iterable[Float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and deviation of each channel over all images."""
    count, total, squares = 0, 0.0, 0.0
    for image in images:
        flat = image.reshape(len(image), -1).astype(np.float64)
        count, total = count + flat.shape[1], total + flat.sum(1)
        squares = squares + np.square(flat).sum(1)
    mean = np.asarray(total / count)
    deviation = np.sqrt(np.maximum(squares / count - np.square(mean), 0))
    return mean, np.where(deviation > 0, deviation, 1.0)


def _moments(table: Float32) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and deviation of each column; a constant one is left as it is."""
    deviation = table.std(0, dtype=np.float64)
    return table.mean(0, dtype=np.float64), np.where(deviation > 1e-12, deviation, 1.0)


def _restore(network: nn.Module, folder: Path) -> None:
    last = checkpoint.load_last(folder / CHECKPOINTS)
    if last is None:
        raise UnreadableFile(f"{folder} is a finished run without a checkpoint: delete it")
    network.load_state_dict(last.contents["network"])

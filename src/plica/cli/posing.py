"""Posing a task to probes: what was asked, of which images, and how they are divided."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.cohort import Cohort
from plica.errors import InputError, SettingsError
from plica.evaluation.folds import divide
from plica.evaluation.labels import Labelled, label_cases
from plica.evaluation.probe_report import count
from plica.evaluation.tasks import CLASS, TEST, TRAIN
from plica.evaluation.tasks import Task as Published
from plica.training.views import FULL, Sight, Subject, list_subjects

SHARES = 0.8, 0.2
"""Of the patients of a cohort that names no splits: to learn from, and to be asked about."""


@dataclass(frozen=True)
class Asked:
    """Everything the numbers depend on: a run is gone on with only where none of it changed.

    Args:
        label: Column of the classes.
        classes: As `evaluation.labels.label_cases` takes them.
        where: "LABEL=VALUE|VALUE" each.
        train_split: What is learnt from.
        test_split: What is asked about; "" with folds.
        folds: Of a cross-validation among the training split; 0 for none.
        size: Sides every image is resized to; () for none.
        slices: Of each volume, for probes of pictures.
        decoded: Whether what comes back is shown, instead of codes.
        baseline: What codecs are compared with.
        probe: Its name.
        mode: "linear" or "full".
        seeds: How many probes are fitted.
        epochs: 0 takes the probe's own, as do batch and rate.
        balanced: Whether classes are drawn equally often.
        channels: "mean" or "all".
        precision: "float32" or "bfloat16".
        images: SHA-256 over the cases and their classes.
        codecs: Each codec and the fingerprint of its weights.
        probe_weights: Fingerprint of the probe's; "" where they are drawn.
        batch_full: Where images at full resolution take another batch; 0 takes `batch`.
        protocol: Whose recipe it is, with its version; "" for none.
    """

    label: str
    classes: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    train_split: str = "train"
    test_split: str = "dev-test"
    folds: int = 0
    size: tuple[int, ...] = ()
    slices: int = 0
    decoded: bool = False
    baseline: str = FULL
    probe: str = "hrnet-w64"
    mode: str = "linear"
    seeds: int = 3
    epochs: int = 0
    batch: int = 0
    rate: float = 0.0
    balanced: bool = False
    channels: str = "mean"
    precision: str = "float32"
    images: str = ""
    codecs: tuple[str, ...] = ()
    probe_weights: str = ""
    batch_full: int = 0
    protocol: str = ""

    def __post_init__(self) -> None:
        for name, allowed in (
            ("mode", ("linear", "full")),
            ("channels", ("mean", "all")),
            ("precision", ("float32", "bfloat16")),
        ):
            if getattr(self, name) not in allowed:
                raise SettingsError(
                    f"--{name} is {' or '.join(allowed)}, but got '{getattr(self, name)}'"
                )
        if self.folds and self.folds < 2:
            raise SettingsError("--folds takes 2 or more; leave it out to test on --test-split")


@dataclass(frozen=True)
class Part:
    """Images to learn from, and images to ask about, by their numbers."""

    train: tuple[int, ...]
    test: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Task:
    """Labelled images, divided.

    Args:
        labelled: Cases and classes.
        subjects: What probes are shown: cases, or their slices.
        targets: Their classes.
        parts: One, or one for each fold.
        notes: What was decided on the way, a sentence each.
    """

    labelled: Labelled
    subjects: tuple[Subject, ...]
    targets: NDArray[np.int64]
    parts: tuple[Part, ...]
    notes: tuple[str, ...] = ()

    @property
    def images(self) -> str:
        """SHA-256 over what is shown, its classes and its division."""
        shown = [[*one.key, int(n)] for one, n in zip(self.subjects, self.targets, strict=True)]
        divided = [[part.train, part.test] for part in self.parts]
        return hashlib.sha256(json.dumps([shown, divided]).encode()).hexdigest()

    def counts(self) -> dict[str, dict[str, tuple[int, int]]]:
        """Images and patients of each class in each part."""
        if len(self.parts) > 1:
            every = tuple(n for part in self.parts for n in part.test)
            return {f"each once tested, in {len(self.parts)} folds": self._count(every)}
        return {
            "training": self._count(self.parts[0].train),
            "test": self._count(self.parts[0].test),
        }

    def _count(self, numbers: Sequence[int]) -> dict[str, tuple[int, int]]:
        patients = [self.subjects[n].case.patient for n in numbers]
        return count(self.labelled.classes, self.targets[list(numbers)].tolist(), patients)


def select(cohort: Cohort, where: Sequence[str]) -> Cohort:
    """The cases that have the values asked for.

    Raises:
        InputError: There is no such label, or no such case.
        SettingsError: It is no LABEL=VALUE.
    """
    for each in where:
        name, equals, values = each.partition("=")
        if not (name and equals):
            raise SettingsError(f"--where takes LABEL=VALUE|VALUE, but got '{each}'")
        cohort = cohort.where(**{name: values.split("|")})
        if not len(cohort):
            raise InputError(f"no case has {each}")
    return cohort


def follow(asked: Asked, published: Published) -> Asked:
    """What was asked, with the label, classes, splits, size and sampling of a published task.

    A size that was given stays.

    Raises:
        SettingsError: The task classifies nothing.
    """
    if not published.classes:
        raise SettingsError(f"the task {published.name} classifies nothing: a probe needs classes")
    shape = published.shape
    size = (shape[1], shape[0]) if shape and published.dims == 2 else shape
    return replace(
        asked,
        label=CLASS,
        classes=published.classes,
        train_split=TRAIN,
        test_split="" if asked.folds else TEST,
        size=asked.size or tuple(size),
        balanced=asked.balanced or published.weighted,
    )


def pose(cohort: Cohort, asked: Asked) -> Task:
    """The task a cohort holds.

    Raises:
        InputError: A label, a split or a class is missing.
        SettingsError: There are too few patients to divide.
    """
    chosen, notes = select(cohort, asked.where), []
    if set(chosen.splits) == {""}:
        shares = {asked.train_split: 1.0} if asked.folds else dict(
            zip((asked.train_split, asked.test_split), SHARES, strict=True)
        )  # fmt: skip
        chosen = chosen.with_splits(shares)
        if not asked.folds:
            notes.append("The cohort names no splits: eight patients of ten were learnt from.")
    wanted = (asked.train_split,) if asked.folds else (asked.train_split, asked.test_split)
    for split in wanted:
        chosen.of_split(split)
    labelled = label_cases(
        chosen.filter(lambda case: case.split in wanted), asked.label, asked.classes
    )
    if labelled.left_out:
        rest = ", ".join(
            f"{n} of '{value or 'no value'}'" for value, n in labelled.left_out.items()
        )
        notes.append(f"Left out, being of no class: {rest}.")
    sight = sight_of(asked)
    subjects = tuple(list_subjects(labelled.cases, sight))
    targets = np.repeat(labelled.targets, max(sight.slices, 1))
    return Task(labelled, subjects, targets, _divide(subjects, targets, asked), tuple(notes))


def sight_of(asked: Asked) -> Sight:
    """How much of an image the probe is shown."""
    from plica.networks.probes import find_probe

    return Sight(find_probe(asked.probe).dims, asked.size, asked.slices, asked.decoded)


def _divide(
    subjects: Sequence[Subject], targets: NDArray[np.int64], asked: Asked
) -> tuple[Part, ...]:
    if not asked.folds:
        splits = [one.case.split for one in subjects]
        return (Part(_find(splits, asked.train_split), _find(splits, asked.test_split)),)
    patients = [one.case.patient for one in subjects]
    fold_of = divide(patients, targets.tolist(), asked.folds)
    return tuple(
        Part(tuple(n for n, f in enumerate(fold_of) if f != fold), _find(fold_of, fold))
        for fold in range(asked.folds)
    )


def _find(values: Sequence[Any], wanted: Any) -> tuple[int, ...]:
    return tuple(n for n, value in enumerate(values) if value == wanted)

"""Folds: whole patients divided for cross-validation, each class spread evenly."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from plica.errors import SettingsError


def divide(patients: Sequence[str], labels: Sequence[int], folds: int) -> tuple[int, ...]:
    """A fold for each case: whole patients, each class spread as evenly as they allow.

    Patients of the rarest classes are dealt first, each to the fold that has the fewest images of
    its class; which of them come first is a matter of their names alone.

    Raises:
        SettingsError: There are not two folds, or fewer patients of a class than folds.

    Examples:
        divide(["a", "a", "b", "c", "d"], [0, 0, 0, 1, 1], 2)
    """
    if folds < 2:
        raise SettingsError(f"cross-validation needs two folds at least, but got {folds}")
    held: dict[str, list[int]] = {}
    for patient, label in zip(patients, labels, strict=True):
        held.setdefault(patient, []).append(label)
    sizes = {label: sum(label in mine for mine in held.values()) for label in set(labels)}
    rarest = min(sizes.values())
    if rarest < folds:
        raise SettingsError(
            f"{folds} folds need as many patients of each class, but one has {rarest}: take fewer "
            "folds"
        )
    load = np.zeros((folds, max(labels) + 1), dtype=np.int64)
    chosen: dict[str, int] = {}
    for patient in sorted(held, key=lambda name: (_rarest_of(held[name], sizes), _spell(name))):
        counts = np.bincount(held[patient], minlength=load.shape[1])
        own = counts > 0
        fold = min(range(folds), key=lambda f: (load[f, own].sum(), load[f].sum(), f))
        chosen[patient] = fold
        load[fold] += counts
    return tuple(chosen[patient] for patient in patients)


def _rarest_of(labels: Sequence[int], sizes: Mapping[int, int]) -> int:
    return min(sizes[label] for label in labels)


def _spell(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()

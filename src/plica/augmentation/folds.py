"""Folds: which cases a network is trained on and which judge it, by patient."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from plica.errors import InputError, SettingsError


def draw_folds(patients: Iterable[str], folds: int, *, seed: int = 0) -> tuple[frozenset[str], ...]:
    """Patients held out in each fold: each in one, the same whatever their order.

    Args:
        folds: How many; they differ by one patient at most.
        seed: Other seeds draw other folds.

    Raises:
        SettingsError: There are fewer than two folds.
        InputError: There are fewer patients than folds.

    Examples:
        >>> draw_folds(["a", "b", "c"], 3)[0]
        frozenset({'b'})
    """
    if folds < 2:
        raise SettingsError(f"there are two folds at least, but got {folds}")
    drawn = sorted(set(patients), key=lambda name: _draw(seed, name))
    if len(drawn) < folds:
        raise InputError(
            f"{len(drawn)} patients cannot be held out in {folds} folds: each fold needs one at "
            "least, and no patient stands in two; ask for fewer folds"
        )
    return tuple(frozenset(drawn[n::folds]) for n in range(folds))


def _draw(seed: int, patient: str) -> bytes:
    return hashlib.sha256(f"fold/{seed}/{patient}".encode()).digest()

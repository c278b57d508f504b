"""A few marked voxels among many, kept as runs instead of one place each."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.preparation.undo import Undo


def pack_runs(marked: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
    """Runs of marked voxels in C order: how far each starts after the last one, how long it is."""
    return pack_classes(marked.astype(np.uint8))[0]


def pack_classes(
    classes: NDArray[np.uint8],
) -> tuple[dict[str, NDArray[Any]], NDArray[np.uint8]]:
    """Runs of one class other than 0, in C order, and the class of each run."""
    flat = np.concatenate([[0], classes.ravel(), [0]]).astype(np.uint8)
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    inside = flat[changes + 1] != 0
    starts = changes[inside]
    ends = changes[flat[changes] != 0]
    gaps = starts - np.concatenate([[0], ends[:-1]])[: len(starts)]
    return {"gaps": _smallest(gaps), "lengths": _smallest(ends - starts)}, flat[starts + 1]


def unpack_runs(undo: Undo, size: int) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which of `size` voxels are marked, in C order, and the length of each run."""
    gaps, lengths = undo.array("gaps", "u"), undo.array("lengths", "u")
    if len(gaps) != len(lengths) or len(gaps) > size:
        raise undo.damage(f"it has {len(gaps)} gaps and {len(lengths)} runs in {size} voxels")
    if len(gaps) and max(int(gaps.max()), int(lengths.max())) > size:
        raise undo.damage(f"its runs reach beyond the image's {size} voxels")
    counts = np.stack([gaps, lengths], axis=1).astype(np.int64).ravel()
    rest = size - int(counts.sum())
    if rest < 0:
        raise undo.damage(f"its runs reach beyond the image's {size} voxels")
    pattern = np.tile([False, True], len(gaps))
    marked = np.repeat(np.append(pattern, False), np.append(counts, rest))
    return marked, counts[1::2]


def _smallest(values: NDArray[Any]) -> NDArray[Any]:
    return values.astype(np.min_scalar_type(int(values.max()) if len(values) else 0))

"""Connected parts of a mask, from runs along its last axis."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Whole = NDArray[np.int64]


def label_components(mask: NDArray[np.bool_]) -> Whole:
    """Number the face-connected parts of a mask of any number of axes from 1; 0 is outside.

    Runs of marked voxels along the last axis are joined where they overlap in neighbouring rows
    (He et al. 2008, run-based labelling); all joins are made at once on arrays, so that the cost
    is that of sorting, whatever the shape of the parts.
    """
    padded = np.pad(mask, [(0, 0)] * (mask.ndim - 1) + [(0, 1)])  # a run ends with its row
    flat = np.concatenate([[False], padded.ravel()])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    starts, ends = changes[::2], changes[1::2]
    parts = _join(len(starts), _touching(starts, ends, padded.shape))
    labels = np.zeros(padded.size, np.int64)
    # + at each start and − at each end, summed up, paints the runs without a loop over them
    labels[starts] += parts + 1
    labels[ends] -= parts + 1
    return np.cumsum(labels).reshape(padded.shape)[..., :-1]


def _touching(starts: Whole, ends: Whole, shape: tuple[int, ...]) -> tuple[Whole, Whole]:
    """Pairs of runs that overlap in rows next to each other along one of the leading axes."""
    first, second = [], []
    rows = starts // shape[-1]
    stride = 1
    for side in reversed(shape[:-1]):
        inner = np.flatnonzero((rows // stride) % side < side - 1)
        shift = stride * shape[-1]
        low = np.searchsorted(ends, starts[inner] + shift, side="right")
        high = np.searchsorted(starts, ends[inner] + shift, side="left")
        counts = np.maximum(high - low, 0)
        offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        first.append(np.repeat(inner, counts))
        second.append(np.repeat(low, counts) + offsets)
        stride *= side
    empty = np.zeros(0, np.int64)
    return np.concatenate([empty, *first]), np.concatenate([empty, *second])


def _join(count: int, pairs: tuple[Whole, Whole]) -> Whole:
    """The part, from 0, each of `count` runs belongs to.

    Every root is hung under the smallest root it touches, then every run under its root's root,
    until no pair joins two parts (Shiloach and Vishkin 1982).
    """
    first, second = pairs
    parent = np.arange(count)
    while True:
        a, b = parent[first], parent[second]
        apart = a != b
        if not apart.any():
            return np.unique(parent, return_inverse=True)[1]
        first, second = first[apart], second[apart]
        a, b = a[apart], b[apart]
        np.minimum.at(parent, np.maximum(a, b), np.minimum(a, b))
        while True:
            above = parent[parent]
            if np.array_equal(above, parent):
                break
            parent = above

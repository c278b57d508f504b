"""Together: images whose slices share the batches of a network, and their codes apart again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from plica.codecs.batches import Codes
from plica.preparation.view import View


def find_alike(views: Sequence[View], *, apart: bool) -> list[list[int]]:
    """Places of those whose slices have equal channels and sides.

    Args:
        views: Prepared images.
        apart: Whether each is to stay alone.

    Examples:
        >>> from plica.preparation.view import View
        >>> find_alike([View.of(scan), View.of(radiograph), View.of(scan)], apart=False)
        [[0, 2], [1]]
    """
    alike: dict[tuple[int, ...], list[int]] = {}
    for n, view in enumerate(views):
        alike.setdefault((*view.shape[:3], n if apart else 0), []).append(n)
    return list(alike.values())


def split_codes(codes: Codes, views: Sequence[View]) -> list[Codes]:
    """The codes of each, of codes (channel, i, j, k) of their slices one behind the other."""
    if len(views) == 1:
        return [codes]
    ends = np.cumsum([view.shape[3] for view in views])[:-1]
    return [np.ascontiguousarray(part) for part in np.split(codes, ends, axis=3)]

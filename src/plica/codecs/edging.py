"""Preparation of codecs that see a few voxels at a time: full range, and the border repeated."""

from __future__ import annotations

from collections.abc import Callable

from plica.image import Image
from plica.preparation.pad import Pad
from plica.preparation.pipelines import full_range
from plica.preparation.step import Step


def full_range_and_edge(factor: int, dims: int) -> Callable[[Image], tuple[Step, ...]]:
    """Steps that map the full range to [−1, 1] and fill incomplete cells with the border's voxels.

    Background there, which is what other codecs pad with, would pull the code of every cell at the
    border towards black, and these decoders have nothing to undo it with.
    """
    cell = (factor, factor, factor if dims == 3 else 1)

    def steps(image: Image) -> tuple[Step, ...]:
        return (*full_range(image), Pad(cell, mode="edge"))

    return steps

"""Along which axes a metric looks: all three of a volume, two of slices."""

from __future__ import annotations

from collections.abc import Sequence

LETTERS = "ijk"


def find_axes(sides: Sequence[int], least: int) -> tuple[int, ...]:
    """All three axes where each has at least `least` voxels, else all but the thinnest.

    Of equally thin ones k counts as the thinnest: it is where slices of most images stand.
    """
    thinnest = min((2, 1, 0), key=lambda axis: sides[axis])
    if sides[thinnest] >= least:
        return 0, 1, 2
    return tuple(axis for axis in (0, 1, 2) if axis != thinnest)


def say_axes(axes: Sequence[int], sides: Sequence[int]) -> str:
    """In words: "in 3D", "in 2D", "in 2D, slice by slice along k"."""
    if len(axes) == 3:
        return "in 3D"
    (across,) = set(range(3)) - set(axes)
    return "in 2D" + (f", slice by slice along {LETTERS[across]}" if sides[across] > 1 else "")

"""Reading what a record says, as if a stranger had written it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.errors import InputError, LatentError
from plica.grid import Grid
from plica.image import Image, Unit
from plica.latent import Record

PIXEL_TYPES = (
    "bool",
    *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)),
    *(f"float{bits}" for bits in (16, 32, 64)),
)

LARGEST_VALUE = 1e30
"""Pixel values beyond this are refused on both ways: their squares leave float32 and float64."""

LARGEST_SIDE = 2**16
_FREE_VALUES = 2**27
_LARGEST_VALUES = 2**30
_LARGEST_GROWTH = 4096


@dataclass(frozen=True)
class Undo:
    """A record's undo and arrays, each entry checked when it is asked for.

    A latent file is a stranger's: a value of the wrong type or size must become a sentence, never
    a crash or an allocation without bound.

    Args:
        record: The record to read.
    """

    record: Record

    def damage(self, what: str) -> LatentError:
        """The error that says what is wrong with this record."""
        return LatentError(
            f"the latent's record of the preparation step '{self.record.step}' is damaged: {what}; "
            "encode the image again"
        )

    def entry(self, key: str) -> Any:
        """What stands under `key`."""
        if key not in self.record.undo:
            raise self.damage(f"it has no '{key}'")
        return self.record.undo[key]

    def number(self, key: str, low: float = -LARGEST_VALUE, high: float = LARGEST_VALUE) -> float:
        """A finite number between `low` and `high`."""
        return self._number(key, self.entry(key), low, high)

    def numbers(
        self, key: str, count: int, low: float = -LARGEST_VALUE, high: float = LARGEST_VALUE
    ) -> tuple[float, ...]:
        """`count` finite numbers, each between `low` and `high`."""
        return tuple(self._number(key, one, low, high) for one in self._list(key, count))

    def triple(self, key: str, low: int, high: int) -> tuple[int, int, int]:
        """Three whole numbers between `low` and `high`."""
        i, j, k = (self._whole(key, one, low, high) for one in self._list(key, 3))
        return i, j, k

    def whole(self, key: str, low: int, high: int) -> int:
        """A whole number between `low` and `high`."""
        return self._whole(key, self.entry(key), low, high)

    def flag(self, key: str) -> bool:
        """True or false."""
        return self._flag(key, self.entry(key))

    def flags(self, key: str) -> tuple[bool, bool, bool]:
        """Three times true or false."""
        i, j, k = (self._flag(key, one) for one in self._list(key, 3))
        return i, j, k

    def choice(self, key: str, choices: Sequence[str]) -> str:
        """One of some words."""
        value = self.entry(key)
        if not isinstance(value, str) or value not in choices:
            raise self.damage(f"'{key}' is {_short(value)} where one of {list(choices)} is needed")
        return value

    def unit(self) -> Unit:
        """The unit the image had before the step."""
        return Unit(self.choice("unit", [unit.value for unit in Unit]))

    def pixel_type(self, key: str = "dtype") -> np.dtype[Any]:
        """The type the pixels had before the step."""
        return np.dtype(self.choice(key, PIXEL_TYPES))

    def grid(self, key: str = "grid") -> Grid:
        """The grid the image had before the step."""
        entry = self.entry(key)
        if not isinstance(entry, dict):
            raise self.damage(f"'{key}' is {_short(entry)} where a grid is needed")
        parts = Undo(Record(self.record.step, entry))
        shape = parts.triple("shape", 1, LARGEST_SIDE)
        rows = parts._list("affine", 4)
        if not all(isinstance(row, list) and len(row) == 4 for row in rows):
            raise self.damage(f"the affine of '{key}' is not 4×4")
        affine = np.array([[self._number(key, one, -1e9, 1e9) for one in row] for row in rows])
        try:
            return Grid(shape, affine, parts.flag("calibrated"))
        except InputError as error:
            raise self.damage(str(error)) from error

    def array(self, name: str, kinds: str) -> NDArray[Any]:
        """A flat array whose type is of one of the `kinds` (numpy's letters)."""
        array = self.record.arrays.get(name)
        if not isinstance(array, np.ndarray) or array.ndim != 1 or array.dtype.kind not in kinds:
            raise self.damage(f"it has no usable array '{name}'")
        return array

    def refuse_elsewhere(self, inner: Grid, start: Sequence[int], outer: Grid) -> None:
        """Refuse a part of a grid that does not lie where it is said to begin."""
        if not outer.window(start, inner.shape).agrees_with(inner, tolerance_mm=1e-3):
            raise self.damage(
                f"it takes voxels from {tuple(start)} on, which is not where its grid lies"
            )

    def refuse_growth(self, shape: Sequence[int], image: Image) -> None:
        """Refuse to make of `image` one that is out of all proportion to it."""
        wanted = image.channels * int(np.prod([int(side) for side in shape], dtype=object))
        allowed = min(_LARGEST_VALUES, max(_FREE_VALUES, image.pixels.size * _LARGEST_GROWTH))
        if wanted > allowed:
            raise self.damage(
                f"it asks for {wanted} values where at most {allowed} are believable "
                f"for an image of {image.pixels.size}"
            )

    # -- one value ---------------------------------------------------------------------------

    def _list(self, key: str, count: int) -> Sequence[Any]:
        value = self.entry(key)
        if not isinstance(value, list | tuple) or len(value) != count:
            raise self.damage(f"'{key}' is {_short(value)} where a list of {count} is needed")
        return value

    def _number(self, key: str, value: Any, low: float, high: float) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.damage(f"'{key}' holds {_short(value)} where a number is needed")
        if not low <= value <= high:  # also refuses NaN
            raise self.damage(
                f"'{key}' holds {_short(value)} where {low:g} to {high:g} is possible"
            )
        return float(value)

    def _whole(self, key: str, value: Any, low: int, high: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.damage(
                f"'{key}' holds {_short(value)} where a whole number {low} to {high} is needed"
            )
        return value

    def _flag(self, key: str, value: Any) -> bool:
        if not isinstance(value, bool):
            raise self.damage(f"'{key}' holds {_short(value)} where true or false is needed")
        return value


def _short(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**20:
        return "a number of more than twenty digits"  # str() of a huge int is an error of its own
    return repr(value)[:60] if isinstance(value, str | int | float | None) else type(value).__name__

"""Policy: which windows, shifts and axes a codec is shown an image in, and what is kept of it."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import Any, Literal, get_args

from plica.codecs.preparing import SliceAxis
from plica.errors import SettingsError

Outside = Literal["keep", "report"]
WINDOWS_HU = {"wide": (-1000.0, 1000.0), "soft": (-175.0, 250.0)}
FULL = "full"
MOST_SHIFTS = 64
OWN_AXES: tuple[SliceAxis, ...] = ("acquired",)
_RANGE = re.compile(r"(-?\d+(?:\.\d+)?):(-?\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class Policy:
    """How a codec is shown an image, and how what it makes is put together.

    Args:
        windows: What of the values the codec is shown, one pass each: "wide" (−1000 … 1000 HU),
            "soft" (−175 … 250 HU), "full" (the image's own range) or "low:high" in the image's
            unit. Where a narrower window holds what the wider passes give, its own pass is taken.
            Empty: the codec's own way, in one pass.
        shifts: Passes of which each begins elsewhere in the codec's cells; their mean is taken.
        axes: Slicing axes, one pass each, for codecs that see slices; their mean is taken.
        outside: Values outside the widest window, or the codec's own, are kept as the source has
            them, or only counted ("report"), and then stand at the window's edge.
        recalibrate: Whether the line that fits the source best is laid through what came of it:
            two numbers, which a decoder of latents alone would not know.
    """

    windows: tuple[str, ...] = ()
    shifts: int = 1
    axes: tuple[SliceAxis, ...] = ("acquired",)
    outside: Outside = "keep"
    recalibrate: bool = False

    def __post_init__(self) -> None:
        for name in self.windows:
            parse_window(name)
        if len(set(self.windows)) < len(self.windows) or len(set(self.axes)) < len(self.axes):
            raise SettingsError(f"{self.windows} and {self.axes} name one thing twice")
        if not 1 <= self.shifts <= MOST_SHIFTS:
            raise SettingsError(f"shifts are 1 to {MOST_SHIFTS}, but got {self.shifts}")
        if not self.axes:
            raise SettingsError("a policy has at least one axis, but got none")

    @classmethod
    def from_options(
        cls,
        windows: str | None = None,
        shifts: int = 1,
        axes: str | None = None,
        outside: str = "keep",
        recalibrate: bool = False,
    ) -> Policy:
        """Read what came from a command line: names with commas between them.

        Raises:
            SettingsError: A name or number is none that its field takes.

        Examples:
            >>> Policy.from_options("wide,soft", 4).passes
            8
        """
        named: Any = tuple(axes.split(",")) if axes else ("acquired",)
        if not set(named) <= set(get_args(SliceAxis)):
            known = ", ".join(get_args(SliceAxis))
            raise SettingsError(f"axes are some of {known}, but got '{axes}'")
        told: Any = outside
        if told not in get_args(Outside):
            raise SettingsError(f"outside is {' or '.join(get_args(Outside))}, but got '{outside}'")
        return cls(tuple(windows.split(",")) if windows else (), shifts, named, told, recalibrate)

    @property
    def passes(self) -> int:
        """How often an image is encoded and decoded."""
        return max(1, len(self.windows)) * self.shifts * len(self.axes)


def parse_window(name: str) -> tuple[float, float] | None:
    """The range a window's name means; None for "full", which each image says for itself.

    Raises:
        SettingsError: It is no window's name.

    Examples:
        >>> parse_window("soft"), parse_window("-50:150")
        ((-175.0, 250.0), (-50.0, 150.0))
    """
    if name == FULL:
        return None
    if name in WINDOWS_HU:
        return WINDOWS_HU[name]
    match = _RANGE.fullmatch(name)
    if match is None or not float(match[1]) < float(match[2]):
        raise SettingsError(
            f"a window is {', '.join(WINDOWS_HU)}, {FULL} or low:high such as -50:150, but got "
            f"'{name}'"
        )
    return float(match[1]), float(match[2])


def spread_shifts(count: int, cell: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    """So many places in a cell, as far from each other as halving its sides allows.

    Raises:
        SettingsError: The cell has not so many.

    Examples:
        >>> spread_shifts(4, (8, 8, 1))
        [(0, 0, 0), (4, 4, 0), (4, 0, 0), (0, 4, 0)]
    """
    axes = [axis for axis, side in enumerate(cell) if side > 1]
    if count > 1 and not axes:
        raise SettingsError(
            "a codec that keeps every voxel has no cells to shift: leave out shifts"
        )
    corners = sorted(
        itertools.product((0, 1), repeat=len(axes)), key=lambda bits: (sum(bits) == 0, sum(bits))
    )
    corners = [corners[-1], *reversed(corners[:-1])]  # none, all, then ever fewer
    found: list[tuple[int, int, int]] = []
    for number in range(count):
        place, left, side = [0, 0, 0], number, 2
        while left:
            left, corner = divmod(left, len(corners))
            for axis, bit in zip(axes, corners[corner], strict=True):
                place[axis] += bit * cell[axis] // side
            side *= 2
        found.append((place[0], place[1], place[2]))
    if len(set(found)) < count:
        raise SettingsError(
            f"a cell of {' × '.join(str(cell[axis]) for axis in axes) or 1} voxels can be shifted "
            f"in at most {len(set(found))} ways, but {count} shifts were asked for"
        )
    return found

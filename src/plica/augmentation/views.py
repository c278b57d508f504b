"""Views: what a network is shown of an image, from the image itself to its reconstruction.

With x the image, x̃ its reconstruction and s the strength,

    view(s) = x + s (x̃ − x)

so that s = 0 is the image, s = 1 the reconstruction, between them some of the residual is taken
away, and beyond 1 more than all of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from plica.errors import InputError, SettingsError, UnknownName, UnusablePixels
from plica.image import Image
from plica.metrics.pair import refuse_other_grid

Reconstruct = Callable[[Image], Image]
"""From an image its reconstruction, on the same grid and in the same unit."""

RAW, RECONSTRUCTED, MIXED, RESIDUAL = "raw", "reconstructed", "mixed", "residual"
NAMES = (RAW, RECONSTRUCTED, MIXED, RESIDUAL)
MOST_STRENGTH = 10.0


@dataclass(frozen=True)
class View:
    """One way to show an image.

    Args:
        name: "raw", "reconstructed", or "residual-0.5".
        strength: s above.

    Raises:
        SettingsError: The strength is below 0, beyond 10 or not finite.
    """

    name: str
    strength: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.strength) and 0 <= self.strength <= MOST_STRENGTH):
            raise SettingsError(
                f"a strength lies between 0 (the image) and {MOST_STRENGTH:g}, 1 being its "
                f"reconstruction, but it is {self.strength}"
            )

    @property
    def ending(self) -> str:
        """What is added to a case's name: nothing to that of the image itself."""
        return "" if self.strength == 0 else f"-{self.name.replace('.', 'p')}"


def scaled(strength: float) -> View:
    """The view of a strength, under its own name."""
    known = {0.0: RAW, 1.0: RECONSTRUCTED}
    return View(known.get(float(strength), f"{RESIDUAL}-{strength:g}"), float(strength))


def parse_views(names: Sequence[str], strengths: Sequence[float] = ()) -> tuple[View, ...]:
    """The views of a data set, each once, in order of their strength.

    Args:
        names: "raw", "reconstructed", "mixed" (both of these), "residual" (one for each strength).
        strengths: Of the residual; given alone they mean "residual".

    Raises:
        UnknownName: There is no such view.
        SettingsError: Strengths are missing, needless or out of range.

    Examples:
        >>> [view.name for view in parse_views(["mixed", "residual"], [0.5])]
        ['raw', 'residual-0.5', 'reconstructed']
    """
    found: set[View] = set()
    for name in names:
        if name not in NAMES:
            raise UnknownName(f"there is no view '{name}'; there are: {', '.join(NAMES)}")
        found |= {scaled(0.0)} if name in (RAW, MIXED) else set()
        found |= {scaled(1.0)} if name in (RECONSTRUCTED, MIXED) else set()
    if (RESIDUAL in names) and not strengths:
        raise SettingsError("the view residual needs its strengths: add --strength 0.5")
    found |= {scaled(strength) for strength in strengths}
    if not found:
        raise SettingsError(f"name a view at least: {', '.join(NAMES)}")
    return tuple(sorted(found, key=lambda view: view.strength))


def derive(image: Image, reconstruct: Reconstruct, view: View) -> Image:
    """One view of an image; the reconstruction is only made where it is needed.

    Raises:
        InputError: The reconstruction is on another grid.
        UnusablePixels: It is not finite.

    Examples:
        >>> half = derive(image, reconstruct, scaled(0.5))
        >>> half.grid == image.grid
        True
    """
    return image if view.strength == 0 else blend(image, reconstruct(image), view.strength)


def blend(image: Image, reconstructed: Image, strength: float) -> Image:
    """The view x + s (x̃ − x), in the image's type: rounded where that is whole, and in its range.

    Raises:
        InputError: The reconstruction is on another grid.
        UnusablePixels: The result is not finite.
    """
    refuse_other_grid(image.grid, reconstructed.grid)
    if image.pixels.shape != reconstructed.pixels.shape or image.unit is not reconstructed.unit:
        raise InputError(
            f"the reconstruction has {reconstructed.channels} channels in "
            f"{reconstructed.unit.value}, the image {image.channels} in {image.unit.value}: they "
            "must be alike"
        )
    x, y = image.pixels.astype(np.float64), reconstructed.pixels.astype(np.float64)
    values = y if strength == 1 else x + strength * (y - x)
    if not np.isfinite(values).all():
        raise UnusablePixels("the reconstruction holds values that are not finite")
    dtype = image.pixels.dtype
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        values = np.clip(np.rint(values), limits.min, limits.max)
    return image.with_pixels(values.astype(dtype))

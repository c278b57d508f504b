"""Showing: in which window, at which slice and around what a panel is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import typer

from plica.cli.options import OUTPUT
from plica.errors import SettingsError
from plica.image import Image, Unit
from plica.metrics.pair import Bools

WINDOWS_HU = {"lung": (-1350.0, 150.0), "soft": (-160.0, 240.0), "bone": (-450.0, 1350.0)}
"""Widths 1500, 400 and 1800 HU about −600, 40 and 450."""

DisplayWindow = Annotated[
    str | None,
    typer.Option(
        "--display",
        help="The window of the picture: lung (-1350:150 HU), soft (-160:240), bone (-450:1350) "
        "or low:high.",
        show_default=False,
        rich_help_panel=OUTPUT,
        metavar="NAME|LOW:HIGH",
    ),
]
Slice = Annotated[
    int | None,
    typer.Option(
        "--slice",
        help="The slice of the picture, from 0 along the third axis; the middle if left out.",
        show_default=False,
        rich_help_panel=OUTPUT,
        min=0,
    ),
]
ResidualRange = Annotated[
    float | None,
    typer.Option(
        "--residual-range",
        help="The residual is drawn from minus VALUE to VALUE, in the image's unit; left out, a "
        "quarter of the width of --display, or, without one, what suits this pair alone.",
        show_default=False,
        rich_help_panel=OUTPUT,
        metavar="VALUE",
    ),
]


@dataclass(frozen=True)
class Showing:
    """How a panel is to be drawn.

    Args:
        display: A window's name, or low:high.
        place: A slice along the third axis.
        residual_range: How far the residual's colours go, on either side of zero.
    """

    display: str | None = None
    place: int | None = None
    residual_range: float | None = None

    def __post_init__(self) -> None:
        """Refuse before any work what is no window."""
        if self.display is not None:
            parse_display(self.display)
        asked = self.residual_range
        if asked is not None and not (np.isfinite(asked) and asked > 0):
            raise SettingsError(
                f"--residual-range takes a number above 0, in the image's unit, but got '{asked:g}'"
            )

    def check(self, drawn: bool) -> None:
        """Refuse what speaks of a picture where none is drawn.

        Raises:
            SettingsError: There is none.
        """
        if not drawn and self != Showing():
            raise SettingsError(
                "--display, --slice and --residual-range say how a picture is drawn, and none was "
                "asked for: name one, or leave them out"
            )

    def choose(self, image: Image, region: Bools | None = None) -> dict[str, Any]:
        """What `draw_panel` takes of it for an image.

        Raises:
            SettingsError: A window by name for an image without HU, or a slice it does not have.
        """
        chosen: dict[str, Any] = {}
        if self.display is not None:
            if self.display in WINDOWS_HU and image.unit is not Unit.HU:
                raise SettingsError(
                    f"--display {self.display} is a window in HU, but the image is in "
                    f"{image.unit.value}: give low:high, or --unit HU where that is what it is"
                )
            chosen["window"] = parse_display(self.display)
        centre: tuple[int, int, int] | None = None
        if region is not None and region.any():
            i, j, k = (int(np.median(places)) for places in np.nonzero(region))
            centre = (i, j, k)
        if self.place is not None:
            last = image.grid.shape[2] - 1
            if self.place > last:
                raise SettingsError(f"--slice {self.place}: the image has slices 0 to {last}")
            i, j, _ = centre or tuple(side // 2 for side in image.grid.shape)
            centre = (i, j, self.place)
        if centre is not None or region is not None or self.residual_range is not None:
            from plica.evaluation.figures import Focus  # Pillow is not needed to draw nothing

            chosen["focus"] = Focus(
                centre=centre, region=region, residual_range=self.residual_range
            )
        return chosen


def parse_display(text: str) -> tuple[float, float]:
    """A window: "soft" or "-100:300".

    Raises:
        SettingsError: It is none.
    """
    if text in WINDOWS_HU:
        return WINDOWS_HU[text]
    try:
        low, high = (float(part) for part in text.split(":"))
    except ValueError as error:
        raise SettingsError(
            f"--display takes {', '.join(WINDOWS_HU)} or low:high such as -100:300, but got "
            f"'{text}'"
        ) from error
    if not low < high or not np.isfinite([low, high]).all():
        raise SettingsError(f"--display takes low:high with low below high, but got '{text}'")
    return low, high

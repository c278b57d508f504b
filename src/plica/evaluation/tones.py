"""Values to grey and colour: windows, a diverging map for residuals, round numbers for scales."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.errors import SettingsError
from plica.image import Display, Image, Unit

Grey = NDArray[np.float64]
Rgb = NDArray[np.uint8]

SOFT_TISSUE_HU = (-160.0, 240.0)
LUNG_HU = (-1350.0, 150.0)
AERATED_HU = (-950.0, -500.0)
LUNG_SHARE = (
    0.08  # of the voxels: lungs are a third of a chest slice, bowel gas far less of a belly
)
PERCENTILES = (0.5, 99.5)
LOOKED_AT = 1 << 22  # voxels a percentile is taken of
ROUND = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)

# Residual: dark where nothing changed, so that what did stands out of a dark page; blue below zero
# and orange above can be told apart by everyone.
DIVERGING = (
    (-1.0, (168, 214, 255)),
    (-0.55, (54, 128, 214)),
    (-0.2, (26, 58, 102)),
    (0.0, (15, 17, 21)),
    (0.2, (104, 50, 22)),
    (0.55, (222, 108, 40)),
    (1.0, (255, 212, 158)),
)


@dataclass(frozen=True)
class Tone:
    """How values become brightness.

    Args:
        low: The value drawn darkest (lightest, if inverted).
        high: The value drawn at the other end.
        why: Where the two come from, for the caption.
        display: The maker's transform, where it is a sigmoid or a table; inversion.
    """

    low: float
    high: float
    why: str
    display: Display = field(default_factory=Display)

    def __call__(self, values: NDArray[Any]) -> Grey:
        """Brightness in [0, 1]; what is not finite is drawn as the low end."""
        x = np.nan_to_num(np.asarray(values, np.float64), nan=self.low)
        display = self.display
        if display.table:
            places = display.table_first + np.arange(len(display.table))
            grey = np.interp(x, places, display.table)
        elif display.function == "SIGMOID" and display.center is not None:
            width = display.width or 1.0
            grey = 1 / (1 + np.exp(np.clip(-4 * (x - display.center) / width, -60, 60)))
        else:
            span = max(self.high - self.low, np.finfo(np.float64).tiny)
            grey = (np.clip(x, self.low, self.high) - self.low) / span
        grey = np.clip(grey, 0, 1)
        return np.asarray(1 - grey if display.inverted else grey)


def choose_tone(image: Image, window: tuple[float, float] | None = None) -> Tone:
    """The window asked for; or the maker's; or one that suits the unit; or percentiles.

    Raises:
        SettingsError: The window's low end is not below its high end.
    """
    inverted = Display(inverted=image.display.inverted)
    if window is not None:
        low, high = map(float, window)
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise SettingsError(
                f"a window is (low, high) with low below high, in the image's unit, not {window}"
            )
        return Tone(low, high, "as asked for", inverted)
    if image.display.table or (image.display.center is not None and image.display.width):
        return _tone_of_maker(image.display)
    if image.unit is Unit.HU:
        seen = glance(image.pixels)
        aerated = np.mean((seen > AERATED_HU[0]) & (seen < AERATED_HU[1]))
        if aerated > LUNG_SHARE:
            return Tone(*LUNG_HU, "lung", inverted)
        return Tone(*SOFT_TISSUE_HU, "soft tissue", inverted)
    if image.unit is Unit.DISPLAY and image.pixels.dtype == np.uint8:
        return Tone(0, 255, "8-bit", inverted)
    low, high = (float(value) for value in np.percentile(glance(image.pixels), PERCENTILES))
    if low == high:
        low, high = low - 0.5, high + 0.5
    return Tone(low, high, f"{PERCENTILES[0]} to {PERCENTILES[1]} % of values", inverted)


def _tone_of_maker(display: Display) -> Tone:
    if display.table:
        first = display.table_first
        last = first + max(1, len(display.table) - 1)
        return Tone(first, last, "the file's table", display)
    center, width = float(display.center or 0.0), float(display.width or 1.0)
    if display.function == "SIGMOID":
        return Tone(center - width, center + width, "the file's sigmoid window", display)
    # LINEAR counts whole grey levels: of one level it would leave a threshold and no scale to draw
    counted = display.function == "LINEAR" and width > 1
    shift, half = (0.5, (width - 1) / 2) if counted else (0.0, width / 2)
    return Tone(center - shift - half, center - shift + half, "the file's window", display)


def glance(pixels: NDArray[Any]) -> NDArray[np.float64]:
    """Finite values of an evenly thinned image, a few million at most; a zero if there are none."""
    step = max(1, math.ceil((pixels.size / LOOKED_AT) ** (1 / 3)))
    steps = tuple(slice(None, None, step if side > step else 1) for side in pixels.shape[1:])
    seen = pixels[(slice(None), *steps)].astype(np.float64).ravel()
    seen = seen[np.isfinite(seen)]
    return seen if seen.size else np.zeros(1)


# -- residuals -----------------------------------------------------------------------------------


def diverge(values: NDArray[Any]) -> Rgb:
    """Colours (…, 3) of values in [−1, 1]: zero is dark; what is not finite is drawn as zero."""
    at = [place for place, _ in DIVERGING]
    x = np.nan_to_num(np.asarray(values, np.float64), nan=0.0)
    channels = [np.interp(x, at, [colour[n] for _, colour in DIVERGING]) for n in range(3)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)


def choose_residual_range(residual: NDArray[Any]) -> tuple[float, float]:
    """A round number that 99 % of |residual| keep under, and the share that does not.

    Both are 0 where nothing differs.
    """
    size = np.abs(glance(residual))
    if not size.any():  # what differs may lie between the voxels that were looked at
        size = np.abs(residual[np.isfinite(residual)])
    if not size.any():
        return 0.0, 0.0
    reach = float(np.percentile(size, 99)) or float(size.max())
    limit = round_up(reach)
    return limit, share_beyond(residual, limit)


def share_beyond(residual: NDArray[Any], limit: float) -> float:
    """The share of |residual| above a limit, of every finite value: no sample could prove none."""
    finite: int = 0
    beyond: int = 0
    for plane in residual.reshape(-1, *residual.shape[2:]):
        there = np.isfinite(plane)
        finite += int(np.count_nonzero(there))
        beyond += int(np.count_nonzero(there & (np.abs(plane) > limit)))
    return beyond / max(1, finite)


def round_up(value: float, digits: tuple[float, ...] = ROUND) -> float:
    """The next round number at or above a positive value: one of `digits` times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(digit for digit in digits if digit * power >= value * (1 - 1e-9)) * power


# -- scales --------------------------------------------------------------------------------------


def choose_ticks(low: float, high: float) -> list[float]:
    """Both ends, and round values between them; the quarters of a scale about zero."""
    if low == -high:
        return [low, low / 2, 0.0, high / 2, high]
    step = round_up((high - low) / 4, STEPS)
    first = math.floor(low / step) + 1
    inner = [step * n for n in range(first, first + 8) if low < step * n < high]
    return [low, *inner, high]


def format_value(value: float, span: float = 0.0) -> str:
    """A number for a scale: as many decimals as the scale's span needs, and a true minus."""
    if value and not 1e-3 <= max(abs(value), span) < 1e6:
        return f"{value:.3g}".replace("e+0", "e").replace("e-0", "e-").replace("-", "−")
    digits = 3 if span <= 0 else max(0, 2 - math.floor(math.log10(span)))
    text = f"{value:.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in {"-0", ""} else text.replace("-", "−")

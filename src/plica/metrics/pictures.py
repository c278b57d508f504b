"""Pictures: what a network for pictures sees of an image of any unit: slices, grey in [0, 1].

A window turns values into grey. One of a fixed unit is the same for all images; one of a scale of
its own is taken from each image, and a decoded copy is shown in its source's, so that a copy that
is too bright looks too bright. Of images that have no source among the real ones, a window of
their own hides how bright they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plica.errors import InputError, SettingsError, UnusablePixels
from plica.image import Image, Pixels, Unit
from plica.metrics.diversity import Pictures
from plica.preparation.planes import Planes
from plica.preparation.reorient import Reorient
from plica.preparation.resize import resize
from plica.preparation.voi import find_window

CT_WINDOW_HU = (-1000.0, 1000.0)
PERCENTILES = (0.5, 99.5)
SLICES = 8
SIDE, SIDE_OF_VOLUME = 256, 64  # MS-SSIM has its five scales from 176 on
CHANNELS = (1, 3)
_GLANCE = 1 << 22  # voxels a percentile is taken of

Grey = NDArray[np.float32]


@dataclass(frozen=True)
class Window:
    """Which values are black and white.

    Args:
        low: The value that becomes 0.
        high: The value that becomes 1.
        inverted: Whether low values are white.
        why: Where the two come from.
    """

    low: float
    high: float
    inverted: bool = False
    why: str = ""


@dataclass(frozen=True, eq=False)
class Sample:
    """One image of a set.

    Args:
        image: Its pixels.
        patient: Whose it is.
        name: What it is called.
        window: What is black and white in it; None takes `choose_window(image)`.
    """

    image: Image
    patient: str
    name: str
    window: Window | None = None

    @property
    def shown_in(self) -> Window:
        """The window it is seen in."""
        return self.window or choose_window(self.image)


def choose_window(image: Image) -> Window:
    """The window of an image: its unit's, its maker's, or one of its own percentiles.

    −1000 … 1000 HU; 0 … 255 of 8-bit display values; the file's window; or else 0.5 to 99.5 % of
    the image's values, of a volume as a whole.

    Raises:
        UnusablePixels: The image holds class labels, or a value is not finite.
    """
    if image.unit is Unit.LABEL:
        raise UnusablePixels(
            "the image holds class labels, which are no picture: give the image they were drawn on"
        )
    if missing := image.count_nonfinite():
        raise UnusablePixels(
            f"{missing} values of the image are NaN or infinite: fill them first, or leave it out"
        )
    if image.unit is Unit.HU:
        return Window(*CT_WINDOW_HU, why="−1000 … 1000 HU")
    inverted = image.display.inverted
    if image.unit is Unit.DISPLAY and image.pixels.dtype == np.uint8:
        return Window(0.0, 255.0, inverted, "8-bit")
    given = None if image.display.table else find_window(image.display)
    if given is not None:
        return Window(*given, inverted, "the file's window")
    low, high = (float(value) for value in np.percentile(_glance(image), PERCENTILES))
    return Window(low, high, inverted, f"{PERCENTILES[0]} to {PERCENTILES[1]} % of values")


def shade(pixels: Pixels, window: Window) -> Grey:
    """Values as grey in [0, 1]; all black where the window has no width.

    Args:
        pixels: (channel, …).

    Raises:
        UnusablePixels: There are neither 1 nor 3 channels, or values that are not finite.

    Examples:
        >>> from plica.metrics.pictures import Window
        >>> shade(np.array([[-160.0, 40, 240]]), Window(-160.0, 240.0))
        array([[0. , 0.5, 1. ]], dtype=float32)
    """
    if len(pixels) not in CHANNELS:
        raise UnusablePixels(
            f"pictures have 1 or 3 channels, but the image has {len(pixels)}: choose one of them"
        )
    values = pixels.astype(np.float32) - np.float32(window.low)
    values *= np.float32(1 / span) if (span := window.high - window.low) > 0 else np.float32(0)
    if not np.isfinite(values).all():
        raise UnusablePixels("values of the image are NaN or infinite: fill them, or leave it out")
    np.clip(values, 0, 1, out=values)
    return 1 - values if window.inverted else values


def cut_slices(sample: Sample, count: int = SLICES) -> Iterator[tuple[str, Grey]]:
    """Pictures (channel, row, column) of an image, each with its name.

    A radiograph is one. A volume gives `count` slices across the axis it was acquired along, the
    right way up, in the middle of as many equal parts of it; all of them where it has fewer.

    Raises:
        SettingsError: The count is below one.
        UnusablePixels: The image makes no pictures.
    """
    if count < 1:
        raise SettingsError(f"1 or more slices are seen of a volume, but {count} were asked for")
    upright = Planes("acquired").apply(sample.image)[0]
    window, depth = sample.shown_in, upright.grid.shape[2]
    places = [int((place + 0.5) * depth / count) for place in range(count)]
    for k in places if depth > count else range(depth):
        name = f"{sample.name} slice {k}" if depth > 1 else sample.name
        yield name, shade(upright.pixels[..., k], window).swapaxes(1, 2)


SHRUNK = (
    f"pictures to {SIDE} × {SIDE}, volumes turned to RAS and to {SIDE_OF_VOLUME}³, both without "
    "regard to proportions, bicubic with antialiasing; grey in [0, 1] by window; colour as the "
    "mean of its channels"
)


def shrink(sample: Sample) -> NDArray[np.float32]:
    """An image at the size MS-SSIM compares a set's images at: (i, j, k) in [0, 1].

    Raises:
        UnusablePixels: The image makes no pictures.
    """
    window, image, shape = sample.shown_in, sample.image, (SIDE, SIDE, 1)
    if image.is_volume:
        image = Reorient("RAS").apply(image)[0]
        shape = (SIDE_OF_VOLUME,) * 3
    return shade(resize(image, shape).pixels, window).mean(axis=0)


def gather(samples: Sequence[Sample]) -> Pictures:
    """A set's images at the size MS-SSIM compares them at.

    Raises:
        InputError: There are none, or volumes among pictures.
        UnusablePixels: One makes no pictures.
    """
    return stack_pictures([(shrink(one), one.patient, one.name) for one in samples])


def stack_pictures(shrunk: Sequence[tuple[NDArray[np.float32], str, str]]) -> Pictures:
    """Shrunk images, their patients and names as a set.

    Raises:
        InputError: There are none, or volumes among pictures.
    """
    if not shrunk:
        raise InputError("the set has no images: there is nothing to compare")
    if len({values.shape for values, _, _ in shrunk}) > 1:
        raise InputError(
            "the set has volumes and single pictures, which MS-SSIM cannot compare: choose one kind"
        )
    values, patients, names = zip(*shrunk, strict=True)
    return Pictures(np.stack(values), patients, names, SHRUNK)


def _glance(image: Image) -> Pixels:
    """An evenly thinned image, a few million values at most."""
    step = max(1, math.ceil((image.pixels.size / _GLANCE) ** (1 / 3)))
    steps = tuple(slice(None, None, step if side > step else 1) for side in image.grid.shape)
    return image.pixels[(slice(None), *steps)]

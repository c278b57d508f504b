"""Pipelines: the steps between a checked float image and a network, ready to take.

Each is a function of the image, because what fits depends on its unit. `Finite` and `Cast` stand
before them, `Channels` and `Pad` after them, for every codec alike.
"""

from __future__ import annotations

import numpy as np

from plica.boxes import find_extremes
from plica.image import Image, Unit
from plica.preparation.minmax import MinMax
from plica.preparation.percentiles import Percentiles
from plica.preparation.region import Region
from plica.preparation.reorient import Reorient
from plica.preparation.step import Step
from plica.preparation.voi import Voi
from plica.preparation.window import Window

CT_LOW_HU, CT_HIGH_HU = -1024.0, 3071.0
"""The range of a 12-bit CT."""

GREY_LEVELS = 256


def full_range(image: Image) -> tuple[Step, ...]:
    """All an image has, to [−1, 1].

    A CT by the range of a scanner's twelve bits, the same for all CTs, and wider where padding or
    metal lies beyond it, so that nothing is cut; 8-bit pictures by their 256 levels, so
    that one grey means one number; everything else by its own smallest and largest value.
    """
    if image.unit is Unit.HU:
        return (_window_of_a_ct(image),)
    if image.unit is Unit.DISPLAY and _fits_a_byte(image):
        return (Window(0.0, GREY_LEVELS - 1.0),)
    return (MinMax(),)


def _window_of_a_ct(image: Image) -> Window:
    """NaN and infinities have no say: the step `finite` deals with them."""
    low, high = (float(end) for end in find_extremes(image.pixels))
    if not np.isfinite([low, high]).all():
        finite = image.pixels[np.isfinite(image.pixels)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    return Window(min(CT_LOW_HU, low), max(CT_HIGH_HU, high))


def radiograph(image: Image) -> tuple[Step, ...]:
    """The preprocessing of MedVAE's precursor: region of interest, display window, inversion.

    Diagnostically lossless compression of medical images (anonymous, 2023), A.1.

    A volume has no such region and is shown as its window says.
    """
    return (Voi(),) if image.is_volume else (Region(), Voi())


def mr(image: Image) -> tuple[Step, ...]:
    """MR: axes to RAS, and the 99.5th percentile to 1; brighter voxels go beyond it unclipped.

    A slice by itself is not turned: what sees it expects the picture's own rows and columns.
    """
    return (Reorient("RAS"), Percentiles()) if image.is_volume else (Percentiles(),)


def _fits_a_byte(image: Image) -> bool:
    low, high = find_extremes(image.pixels)
    return bool(low >= 0 and high < GREY_LEVELS)

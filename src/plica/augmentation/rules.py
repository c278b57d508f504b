"""Rules: labels computed from an image's own values, for demonstrations without drawn labels.

Thresholds and connected components on the unchanged image, in millimetres and Hounsfield units,
as in S. Hu, E. Hoffman, J. Reinhardt: Automatic lung segmentation for accurate quantitation of
volumetric X-ray CT images, IEEE Trans Med Imaging 20(6), 2001 (with fixed thresholds):

    body   largest part above −300 HU once thin things (the table) are opened away, holes filled
    air    1: below −500 HU inside the body, parts from 50 mm²: lung, gut gas, airways
    dense  2: from 200 HU inside the body, closed by 2 mm, holes filled, parts from 50 mm²

Nobody drew these. A network that sees unchanged values can find the thresholds themselves, which a
drawn label would not allow. Dense is bone, and contrast medium where it was given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.errors import InputError, MissingExtra, UnusablePixels
from plica.image import Image, Unit

Mask = NDArray[np.bool_]
LABELS = {"background": 0, "air": 1, "dense": 2}
BODY_HU, AIR_HU, DENSE_HU = -300, -500, 200
TABLE_MM, CLOSED_MM, LEAST_MM2 = 8.0, 2.0, 50.0


def draw_air_and_dense(image: Image) -> Image:
    """Air inside the body (1) and dense tissue (2) of one CT slice.

    Raises:
        UnusablePixels: The image is not in Hounsfield units, or shows no body.
        InputError: It is not one slice.
        MissingExtra: scipy is not installed.

    Examples:
        >>> draw_air_and_dense(plica.read("slice.dcm")).unit
        <Unit.LABEL: 'label'>
    """
    if image.unit is not Unit.HU:
        raise UnusablePixels(
            f"the rule's thresholds are Hounsfield units, but the image is in {image.unit.value}: "
            "name the unit, or take CT alone"
        )
    if image.channels != 1 or image.grid.shape[2] != 1:
        raise InputError(f"the rule takes one slice, but got {image!r}")
    values = image.pixels[0, :, :, 0]
    spacing = image.grid.spacing_mm[:2]
    body = _find_body(values, spacing)
    labels = np.zeros(values.shape, np.uint8)
    labels[_keep_large(body & (values < AIR_HU), spacing)] = LABELS["air"]
    dense = _fill(_close(body & (values >= DENSE_HU), CLOSED_MM, spacing))
    labels[_keep_large(dense & body & (labels == 0), spacing)] = LABELS["dense"]
    return Image(labels[None, :, :, None], image.grid, Unit.LABEL)


RULES: dict[str, Callable[[Image], Image]] = {"air-and-dense": draw_air_and_dense}


def _find_body(values: NDArray[Any], spacing: tuple[float, float]) -> Mask:
    ndimage = _import_ndimage()
    solid = values > BODY_HU
    opened = ndimage.binary_opening(solid, _disc(TABLE_MM / 2, spacing))
    parts, count = ndimage.label(opened)
    if not count:
        raise UnusablePixels("the slice shows no body: nothing in it is above −300 HU")
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return _fill(_close(parts == int(sizes.argmax()), TABLE_MM / 2, spacing))


def _keep_large(mask: Mask, spacing: tuple[float, float]) -> Mask:
    parts, _ = _import_ndimage().label(mask)
    sizes = np.bincount(parts.ravel()) * spacing[0] * spacing[1]
    sizes[0] = 0
    return np.asarray(sizes >= LEAST_MM2)[parts]


def _close(mask: Mask, radius_mm: float, spacing: tuple[float, float]) -> Mask:
    disc = _disc(radius_mm, spacing)
    room = max(disc.shape)
    padded = _import_ndimage().binary_closing(np.pad(mask, room), disc)
    return np.asarray(padded[room:-room, room:-room], dtype=bool)


def _fill(mask: Mask) -> Mask:
    return np.asarray(_import_ndimage().binary_fill_holes(mask), dtype=bool)


def _disc(radius_mm: float, spacing: tuple[float, float]) -> Mask:
    reach = [int(radius_mm / side) for side in spacing]
    i, j = np.ogrid[-reach[0] : reach[0] + 1, -reach[1] : reach[1] + 1]
    return np.asarray((i * spacing[0]) ** 2 + (j * spacing[1]) ** 2 <= radius_mm**2 + 1e-9)


def _import_ndimage() -> Any:
    try:
        from scipy import ndimage
    except ImportError as error:
        raise MissingExtra("labels by rule", "scipy", "eval") from error
    return ndimage

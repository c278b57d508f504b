"""Finite: voxels that are NaN or infinite are refused, or filled and put back."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from plica.boxes import count_nonfinite
from plica.errors import SettingsError, UnusablePixels
from plica.image import Image
from plica.latent import Record
from plica.preparation.runs import pack_classes, unpack_runs
from plica.preparation.undo import Undo
from plica.preparation.view import View

_KINDS = ("NaN", "+infinity", "−infinity")
_VALUES = np.array([0.0, np.nan, np.inf, -np.inf])


@dataclass(frozen=True)
class Finite:
    """See that every voxel is a number.

    Args:
        fill: "refuse", or "background": put the smallest finite value there, and keep place and
            kind of each such voxel in the record, so that nothing is lost.
    """

    fill: str = "refuse"

    def __post_init__(self) -> None:
        if self.fill not in {"refuse", "background"}:
            raise SettingsError(
                f"voxels that are not finite are filled with 'background' or met with 'refuse', "
                f"but got '{self.fill}'"
            )

    def apply(self, image: Image) -> tuple[Image, Record]:
        """Pass a finite image on as it is; refuse or fill another.

        Raises:
            UnusablePixels: Voxels are not finite and shall not be filled, or none is finite.
        """
        if count_nonfinite(image.pixels) == 0:
            return image, Record("finite", {"filled": 0})
        classes = _classify(image)
        count = int(np.count_nonzero(classes))
        if self.fill == "refuse" or count == classes.size:
            raise UnusablePixels(_describe(classes))
        pixels = image.pixels.copy()
        background = pixels[classes == 0].min()
        pixels[classes != 0] = background
        arrays, kinds = pack_classes(classes)
        line = f"{count} values that were not finite filled with {background:g}"
        filled = replace(image, pixels=pixels, provenance=image.provenance.after(line))
        return filled, Record("finite", {"filled": count}, arrays={**arrays, "kinds": kinds})

    def foresee(self, view: View) -> tuple[View, Record]:
        """What `apply` would give; an image to be filled is filled at once."""
        if count_nonfinite(view.pixels) == 0:
            return view, Record("finite", {"filled": 0})
        filled, record = self.apply(view.collect())
        return View.of(filled), record

    @staticmethod
    def recall(view: View, record: Record) -> View:
        """What `revert` would give where nothing was filled."""
        return view

    @staticmethod
    def recalls(record: Record) -> bool:
        """Whether nothing was filled."""
        return Undo(record).entry("filled") == 0

    @staticmethod
    def revert(image: Image, record: Record) -> Image:
        """Put NaN and infinities back where they were."""
        undo = Undo(record)
        if undo.whole("filled", 0, image.pixels.size) == 0:
            return image
        marked, lengths = unpack_runs(undo, image.pixels.size)
        kinds = undo.array("kinds", "u")
        if len(kinds) != len(lengths) or not np.isin(kinds, (1, 2, 3)).all():
            raise undo.damage("its kinds do not fit its runs")
        if image.pixels.dtype.kind != "f":
            raise undo.damage(f"NaN cannot be put back into {image.pixels.dtype.name} pixels")
        pixels = np.array(image.pixels, order="C")
        pixels.reshape(-1)[marked] = np.repeat(_VALUES[kinds], lengths)
        return image.with_pixels(pixels)


def _classify(image: Image) -> NDArray[np.uint8]:
    """0 finite, 1 NaN, 2 +infinity, 3 −infinity."""
    classes = np.isnan(image.pixels).astype(np.uint8)
    classes[np.isposinf(image.pixels)] = 2
    classes[np.isneginf(image.pixels)] = 3
    return classes


def _describe(classes: NDArray[np.uint8]) -> str:
    counts = np.bincount(classes.ravel(), minlength=4)
    kinds = " and ".join(f"{n} {kind}" for n, kind in zip(counts[1:], _KINDS, strict=True) if n)
    first = tuple(int(n) for n in np.unravel_index(int(np.argmax(classes != 0)), classes.shape))
    if counts[0] == 0:
        return f"the image holds no finite value at all: {kinds}; check how the file was written"
    return (
        f"the image holds values that are not finite: {kinds} of {classes.size}, the first at "
        f"voxel (i, j, k) = {first[1:]}; correct the file, or fill them with the background "
        "(--fill-nonfinite)"
    )

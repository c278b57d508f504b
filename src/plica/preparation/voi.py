"""Voi: a radiograph as its maker wants it shown: window or table, white bones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.image import Display, Image, Pixels, Unit
from plica.latent import Record
from plica.preparation.scaling import (
    intensity_undo,
    measure_range,
    revert_linear,
    scale,
    to_type,
    unscale,
)
from plica.preparation.undo import Undo
from plica.preparation.window import count_clipped

KINDS = ("linear", "sigmoid", "table", "display")
LARGEST_TABLE = 2**16
SIGMOID_REACH = 2.0
"""Window widths from the centre beyond which a sigmoid is flat for float32: 0.07 % from its end."""


@dataclass(frozen=True)
class Voi:
    """Apply the image's own VOI LUT or window, and turn MONOCHROME1 so that air is dark; → [−1, 1].

    As in the preprocessing of MedVAE's precursor (diagnostically lossless compression,
    anonymous, 2023, A.1), by the functions of DICOM PS3.3 C.11.2. An image without window or
    table is scaled over its whole range, and its provenance says so.

    A window is undone exactly inside; what it clips is counted. A sigmoid is undone to two window
    widths from its centre. A rising or falling table is undone to the middle of each of its
    levels. A table that rises and falls cannot be undone: the loss says so, and the decoded image
    stays as displayed, its grey levels spread over the source's own range of values, in
    `Unit.DISPLAY`.
    """

    def apply(self, image: Image) -> tuple[Image, Record]:
        """Scale as displayed.

        Raises:
            UnusablePixels: A value is not finite.
        """
        least, most = measure_range(image.pixels, "the display window")
        display = image.display
        arrays: dict[str, NDArray[Any]] = {}
        if display.table:
            values, undo, loss, arrays = _apply_table(image, (least, most))
            line = f"VOI table of {len(display.table)} entries to −1 … 1"
        elif display.function == "SIGMOID" and display.center is not None and display.width:
            values, undo, loss = _apply_sigmoid(image, display.center, display.width)
            line = f"sigmoid window {display.center:g} ± {display.width / 2:g} to −1 … 1"
        else:
            window = find_window(display)
            low, high = window or (least, most)
            values = scale(image.pixels, low, high, clip=True)
            undo = intensity_undo(image, low, high) | {"kind": "linear"}
            loss = count_clipped(image.pixels, low, high)
            named = "display window" if window else "no display window; whole range"
            line = f"{named} {low:g} … {high:g} to −1 … 1"
        if display.inverted:
            np.negative(values, out=values)
        undo["inverted"] = display.inverted
        provenance = image.provenance.after(line + ", inverted" * display.inverted)
        prepared = replace(image, pixels=values, unit=Unit.NORMALISED, provenance=provenance)
        return prepared, Record("voi", undo, loss, arrays)

    @staticmethod
    def revert(image: Image, record: Record) -> Image:
        """Return to stored values where the window or table allows it."""
        undo = Undo(record)
        kind, unit, dtype = undo.choice("kind", KINDS), undo.unit(), undo.pixel_type()
        if undo.flag("inverted"):
            image = image.with_pixels(-image.pixels.astype(np.float32, copy=False))
        if kind == "sigmoid":
            values = _revert_sigmoid(image, undo)
        elif kind == "table":
            values = _revert_table(image, undo)
        else:
            values = revert_linear(image.pixels, undo, clip=True)
        if kind == "display":
            image = replace(image, display=Display())  # the window speaks of other values
            unit = Unit.DISPLAY
        return image.with_pixels(to_type(values, dtype), unit=unit)


def find_window(display: Display) -> tuple[float, float] | None:
    """The values that become black and white; None where no window is given or it has no width."""
    if display.center is None or display.width is None:
        return None
    centre, width = display.center, display.width
    if display.function == "LINEAR":
        centre, width = centre - 0.5, width - 1
    return (centre - width / 2, centre + width / 2) if width > 0 else None


# -- sigmoid -------------------------------------------------------------------------------------


def _apply_sigmoid(
    image: Image, centre: float, width: float
) -> tuple[NDArray[Any], dict[str, Any], dict[str, Any]]:
    """2 / (1 + exp(−4 (x − c) / w)) − 1, which is tanh(2 (x − c) / w)."""
    low, high = centre - SIGMOID_REACH * width, centre + SIGMOID_REACH * width
    values = scale(image.pixels, low, high, clip=True)
    values *= np.float32(2 * SIGMOID_REACH)
    np.tanh(values, out=values)
    undo = intensity_undo(image, low, high) | {"kind": "sigmoid"}
    return values, undo, count_clipped(image.pixels, low, high)


def _revert_sigmoid(image: Image, undo: Undo) -> NDArray[Any]:
    steepness = 2 * SIGMOID_REACH
    end = np.tanh(steepness)
    values = np.arctanh(np.clip(image.pixels, -end, end, dtype=np.float64)) / steepness
    return revert_linear(values, undo, clip=True)


# -- table ---------------------------------------------------------------------------------------


def _apply_table(
    image: Image, extremes: tuple[float, float]
) -> tuple[NDArray[Any], dict[str, Any], dict[str, Any], dict[str, NDArray[Any]]]:
    table = np.array(image.display.table, np.float64)
    first = image.display.table_first
    inputs = first + np.arange(len(table))
    values = scale(np.interp(image.pixels, inputs, table), 0.0, 1.0, clip=True)
    steps = np.diff(table)
    invertible = bool((steps >= 0).all() or (steps <= 0).all()) and table[0] != table[-1]
    if not invertible or len(table) > LARGEST_TABLE:
        undo = intensity_undo(image, *extremes) | {"kind": "display"}
        return values, undo, {"table_not_invertible": True}, {}
    undo = intensity_undo(image, float(first), float(inputs[-1])) | {"kind": "table"}
    levels, places = _invert(table, first)
    restored = np.interp(unscale(values, 0.0, 1.0, clip=True), levels, places)
    return values, undo, _count_merged(image.pixels, restored), {"table": table}


def _revert_table(image: Image, undo: Undo) -> NDArray[Any]:
    table = undo.array("table", "f").astype(np.float64)
    first = undo.number("low")
    steps = np.diff(table)
    if not 2 <= len(table) <= LARGEST_TABLE or not np.isfinite(table).all():
        raise undo.damage("its table is not one of 2 to 65536 finite entries")
    if not ((steps >= 0).all() or (steps <= 0).all()) or np.abs(table).max() > 2:
        raise undo.damage("its table cannot be inverted")
    levels, places = _invert(table, first)
    return np.interp(unscale(image.pixels, 0.0, 1.0, clip=True), levels, places)


def _invert(table: NDArray[np.float64], first: float) -> tuple[Pixels, Pixels]:
    """The levels of a rising or falling table, and the middle of the inputs that give each."""
    levels, which, counts = np.unique(table, return_inverse=True, return_counts=True)
    inputs = first + np.arange(len(table))
    return levels, np.bincount(which, weights=inputs) / counts


def _count_merged(source: Pixels, restored: Pixels) -> dict[str, Any]:
    """Voxels a table does not give back to the nearest whole number, and by how much."""
    apart = np.abs(restored - source)
    merged = int(np.count_nonzero(apart > 0.5))
    if merged == 0:
        return {}
    return {"merged_fraction": merged / source.size, "largest_error": float(apart.max())}

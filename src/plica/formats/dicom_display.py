"""How a file asks to be shown: the value-of-interest window or table of a frame."""

from __future__ import annotations

from typing import cast

from plica.formats.dicom_file import Header
from plica.formats.dicom_values import read_table
from plica.image import Display, VoiFunction

FUNCTIONS = {"", "LINEAR", "LINEAR_EXACT", "SIGMOID"}


def read_display(
    source: Header | None, *, photometric: str, values_signed: bool
) -> tuple[Display, list[str]]:
    """The first window or table stated in a dataset or functional group.

    Args:
        source: Where the attributes stand; None where there are none.
        photometric: MONOCHROME1 makes the display inverted; colour has no window.
        values_signed: Whether values after the modality transform may be negative: a table's
            first input is then signed.

    Examples:
        >>> display, notes = read_display(None, photometric="MONOCHROME1", values_signed=False)
        >>> display.inverted
        True
    """
    inverted = photometric == "MONOCHROME1"
    if source is None or photometric not in {"MONOCHROME1", "MONOCHROME2"}:
        return Display(inverted=inverted), []
    notes: list[str] = []
    center, width = _first_window(source, notes)
    table, first = _first_table(source, values_signed, notes)
    named = source.text("VOILUTFunction").upper()
    if named not in FUNCTIONS:
        notes.append("The window's function is not one of DICOM's: taken as LINEAR.")
        named = "LINEAR"
    function = cast(VoiFunction, named or "LINEAR")
    return Display(center, width, function, inverted, table, first), notes


def _first_window(source: Header, notes: list[str]) -> tuple[float | None, float | None]:
    centers, widths = source.numbers("WindowCenter"), source.numbers("WindowWidth")
    pairs = list(zip(centers, widths, strict=False))
    if not pairs:
        return None, None
    if len(set(pairs)) > 1:
        notes.append(f"The file has {len(set(pairs))} windows: the first one is kept.")
    center, width = pairs[0]
    if width <= 0:
        notes.append(f"The window's width is {width:g}: the window is left out.")
        return None, None
    return center, width


def _first_table(
    source: Header, values_signed: bool, notes: list[str]
) -> tuple[tuple[float, ...], int]:
    items = source.items("VOILUTSequence")
    if not items:
        return (), 0
    if len(items) > 1:
        notes.append(f"The file has {len(items)} VOI tables: the first one is kept.")
    outputs, first, bits = read_table(items[0], values_signed)
    top = max((1 << bits) - 1, int(outputs.max()))
    return tuple(float(value) / top for value in outputs), first

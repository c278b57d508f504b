"""Which unit the values of a file have that does not say so."""

from __future__ import annotations

from plica.boxes import find_extremes
from plica.errors import InputError
from plica.image import Pixels, Unit


def parse_unit(text: str | Unit | None) -> Unit | None:
    """A unit by its value or name, as people type it: "HU", "relative", "bq/ml".

    Raises:
        InputError: There is none of that name.
    """
    if text is None or isinstance(text, Unit):
        return text
    for unit in Unit:
        if text.lower() in (unit.value.lower(), unit.name.lower()):
            return unit
    raise InputError(
        f"there is no unit {text!r}; choose one of {', '.join(unit.value for unit in Unit)}"
    )


def guess_unit(pixels: Pixels) -> tuple[Unit, tuple[str, ...]]:
    """HU where the values look like a CT's, and a note that says so; else relative.

    Air is −1000 HU, and scanners pad with −1024 to −3071 around the field of view; bone and
    contrast reach some hundreds. Magnetic resonance magnitudes are not negative. What can be
    mistaken is a signed phase or field map, which is why there is a note.
    """
    if pixels.dtype.kind not in "if" or not pixels.size:
        return Unit.RELATIVE, ()
    low, high = (float(end) for end in find_extremes(pixels))
    # Written so that NaN answers no.
    if not (-3100 <= low <= -900 and 100 <= high <= 40000):
        return Unit.RELATIVE, ()
    return Unit.HU, (
        f"Values from {low:g} to {high:g} were read as Hounsfield units, which the file does not "
        "say; give unit='relative' if they are not.",
    )

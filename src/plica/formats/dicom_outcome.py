"""What comes of a DICOM file, in one line: for tables in documentation and tests."""

from __future__ import annotations

from pathlib import Path

from plica.errors import InputError
from plica.formats.dicom import read
from plica.image import Image


def outcome(path: Path) -> str:
    """What `read` gives for a file or folder: the image in short, or the error's name.

    Examples:
        >>> outcome(Path("README.md"))
        'UnreadableFile'
    """
    try:
        return describe(read(path))
    except InputError as error:
        return type(error).__name__


def describe(image: Image) -> str:
    """Channels, sides, type, unit and spacing: "128×128×1 int16 HU, 0.661×0.661×5 mm"."""
    sides = "×".join(map(str, image.grid.shape))
    colour = "RGB " if image.channels == 3 else ""
    spacing = "×".join(f"{length:.4g}" for length in image.grid.spacing_mm)
    where = f"{spacing} mm" if image.grid.calibrated else "no millimetres"
    inverted = ", inverted" if image.display.inverted else ""
    return f"{colour}{sides} {image.pixels.dtype} {image.unit.value}, {where}{inverted}"

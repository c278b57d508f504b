"""What commands write beside their tables: decoded images and pictures of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from plica.errors import OutputError
from plica.image import Image, Unit

ENDINGS = (".nii.gz", ".png")
"""What a decoded image may be written as where nobody chose."""


def endings(like: Path | None) -> tuple[str, ...]:
    """The endings a decoded image may get: what is written like a DICOM series becomes one."""
    return (".dcm",) if like is not None else ENDINGS


def ending_for(image: Image, like: Path | None = None) -> str:
    """The ending of a decoded image: PNG for pictures, NIfTI for what has a place in a patient."""
    if like is not None:
        return ".dcm"
    placed = image.is_volume or image.grid.calibrated
    picture = not placed and image.unit in {Unit.DISPLAY, Unit.RELATIVE}
    return ".png" if picture else ".nii.gz"


def measure_bytes(path: Path) -> int:
    """Size of a file, or of all files in a folder."""
    if path.is_dir():
        return sum(part.stat().st_size for part in path.rglob("*") if part.is_file())
    return path.stat().st_size


def refuse_panel(path: Path | None) -> None:
    """Refuse a picture under an ending that promises another format.

    Raises:
        OutputError: It is not named as PNG.
    """
    if path is not None and path.suffix.lower() != ".png":
        raise OutputError(f"{path}: pictures are written as PNG; let its name end in .png")


def draw_panel(path: Path, source: Image, decoded: Image, **words: Any) -> None:
    """Write the picture of a pair; see `plica.evaluation.figures.write_panel`.

    Pillow is imported here, so that commands that draw nothing start without it.
    """
    from plica.evaluation.figures import write_panel

    write_panel(path, source, decoded, **words)

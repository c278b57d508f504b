"""What commands write beside their tables: decoded images and pictures of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from plica.image import Image, Unit


def ending_for(is_volume: bool, unit: Unit, calibrated: bool) -> str:
    """The ending of a decoded image: PNG for pictures, NIfTI for what has a place in a patient."""
    picture = not is_volume and not calibrated and unit in {Unit.DISPLAY, Unit.RELATIVE}
    return ".png" if picture else ".nii.gz"


def measure_bytes(path: Path) -> int:
    """Size of a file, or of all files in a folder."""
    if path.is_dir():
        return sum(part.stat().st_size for part in path.rglob("*") if part.is_file())
    return path.stat().st_size


def draw_panel(path: Path, source: Image, decoded: Image, **words: Any) -> None:
    """Write the picture of a pair; see `plica.evaluation.figures.write_panel`.

    Pillow is imported here, so that commands that draw nothing start without it.
    """
    from plica.evaluation.figures import write_panel

    path.parent.mkdir(parents=True, exist_ok=True)
    write_panel(path, source, decoded, **words)

"""Where decoded images go when only a folder was named."""

from __future__ import annotations

from pathlib import Path

from plica.image import Unit


def ending_for(is_volume: bool, unit: Unit, calibrated: bool) -> str:
    """The ending of a decoded image: PNG for pictures, NIfTI for what has a place in a patient."""
    picture = not is_volume and not calibrated and unit in {Unit.DISPLAY, Unit.RELATIVE}
    return ".png" if picture else ".nii.gz"


def measure_bytes(path: Path) -> int:
    """Size of a file, or of all files in a folder."""
    if path.is_dir():
        return sum(part.stat().st_size for part in path.rglob("*") if part.is_file())
    return path.stat().st_size

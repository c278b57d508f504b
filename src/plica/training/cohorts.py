"""Cohorts: a folder, a table or a BIDS tree as a cohort, told apart by what the path is."""

from __future__ import annotations

from pathlib import Path

from plica.cohort import Cohort
from plica.errors import InputError


def read_cohort(path: str | Path) -> Cohort:
    """The cohort at a path.

    Raises:
        InputError: There is nothing, or it is no cohort.

    Example:
        cohort = read_cohort("images/MANIFEST.csv")
    """
    place = Path(path)
    if not place.is_file():
        raise InputError(f"there is no table at {place}")
    return Cohort.from_manifest(place)

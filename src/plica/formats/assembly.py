"""The last step of every reader: pixels, grid and notes become an Image."""

from __future__ import annotations

import hashlib

import numpy as np

from plica.errors import AmbiguousSource, InputError
from plica.formats.imprint import Imprint
from plica.formats.units import guess_unit
from plica.grid import Grid
from plica.image import Image, Pixels, Provenance, Unit, fingerprint_pixels


def assemble(
    pixels: Pixels,
    grid: Grid,
    *,
    reader: str,
    unit: Unit | None = None,
    said: Unit | None = None,
    imprint: Imprint | None = None,
    notes: tuple[str, ...] = (),
) -> Image:
    """An Image whose unit is settled and whose provenance is filled.

    The caller's `unit` comes first, then plica's own record in the file, then what the format
    says, then a guess that leaves a note.

    Args:
        pixels: (channel, i, j, k).
        grid: Where they are.
        reader: The reader's name.
        unit: What the caller says.
        said: What the format says, such as an intent code for labels.
        imprint: plica's own record.
        notes: What the reader had to decide.

    Examples:
        >>> image = assemble(brain.pixels, brain.grid, reader="mine", unit=Unit.RELATIVE)
        >>> image.provenance.reader
        'mine'
    """
    known = unit or (imprint.unit if imprint else None) or said
    if known is None:
        known, guessed = guess_unit(pixels)
        notes = (*notes, *guessed)
    content = fingerprint_pixels(pixels)
    place = hashlib.sha256(content.encode() + grid.affine.tobytes()).hexdigest()
    return Image(
        pixels,
        grid,
        unit=known,
        provenance=Provenance(
            reader=reader,
            modality=imprint.modality if imprint else "",
            series=f"sha256:{place}",
            content=content,
            notes=notes,
        ),
        **({"display": imprint.display} if imprint else {}),
    )


def settle_calibration(grid: Grid, imprint: Imprint | None) -> Grid:
    """The grid, uncalibrated where plica's own record says so."""
    if imprint is None or imprint.calibrated == grid.calibrated:
        return grid
    return Grid(grid.shape, grid.affine, imprint.calibrated)


def choose_volume(count: int, volume: int | None, name: str, *, what: str = "volume") -> int:
    """Which of `count` volumes is meant; counted from 0.

    Raises:
        AmbiguousSource: There are several, and none was chosen.
        InputError: There is none of that number.
    """
    if volume is None:
        if count > 1:
            raise AmbiguousSource(
                f"{name} holds {count} {what}s and one was asked for; choose one with volume=0 to "
                f"volume={count - 1}"
            )
        return 0
    if not 0 <= volume < count:
        raise InputError(
            f"{name} holds {count} {what}{'s' if count > 1 else ''}, and there is no number "
            f"{volume}: they are counted from 0 to {count - 1}"
        )
    return volume


def from_fortran(stored: Pixels, shape: tuple[int, ...]) -> Pixels:
    """A flat array whose first axis runs fastest, in that shape."""
    return np.reshape(stored, shape, order="F")

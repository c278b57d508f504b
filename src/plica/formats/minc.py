"""MINC 1 and 2 (.mnc), read through nibabel, which needs scipy or h5py for it."""

from __future__ import annotations

import importlib.util
import math
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from plica.errors import MissingExtra, UnreadableFile, UnsupportedFormat
from plica.formats.affines import is_usable
from plica.formats.assembly import assemble, choose_volume
from plica.formats.limits import DEFAULT_MAX_BYTES, check_expansion
from plica.grid import Grid
from plica.image import Image, Pixels, Unit

# All that nibabel, scipy.io.netcdf and h5py let through for files that are not what they should be.
_BROKEN = (
    UserWarning,
    OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, RuntimeError,
    ZeroDivisionError, OverflowError, AssertionError, struct.error,
)  # fmt: skip


def read(
    path: Path,
    *,
    volume: int | None = None,
    unit: Unit | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> Image:
    """Read a MINC file; values are real ones, in float32 (float64 where stored in 32 bits).

    Args:
        path: The .mnc file.
        volume: Which volume of a 4D file, from 0.
        unit: What the values measure; None guesses, with a note.
        max_bytes: Refuse more decoded bytes than this.

    Raises:
        MissingExtra: scipy (MINC 1) or h5py (MINC 2) is not installed.
        UnreadableFile: Damaged or truncated.
        UnsupportedFormat: Not two to four axes.
        TooLarge: Past the limit.

    Examples:
        >>> read(Path("brain.mnc")).grid.orientation  # wants a MINC file  # doctest: +SKIP
        'RAS'
    """
    with path.open("rb") as file:
        package = "scipy" if file.read(3) == b"CDF" else "h5py"
    if importlib.util.find_spec(package) is None:
        raise MissingExtra("reading MINC", package, "minc")
    import nibabel
    from nibabel.minc1 import MincError

    try:
        with warnings.catch_warnings():
            # nibabel warns where it guesses at a spacing; a guess is no geometry
            warnings.simplefilter("error", UserWarning)
            kind = nibabel.Minc1Image if package == "scipy" else nibabel.Minc2Image
            found = kind.from_filename(str(path))
            shape = tuple(int(side) for side in found.shape)
            check_expansion(path.name, path.stat().st_size, math.prod(shape) * 8, max_bytes)
            chosen = _choose(shape, volume, path.name)
            values = _values(found, chosen)
            affine = np.array(found.affine, np.float64)
    except (*_BROKEN, MincError) as error:
        raise UnreadableFile(
            f"{path.name} cannot be read as MINC ({str(error)[:80]}); it is damaged, "
            "convert it anew from where it came"
        ) from error
    if not is_usable(affine):
        raise UnreadableFile(f"{path.name} has an affine that is singular or not finite")
    return assemble(
        values[None],
        Grid(values.shape, affine),
        reader=f"minc (nibabel {nibabel.__version__})",
        unit=unit,
    )


def _choose(shape: tuple[int, ...], volume: int | None, name: str) -> int | None:
    """Which entry of the first axis, which is time in four dimensions."""
    if len(shape) == 4:
        return choose_volume(shape[0], volume, name)
    if len(shape) != 3:
        raise UnsupportedFormat(f"{name} has {len(shape)} axes, and plica reads three or four")
    return None


def _values(found: Any, chosen: int | None) -> Pixels:
    data = found.dataobj
    stored = np.dtype(found.get_data_dtype())
    real = np.asarray(data if chosen is None else data[chosen])
    wide = stored.itemsize > 4 or (stored.itemsize == 4 and stored.kind != "f")
    return real.astype(np.float64 if wide else np.float32)

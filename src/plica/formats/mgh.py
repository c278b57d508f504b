"""FreeSurfer's MGH and MGZ, read: one big-endian header of fixed layout, then the volumes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from plica.errors import UnreadableFile, UnsupportedFormat
from plica.formats.affines import compose, is_usable
from plica.formats.assembly import assemble, choose_volume, from_fortran
from plica.formats.limits import DEFAULT_MAX_BYTES, check_expansion
from plica.formats.streams import could_hold, open_bytes, read_bytes, skip_bytes
from plica.grid import Float64, Grid
from plica.image import Image, Unit

_HEADER_BYTES = 284
_LAYOUT = np.dtype(
    [
        ("version", ">i4"), ("sides", ">i4", 3), ("frames", ">i4"), ("type", ">i4"),
        ("dof", ">i4"), ("placed", ">i2"), ("spacing", ">f4", 3), ("directions", ">f4", (3, 3)),
        ("centre", ">f4", 3),
    ]
)  # fmt: skip
_TYPES = {0: ">u1", 1: ">i4", 3: ">f4", 4: ">i2", 10: ">u2"}
# What the format means by a header without placement: coronal slices, 1 mm.
_CORONAL = np.array([[-1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])


def read(
    path: Path,
    *,
    volume: int | None = None,
    unit: Unit | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> Image:
    """Read one frame of an .mgh or .mgz file.

    Args:
        path: The file.
        volume: Which frame, from 0.
        unit: What the values measure; None guesses, with a note.
        max_bytes: Refuse more decoded bytes than this.

    Raises:
        UnreadableFile: Damaged or truncated.
        UnsupportedFormat: A pixel type the format no longer has.
        AmbiguousSource: Several frames, and none was chosen.
        TooLarge: Past the limit.

    Examples:
        >>> read(Path("orig.mgz")).grid.orientation
        'LIA'
    """
    with open_bytes(path) as stream:
        head = read_bytes(stream, _HEADER_BYTES, path.name)
        record = np.frombuffer(head.tobytes(), _LAYOUT, count=1)[0]
        shape, frames, stored = _check(record, path.name)
        per_frame = math.prod(shape) * stored.itemsize
        check_expansion(path.name, path.stat().st_size, per_frame * frames, max_bytes)
        if not could_hold(path, _HEADER_BYTES + per_frame * frames):
            raise UnreadableFile(
                f"{path.name} declares {frames} × {shape} voxels and is too short for them; it is "
                "truncated or its header is damaged"
            )
        chosen = choose_volume(frames, volume, path.name)
        skip_bytes(stream, chosen * per_frame, path.name)
        data = read_bytes(stream, per_frame, path.name).view(stored)
    affine, notes = _affine(record, shape, path.name)
    pixels = from_fortran(data.astype(stored.newbyteorder("=")), shape)[None]
    return assemble(pixels, Grid(shape, affine), reader="mgh", unit=unit, notes=notes)


def _check(record: np.void, name: str) -> tuple[tuple[int, int, int], int, np.dtype[np.generic]]:
    i, j, k = (int(side) for side in record["sides"])
    frames = int(record["frames"])
    if int(record["version"]) != 1 or min(i, j, k, frames) < 1:
        raise UnreadableFile(
            f"{name} is of MGH version {record['version']} with sides {(i, j, k)} and {frames} "
            "frames, but version 1 and sides above zero were expected; it is damaged"
        )
    if int(record["type"]) not in _TYPES:
        raise UnsupportedFormat(f"{name} has MGH pixel type {record['type']}; convert it first")
    return (i, j, k), frames, np.dtype(_TYPES[int(record["type"])])


def _affine(
    record: np.void, shape: tuple[int, int, int], name: str
) -> tuple[Float64, tuple[str, ...]]:
    """The header places the centre of the volume, at index shape / 2, not its first voxel."""
    notes: tuple[str, ...] = ()
    if record["placed"] == 1:
        spacing = record["spacing"].astype(np.float64)
        directions = record["directions"].astype(np.float64).T
        centre = record["centre"].astype(np.float64)
    else:
        spacing, directions, centre = np.ones(3), _CORONAL, np.zeros(3)
        notes = ("The file does not say where it is: FreeSurfer's coronal 1 mm was taken.",)
    affine = compose(directions, spacing, centre)
    affine[:3, 3] -= affine[:3, :3] @ (np.array(shape) / 2)
    if not is_usable(affine):
        raise UnreadableFile(
            f"{name} has directions or spacings that are singular or not finite; correct its header"
        )
    return affine, notes

"""JPEG 2000 (ISO/IEC 15444-1) of single planes, by OpenJPEG."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from openjpeg.utils import decode, encode_array

from plica.errors import LatentError

Plane = NDArray[np.uint16]
# OpenJPEG's wrapper always makes six resolutions, for which a side needs this many pixels.
LEAST_SIDE = 32
# SOC, then SIZ: length 41, one component of unsigned 16-bit samples, one tile over all.
_SIZ = struct.Struct(">HHHHIIIIIIIIHBBB")


def encode_planes(planes: Sequence[Plane], rate: float | None) -> list[bytes]:
    """One codestream for each plane.

    Args:
        planes: Each (row, column).
        rate: Bits per pixel of each plane; None keeps every level. It is undercut by at most one
            coding pass, which is under 1 % of a plane of 512² and up to 8 % of one of 192².
            No codestream is shorter than its head of about 170 bytes, whatever the rate: planes of
            few pixels take more than was asked for, and the latent says how much they took.

    Examples:
        >>> plane = scan.pixels[0, :, :, 0].astype(np.uint16)
        >>> [len(stream) > 170 for stream in encode_planes([plane], rate=None)]
        [True]
    """
    return [_encode(plane, rate) for plane in planes]


def _encode(plane: Plane, rate: float | None) -> bytes:
    rows, columns = plane.shape
    grown = np.pad(
        plane, ((0, max(0, LEAST_SIDE - rows)), (0, max(0, LEAST_SIDE - columns))), mode="edge"
    )
    grown = np.ascontiguousarray(grown)
    if rate is None:
        return encode_array(grown, bits_stored=16, photometric_interpretation=2)
    ratio = max(1.0, 16 * grown.size / (rate * plane.size))
    return encode_array(
        grown, bits_stored=16, photometric_interpretation=2, compression_ratios=[ratio]
    )


def decode_plane(stream: bytes, shape: tuple[int, int]) -> Plane:
    """The plane (row, column) of a codestream.

    Raises:
        LatentError: The codestream is damaged, or says another size; that is checked before
            memory is taken for it.
    """
    rows, columns = (max(LEAST_SIDE, side) for side in shape)
    expected = _SIZ.pack(
        0xFF4F, 0xFF51, 41, 0, columns, rows, 0, 0, columns, rows, 0, 0, 1, 15, 1, 1
    )
    if not stream.startswith(expected):
        raise LatentError(
            f"a JPEG 2000 plane of the latent is not one of {shape} pixels of sixteen bits: "
            "the latent is damaged"
        )
    try:
        plane = decode(stream, j2k_format=0)
    except (RuntimeError, ValueError) as error:
        raise LatentError(f"a JPEG 2000 plane of the latent is damaged: {error}") from error
    if plane.shape != (rows, columns) or plane.dtype != np.uint16:
        raise LatentError(
            f"a JPEG 2000 plane decoded to {plane.dtype} {plane.shape}, where uint16 "
            f"{(rows, columns)} was expected: the latent is damaged"
        )
    return plane[: shape[0], : shape[1]]

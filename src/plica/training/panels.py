"""Panels: source, decoded and residual side by side, as a picture of how a training stands."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plica.formats.picture_writing import write_png
from plica.grid import Grid
from plica.image import Image

Pair = tuple[NDArray[np.float32], NDArray[np.float32]]

SIDE = 256  # pixels a tile has at most
GAIN = 4.0  # by which residuals are stretched
_GAP = 4


def write_panels(pairs: Sequence[Pair], path: Path) -> None:
    """Write one row per pair: source, decoded, and GAIN times their difference on grey.

    Of a volume the middle slice across k is shown, of several channels the first.

    Args:
        pairs: Source and reconstruction, (channel, *space) in [−1, 1].
        path: A PNG; one that is there is replaced.

    Raises:
        OutputError: It cannot be written.

    Examples:
        >>> x = np.zeros((1, 32, 32), np.float32)
        >>> write_panels([(x, x + 0.1)], Path("panel.png"))
    """
    rows = [_paint(_flatten(source), _flatten(decoded)) for source, decoded in pairs]
    width = max(row.shape[1] for row in rows)
    page = np.concatenate([np.pad(row, ((0, _GAP), (0, width - row.shape[1]))) for row in rows])
    pixels = page.T[None, :, :, None]  # (channel, i = column, j = row, k)
    grid = Grid(pixels.shape[1:], np.diag([-1.0, -1.0, 1.0, 1.0]), calibrated=False)
    write_png(Image(pixels, grid), path, overwrite=True)


def _flatten(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """(row, column) of a picture, or of a volume's middle slice as stored: i right, j upwards."""
    plane = x[0] if x.ndim == 3 else x[0, :, ::-1, x.shape[3] // 2].T
    stride = -(-max(plane.shape) // SIDE)
    return plane[::stride, ::stride]


def _paint(source: NDArray[np.float32], decoded: NDArray[np.float32]) -> NDArray[np.uint8]:
    tiles = (source, decoded, GAIN * (decoded - source))
    gap = np.zeros((source.shape[0], _GAP), np.uint8)
    painted = [_to_bytes(tile) for tile in tiles]
    return np.concatenate([painted[0], gap, painted[1], gap, painted[2]], axis=1)


def _to_bytes(x: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.round(np.clip((x + 1.0) * 127.5, 0.0, 255.0)).astype(np.uint8)

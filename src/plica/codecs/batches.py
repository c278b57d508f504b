"""Batches: images as networks take them, and what networks make of them as images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from plica.boxes import Readable, gather, release
from plica.preparation.view import push

Codes = NDArray[np.float32]
SLAB_BYTES = 2**25
"""What of an image is prepared at once before its slices are handed on."""


def count_slab(shape: tuple[int, ...], batch_voxels: int = 0) -> int:
    """Bytes of the slices that are prepared at once: as they are read, and as they are run.

    Args:
        shape: (channel, i, j, k) of all.
        batch_voxels: Of a device's batches, of which one is prepared while another is computed on;
            0 where there is none.

    Examples:
        >>> count_slab((1, 512, 512, 40)) / 2**20
        64.0
    """
    channels, i, j, k = shape
    layer = 4 * channels * i * j
    most = 2 * max(SLAB_BYTES, 4 * channels * batch_voxels) if batch_voxels else SLAB_BYTES
    return 2 * layer * min(k, max(1, most // layer))


def read_ahead(items: Iterator[Any]) -> Iterator[Any]:
    """Each item, while a thread prepares the next."""
    with ThreadPoolExecutor(1, thread_name_prefix="preparing") as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item


class Volume:
    """One group of an image's channels as (1, channel, i, j, k), read in boxes.

    Args:
        pixels: (groups · channel, i, j, k).
        group: Which.
        groups: How many.
    """

    def __init__(self, pixels: Readable, group: int, groups: int) -> None:
        channels = pixels.shape[0] // groups
        self._pixels = pixels
        self._channels = slice(group * channels, (group + 1) * channels)
        self.shape = (1, channels, *pixels.shape[1:])

    def __getitem__(self, box: Any) -> Codes:
        """A box of space, of all channels."""
        place = tuple(
            _settle(span, side) for span, side in zip(box[2:], self.shape[2:], strict=True)
        )
        return gather(self._pixels, (self._channels, *place), np.float32)[None]


class VolumeOut:
    """Where the results of one group are laid, box by box.

    Args:
        out: (groups · channel, i, j, k).
        group: Which.
        groups: How many.
    """

    def __init__(self, out: Any, group: int, groups: int) -> None:
        channels = out.shape[0] // groups
        self._out = out
        self._own = slice(group * channels, (group + 1) * channels)
        self.shape = (1, channels, *out.shape[1:])

    def __setitem__(self, box: Any, values: Codes) -> None:
        """Lay a box of space, of all channels."""
        place = (_settle(span, side) for span, side in zip(box[2:], self.shape[2:], strict=True))
        self._out[(self._own, *place)] = np.asarray(values)[0]


class Pushed:
    """Where decoded boxes are laid: carried back through the steps, then into the image's pixels.

    Args:
        prepared: The absent pixels that are decoded.
        pixels: The way back, around them.
        target: The image's own.
    """

    def __init__(self, prepared: Readable, pixels: Readable, target: NDArray[Any]) -> None:
        self._pixels, self._target = pixels, target
        self.shape = prepared.shape

    def __setitem__(self, box: Any, values: Codes) -> None:
        """Lay a box of the prepared image."""
        pushed = push(self._pixels, box, values)
        if pushed is not None:
            place, carried = pushed
            self._target[place] = carried
            release(self._target)


class Batches:
    """The slices along k, each group of channels by itself, as (slice, channel, row, column).

    Args:
        pixels: (groups · channel, i, j, k): an array, or what reads boxes of one.
        groups: Of channels.
        batch: Slices at a time.
    """

    def __init__(self, pixels: Readable, groups: int, batch: int) -> None:
        self._pixels, self._groups, self._batch = pixels, groups, batch

    def walk(self, out: Any) -> Iterator[tuple[Codes, Callable[[Codes], None]]]:
        """Each batch, and what lays its result into `out` (groups · channel, i, j, k)."""
        channels, i, j, k = self._pixels.shape
        layer = 4 * channels * i * j
        thick = max(1, SLAB_BYTES // layer, -(-self._batch // self._groups))
        for start in range(0, k, thick):
            stop = min(k, start + thick)
            slices = self._read(start, stop)
            for first in range(0, len(slices), self._batch):
                yield slices[first : first + self._batch], partial(self._lay, out, start, first)

    def _read(self, start: int, stop: int) -> Codes:
        channels, i, j, _ = self._pixels.shape
        box = (slice(0, channels), slice(0, i), slice(0, j), slice(start, stop))
        slab = gather(self._pixels, box, np.float32)
        grouped = slab.reshape(self._groups, -1, *slab.shape[1:])
        slices = grouped.transpose(4, 0, 1, 3, 2)  # k, group, channel, j, i
        return np.ascontiguousarray(slices).reshape(-1, *slices.shape[2:])

    def _lay(self, out: Any, start: int, first: int, results: Codes) -> None:
        for offset, result in enumerate(results):
            k, group = divmod(first + offset, self._groups)
            channels, j, i = result.shape
            own = slice(group * channels, (group + 1) * channels)
            box = (own, slice(0, i), slice(0, j), slice(start + k, start + k + 1))
            out[box] = result.transpose(0, 2, 1)[..., None]


def resize_k(codes: Codes, slices: int) -> Codes:
    """Codes (c, i, j, k) interpolated linearly along k: centres aligned, smoothed when fewer."""
    channels, i, j, k = codes.shape
    rows = torch.from_numpy(np.array(codes, np.float32).reshape(1, channels, i * j, k))
    resized = F.interpolate(rows, size=(i * j, slices), mode="bilinear", antialias=True)
    return resized.numpy().reshape(channels, i, j, slices)


def _settle(span: slice, side: int) -> slice:
    """A slice with a start and a stop."""
    start, stop, _ = span.indices(side)
    return slice(start, stop)

"""The bench a schedule works on: its maps and their moments, where boxes come from and go to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from plica.networks.maps import FeatureMap, HeldMap, ScratchMap
from plica.networks.moments import Moments, merge
from plica.networks.pieces import Box, Sides
from plica.networks.sending import send


@runtime_checkable
class Source(Protocol):
    """Values (1, channel, *space) of which boxes are read: an array, or one mapped from a file."""

    @property
    def shape(self) -> Any:
        """One, channels, and the sides of space."""
        ...

    def __getitem__(self, box: Any, /) -> Any:
        """The values of a box."""
        ...


@runtime_checkable
class Sink(Protocol):
    """Values (1, channel, *space) of which boxes are written."""

    @property
    def shape(self) -> Any:
        """One, channels, and the sides of space."""
        ...

    def __setitem__(self, box: Any, values: Any, /) -> None:
        """Lay values in their place."""
        ...


class SliceOf:
    """One slice along the last axis of a source.

    Args:
        source: (1, channel, *space).
        at: Which slice.
    """

    def __init__(self, source: Tensor | Source, at: int) -> None:
        self._source, self._at = source, at
        self.shape = tuple(source.shape[:-1])

    def __getitem__(self, box: Any, /) -> Any:
        """The values of a box."""
        return self._source[(*box, slice(self._at, self._at + 1))][..., 0]


class Reader:
    """Boxes of a source as tensors, its axes of space turned.

    Args:
        source: A tensor, or anything that gives NumPy arrays.
        axes: Which axis of the source's space each of ours is.
        dtype: Of the tensors.
        device: Where they are wanted.
    """

    def __init__(
        self, source: Tensor | Source, axes: Sides, dtype: torch.dtype, device: str
    ) -> None:
        self.source, self.dtype, self.device = source, dtype, device
        self.axes = axes
        self.sides = tuple(int(source.shape[2 + axis]) for axis in axes)

    def read(self, box: Box) -> Tensor:
        """The values of a box, (1, channel, *box)."""
        spans = [box[self.axes.index(axis)] for axis in range(len(self.axes))]
        values = self.source[(slice(0, 1), slice(None), *spans)]
        if not isinstance(values, Tensor):
            values = torch.from_numpy(np.array(values, np.float32))
        turned = values.permute(0, 1, *(2 + axis for axis in self.axes))
        return turned.to(device=self.device, dtype=self.dtype)


class Writer:
    """Where boxes of the result are laid, its axes turned back.

    Args:
        sink: A tensor, or anything that takes NumPy arrays.
        axes: Which axis of the sink's space each of ours is.
    """

    def __init__(self, sink: Tensor | Sink, axes: Sides) -> None:
        self.sink: Any = sink
        self.axes = axes

    def write(self, box: Box, values: Tensor) -> None:
        """Lay (1, channel, *box) in its place."""
        back = [self.axes.index(axis) for axis in range(len(self.axes))]
        turned = values.permute(0, 1, *(2 + axis for axis in back))
        place = (slice(0, 1), slice(None), *(box[axis] for axis in back))
        if isinstance(self.sink, Tensor):
            self.sink[place] = turned.to(self.sink.device)
            return
        self.sink[place] = turned.float().cpu().numpy()


class Bench:
    """What stages work on.

    Args:
        reader: Where the input comes from.
        writer: Where the result goes.
        dtype: Of the maps.
        device: Where boxes are worked on.
        held: Maps of at most so many bytes are held in memory, on the device.
        scratch: Folder for the others; None holds them in the host's memory.
        advance: Is told how many operations more are done.
    """

    def __init__(
        self,
        reader: Reader,
        writer: Writer,
        *,
        dtype: torch.dtype,
        device: str,
        held: float,
        scratch: Path | None,
        advance: Callable[[float], None],
    ) -> None:
        self.reader, self.writer = reader, writer
        self.dtype, self.device = dtype, device
        self._held, self._scratch = held, scratch
        self.advance = advance
        self.maps: dict[str, FeatureMap] = {}
        self._seen: dict[str, list[Moments]] = defaultdict(list)
        self._coming: dict[str, list[Moments]] = defaultdict(list)

    def make(self, name: str, channels: int, sides: Sides) -> None:
        """Begin a map, where it has its place."""
        size = channels * self.dtype.itemsize
        for side in sides:
            size *= side
        if size <= self._held:
            self.maps[name] = HeldMap(channels, sides, self.dtype, self.device)
        elif self._scratch is None:
            self.maps[name] = HeldMap(channels, sides, self.dtype)
        else:
            self.maps[name] = ScratchMap(channels, sides, self.dtype, self._scratch)

    def read(self, name: str, box: Box) -> Tensor:
        """A box of a map, on the device."""
        return send(self.maps[name].read(box), self.device)

    def write(self, name: str, box: Box, values: Tensor, *, watched: bool) -> None:
        """Lay a box in its place, and look at it where its moments will be wanted."""
        if watched:
            self._seen[name].append(Moments.of(values))
        self.maps[name].write(box, values)

    def write_over(self, name: str, box: Box, values: Tensor, *, watched: bool) -> None:
        """Lay a box where the map's own was, which may have had more channels."""
        if watched:
            self._coming[name].append(Moments.of(values))
        self.maps[name].narrow(values.shape[1]).write(box, values)

    def settle(self, name: str, channels: int) -> None:
        """All of a map is written over: it has so many channels now, and other moments."""
        self.maps[name] = self.maps[name].narrow(channels)
        self._seen[name] = self._coming.pop(name, [])

    def moments(self, name: str) -> Moments:
        """Of all that was written to a map."""
        seen = self._seen[name]
        if len(seen) > 1:
            seen[:] = [merge(seen)]
        return seen[0]

    def drop(self, name: str) -> None:
        """End a map."""
        self.maps.pop(name).close()
        self._seen.pop(name, None)

    def rename(self, name: str, after: str) -> None:
        """A map takes the place of another."""
        self.drop(after)
        self.maps[after] = self.maps.pop(name)
        self._seen[after] = self._seen.pop(name, [])

    def close(self) -> None:
        """End all maps."""
        for name in list(self.maps):
            self.drop(name)

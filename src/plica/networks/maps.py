"""Feature maps that live in memory or in a scratch file, and are read and written in boxes.

A file holds the cells in order, the channels of a cell side by side, so that what convolutions of
the CPU like best lies in one piece per row. It is read and written, never mapped: mapped pages
would count as the process's memory. It has no name, so that it is gone with the process however
that ends. Its folder should be on a disk: where it is memory by itself (tmpfs), nothing is saved.
"""

from __future__ import annotations

import itertools
import math
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from plica.errors import OutputError
from plica.networks.pieces import Box, Sides, lengths

ORDER = {2: torch.channels_last, 3: torch.channels_last_3d}
_GIB = 2**30


@runtime_checkable
class FeatureMap(Protocol):
    """One map (1, channels, *sides)."""

    channels: int
    sides: Sides

    def read(self, box: Box) -> Tensor:
        """A copy of a box, (1, channels, *box), channels last."""
        ...

    def write(self, box: Box, values: Tensor) -> None:
        """Lay (1, channels, *box) in its place."""
        ...

    def narrow(self, channels: int) -> FeatureMap:
        """The first so many channels of the same cells: what is written there is written here."""
        ...

    def close(self) -> None:
        """Give back what it takes."""
        ...


def empty_box(channels: int, sides: Sides, dtype: torch.dtype, device: str = "cpu") -> Tensor:
    """Room for (1, channels, *sides), channels last."""
    order = ORDER[len(sides)]
    return torch.empty(1, channels, *sides, dtype=dtype, device=device, memory_format=order)


def by_cells(values: Tensor) -> Tensor:
    """A view of (1, channels, *sides) as (*sides, channels)."""
    return values[0].movedim(0, -1)


class HeldMap:
    """A map in memory.

    Args:
        channels: Of each cell.
        sides: Cells along each axis.
        dtype: Of its values.
        device: Whose memory.
    """

    def __init__(
        self, channels: int, sides: Sides, dtype: torch.dtype, device: str = "cpu"
    ) -> None:
        self.channels, self.sides = channels, tuple(sides)
        self._cells = torch.empty(*sides, channels, dtype=dtype, device=device)

    def read(self, box: Box) -> Tensor:
        """See `FeatureMap.read`."""
        cells = self._cells[box]
        values = empty_box(self.channels, lengths(box), cells.dtype, str(cells.device))
        by_cells(values).copy_(cells)
        return values

    def write(self, box: Box, values: Tensor) -> None:
        """See `FeatureMap.write`."""
        self._cells[box].copy_(by_cells(values))

    def narrow(self, channels: int) -> HeldMap:
        """See `FeatureMap.narrow`."""
        part = object.__new__(HeldMap)
        part.channels, part.sides = channels, self.sides
        part._cells = self._cells[..., :channels]
        return part

    def close(self) -> None:
        """See `FeatureMap.close`."""
        del self._cells


class ScratchMap:
    """A map in a file without a name.

    Args:
        channels: Of each cell.
        sides: Cells along each axis.
        dtype: Of its values.
        folder: Where the file lies.

    Raises:
        OutputError: The file cannot be made, or there is no room for it.
    """

    def __init__(self, channels: int, sides: Sides, dtype: torch.dtype, folder: Path) -> None:
        self.channels, self.sides = channels, tuple(sides)
        self._stored, self._dtype = channels, dtype
        size = math.prod(sides) * channels * dtype.itemsize
        check_room(folder, size)
        try:
            # Closed with the map: it outlives this function by design.
            self._file = tempfile.TemporaryFile(dir=folder, prefix="plica-", buffering=0)  # noqa: SIM115
        except OSError as error:
            raise _refusal(folder, size, error) from error
        try:
            _reserve(self._file.fileno(), size)
        except OSError as error:
            self._file.close()
            raise _refusal(folder, size, error) from error
        self._folder = folder

    def read(self, box: Box) -> Tensor:
        """See `FeatureMap.read`."""
        values = empty_box(self.channels, lengths(box), self._dtype)
        cells = by_cells(values)
        for offset, rows in self._runs(box, cells):
            self._read_rows(offset, rows)
        return values

    def write(self, box: Box, values: Tensor) -> None:
        """See `FeatureMap.write`."""
        cells = by_cells(values.detach().cpu())
        try:
            for offset, rows in self._runs(box, cells):
                self._write_rows(offset, rows)
        except OSError as error:
            raise _refusal(self._folder, cells.numel() * cells.element_size(), error) from error

    def narrow(self, channels: int) -> ScratchMap:
        """See `FeatureMap.narrow`."""
        part = object.__new__(ScratchMap)
        part.__dict__.update(self.__dict__)
        part.channels = channels
        return part

    def close(self) -> None:
        """See `FeatureMap.close`."""
        self._file.close()

    def _runs(self, box: Box, cells: Tensor) -> list[tuple[int, Tensor]]:
        """Offsets into the file, and the parts of a box, as long as lie together in both."""
        inner = len(self.sides) - 1
        if self.channels == self._stored and cells.is_contiguous():
            while inner > 0 and lengths(box)[inner] == self.sides[inner]:
                inner -= 1
        strides = [math.prod(self.sides[axis + 1 :]) for axis in range(len(self.sides))]
        first = sum(
            s.start * stride for s, stride in zip(box[inner:], strides[inner:], strict=True)
        )
        runs = []
        for at in itertools.product(*(range(length) for length in lengths(box)[:inner])):
            outer = zip(at, box[:inner], strides[:inner], strict=True)
            cell = first + sum((i + span.start) * stride for i, span, stride in outer)
            runs.append((cell * self._stored * self._dtype.itemsize, cells[at]))
        return runs

    def _read_rows(self, offset: int, rows: Tensor) -> None:
        if self.channels == self._stored:
            self._read_bytes(offset, rows)
            return
        # What lies between the cells is read along: a few bytes more are cheaper than many reads.
        wide = torch.empty(len(rows), self._stored, dtype=self._dtype)
        self._read_bytes(offset, wide)
        rows.copy_(wide[:, : self.channels])

    def _write_rows(self, offset: int, rows: Tensor) -> None:
        if self.channels < self._stored:
            # What lies between is no longer wanted: the map was narrowed for good.
            wide = torch.zeros(len(rows), self._stored, dtype=self._dtype)
            wide[:, : self.channels] = rows
            rows = wide
        self._write_bytes(offset, rows)

    def _read_bytes(self, offset: int, rows: Tensor) -> None:
        view = _bytes_of(rows)
        self._file.seek(offset)
        while view:
            got = self._file.readinto(view)
            if not got:
                raise OutputError(
                    f"a scratch file in {self._folder} is shorter than it was made: "
                    "something else has cut it, choose another folder"
                )
            view = view[got:]

    def _write_bytes(self, offset: int, rows: Tensor) -> None:
        view = _bytes_of(rows.contiguous())
        self._file.seek(offset)
        while view:
            view = view[self._file.write(view) :]


def check_room(folder: Path, size: int) -> None:
    """Refuse a folder without so many free bytes.

    Raises:
        OutputError: It is not there, or has not the room.
    """
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise OutputError(
            f"the scratch folder {folder} cannot be used ({error.strerror}): choose one that exists"
        ) from error
    if free < size:
        raise OutputError(
            f"feature maps need {size / _GIB:.2f} GiB of scratch, but {folder} has "
            f"{free / _GIB:.2f} GiB free: choose a folder on a larger disk, or allow more memory"
        )


def _bytes_of(rows: Tensor) -> memoryview:
    """The memory of contiguous rows."""
    flat: Any = rows.flatten().view(torch.uint8).numpy()
    return memoryview(flat)


def _reserve(file: int, size: int) -> None:
    """Take the room now, so that a full disk is found before hours of work."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, max(1, size))
    else:
        os.truncate(file, size)


def _refusal(folder: Path, size: int, error: OSError) -> OutputError:
    return OutputError(
        f"a scratch file of {size / _GIB:.2f} GiB cannot be written in {folder} "
        f"({error.strerror}): choose another folder, or allow more memory"
    )

"""View: an image whose pixels are computed a box at a time, forth from a source and back into one.

Forth, a box is pulled: asked of the last step, which asks the one before it. Back, a box is pushed:
what a network decoded is carried through the steps' reverts, last to first, to its place in the
source's pixels. The same parts serve both ways, and images that are whole in memory too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.boxes import Box, Readable, all_of, find_slowest_axis
from plica.errors import UnusablePixels
from plica.grid import Grid
from plica.image import Display, Image, Pixels, Provenance, Unit

Function = Callable[[Pixels], Pixels]


@dataclass(frozen=True, eq=False)
class View:
    """What an `Image` is, with pixels that need not be there yet.

    Args:
        pixels: (channel, i, j, k); an array, or a part of this module around one.
        grid: Where they are.
        unit: What a value measures.
        provenance: Where they came from.
        display: How to show them.
    """

    pixels: Readable
    grid: Grid
    unit: Unit = Unit.RELATIVE
    provenance: Provenance = field(default_factory=Provenance)
    display: Display = field(default_factory=Display)

    @classmethod
    def of(cls, image: Image) -> View:
        """An image as it is."""
        return cls(image.pixels, image.grid, image.unit, image.provenance, image.display)

    def collect(self) -> Image:
        """The image, all its pixels computed."""
        here = (
            self.pixels if isinstance(self.pixels, np.ndarray) else self.pixels[all_of(self.pixels)]
        )
        return Image(here, self.grid, self.unit, self.provenance, self.display)

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels, and sides along i, j, k."""
        return self.pixels.shape

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.pixels.shape[0]

    @property
    def is_volume(self) -> bool:
        """Whether there is more than one voxel along k."""
        return self.grid.shape[2] > 1

    def after(self, step: str) -> View:
        """The same, with one more line in its provenance."""
        return replace(self, provenance=self.provenance.after(step))

    def map(self, function: Function, dtype: Any) -> View:
        """Each value changed by itself."""
        return replace(self, pixels=Mapped(self.pixels, function, np.dtype(dtype)))


@dataclass(frozen=True, eq=False)
class _Part:
    """A part around other pixels."""

    base: Readable

    @property
    def dtype(self) -> np.dtype[Any]:
        """As that of what it stands around."""
        return self.base.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """As that of what it stands around."""
        return self.base.shape

    @property
    def slowest_axis(self) -> int:
        """As that of what it stands around."""
        return find_slowest_axis(self.base)

    @property
    def innermost(self) -> Readable:
        """What lies under all parts."""
        return getattr(self.base, "innermost", self.base)


@dataclass(frozen=True, eq=False)
class Absent:
    """Pixels that are yet to be decoded: where a push begins."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __getitem__(self, box: Box) -> NDArray[Any]:
        """There is nothing to read.

        Raises:
            UnusablePixels: Always.
        """
        raise UnusablePixels("these pixels are yet to be decoded: they can only be written")


@dataclass(frozen=True, eq=False)
class Behind:
    """Pixels of equal channels and sides i, j, one behind the other along k.

    Args:
        parts: At least one.
    """

    parts: tuple[Readable, ...]
    slowest_axis = 3

    @staticmethod
    def join(views: Sequence[View]) -> View:
        """The first view with the slices of all; a single one as it is."""
        first = views[0]
        parts = tuple(view.pixels for view in views)
        return first if len(views) == 1 else replace(first, pixels=Behind(parts))

    @property
    def dtype(self) -> np.dtype[Any]:
        """One that holds the values of all."""
        return np.result_type(*(part.dtype for part in self.parts))

    @property
    def shape(self) -> tuple[int, ...]:
        """With the slices of all."""
        return (*self.parts[0].shape[:3], sum(part.shape[3] for part in self.parts))

    def __getitem__(self, box: Box) -> NDArray[Any]:
        """A box, which may reach over several parts."""
        found, at = [], 0
        for part in self.parts:
            start, stop = max(box[3].start - at, 0), min(box[3].stop - at, part.shape[3])
            if start < stop:
                found.append(part[(*box[:3], slice(start, stop))])
            at += part.shape[3]
        return found[0] if len(found) == 1 else np.concatenate(found, axis=3)


@dataclass(frozen=True, eq=False)
class Mapped(_Part):
    """Each value changed by itself."""

    function: Function
    kind: np.dtype[Any]

    @property
    def dtype(self) -> np.dtype[Any]:
        """What the function gives."""
        return self.kind

    def __getitem__(self, box: Box) -> NDArray[Any]:
        """The changed values of a box."""
        return self.function(self.base[box])

    def carry(self, box: Box, values: Pixels) -> tuple[Box, Pixels]:
        """A box of the base, and its place here."""
        return box, self.function(values)


@dataclass(frozen=True, eq=False)
class Turned(_Part):
    """The axes of space taken in `order`, then those marked `flipped` reversed."""

    order: tuple[int, ...]
    flipped: tuple[bool, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The sides in the new order."""
        channels, *sides = self.base.shape
        return (channels, *(sides[axis] for axis in self.order))

    @property
    def slowest_axis(self) -> int:
        """Where the slowest one went."""
        return 1 + self.order.index(find_slowest_axis(self.base) - 1)

    def __getitem__(self, box: Box) -> NDArray[Any]:
        """A box, as a view of the same memory."""
        inner = [slice(0, 0)] * 3
        for axis, span, flip in zip(self.order, box[1:], self.flipped, strict=True):
            inner[axis] = _mirror(span, self.base.shape[1 + axis]) if flip else span
        return self._turn(self.base[(box[0], *inner)])

    def carry(self, box: Box, values: Pixels) -> tuple[Box, Pixels]:
        """A box of the base, and its place here."""
        spans = [box[1 + axis] for axis in self.order]
        sides = self.shape[1:]
        placed = [
            _mirror(span, side) if flip else span
            for span, side, flip in zip(spans, sides, self.flipped, strict=True)
        ]
        return (box[0], *placed), self._turn(values)

    def _turn(self, values: Pixels) -> Pixels:
        turned = values.transpose(0, *(1 + axis for axis in self.order))
        return turned[(slice(None), *(slice(None, None, -1 if f else 1) for f in self.flipped))]


def _mirror(span: slice, side: int) -> slice:
    return slice(side - span.stop, side - span.start)


@dataclass(frozen=True, eq=False)
class Padded(_Part):
    """Larger at the far ends.

    Args:
        base: What is made larger.
        sides: The new ones along i, j, k.
        mode: "edge", "reflect" or "constant".
        value: What a constant is.
    """

    sides: tuple[int, ...]
    mode: str
    value: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """The new sides."""
        return (self.base.shape[0], *self.sides)

    def __getitem__(self, box: Box) -> NDArray[Any]:
        """A box, of which some voxels may lie beyond the base."""
        inner, widths = [box[0]], [(0, 0)]
        for span, side in zip(box[1:], self.base.shape[1:], strict=True):
            beyond = max(0, span.stop - side)
            # where a box begins beyond the base, or mirrors it, it needs what lies before it
            start = span.start if not beyond else max(0, min(span.start, side - 1 - beyond))
            inner.append(slice(start, min(span.stop, side)))
            widths.append((0, beyond))
        values = self.base[tuple(inner)]
        if any(after for _, after in widths):
            values = np.pad(values, widths, **self._how())
        lead = tuple(
            slice(span.start - got.start, None) for span, got in zip(box, inner, strict=True)
        )
        return values[lead]

    def _how(self) -> dict[str, Any]:
        constant = {"mode": "constant", "constant_values": self.value}
        return constant if self.mode == "constant" else {"mode": self.mode}


@dataclass(frozen=True, eq=False)
class Cropped(_Part):
    """Smaller at the far ends."""

    sides: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The new sides."""
        return (self.base.shape[0], *self.sides)

    def __getitem__(self, box: Box) -> NDArray[Any]:
        """A box, which is one of the base's too."""
        return self.base[box]

    def carry(self, box: Box, values: Pixels) -> tuple[Box, Pixels]:
        """What of a box of the base is kept, and its place here."""
        kept = tuple(
            slice(span.start, max(span.start, min(span.stop, side)))
            for span, side in zip(box[1:], self.sides, strict=True)
        )
        cut = tuple(slice(0, span.stop - span.start) for span in kept)
        return (box[0], *kept), values[(slice(None), *cut)]


@dataclass(frozen=True, eq=False)
class Prolonged(_Part):
    """Larger at both ends of each axis: the first and the last voxels again.

    Args:
        base: What is made larger.
        before: Voxels before the first, along i, j, k.
        sides: The new ones.
    """

    before: tuple[int, ...]
    sides: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The new sides."""
        return (self.base.shape[0], *self.sides)

    def __getitem__(self, box: Box) -> NDArray[Any]:
        """A box, of which some voxels may be copies."""
        inner, places = [box[0]], []
        for span, before, side in zip(box[1:], self.before, self.base.shape[1:], strict=True):
            place = np.clip(np.arange(span.start, span.stop) - before, 0, side - 1)
            inner.append(slice(int(place[0]), int(place[-1]) + 1))
            places.append(place - place[0])
        values = self.base[tuple(inner)]
        for axis, place in enumerate(places, start=1):
            if len(place) != values.shape[axis]:
                values = np.take(values, place, axis=axis)
        return values


@dataclass(frozen=True, eq=False)
class Inner(_Part):
    """So many voxels along each axis, from one of them on.

    Args:
        base: Of which they are a part.
        start: The first, along i, j, k.
        sides: How many.
    """

    start: tuple[int, ...]
    sides: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """With those voxels."""
        return (self.base.shape[0], *self.sides)

    def __getitem__(self, box: Box) -> NDArray[Any]:
        """A box, which is one of the base's too."""
        spans = (
            slice(span.start + first, span.stop + first)
            for span, first in zip(box[1:], self.start, strict=True)
        )
        return self.base[(box[0], *spans)]

    def carry(self, box: Box, values: Pixels) -> tuple[Box, Pixels]:
        """What of a box of the base is kept, and its place here."""
        kept, cut = [], []
        for span, start, side in zip(box[1:], self.start, self.sides, strict=True):
            first = min(max(span.start - start, 0), side)
            last = max(first, min(span.stop - start, side))
            kept.append(slice(first, last))
            cut.append(slice(first + start - span.start, last + start - span.start))
        return (box[0], *kept), values[(slice(None), *cut)]


@dataclass(frozen=True, eq=False)
class Repeated(_Part):
    """The first channel so many times; of what is yet to be decoded there is one alone."""

    times: int

    @property
    def shape(self) -> tuple[int, ...]:
        """As many channels."""
        return (self.times, *self.base.shape[1:])

    def __getitem__(self, box: Box) -> NDArray[Any]:
        """A box, as a view of the same memory."""
        one = self.base[(slice(0, 1), *box[1:])]
        return np.broadcast_to(one, (box[0].stop - box[0].start, *one.shape[1:]))

    def carry(self, box: Box, values: Pixels) -> tuple[Box, Pixels]:
        """A box of the base's one channel, and its place here: in each of the copies."""
        copies = np.broadcast_to(values, (self.times, *values.shape[1:]))
        return (slice(0, self.times), *box[1:]), copies


@dataclass(frozen=True, eq=False)
class Joined(_Part):
    """All channels made one by a function of (channel, i, j, k)."""

    function: Function
    kind: np.dtype[Any]

    @property
    def dtype(self) -> np.dtype[Any]:
        """What the function gives."""
        return self.kind

    @property
    def shape(self) -> tuple[int, ...]:
        """One channel."""
        return (1, *self.base.shape[1:])

    def __getitem__(self, box: Box) -> NDArray[Any]:
        """A box of the one channel."""
        return self.function(self.base[(slice(0, self.base.shape[0]), *box[1:])])

    def carry(self, box: Box, values: Pixels) -> tuple[Box, Pixels]:
        """A box of all of the base's channels, and its place here."""
        return (slice(0, 1), *box[1:]), self.function(values)


def push(pixels: Readable, box: Box, values: Pixels) -> tuple[Box, Pixels] | None:
    """Carry a box of what lies under all parts through them: its place in `pixels`, and its values.

    Args:
        pixels: Parts around `Absent` pixels.
        box: Of the absent pixels.
        values: What was decoded there.

    Returns:
        None where nothing of the box is kept: it lies in padding.
    """
    if isinstance(pixels, Absent):
        return box, values
    carried = push(pixels.base, box, values)  # type: ignore[attr-defined]
    if carried is None:
        return None
    place, values = pixels.carry(*carried)  # type: ignore[attr-defined]
    return (place, values) if values.size else None

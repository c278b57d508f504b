"""Channels: grey as one channel, or as often as a network takes, however often it was stored."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from plica.boxes import Readable, read_slabs
from plica.errors import SettingsError
from plica.image import Image, Pixels
from plica.latent import Record, Trail
from plica.preparation.scaling import name_type, to_type
from plica.preparation.step import apply_whole
from plica.preparation.undo import Undo
from plica.preparation.view import Joined, Repeated, View

LARGEST_COUNT = 64


@dataclass(frozen=True)
class Channels:
    """Repeat a single channel; reverted as the mean of the copies.

    Channels that are all equal, as of grey pictures saved as RGB, are one: codes of each would say
    the same again, and be more than those of the same picture saved as grey. On the way back
    there are as many as there were. An image of channels that differ is left as it is: the codec
    encodes them one by one.

    Args:
        wanted: How many channels the network takes.
    """

    wanted: int

    def __post_init__(self) -> None:
        if not 1 <= self.wanted <= LARGEST_COUNT:
            raise SettingsError(
                f"a network takes 1 to {LARGEST_COUNT} channels, but got {self.wanted}"
            )

    def apply(self, image: Image) -> tuple[Image, Record]:
        """Take equal channels as one and repeat it, as a view of the same memory."""
        return apply_whole(self, image)

    def foresee(self, view: View) -> tuple[View, Record]:
        """What `apply` would give."""
        undo: dict[str, object] = {"repeated": 1, "dtype": name_type(view.pixels.dtype)}
        if 1 < view.channels <= LARGEST_COUNT and _are_equal(view.pixels):
            # said only where it is so: records of other images stay what they were
            undo["equal"] = view.channels
            view = replace(view, pixels=Repeated(view.pixels, 1))
            view = view.after(f"{undo['equal']} equal channels taken as one")
        if view.channels != 1 or self.wanted == 1:
            return view, Record("channels", undo)
        repeated = replace(view, pixels=Repeated(view.pixels, self.wanted))
        repeated = repeated.after(f"one channel repeated {self.wanted} times")
        return repeated, Record("channels", undo | {"repeated": self.wanted})

    @staticmethod
    def revert(image: Image, record: Record) -> Image:
        """Take the mean of the copies, and as many of it as the image had equal channels."""
        return Channels.recall(View.of(image), record).collect()

    @staticmethod
    def recall(view: View, record: Record) -> View:
        """What `revert` would give."""
        undo = Undo(record)
        joined = _join(view, undo)
        if "equal" not in record.undo:
            return joined
        equal = undo.whole("equal", 2, LARGEST_COUNT)
        if joined.channels != 1:
            raise undo.damage(
                f"it took {equal} equal channels as one, but {joined.channels} came back"
            )
        return replace(joined, pixels=Repeated(joined.pixels, equal))

    @staticmethod
    def recalls(record: Record) -> bool:
        """All that `revert` does."""
        return True


def count_voxels(image: Image, trail: Trail) -> int:
    """How many voxels of an image were folded: of all its channels, but of equal ones once.

    That a grey picture saved in colour is folded once is no merit of the codec, and does not count
    as one where voxels are compared with codes.

    Args:
        image: What was encoded, before its preparation.
        trail: The records of that preparation.

    Raises:
        LatentError: When the record of the channels is damaged.

    Examples:
        >>> from plica.grid import Grid
        >>> from plica.image import Unit
        >>> grid = Grid.from_spacing((4, 4, 1), (1.0, 1.0, 1.0))
        >>> grey = Image(np.zeros((3, 4, 4, 1), np.uint8), grid, Unit.DISPLAY)
        >>> count_voxels(grey, Trail((Channels(1).apply(grey)[1],)))
        16
    """
    undos = [Undo(record) for record in trail.records if "equal" in record.undo]
    copies = (undo.whole("equal", 2, LARGEST_COUNT) for undo in undos)
    return image.pixels.size // math.prod(copies)


def _are_equal(pixels: Readable) -> bool:
    """Whether each channel holds what the first one does; read no further than to a difference."""
    return all((slab[1:] == slab[:1]).all() for slab in read_slabs(pixels))


def _join(view: View, undo: Undo) -> View:
    """The one channel of which there are copies."""
    repeated = undo.whole("repeated", 1, LARGEST_COUNT)
    if repeated == 1:
        return view
    if view.channels != repeated:
        raise undo.damage(f"it repeated {repeated} channels, but {view.channels} came back")
    came = view.pixels.dtype
    work = np.float64 if came.itemsize > 4 else np.float32
    dtype = came if came.kind == "f" else undo.pixel_type()

    def join(values: Pixels) -> Pixels:
        return to_type(values.mean(axis=0, keepdims=True, dtype=work), dtype)

    return replace(view, pixels=Joined(view.pixels, join, dtype))

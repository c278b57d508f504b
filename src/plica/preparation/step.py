"""What a preparation step is, and the table of those there are."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from plica.image import Image
from plica.latent import Record
from plica.preparation.view import View
from plica.registry import Registry


@runtime_checkable
class Step(Protocol):
    """One thing done to an image before a network sees it.

    Contract: `apply` changes nothing in place; `revert(apply(image))` has the image's grid within
    1e-3 mm, its shape and its unit; what cannot be undone stands, counted, in `Record.loss`.
    `revert` needs the record alone, not the step that made it: a latent file outlives the code
    that wrote it. A step is a frozen dataclass; its settings are its fields.
    """

    def apply(self, image: Image) -> tuple[Image, Record]:
        """Do it, and say how to undo it."""
        ...

    @staticmethod
    def revert(image: Image, record: Record) -> Image:
        """Undo it on an image of the shape `apply` gave (decoded: close to it, not equal)."""
        ...


@runtime_checkable
class Boxwise(Protocol):
    """A step whose result can be had a box at a time, there and back.

    Contract: the views' pixels, collected, are those of `apply` and `revert`, and the records are
    the same. What a step has to know of all voxels (a range, a count) it finds in slabs.
    """

    def foresee(self, view: View) -> tuple[View, Record]:
        """What `apply` would give, computed when it is asked for."""
        ...

    @staticmethod
    def recall(view: View, record: Record) -> View:
        """What `revert` would give, computed when it is asked for."""
        ...

    @staticmethod
    def recalls(record: Record) -> bool:
        """Whether `recall` does all that `revert` does with this record."""
        ...


def apply_whole(step: Boxwise, image: Image) -> tuple[Image, Record]:
    """What a boxwise step gives of an image that is whole in memory."""
    view, record = step.foresee(View.of(image))
    return view.collect(), record


STEPS = Registry(
    "preparation step",
    (
        ("finite", "plica.preparation.finite:Finite"),
        ("cast", "plica.preparation.cast:Cast"),
        ("reorient", "plica.preparation.reorient:Reorient"),
        ("planes", "plica.preparation.planes:Planes"),
        ("window", "plica.preparation.window:Window"),
        ("minmax", "plica.preparation.minmax:MinMax"),
        ("percentiles", "plica.preparation.percentiles:Percentiles"),
        ("voi", "plica.preparation.voi:Voi"),
        ("region", "plica.preparation.region:Region"),
        ("foreground", "plica.preparation.foreground:Foreground"),
        ("resample", "plica.preparation.resample:Resample"),
        ("channels", "plica.preparation.channels:Channels"),
        ("shift", "plica.preparation.shift:Shift"),
        ("pad", "plica.preparation.pad:Pad"),
        ("leadin", "plica.preparation.leadin:LeadIn"),
    ),
)

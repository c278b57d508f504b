"""Steps walked forth, and their trail walked back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, TypeVar

from plica.errors import LatentError, UnknownName
from plica.image import Image
from plica.latent import Record, Trail
from plica.preparation.step import STEPS, Boxwise, Step
from plica.preparation.undo import Undo
from plica.preparation.view import View

GRID_TOLERANCE_MM = 1e-3
Seen = TypeVar("Seen", Image, View)


def prepare(image: Image, steps: Iterable[Step]) -> tuple[Image, Trail]:
    """Do the steps in order.

    Returns:
        What a network may see, and the trail that leads back from it.

    Examples:
        >>> from plica.preparation.pad import Pad
        >>> from plica.preparation.window import Window
        >>> prepared, trail = prepare(image, (Window(-1024, 3071), Pad((16, 16, 16))))
        >>> prepared.grid.shape, revert(prepared, trail).grid.shape
        ((48, 48, 32), (48, 40, 24))
    """
    view, trail = foresee(View.of(image), steps)
    return view.collect(), trail


def foresee(view: View, steps: Iterable[Step]) -> tuple[View, Trail]:
    """The steps in order, their pixels computed a box at a time when they are asked for.

    A step that needs all voxels together (`resample`, say) is done at once, in memory.

    Returns:
        What a network may see, and the trail that leads back from it.
    """
    trail = Trail()
    for step in steps:
        if isinstance(step, Boxwise):
            view, record = step.foresee(view)
        else:
            image, record = step.apply(view.collect())
            view = View.of(image)
        trail = trail.after(record)
    return view, trail


def revert(image: Image, trail: Trail) -> Image:
    """Undo the steps of a trail, last to first.

    Args:
        image: Of the shape the last step gave.
        trail: What `prepare` gave, perhaps by way of a latent file.

    Raises:
        LatentError: A record is damaged, names a step that does not exist, or leads to another
            grid than the one it was made on.

    Examples:
        >>> from plica.preparation.pad import Pad
        >>> padded, trail = prepare(image, (Pad((16, 16, 16)),))
        >>> padded.grid.shape, revert(padded, trail).grid.shape
        ((48, 48, 32), (48, 40, 24))
    """
    for record in reversed(trail.records):
        image = _settle(_find(record).revert(image, record), record)
    return image


def recall(view: View, trail: Trail) -> View:
    """Undo the steps of a trail, last to first, for pixels that come a box at a time.

    Args:
        view: Of the shape the last step gave; its pixels may be absent.
        trail: One of which every step `recalls`.

    Raises:
        LatentError: As `revert` does.

    Examples:
        >>> from plica.preparation.pad import Pad
        >>> padded, trail = foresee(View.of(image), (Pad((16, 16, 16)),))
        >>> recall(padded, trail).shape
        (1, 48, 40, 24)
    """
    for record in reversed(trail.records):
        step: Any = _find(record)
        view = _settle(step.recall(view, record), record)
    return view


def recalls(trail: Trail) -> bool:
    """Whether the whole trail can be undone a box at a time."""
    for record in trail.records:
        step: Any = _find(record)
        if not (hasattr(step, "recall") and step.recalls(record)):
            return False
    return True


def _find(record: Record) -> type[Step]:
    try:
        return STEPS.get_thing(record.step)
    except UnknownName as error:
        raise LatentError(
            f"the latent was prepared with a step this version cannot undo: {error}"
        ) from error


def _settle(image: Seen, record: Record) -> Seen:
    """The image on the very grid the record knows, where it knows one; no rounding adds up."""
    if "grid" not in record.undo:
        return image
    recorded = Undo(record).grid()
    if not image.grid.agrees_with(recorded, GRID_TOLERANCE_MM):
        raise LatentError(
            f"undoing the step '{record.step}' leads to {image.grid.shape} voxels from "
            f"{_rounded(image)}, but the source had {recorded.shape} from "
            f"{tuple(round(one, 3) for one in recorded.origin_mm)} mm: the latent is damaged"
        )
    return replace(image, grid=recorded)


def _rounded(image: Image | View) -> str:
    return f"{tuple(round(one, 3) for one in image.grid.origin_mm)} mm"

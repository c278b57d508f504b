"""Metrics of two drawings of the same structures: Dice, surface distances, surface Dice.

With A the reference's voxels of a label and B the other drawing's,

    Dice = 2 |A ∩ B| / (|A| + |B|)

and with ∂A, ∂B their surfaces, d(x, ∂B) the distance from x to the nearest point of ∂B, and each
surface element weighted by its area (see `surfaces`),

    ASSD = mean of d over both surfaces         HDₚ = p-th percentile of d, of the worse side
    NSD(τ) = part of both surfaces with d ≤ τ

These are the definitions of Nikolov et al. 2018 (HD and NSD) in millimetres, whatever the spacing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.errors import InputError, SettingsError, UnusablePixels
from plica.grid import Grid
from plica.image import Image
from plica.metrics.metric import Better, Value
from plica.metrics.pair import Bools, read_mask, refuse_other_grid
from plica.metrics.surfaces import SurfaceDistances, surface_distances
from plica.registry import Registry

LENGTH = "mm"
PIXELS = "pixels"  # what that becomes where the pixels' size is not known
MOST_LABELS = 1000
EMPTY_RULE = (
    "A label that neither image has: no value. One that only one of them has: Dice and NSD 0, "
    "distances infinite. Values that are not finite are refused."
)


@dataclass(frozen=True)
class LabelMetric:
    """One way to put a number on how two drawings of a label differ.

    Args:
        name: As in the table.
        unit: "1" or "mm".
        better: Which way is better.
        definition: What is computed.
        function: From distances and the tolerance: the number, and the same from the reference and
            from the other drawing alone. None for Dice, which needs no surface.
        mask_rule: What happens where a label is missing.
    """

    name: str
    unit: str
    better: Better
    definition: str
    function: Callable[[SurfaceDistances, float], tuple[float, float, float]] | None
    mask_rule: str = EMPTY_RULE


@dataclass(frozen=True)
class LabelValues:
    """What was found for one label.

    Args:
        label: Its number.
        n_reference: Voxels of it in the reference.
        n_segmented: Voxels of it in the other drawing.
        values: One for each metric, in the order they were asked for.
    """

    label: int
    n_reference: int
    n_segmented: int
    values: tuple[Value, ...]

    def __getitem__(self, metric: str) -> float:
        for value in self.values:
            if value.metric == metric:
                return value.value
        raise KeyError(metric)

    def to_json(self) -> dict[str, Any]:
        """A record that `json.dumps(…, allow_nan=False)` takes."""
        return {**vars(self), "values": [value.to_json() for value in self.values]}


def dice(reference: Any, segmented: Any) -> float:
    """Twice what two masks share, over what both hold; NaN where both are empty.

    Raises:
        InputError: A mask holds other values than truth, or they differ in shape.
    """
    reference = read_mask(reference, np.shape(reference), what="the reference")
    segmented = read_mask(segmented, reference.shape, what="the segmentation")
    both = int(np.count_nonzero(reference)) + int(np.count_nonzero(segmented))
    return 2 * int(np.count_nonzero(reference & segmented)) / both if both else math.nan


def measure_labels(
    reference: Image,
    segmented: Image,
    *,
    tolerance_mm: float,
    labels: Sequence[int] | None = None,
    metrics: Sequence[str] | None = None,
) -> tuple[LabelValues, ...]:
    """Compare two label images label by label.

    Args:
        tolerance_mm: How far apart surfaces may be and still count as one for NSD: there is no
            default, since it is a clinical decision. In pixels where their size is not known.
        labels: Which labels; None takes all that either image has but 0, the background.
        metrics: Names in the table `LABEL_METRICS`; None takes all.

    Raises:
        InputError: The images are not on one grid, the axes of which are perpendicular.
        UnusablePixels: They hold other than whole numbers, or neither has a label.
        SettingsError: The tolerance is below zero or not finite.
        UnknownName: There is no such metric.
        MissingExtra: scipy, which surfaces need, is not installed.

    Examples:
        >>> [round(one["nsd"], 2) for one in measure_labels(drawn, found, tolerance_mm=0.5)]
        [0.59, 0.78]
    """
    _refuse_unlike(reference, segmented)
    if not (math.isfinite(tolerance_mm) and tolerance_mm >= 0):
        raise SettingsError(
            f"the tolerance must be a length in mm of at least 0, but it is {tolerance_mm}"
        )
    asked = [LABEL_METRICS.get_thing(name) for name in metrics or LABEL_METRICS]
    sides = [_read_labels(image) for image in (reference, segmented)]
    chosen = _find_labels(*sides) if labels is None else list(labels)
    if not chosen:
        raise UnusablePixels("neither image has any label but 0: there is nothing to compare")
    return tuple(
        _measure_label(
            label, [side == label for side in sides], asked, (tolerance_mm, reference.grid)
        )
        for label in chosen
    )


def _measure_label(
    label: int, masks: list[Bools], metrics: Sequence[LabelMetric], where: tuple[float, Grid]
) -> LabelValues:
    tolerance_mm, grid = where
    counts = [int(np.count_nonzero(mask)) for mask in masks]
    distances = None
    if any(counts) and any(metric.function is not None for metric in metrics):
        distances = surface_distances(masks[0], masks[1], grid.spacing_mm)
    note = ""
    if not all(counts):
        absent = [
            name for name, n in zip(("reference", "other image"), counts, strict=True) if not n
        ]
        note = f"label {label} is not in the {' nor in the '.join(absent)}"
    values = []
    for metric in metrics:
        number, detail = math.nan, {}
        if metric.function is None:
            number = dice(*masks)
        elif distances is not None:
            number, there, back = metric.function(distances, tolerance_mm)
            detail = {"from_reference": _json(there), "from_segmented": _json(back)}
        if metric.name == "nsd":
            detail["tolerance_mm"] = tolerance_mm
        unit = PIXELS if metric.unit == LENGTH and not grid.calibrated else metric.unit
        values.append(
            Value(metric.name, number, unit, metric.better, None, metric.definition, note, detail)
        )
    return LabelValues(label, counts[0], counts[1], tuple(values))


def _json(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _refuse_unlike(reference: Image, segmented: Image) -> None:
    refuse_other_grid(reference.grid, segmented.grid)
    if reference.channels != 1 or segmented.channels != 1:
        raise InputError(
            f"label images have one channel, but these have {reference.channels} and "
            f"{segmented.channels}"
        )
    steps = reference.grid.affine[:3, :3] / np.array(reference.grid.spacing_mm)
    if not np.allclose(steps.T @ steps, np.eye(3), atol=1e-4):
        raise InputError(
            "the grid's axes are not perpendicular (a tilted gantry or a sheared affine), and "
            "distances would be wrong: resample both images first"
        )


def _read_labels(image: Image) -> NDArray[Any]:
    labels = image.pixels[0]
    if labels.dtype.kind == "f":
        if image.count_nonfinite() or not np.array_equal(labels, np.rint(labels)):
            raise UnusablePixels(
                "labels are whole numbers, but the image holds others: give a label image, not the "
                "image it was drawn on"
            )
        labels = labels.astype(np.int64)
    return labels


def _find_labels(a: NDArray[Any], b: NDArray[Any]) -> list[int]:
    found = sorted({*np.unique(a).tolist(), *np.unique(b).tolist()} - {0})
    if len(found) > MOST_LABELS:
        raise UnusablePixels(
            f"the images hold {len(found)} different values, which are hardly labels: give label "
            "images, or name the labels"
        )
    return [int(label) for label in found]


# -- the table -----------------------------------------------------------------------------------

LABEL_METRICS = Registry(
    "label metric",
    (
        ("dice", "plica.metrics.overlap:DICE"),
        ("nsd", "plica.metrics.overlap:NSD"),
        ("assd", "plica.metrics.overlap:ASSD"),
        ("hd95", "plica.metrics.overlap:HD95"),
        ("hd", "plica.metrics.overlap:HD"),
    ),
)

DICE = LabelMetric(
    name="dice",
    unit="1",
    better="higher",
    definition="Twice the voxels that both have, over those of the one and those of the other.",
    function=None,
)

NSD = LabelMetric(
    name="nsd",
    unit="1",
    better="higher",
    definition=(
        "Normalised surface Dice (Nikolov 2018): part of both surfaces' area that lies within the "
        "stated tolerance of the other surface."
    ),
    function=lambda distances, tolerance_mm: distances.within(tolerance_mm),
)

ASSD = LabelMetric(
    name="assd",
    unit=LENGTH,
    better="lower",
    definition=(
        "Average symmetric surface distance: mean over the area of both surfaces of the distance "
        "to the other one; each direction stands in the detail."
    ),
    function=lambda distances, _: distances.mean(),
)

HD95 = LabelMetric(
    name="hd95",
    unit=LENGTH,
    better="lower",
    definition=(
        "Distance within which 95 % of a surface's area lies from the other surface, of the worse "
        "of the two directions."
    ),
    function=lambda distances, _: distances.hausdorff(95.0),
)

HD = LabelMetric(
    name="hd",
    unit=LENGTH,
    better="lower",
    definition="Hausdorff distance: the largest distance from one surface to the other.",
    function=lambda distances, _: distances.hausdorff(100.0),
)

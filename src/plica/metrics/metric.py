"""What a metric is, the table of those there are, and `measure`: two images → numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from plica.errors import InputError, SettingsError, UnusablePixels
from plica.image import Image, Unit
from plica.metrics.pair import Bools, Pair, read_mask, refuse_other_grid
from plica.registry import Registry

Better = Literal["higher", "lower", "nearer zero"]

IMAGE_UNIT = "the image's unit"
PER_LENGTH = "cycles/mm"
PER_PIXEL = "cycles/pixel"  # what that becomes where the pixels' size is not known
LEFT_OUT = (
    "Values that are not finite in either image are left out; so are, with a region, those outside."
)
NO_RANGE = (
    "the source is constant and has no range to compare the error with: give the full range of "
    "values in the image's unit, such as data_range=4095"
)
HU_LOWEST = -1024.0
HU_RANGE = 4095.0  # −1024 … 3071, what a twelve-bit scanner can say
DISPLAY_RANGE = 255.0

METRICS = Registry(
    "metric",
    (
        ("psnr", "plica.metrics.pixel:PSNR"),
        ("ms-ssim", "plica.metrics.structural:MS_SSIM"),
        ("ssim", "plica.metrics.structural:SSIM"),
        ("mae", "plica.metrics.pixel:MAE"),
        ("rmse", "plica.metrics.pixel:RMSE"),
        ("bias", "plica.metrics.pixel:BIAS"),
        ("max-error", "plica.metrics.pixel:MAX_ERROR"),
        ("wavelet-detail", "plica.metrics.wavelet:WAVELET_DETAIL"),
        ("fsc-resolution", "plica.metrics.spectral:FSC_RESOLUTION"),
        ("lpips-alex", "plica.metrics.perceptual:LPIPS_ALEX"),
        ("lpips-vgg", "plica.metrics.perceptual:LPIPS_VGG"),
        ("lpips-squeeze", "plica.metrics.perceptual:LPIPS_SQUEEZE"),
    ),
)
DEFAULT = ("psnr", "ms-ssim", "ssim", "mae", "rmse", "bias", "max-error", "wavelet-detail",
           "fsc-resolution")  # fmt: skip


@dataclass(frozen=True)
class Score:
    """What a metric's function gives: the number, and what must be known to read it.

    Args:
        value: Infinite for the PSNR of equal images, NaN where the metric has no meaning.
        note: How it was computed here, or why it has no meaning and what to give.
        detail: What stands behind the number, JSON-ready: a curve, numbers for each band.
        unit: Where it is not the metric's own: an image of unknown pixel size.
    """

    value: float
    note: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)
    unit: str = ""


@dataclass(frozen=True)
class Metric:
    """One way to put a number on how far a decoded image is from its source.

    Args:
        name: As in the table.
        unit: "dB", "1", `IMAGE_UNIT` or `PER_LENGTH`.
        better: Which way is better.
        ranged: Whether the number depends on a data range, which then travels with it.
        mask_rule: What happens to values that are not finite, and what a region means.
        definition: One sentence that says what is computed, with its constants.
        function: Computes it.
    """

    name: str
    unit: str
    better: Better
    ranged: bool
    mask_rule: str
    definition: str
    function: Callable[[Pair], Score]


@dataclass(frozen=True)
class Value:
    """One number with all that is needed to read it.

    Args:
        metric: The metric's name.
        value: The number; infinite or NaN where `note` says so.
        unit: Its unit.
        better: Which way is better.
        data_range: The range it was computed with; None where it needs none.
        definition: What was computed.
        note: How it was computed here.
        detail: What stands behind it, JSON-ready; empty for most metrics.
    """

    metric: str
    value: float
    unit: str
    better: Better
    data_range: float | None
    definition: str
    note: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready record: infinity is written "Infinity", a number without meaning null."""
        return {**vars(self), "value": _to_json_number(self.value), "detail": dict(self.detail)}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Value:
        """The value a record was made of.

        Raises:
            InputError: It is no value's record.
        """
        try:
            number = math.nan if record["value"] is None else float(record["value"])
            return cls(**{**record, "value": number, "detail": dict(record.get("detail", {}))})
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"this is no record of a metric's value: {error!r}") from error

    def __str__(self) -> str:
        unit = "" if self.unit == "1" else f" {self.unit}"
        return f"{self.value:.4g}{unit}"


@dataclass(frozen=True)
class Measurement:
    """What `measure` found for one pair of images.

    Args:
        values: One for each metric, in the order they were asked for.
        n_values: How many pixel values were compared (voxels times channels).
        n_excluded: How many were left out, because the source or the decoded one is not finite.
        n_outside: How many lie outside the region that was asked for.
        data_range: What counts as the full range, in the image's unit.
        data_range_rule: Why that one.
    """

    values: tuple[Value, ...]
    n_values: int
    n_excluded: int
    data_range: float
    data_range_rule: str
    n_outside: int = 0

    def __getitem__(self, metric: str) -> float:
        for value in self.values:
            if value.metric == metric:
                return value.value
        raise KeyError(metric)

    def to_json(self) -> dict[str, Any]:
        """A record that `json.dumps(…, allow_nan=False)` takes."""
        return {**vars(self), "values": [value.to_json() for value in self.values]}


def measure(
    source: Image,
    decoded: Image,
    *,
    metrics: Sequence[str] | str | None = None,
    data_range: Any = None,
    region: Any = None,
    weights_dir: str | Path | None = None,
    strict: bool | None = None,
) -> Measurement:
    """Compare a decoded image with its source.

    Values that are not finite in either image are left out and counted, or refused by the metrics
    that need every one of them (`Metric.mask_rule`).

    Args:
        metrics: Names in the table `METRICS`, or one name; None takes `DEFAULT`.
        data_range: The full range of values for PSNR and SSIM, in the image's unit. None takes
            `choose_data_range(source)`, of the whole source even where there is a region; the one
            taken stands in the result with its reason.
        region: Where to look: truth values (i, j, k) on the images' grid, or zeros and ones.
        weights_dir: Where LPIPS' weights are looked for first.
        strict: Whether a metric that has no meaning for these images is an error, or NaN with a
            note. None: an error where it was named in `metrics`.

    Raises:
        InputError: The images are not on one grid, differ in unit or channels, or the region has
            another shape or other values than truth.
        UnusablePixels: They hold class labels, no value is finite in both, the region is empty,
            or a metric that was named has no meaning for them: too small, without a range.
        SettingsError: The data range is not a positive number, or no metric is named.
        WeightsError: A metric's weights are nowhere.
        UnknownName: There is no such metric.

    Examples:
        >>> round(measure(scan, codec.decode(codec.encode(scan)))["psnr"], 1)
        27.0
    """
    _refuse_unlike(source, decoded)
    region = _read_region(source, region)
    chosen, low, rule = _settle_range(source, data_range)
    finite = _both_finite(source, decoded)
    inside = source.pixels.size
    inside = inside if region is None else int(np.count_nonzero(region)) * source.channels
    n_values = _count(finite, region, inside)
    folder = None if weights_dir is None else Path(weights_dir)
    pair = Pair(source.pixels, decoded.pixels, finite, chosen, low, source.grid, region, folder)
    strict = metrics is not None if strict is None else strict
    found = [METRICS.get_thing(name) for name in _read_names(metrics)]
    return Measurement(
        values=tuple(_apply(metric, pair, source.unit, strict=strict) for metric in found),
        n_values=n_values,
        n_excluded=inside - n_values,
        data_range=chosen,
        data_range_rule=rule,
        n_outside=source.pixels.size - inside,
    )


def _read_names(metrics: Sequence[str] | str | None) -> Sequence[str]:
    if metrics is None:
        return DEFAULT
    names = [metrics] if isinstance(metrics, str) else list(metrics)
    if not names:
        raise SettingsError(f"name at least one metric; there are: {', '.join(METRICS)}")
    return names


def choose_data_range(source: Image) -> tuple[float, str]:
    """What counts as the full range of an image's values, and why, in words.

    A unit that means the same in every image has a fixed range, so that numbers can be compared
    between images; an image of its own scale has its own.
    """
    low, high, rule = _find_range(source)
    return high - low, rule


def _find_range(source: Image) -> tuple[float, float, str]:
    if source.unit is Unit.HU:
        return HU_LOWEST, HU_LOWEST + HU_RANGE, "fixed for HU: −1024 … 3071"
    if source.unit is Unit.DISPLAY and source.pixels.dtype == np.uint8:
        return 0.0, DISPLAY_RANGE, "fixed for 8-bit display values: 0 … 255"
    finite = (
        source.pixels[np.isfinite(source.pixels)] if source.count_nonfinite() else source.pixels
    )
    if not finite.size:
        return 0.0, 0.0, "the source has no finite value"
    low, high = float(finite.min()), float(finite.max())
    return low, high, f"the source's own: {low:g} … {high:g}"


def _settle_range(source: Image, data_range: Any) -> tuple[float, float, str]:
    """The range, its lower end, and why."""
    low, high, rule = _find_range(source)
    if data_range is None:
        return high - low, low, rule
    number = isinstance(data_range, int | float | np.number) and not isinstance(data_range, bool)
    if not (number and math.isfinite(data_range) and data_range > 0):
        raise SettingsError(
            "the data range must be a positive number in the image's unit (highest less lowest), "
            f"but it is {data_range!r}"
        )
    return float(data_range), low, "as asked for"


def _apply(metric: Metric, pair: Pair, unit: Unit, *, strict: bool) -> Value:
    score = metric.function(pair)
    if strict and math.isnan(score.value):
        raise UnusablePixels(f"{metric.name} has no value for these images: {score.note}")
    own = unit.value if metric.unit == IMAGE_UNIT else metric.unit
    return Value(
        metric=metric.name,
        value=score.value,
        unit=score.unit or own,
        better=metric.better,
        data_range=pair.data_range if metric.ranged else None,
        definition=metric.definition,
        note=score.note,
        detail=score.detail,
    )


def _refuse_unlike(source: Image, decoded: Image) -> None:
    refuse_other_grid(source.grid, decoded.grid)
    if source.unit is not decoded.unit:
        raise InputError(
            f"the source is in {source.unit.value} and the decoded image in {decoded.unit.value}: "
            "give both in one unit"
        )
    if source.channels != decoded.channels:
        raise InputError(
            f"the source has {source.channels} channel(s) and the decoded image "
            f"{decoded.channels}: give both the same"
        )
    if source.unit is Unit.LABEL:
        raise UnusablePixels(
            "the images hold class labels, whose differences mean nothing: "
            "compare the images they were drawn on, or the drawings themselves with "
            "measure_labels (plica compare --tolerance)"
        )


def _read_region(source: Image, region: Any) -> Bools | None:
    if region is None:
        return None
    mask = read_mask(region, source.grid.shape)
    if not mask.any():
        raise UnusablePixels("the region is empty: mark at least one voxel of it as true")
    return mask


def _count(finite: Bools | None, region: Bools | None, inside: int) -> int:
    """How many values are compared.

    Raises:
        UnusablePixels: None.
    """
    looked_at = finite if region is None or finite is None else finite & region
    count = inside if looked_at is None else int(np.count_nonzero(looked_at))
    if count == 0:
        raise UnusablePixels(
            "no voxel is finite in both images, so there is nothing to compare: "
            "look at the decoded image for NaN"
        )
    return count


def _both_finite(source: Image, decoded: Image) -> Bools | None:
    if source.count_nonfinite() + decoded.count_nonfinite() == 0:
        return None
    return np.isfinite(source.pixels) & np.isfinite(decoded.pixels)


def _to_json_number(value: float) -> float | str | None:
    if math.isnan(value):
        return None
    return value if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")

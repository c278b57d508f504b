"""What a metric is, the table of those there are, and `measure`: two images → numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from plica.errors import InputError, SettingsError, UnusablePixels
from plica.image import Image, Unit
from plica.registry import Registry

Better = Literal["higher", "lower", "nearer zero"]

IMAGE_UNIT = "the image's unit"
CHUNK_VOXELS = 1 << 22  # 32 MiB of float64: metrics never hold a whole volume as real numbers
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
    ),
)
DEFAULT = ("psnr", "ms-ssim", "ssim", "mae", "rmse", "bias", "max-error")


@dataclass(frozen=True, eq=False)
class Pair:
    """Source and decoded pixels on one grid, and what metrics must agree on.

    Args:
        source: (channel, i, j, k), of any real or whole type.
        decoded: Of the same shape.
        finite: Where both are finite; None where they are everywhere.
        data_range: What counts as the full range of values, in the image's unit; 0 for a source
            that is constant and of no unit that would say.
    """

    source: NDArray[Any]
    decoded: NDArray[Any]
    finite: NDArray[np.bool_] | None
    data_range: float

    def differences(self) -> Iterator[NDArray[np.float64]]:
        """Decoded minus source where both are finite, as float64, a chunk at a time."""
        channels, rows = self.source.shape[:2]
        step = max(1, CHUNK_VOXELS // max(1, self.source[0, 0].size))
        for channel in range(channels):
            for start in range(0, rows, step):
                part = (channel, slice(start, start + step))
                keep = slice(None) if self.finite is None else self.finite[part]
                decoded = self.decoded[part][keep].astype(np.float64)
                yield decoded - self.source[part][keep].astype(np.float64)


@dataclass(frozen=True)
class Score:
    """What a metric's function gives: the number, and what must be known to read it.

    Args:
        value: Infinite for the PSNR of equal images, NaN where the metric has no meaning.
        note: How it was computed here, or why it has no meaning.
    """

    value: float
    note: str = ""


@dataclass(frozen=True)
class Metric:
    """One way to put a number on how far a decoded image is from its source.

    Args:
        name: As in the table.
        unit: "dB", "1", or `IMAGE_UNIT`.
        better: Which way is better.
        ranged: Whether the number depends on a data range, which then travels with it.
        definition: One sentence that says what is computed, with its constants.
        function: Computes it.
    """

    name: str
    unit: str
    better: Better
    ranged: bool
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
    """

    metric: str
    value: float
    unit: str
    better: Better
    data_range: float | None
    definition: str
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready record: infinity is written "Infinity", a number without meaning null."""
        return {**vars(self), "value": _to_json_number(self.value)}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Value:
        """The value a record was made of.

        Raises:
            InputError: It is no value's record.
        """
        try:
            number = record["value"]
            return cls(**{**record, "value": math.nan if number is None else float(number)})
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
        data_range: What counts as the full range, in the image's unit.
        data_range_rule: Why that one.
    """

    values: tuple[Value, ...]
    n_values: int
    n_excluded: int
    data_range: float
    data_range_rule: str

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
    metrics: Sequence[str] = DEFAULT,
    data_range: float | None = None,
) -> Measurement:
    """Compare a decoded image with its source.

    Values that are not finite in either image are left out and counted.

    Args:
        metrics: Names in the table `METRICS`.
        data_range: The full range of values for PSNR and SSIM, in the image's unit. None takes
            `choose_data_range(source)`; the one taken stands in the result with its reason.

    Raises:
        InputError: The images are not on one grid, or differ in unit or channels.
        UnusablePixels: They hold class labels, or no value is finite in both.
        SettingsError: The data range is not a positive number.
        UnknownName: There is no such metric.

    Example:
        >>> measure(scan, codec.decode(codec.encode(scan)))["psnr"]
        41.3
    """
    _refuse_unlike(source, decoded)
    chosen, rule = _settle_range(source, data_range)
    finite = _both_finite(source, decoded)
    n_values = source.pixels.size if finite is None else int(np.count_nonzero(finite))
    if n_values == 0:
        raise UnusablePixels(
            "no voxel is finite in both images, so there is nothing to compare: "
            "look at the decoded image for NaN"
        )
    pair = Pair(source.pixels, decoded.pixels, finite, chosen)
    return Measurement(
        values=tuple(_apply(METRICS.get_thing(name), pair, source.unit) for name in metrics),
        n_values=n_values,
        n_excluded=source.pixels.size - n_values,
        data_range=chosen,
        data_range_rule=rule,
    )


def choose_data_range(source: Image) -> tuple[float, str]:
    """What counts as the full range of an image's values, and why, in words.

    A unit that means the same in every image has a fixed range, so that numbers can be compared
    between images; an image of its own scale has its own.
    """
    if source.unit is Unit.HU:
        return HU_RANGE, "fixed for HU: −1024 … 3071"
    if source.unit is Unit.DISPLAY and source.pixels.dtype == np.uint8:
        return DISPLAY_RANGE, "fixed for 8-bit display values: 0 … 255"
    finite = (
        source.pixels[np.isfinite(source.pixels)] if source.count_nonfinite() else source.pixels
    )
    if not finite.size:
        return 0.0, "the source has no finite value"
    low, high = float(finite.min()), float(finite.max())
    return high - low, f"the source's own: {low:g} … {high:g}"


def _apply(metric: Metric, pair: Pair, unit: Unit) -> Value:
    score = metric.function(pair)
    return Value(
        metric=metric.name,
        value=score.value,
        unit=unit.value if metric.unit == IMAGE_UNIT else metric.unit,
        better=metric.better,
        data_range=pair.data_range if metric.ranged else None,
        definition=metric.definition,
        note=score.note,
    )


def _refuse_unlike(source: Image, decoded: Image) -> None:
    if not source.grid.agrees_with(decoded.grid):
        raise InputError(
            f"the images are not on one grid: {source.grid.shape} voxels from "
            f"{np.round(source.grid.origin_mm, 3).tolist()} mm, against {decoded.grid.shape} from "
            f"{np.round(decoded.grid.origin_mm, 3).tolist()} mm; resample one onto the other first"
        )
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
            "compare the images they were drawn on"
        )


def _settle_range(source: Image, data_range: float | None) -> tuple[float, str]:
    if data_range is None:
        return choose_data_range(source)
    if not (math.isfinite(data_range) and data_range > 0):
        raise SettingsError(
            f"the data range must be a positive number in the image's unit, but it is {data_range}"
        )
    return float(data_range), "as asked for"


def _both_finite(source: Image, decoded: Image) -> NDArray[np.bool_] | None:
    if source.count_nonfinite() + decoded.count_nonfinite() == 0:
        return None
    return np.isfinite(source.pixels) & np.isfinite(decoded.pixels)


def _to_json_number(value: float) -> float | str | None:
    if math.isnan(value):
        return None
    return value if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")

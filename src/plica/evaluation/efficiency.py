"""Efficiency: what a probe costs on full images and on latents, as tables.

The numbers come from outside (`networks.cost`, `networks.memory`); here they are set beside each
other. Ratios of times are taken turn by turn, between works that were done next to each other, and
given as the median with the least and the greatest.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from plica.evaluation.report import Section, Table

GIGA = 1e9
HRNET = "hrnet-w64"
PRECURSOR: Mapping[tuple[int, ...], float] = {
    (1, 1024, 1024): 607.33,
    (1, 256, 256): 37.96, (3, 256, 256): 37.98, (4, 256, 256): 37.99,
    (1, 128, 128): 9.49, (4, 128, 128): 9.50,
    (1, 64, 64): 2.37, (16, 64, 64): 2.38,
}  # fmt: skip
"""G operations of HRNet-W64 with one class, by channels and sides, as MedVAE's anonymous precursor
on diagnostically lossless compression reports (2023, Table 1)."""
NOTHING = "–"
_WHOLE_FROM = 100  # three digits, then none after the point


@dataclass(frozen=True)
class Capacity:
    """The largest batch that fits.

    Args:
        batch: Images; 0 where none fits.
        power_of_two: The largest power of two in it.
        memory: Bytes that were allowed.
        how: How it was found.
        bound: Whether it is at least this.
    """

    batch: int
    power_of_two: int
    memory: int
    how: str
    bound: bool = False

    def __str__(self) -> str:
        return f"{'≥ ' if self.bound else ''}{self.batch}"


@dataclass(frozen=True)
class Fed:
    """What a probe is fed, and what that costs.

    Args:
        name: For people.
        shape: Channels, then sides.
        codec: Whose latents these are; "" for images.
        multiply_adds: Of one input; a multiply-add counts as one.
        elsewhere: Operations of normalisation and resampling besides.
        batch: Inputs in each turn that was timed.
        forward: Seconds of a forward pass of a batch, turn by turn.
        step: Seconds of a step of training.
        encode: Seconds to encode one image.
        forward_capacity: The largest batch of a forward pass.
        step_capacity: Of a step of training.
        left_out: What was not measured, and why.
    """

    name: str
    shape: tuple[int, ...]
    codec: str = ""
    multiply_adds: int = 0
    elsewhere: int = 0
    batch: int = 1
    forward: tuple[float, ...] = ()
    step: tuple[float, ...] = ()
    encode: tuple[float, ...] = ()
    forward_capacity: Capacity | None = None
    step_capacity: Capacity | None = None
    left_out: tuple[str, ...] = ()

    @property
    def throughput(self) -> float:
        """Inputs a second through forward passes."""
        return self.batch / statistics.median(self.forward) if self.forward else math.nan

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready record."""
        capacities = {
            "forward_capacity": self.forward_capacity and vars(self.forward_capacity),
            "step_capacity": self.step_capacity and vars(self.step_capacity),
        }
        throughput = self.throughput if self.forward else None
        return {**vars(self), **capacities, "images_per_second": throughput}


@dataclass(frozen=True)
class Ratio:
    """How many times as long one work takes as another.

    Args:
        median: Over turns.
        least: Of any turn.
        greatest: Of any turn.
        turns: How many.
    """

    median: float
    least: float
    greatest: float
    turns: int

    def __str__(self) -> str:
        if self.turns == 1:
            return f"{self.median:.3g}× (one turn)"
        return f"{self.median:.3g}× ({self.least:.3g} to {self.greatest:.3g})"


def compare_times(slow: Sequence[float], fast: Sequence[float], *, batches: float = 1) -> Ratio:
    """How many times as long the first takes, from turns in which both were done.

    Args:
        batches: How many times as many inputs the second has in a batch.

    Examples:
        >>> ratio = compare_times((2.0, 2.2, 2.1), (1.0, 1.1, 1.0))
        >>> round(ratio.median, 2), ratio.turns
        (2.0, 3)
    """
    ratios = [batches * a / b for a, b in zip(slow, fast, strict=False)]
    return Ratio(statistics.median(ratios), min(ratios), max(ratios), len(ratios))


def repay(encode: float, full: float, latent: float) -> float:
    """Passes over a set of images after which having encoded it has paid; infinite where never.

    Args:
        encode: Seconds to encode one image.
        full: Seconds the probe takes for it in one pass.
        latent: Seconds it takes for its latent.

    Examples:
        >>> repay(encode=0.5, full=0.2, latent=0.1)
        5.0
    """
    return encode / (full - latent) if full > latent else math.inf


# -- the row of operations -----------------------------------------------------------------------


def record_operations(probe: str, classes: int, fed: Sequence[Fed]) -> dict[str, Any]:
    """The operations of each input, and what the precursor's paper says, for machines."""
    return {
        "probe": probe,
        "classes": classes,
        "unit": "G operations for one input",
        "convention": "a multiply-add counts as one",
        "rows": [
            {
                "name": one.name,
                "codec": one.codec,
                "shape": list(one.shape),
                "multiply_adds": one.multiply_adds,
                "giga_multiply_adds": one.multiply_adds / GIGA,
                "giga_with_normalisation": (one.multiply_adds + one.elsewhere) / GIGA,
                "published_giga": _published(probe, classes, one),
            }
            for one in fed
        ],
    }


def _published(probe: str, classes: int, fed: Fed) -> float | None:
    return PRECURSOR.get(fed.shape) if (probe, classes) == (HRNET, 1) else None


def show_operations(probe: str, classes: int, fed: Sequence[Fed]) -> Table:
    """Operations as a table, beside the precursor's."""
    rows = []
    for one in fed:
        published = _published(probe, classes, one)
        whole = (one.multiply_adds + one.elsewhere) / GIGA
        rows.append((
            one.name,
            name_shape(one.shape),
            f"{one.multiply_adds / GIGA:.2f}",
            f"{whole:.2f}",
            NOTHING if published is None else f"{published:.2f}",
            NOTHING if published is None else f"{100 * (whole / published - 1):+.2f} %",
            f"{fed[0].multiply_adds / max(1, one.multiply_adds):.1f}×",
        ))  # fmt: skip
    return Table(
        f"Operations of {probe} with {classes} class{'es' if classes != 1 else ''}",
        ("input", "channels × sides", "G multiply-adds", "with normalisation", "published",
         "difference", "fewer"),
        tuple(rows),
        "For one input; a multiply-add counts as one. The second number adds five operations for "
        "each value that is normalised and one for each that is resampled, as the published "
        "numbers seem to.",
    )  # fmt: skip


# -- time and memory -----------------------------------------------------------------------------


def show_times(fed: Sequence[Fed]) -> Table:
    """Latency and throughput as a table."""
    full = fed[0]
    rows = [
        (
            one.name,
            str(one.batch),
            _say_seconds(one.forward),
            f"{one.throughput:.3g}" if one.forward else NOTHING,
            _say_ratio(full.forward, one.forward, one.batch / full.batch),
            _say_seconds(one.step),
            _say_ratio(full.step, one.step, one.batch / full.batch),
        )
        for one in fed
    ]
    return Table(
        "Time of the probe",
        ("input", "batch", "forward pass of a batch", "images per second", "faster",
         "training step of a batch", "faster, training"),
        tuple(rows),
        "Median of the turns after one that does not count (least to greatest). How many times "
        "faster: of the images a second against the first row, turn by turn.",
    )  # fmt: skip


def show_capacities(fed: Sequence[Fed]) -> Table:
    """Largest batches as a table."""
    rows = [
        (
            one.name,
            *_say_capacity(one.forward_capacity, fed[0].forward_capacity),
            *_say_capacity(one.step_capacity, fed[0].step_capacity),
            one.forward_capacity.how if one.forward_capacity else NOTHING,
        )
        for one in fed
    ]
    memory = next(c.memory for one in fed for c in _capacities(one))
    return Table(
        f"Largest batch in {memory / 2**30:.3g} GiB",
        ("input", "forward pass", "larger", "training step", "larger, training", "how"),
        tuple(rows),
        "Weights and libraries take their part of the memory; what is left is shared by images.",
    )


def show_encoding(fed: Sequence[Fed]) -> Table:
    """What encoding costs, and after how many passes it has paid."""
    full = fed[0]
    rows = []
    for one in fed:
        if not one.encode:
            continue
        rows.append((
            one.name,
            _say_seconds(one.encode),
            _say_passes(one.encode, full.forward, one.forward, full.batch, one.batch),
            _say_passes(one.encode, full.step, one.step, full.batch, one.batch),
        ))  # fmt: skip
    return Table(
        "What encoding costs",
        ("codec", "encode one image", "repaid after forward passes", "after epochs of training"),
        tuple(rows),
        "Encoding is done once for each image. It has paid once the probe has looked at every "
        "image so many times; before that, latents cost more time than they save.",
    )


def show_sections(probe: str, classes: int, fed: Sequence[Fed]) -> Iterator[Section]:
    """What was measured, as sections of a report."""
    yield Section("Operations", (), (show_operations(probe, classes, fed),))
    left = tuple(f"{one.name}: {why}." for one in fed for why in one.left_out)
    if any(one.forward for one in fed):
        tables = [show_times(fed)]
        tables += [show_encoding(fed)] if any(one.encode for one in fed) else []
        yield Section("Time", (), tuple(tables))
    if any(_capacities(one) for one in fed):
        yield Section("Memory", (), (show_capacities(fed),))
    if left:
        yield Section("What was left out", left)


def summarise(probe: str, fed: Sequence[Fed]) -> Iterator[str]:
    """What latents save, in a sentence for each codec."""
    full = fed[0]
    for one in fed:
        if not one.codec:
            continue
        said = f"{full.multiply_adds / max(1, one.multiply_adds):.3g} times fewer multiply-adds"
        if full.forward and one.forward:
            ratio = compare_times(full.forward, one.forward, batches=one.batch / full.batch)
            said += f" and {ratio.median:.3g} times more images a second"
        yield f"Fed with latents of {one.name} in place of {full.name} images, {probe} does {said}."


def name_shape(shape: Sequence[int]) -> str:
    """1 × 256 × 256."""
    return " × ".join(map(str, shape))


def _capacities(fed: Fed) -> list[Capacity]:
    return [c for c in (fed.forward_capacity, fed.step_capacity) if c is not None]


def _say_seconds(seconds: Sequence[float]) -> str:
    if not seconds:
        return NOTHING
    unit, scale = ("s", 1.0) if statistics.median(seconds) >= 1 else ("ms", 1000.0)
    middle, least, greatest = (
        _say_number(scale * value)
        for value in (statistics.median(seconds), min(seconds), max(seconds))
    )
    return f"{middle} {unit} ({least} to {greatest}, n = {len(seconds)})"


def _say_number(value: float) -> str:
    return f"{value:,.0f}" if value >= _WHOLE_FROM else f"{value:.3g}"


def _say_ratio(full: Sequence[float], one: Sequence[float], batches: float) -> str:
    return str(compare_times(full, one, batches=batches)) if full and one else NOTHING


def _say_capacity(one: Capacity | None, full: Capacity | None) -> tuple[str, str]:
    if one is None:
        return NOTHING, NOTHING
    if full is None or not full.batch:
        return str(one), NOTHING
    return str(one), f"{'≥ ' if one.bound else ''}{one.batch / full.batch:.3g}×"


def _say_passes(
    encode: Sequence[float], full: Sequence[float], one: Sequence[float], *batches: int
) -> str:
    if not (full and one):
        return NOTHING
    passes = repay(
        statistics.median(encode),
        statistics.median(full) / batches[0],
        statistics.median(one) / batches[1],
    )
    return f"{passes:.2g}" if math.isfinite(passes) else "never"

"""Reconstruction: what a frozen codec makes of an image, under a policy for its values.

Autoencoders of natural images take three channels of a short range; CT has one of four thousand
values. A policy says which windows the codec is shown, how the passes are put together, and what
becomes of the values outside:

    image ─┬─ wide ─┬─ shifts, axes ─ mean ─┐
           └─ soft ─┴─ shifts, axes ─ mean ─┴─ fuse ─ recalibrate ─ put back what is outside ─ round

Foundation-VAE (Chen et al. 2026, arXiv 2605.30893) shows one window, −1000 … 1000 HU or −175 … 250,
loses what is beyond, and cuts off fractions. Grey in all three channels and their mean back are as
there: three windows in the three channels cost 4 to 5 dB (docs/foundation.md).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from plica.boxes import find_extremes
from plica.codecs.codec import Codec, check_image
from plica.codecs.framecodec import FrameCodec
from plica.codecs.networkcodec import NetworkCodec
from plica.codecs.preparing import SliceAxis
from plica.codecs.running import Progress
from plica.errors import SettingsError, UnusablePixels
from plica.image import Image, Unit
from plica.preparation.scaling import to_type
from plica.preparation.shift import Shift
from plica.preparation.step import Step
from plica.preparation.window import Window

Values = NDArray[np.float32]
Outside = Literal["keep", "report"]
WINDOWS_HU = {"wide": (-1000.0, 1000.0), "soft": (-175.0, 250.0)}
FULL = "full"
MOST_SHIFTS = 64
_RANGE = re.compile(r"(-?\d+(?:\.\d+)?):(-?\d+(?:\.\d+)?)")
# Of a narrow window's width: over so much at either edge it fades into the wider one.
FADE = 0.1
# Values below it are air, whatever their noise: a line fitted to them would serve nothing else.
_BODY_HU = -900.0


@dataclass(frozen=True)
class Policy:
    """How a codec is shown an image, and how what it makes is put together.

    Args:
        windows: What of the values the codec is shown, one pass each: "wide" (−1000 … 1000 HU),
            "soft" (−175 … 250 HU), "full" (the image's own range) or "low:high" in the image's
            unit. Where a narrower window holds what the wider passes give, its own pass is taken.
            Empty: the codec's own way, in one pass.
        shifts: Passes of which each begins elsewhere in the codec's cells; their mean is taken.
        axes: Slicing axes, one pass each, for codecs that see slices; their mean is taken.
        outside: Values outside the widest window are kept as the source has them, or only counted
            ("report"), and then stand at the window's edge.
        recalibrate: Whether the line that fits the source best is laid through what came of it:
            two numbers, which a decoder of latents alone would not know.
    """

    windows: tuple[str, ...] = ()
    shifts: int = 1
    axes: tuple[SliceAxis, ...] = ("acquired",)
    outside: Outside = "keep"
    recalibrate: bool = False

    def __post_init__(self) -> None:
        for name in self.windows:
            parse_window(name)
        if len(set(self.windows)) < len(self.windows) or len(set(self.axes)) < len(self.axes):
            raise SettingsError(f"{self.windows} and {self.axes} name one thing twice")
        if not 1 <= self.shifts <= MOST_SHIFTS:
            raise SettingsError(f"shifts are 1 to {MOST_SHIFTS}, but got {self.shifts}")
        if not self.axes or not set(self.axes) <= set(get_args(SliceAxis)):
            known = ", ".join(get_args(SliceAxis))
            raise SettingsError(f"axes are some of {known}, but got {', '.join(self.axes)!r}")
        if self.outside not in get_args(Outside):
            raise SettingsError(f"outside is keep or report, but got {self.outside!r}")

    @property
    def passes(self) -> int:
        """How often an image is encoded and decoded."""
        return max(1, len(self.windows)) * self.shifts * len(self.axes)


@dataclass(frozen=True)
class Reconstructed:
    """What came of an image.

    Args:
        image: On the source's grid, in its unit and pixel type.
        facts: For reports: "passes", "windows", "voxels_below", "voxels_above", "outside", and
            "recalibration" as [scale, offset].
    """

    image: Image
    facts: dict[str, Any]


@dataclass(frozen=True)
class Reconstructor:
    """A codec under a policy.

    Args:
        codec: One with a network.
        policy: How it is used.
        progress: Is told how much of all passes is done, in thousandths.

    Raises:
        SettingsError: The codec has no network that could be shown windows.

    Example:
        reconstructor = Reconstructor(plica.load("taef2", "weights/"), Policy(("wide", "soft"), 4))
        decoded = reconstructor.run(plica.read("ct/")).image
    """

    codec: Codec
    policy: Policy = field(default_factory=Policy)
    progress: Progress | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.codec, NetworkCodec | FrameCodec):
            raise SettingsError(
                f"{self.codec.card.name} has no network that could be shown windows of an image: "
                "leave out windows and shifts, or choose a codec with one"
            )
        if len(self.policy.axes) > 1 and not self._sees_slices:
            raise SettingsError(
                f"{self.codec.card.name} sees volumes, not slices along an axis: leave out axes"
            )
        spread_shifts(self.policy.shifts, self._cell)

    def run(self, image: Image) -> Reconstructed:
        """Encode and decode as the policy says.

        Raises:
            UnusablePixels: Windows in HU were asked for, and the image has other values.
            TooLarge: The memory does not suffice; says what does.
        """
        check_image(image)
        windows = self._find_windows(image)
        exact = image.with_pixels(image.pixels.astype(np.float32))
        fused: Values | None = None
        for number, window in enumerate(windows):
            values = self._average(exact, window, number)
            fused = values if fused is None or window is None else fuse(fused, values, window)
        assert fused is not None  # there is at least one pass
        facts: dict[str, Any] = {"passes": self.policy.passes, "windows": self._name(windows)}
        if self.policy.recalibrate:
            facts["recalibration"] = list(recalibrate(fused, exact.pixels, image.unit))
        facts |= self._mind_outside(fused, image, windows[0])
        pixels = to_type(fused, image.pixels.dtype)
        line = f"reconstructed by {self.codec.card.name} in {self.policy.passes} passes"
        provenance = image.provenance.after(line)
        return Reconstructed(replace(image, pixels=pixels, provenance=provenance), facts)

    # -- windows -----------------------------------------------------------------------------

    def _find_windows(self, image: Image) -> list[tuple[float, float] | None]:
        """The windows in the image's unit, widest first; None is the codec's own way."""
        found: list[tuple[float, float]] = []
        for name in self.policy.windows:
            if name in WINDOWS_HU and image.unit is not Unit.HU:
                raise UnusablePixels(
                    f"the window {name} is one of HU, but the image's values are "
                    f"{image.unit.value}: say which they are (--unit HU), or choose the window "
                    "full or one such as 0:255"
                )
            low, high = parse_window(name) or _full_range(image)
            if low < high:
                found.append((low, high))
        found.sort(key=lambda window: window[0] - window[1])
        return list(found) or [None]

    @staticmethod
    def _name(windows: list[tuple[float, float] | None]) -> list[list[float]]:
        return [list(window) for window in windows if window is not None]

    def _mind_outside(
        self, fused: Values, image: Image, widest: tuple[float, float] | None
    ) -> dict[str, Any]:
        """Count what lies outside the widest window, and put it back where that was asked for."""
        if widest is None:
            return {}
        low, high = widest
        below, above = image.pixels < low, image.pixels > high
        facts = {"voxels_below": int(below.sum()), "voxels_above": int(above.sum())}
        if self.policy.outside == "keep":
            for there in (below, above):
                fused[there] = image.pixels[there]
        return {**facts, "outside": self.policy.outside}

    # -- passes ------------------------------------------------------------------------------

    def _average(self, image: Image, window: tuple[float, float] | None, number: int) -> Values:
        """The mean of all passes through one window."""
        total: Values | None = None
        ways = list(self._ways(window))
        for n, codec in enumerate(ways):
            told = self._tell(number * len(ways) + n)
            codec = replace(codec, running=replace(codec.running, progress=told))
            decoded = codec.decode(codec.encode(image)).pixels
            total = np.array(decoded) if total is None else np.add(total, decoded, out=total)
        assert total is not None  # there is at least one way
        total /= np.float32(len(ways))
        return total

    def _ways(self, window: tuple[float, float] | None) -> Iterator[NetworkCodec | FrameCodec]:
        """The codec, once for each axis and shift."""
        codec = self.codec
        assert isinstance(codec, NetworkCodec | FrameCodec)  # checked when this was made
        for axis, shift in itertools.product(
            self.policy.axes, spread_shifts(self.policy.shifts, self._cell)
        ):
            preparing = codec.preparing
            if axis != "acquired":
                preparing = replace(preparing, axis=axis)
            preparing = replace(preparing, keep_outside=False)
            yield replace(codec, preparing=preparing, steps=self._steps(codec, window, shift))

    @staticmethod
    def _steps(
        codec: NetworkCodec | FrameCodec,
        window: tuple[float, float] | None,
        shift: tuple[int, int, int],
    ) -> Any:
        """The codec's own steps, its intensities seen through the window, and the shift."""

        def steps(image: Image) -> tuple[Step, ...]:
            own = codec.steps(image)
            if window is not None:
                turning = tuple(step for step in own if _turns(step))
                own = (*turning, Window(*window))
            return (*own, Shift(shift)) if any(shift) else own

        return steps

    def _tell(self, done: int) -> Progress | None:
        """Progress of one encoding or decoding as a part of all; both halves count alike."""
        progress, passes = self.progress, self.policy.passes
        if progress is None:
            return None
        state = {"half": 0, "before": -1}

        def told(part: int, of: int) -> None:
            if part < state["before"]:  # decoding has begun
                state["half"] = 1
            state["before"] = part
            share = (done + (state["half"] + part / max(1, of)) / 2) / passes
            progress(round(1000 * share), 1000)

        return told

    @property
    def _sees_slices(self) -> bool:
        codec = self.codec
        return isinstance(codec, FrameCodec) or getattr(codec.network, "dims", 3) == 2  # type: ignore[attr-defined]

    @property
    def _cell(self) -> tuple[int, int, int]:
        """Within which shifts are spread: sequences of slices are not shifted along them."""
        factor = self.codec.card.factor
        return (factor, factor, 1 if self._sees_slices else factor)


def parse_window(name: str) -> tuple[float, float] | None:
    """The range a window's name means; None for "full", which each image says for itself.

    Raises:
        SettingsError: It is no window's name.

    Example:
        >>> parse_window("soft"), parse_window("-50:150")
        ((-175.0, 250.0), (-50.0, 150.0))
    """
    if name == FULL:
        return None
    if name in WINDOWS_HU:
        return WINDOWS_HU[name]
    match = _RANGE.fullmatch(name)
    if match is None or not float(match[1]) < float(match[2]):
        raise SettingsError(
            f"a window is {', '.join(WINDOWS_HU)}, {FULL} or low:high such as -50:150, but got "
            f"'{name}'"
        )
    return float(match[1]), float(match[2])


def spread_shifts(count: int, cell: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    """So many places in a cell, as far from each other as halving its sides allows.

    Raises:
        SettingsError: The cell has not so many.

    Example:
        >>> spread_shifts(4, (8, 8, 1))
        [(0, 0, 0), (4, 4, 0), (4, 0, 0), (0, 4, 0)]
    """
    axes = [axis for axis, side in enumerate(cell) if side > 1]
    corners = sorted(
        itertools.product((0, 1), repeat=len(axes)), key=lambda bits: (sum(bits) == 0, sum(bits))
    )
    corners = [corners[-1], *reversed(corners[:-1])]  # none, all, then ever fewer
    found: list[tuple[int, int, int]] = []
    for number in range(count):
        place, left, side = [0, 0, 0], number, 2
        while left:
            left, corner = divmod(left, len(corners))
            for axis, bit in zip(axes, corners[corner], strict=True):
                place[axis] += bit * cell[axis] // side
            side *= 2
        found.append((place[0], place[1], place[2]))
    if len(set(found)) < count:
        raise SettingsError(
            f"a cell of {' × '.join(str(cell[axis]) for axis in axes) or 1} voxels can be shifted "
            f"in at most {len(set(found))} ways, but {count} shifts were asked for"
        )
    return found


def fuse(wide: Values, narrow: Values, window: tuple[float, float]) -> Values:
    """What a narrow window's pass gives where the wider ones lie in it, fading at its edges.

    Decided by decoded values alone, not by the source's.
    """
    low, high = window
    fade = FADE * (high - low)
    weight = np.minimum(wide - low, high - wide)
    weight /= np.float32(fade)
    np.clip(weight, 0, 1, out=weight)
    return wide + weight * (narrow - wide)


def recalibrate(values: Values, source: Values, unit: Unit) -> tuple[float, float]:
    """Lay the line of least squares through values, in place, and give its scale and offset.

    Of CT the body alone is fitted and changed: air would outweigh it, and has its own bias.
    """
    there = (source > _BODY_HU) & (values > _BODY_HU) if unit is Unit.HU else np.isfinite(values)
    x, y = values[there].astype(np.float64), source[there].astype(np.float64)
    if x.size < 2 or np.ptp(x) == 0:
        return 1.0, 0.0
    scale = float(np.cov(x, y, bias=True)[0, 1] / x.var())
    offset = float(y.mean() - scale * x.mean())
    changed = values > _BODY_HU if unit is Unit.HU else np.ones_like(values, bool)
    values[changed] = np.float32(scale) * values[changed] + np.float32(offset)
    return scale, offset


def _full_range(image: Image) -> tuple[float, float]:
    low, high = find_extremes(image.pixels)
    return float(low), float(high)


def _turns(step: Step) -> bool:
    """Whether a step turns axes, which a window must not replace."""
    from plica.preparation.reorient import Reorient

    return isinstance(step, Reorient)

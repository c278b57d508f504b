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
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.boxes import find_extremes
from plica.codecs.codec import Codec, check_image
from plica.codecs.framecodec import FrameCodec
from plica.codecs.networkcodec import NetworkCodec
from plica.codecs.policy import WINDOWS_HU, Policy, parse_window, spread_shifts
from plica.errors import SettingsError, UnusablePixels
from plica.image import Image, Unit
from plica.preparation.scaling import to_type
from plica.preparation.shift import Shift
from plica.preparation.step import Step
from plica.preparation.window import Window

Values = NDArray[np.float32]
# Of a narrow window's width: over so much at either edge it fades into the wider one.
FADE = 0.1
# Values below it are air, whatever their noise: a line fitted to them would serve nothing else.
_BODY_HU = -900.0


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
    """A codec under a policy; it tells its progress anew for each encoding and each decoding.

    Args:
        codec: One with a network.
        policy: How it is used.

    Raises:
        SettingsError: The codec has no network that could be shown windows.

    Example:
        reconstructor = Reconstructor(plica.load("taef2", "weights/"), Policy(("wide", "soft"), 4))
        decoded = reconstructor.run(plica.read("ct/")).image
    """

    codec: Codec
    policy: Policy = field(default_factory=Policy)

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
        for window in windows:
            values = self._average(exact, window)
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

    def _average(self, image: Image, window: tuple[float, float] | None) -> Values:
        """The mean of all passes through one window."""
        total: Values | None = None
        ways = list(self._ways(window))
        for codec in ways:
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

    @property
    def _sees_slices(self) -> bool:
        codec = self.codec
        return isinstance(codec, FrameCodec) or getattr(codec.network, "dims", 3) == 2  # type: ignore[attr-defined]

    @property
    def _cell(self) -> tuple[int, int, int]:
        """Within which shifts are spread: sequences of slices are not shifted along them."""
        factor = self.codec.card.factor
        return (factor, factor, 1 if self._sees_slices else factor)


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

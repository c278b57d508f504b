"""Reconstruction: what a frozen codec makes of an image, under a policy for its values.

Autoencoders of natural images take three channels of a short range; CT has one of four thousand
values. A policy says which windows the codec is shown, how the passes are put together, and what
becomes of the values outside:

    image ─┬─ wide ─┬─ shifts, axes ─ mean ─┐
           └─ soft ─┴─ shifts, axes ─ mean ─┴─ fuse ─ recalibrate ─ put back what is outside ─ round

Foundation-VAE (Chen et al. 2026, arXiv 2605.30893) shows one window, −1000 … 1000 HU or −175 … 250,
loses what is beyond, and cuts off fractions. Grey in all three channels and their mean back are as
there: three windows in the three channels cost 6 to 8 dB (docs/foundation.md).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from plica.boxes import read_slabs
from plica.codecs.codec import Codec, check_image
from plica.codecs.framecodec import FrameCodec
from plica.codecs.networkcodec import NetworkCodec
from plica.codecs.policy import OWN_AXES, WINDOWS_HU, Policy, parse_window, spread_shifts
from plica.codecs.preparing import SliceAxis
from plica.errors import SettingsError, UnusablePixels
from plica.image import Image, Unit
from plica.preparation.scaling import to_type
from plica.preparation.shift import Shift
from plica.preparation.step import Step
from plica.preparation.window import Window

Values = NDArray[np.float32]
Range = tuple[float, float]
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

    Examples:
        >>> reconstructor = Reconstructor(codec, Policy(("wide", "soft"), 2))
        >>> decoded = reconstructor.run(plica.read("ct.nii.gz")).image
        >>> decoded.grid.shape
        (48, 40, 24)
    """

    codec: Codec
    policy: Policy = field(default_factory=Policy)

    def __post_init__(self) -> None:
        codec, policy = self.codec, self.policy
        if not isinstance(codec, NetworkCodec | FrameCodec):
            raise SettingsError(
                f"{codec.card.name} has no network that could be shown windows of an image: "
                "leave out windows and shifts, or choose a codec with one"
            )
        if len(policy.axes) > 1 and not self._sees_slices:
            raise SettingsError(
                f"{codec.card.name} sees volumes, not slices along an axis: leave out axes"
            )
        if policy.axes != OWN_AXES and codec.preparing.axis != "acquired":
            raise SettingsError("axis says one slicing axis and axes say several: leave out one")
        if (policy.windows or policy.shifts > 1) and codec.preparing.pipeline != "own":
            raise SettingsError(
                f"windows and shifts say how values are prepared, and so does the pipeline "
                f"{codec.preparing.pipeline}: leave out one"
            )
        if policy.outside == "report" and codec.preparing.keep_outside:
            raise SettingsError("values outside are to be kept, and only to be counted: say one")
        spread_shifts(policy.shifts, self._cell)

    def run(self, image: Image) -> Reconstructed:
        """Encode and decode as the policy says.

        Raises:
            UnusablePixels: Windows in HU were asked for, and the image has other values; or
                windows do not lie in one another.
            TooLarge: The memory does not suffice; says what does.
        """
        check_image(image)
        windows = self._find_windows(image)
        exact = image.with_pixels(image.pixels.astype(np.float32))
        fused = self._average(exact, windows[0] if windows else None)
        for window in windows[1:]:
            fused = fuse(fused, self._average(exact, window), window)
        passes = max(1, len(windows)) * self.policy.shifts * len(self._axes(image))
        facts: dict[str, Any] = {"passes": passes, "windows": [list(one) for one in windows]}
        below, above = self._find_outside(image, windows)
        if self.policy.recalibrate:
            shown = ~(below | above)
            facts["recalibration"] = list(recalibrate(fused, exact.pixels, shown, image.unit))
        pixels = to_type(fused, image.pixels.dtype)
        facts |= {"voxels_below": int(below.sum()), "voxels_above": int(above.sum())}
        facts["outside"] = self.policy.outside
        if self.policy.outside == "keep" and (below.any() or above.any()):
            # Behind all rounding: float32 would not keep every whole number.
            pixels = np.where(below | above, image.pixels, pixels)
        line = f"reconstructed by {self.codec.card.name} in {passes} passes"
        provenance = image.provenance.after(line)
        return Reconstructed(replace(image, pixels=pixels, provenance=provenance), facts)

    # -- windows -----------------------------------------------------------------------------

    def _find_windows(self, image: Image) -> list[Range]:
        """The windows in the image's unit, widest first; none is the codec's own way."""
        found: list[Range] = []
        for name in self.policy.windows:
            if name in WINDOWS_HU and image.unit is not Unit.HU:
                raise UnusablePixels(
                    f"the window {name} is one of HU, but the image's values are "
                    f"{image.unit.value}: say which they are (--unit HU), or choose the window "
                    "full or one such as 0:255"
                )
            found.append(parse_window(name) or find_range(image))
        found.sort(key=lambda window: window[0] - window[1])
        _refuse_apart(found, image)
        return found

    def _find_outside(
        self, image: Image, windows: list[Range]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Where values lie below and above all that the codec was shown."""
        widest = windows[0] if windows else self._own_window(image)
        low, high = widest or (-np.inf, np.inf)
        return image.pixels < low, image.pixels > high

    def _own_window(self, image: Image) -> Range | None:
        """Beyond which the codec's own steps cut values off; None where they cut none."""
        codec = self._runnable
        steps = codec.preparing.steps(image, intensity=codec.steps, in_channels=1, sliced=False)
        return next(((one.low, one.high) for one in steps if isinstance(one, Window)), None)

    # -- passes ------------------------------------------------------------------------------

    def _average(self, image: Image, window: Range | None) -> Values:
        """The mean of all passes through one window."""
        total: Values | None = None
        ways = list(self._ways(image, window))
        for codec in ways:
            decoded = codec.decode(codec.encode(image)).pixels
            total = np.array(decoded) if total is None else np.add(total, decoded, out=total)
        assert total is not None  # there is at least one way
        total /= np.float32(len(ways))
        return total

    def _axes(self, image: Image) -> tuple[SliceAxis, ...]:
        """A single slice has one axis to be sliced along."""
        return self.policy.axes if image.is_volume else OWN_AXES

    def _ways(self, image: Image, window: Range | None) -> Iterator[NetworkCodec | FrameCodec]:
        """The codec, once for each axis and shift."""
        codec = self._runnable
        for axis, shift in itertools.product(
            self._axes(image), spread_shifts(self.policy.shifts, self._cell)
        ):
            preparing = codec.preparing
            if axis != "acquired":
                preparing = replace(preparing, axis=axis)
            preparing = replace(preparing, keep_outside=False)
            yield replace(codec, preparing=preparing, steps=self._steps(codec, window, shift))

    @staticmethod
    def _steps(
        codec: NetworkCodec | FrameCodec,
        window: Range | None,
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
    def _runnable(self) -> NetworkCodec | FrameCodec:
        """The codec; of which kind it is was checked when this was made."""
        return cast("NetworkCodec | FrameCodec", self.codec)

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


def recalibrate(
    values: Values, source: Values, shown: NDArray[np.bool_], unit: Unit
) -> tuple[float, float]:
    """Lay the line of least squares through values, in place, and give its scale and offset.

    Of CT the body alone is fitted and changed: air would outweigh it, and has its own bias.

    Args:
        values: What came of the passes.
        source: What it should have been.
        shown: Where the codec was shown the source's values: others are neither fitted nor changed.
        unit: Of both.

    Examples:
        >>> source = np.linspace(0, 100, 50, dtype=np.float32)
        >>> scale, offset = recalibrate(source / 2 + 3, source, np.ones(50, bool), Unit.RELATIVE)
        >>> round(scale, 3), round(offset, 3)
        (2.0, -6.0)
    """
    changed = shown & np.isfinite(values) & np.isfinite(source)
    if unit is Unit.HU:
        changed &= values > _BODY_HU
    fitted = changed & (source > _BODY_HU) if unit is Unit.HU else changed
    x, y = values[fitted].astype(np.float64), source[fitted].astype(np.float64)
    if x.size < 2 or np.ptp(x) == 0:
        return 1.0, 0.0
    scale = float(np.cov(x, y, bias=True)[0, 1] / x.var())
    offset = float(y.mean() - scale * x.mean())
    values[changed] = np.float32(scale) * values[changed] + np.float32(offset)
    return scale, offset


def find_range(image: Image) -> Range:
    """The finite values' range, a little wider where they are all one.

    Raises:
        UnusablePixels: None is finite.
    """
    ends = [_finite_ends(slab) for slab in read_slabs(image.pixels)]
    low, high = min(one for one, _ in ends), max(one for _, one in ends)
    if not low <= high:
        raise UnusablePixels("no value of the image is finite: there is nothing a codec could see")
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def _finite_ends(values: NDArray[Any]) -> Range:
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (np.inf, -np.inf)


def _refuse_apart(windows: list[Range], image: Image) -> None:
    """Refuse windows of which the widest leaves out what another shows.

    Raises:
        UnusablePixels: It does, of this image.
    """
    if len(windows) < 2:
        return
    least, most = find_range(image)
    low, high = windows[0]
    for other_low, other_high in windows[1:]:
        if max(other_low, least) < low or min(other_high, most) > high:
            raise UnusablePixels(
                f"the window {other_low:g}:{other_high:g} shows values that the widest, "
                f"{low:g}:{high:g}, leaves out: of several windows one holds all others, such as "
                f"{min(low, other_low):g}:{max(high, other_high):g} or full"
            )


def _turns(step: Step) -> bool:
    """Whether a step turns axes, which a window must not replace."""
    from plica.preparation.reorient import Reorient

    return isinstance(step, Reorient)

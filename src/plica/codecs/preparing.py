"""Preparing: what a user may ask for on the way from an image to a network's input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from plica.image import Image, Unit
from plica.preparation.cast import Cast
from plica.preparation.channels import Channels
from plica.preparation.finite import Finite
from plica.preparation.foreground import Foreground
from plica.preparation.pad import Pad
from plica.preparation.pipelines import CT_HIGH_HU, CT_LOW_HU
from plica.preparation.planes import Planes
from plica.preparation.region import Region
from plica.preparation.resample import Resample
from plica.preparation.step import Step
from plica.preparation.window import Window

PadMode = Literal["background", "edge", "reflect"]
SliceAxis = Literal["acquired", "axial", "coronal", "sagittal"]


@dataclass(frozen=True)
class Preparing:
    """Choices that hold for every codec with a network.

    Args:
        axis: Along which axis a 2d codec slices a volume: "acquired" takes that of the thickest
            slices, or axial ones where the voxels are near enough to cubes.
        fill_nonfinite: Replace NaN and infinities by the lowest value and put them back on
            decoding; otherwise such an image is refused.
        keep_outside: Keep the voxels a window clips, and put them back on decoding.
        foreground: Crop a volume to the body, or a radiograph to its region of interest; the rest
            comes back as background.
        spacing_mm: Resample to this spacing first; a loss.
    """

    axis: SliceAxis = "acquired"
    fill_nonfinite: bool = False
    keep_outside: bool = False
    foreground: bool = False
    spacing_mm: tuple[float, float, float] | None = None

    def steps(
        self,
        image: Image,
        *,
        intensity: Callable[[Image], tuple[Step, ...]],
        in_channels: int,
        factor: tuple[int, int, int],
        sliced: bool,
        padding: PadMode = "background",
    ) -> tuple[Step, ...]:
        """The steps for one image, in order.

        Args:
            intensity: The codec's own steps.
            in_channels: Image channels the network takes.
            factor: Sides are padded to multiples of it.
            sliced: Whether the network sees slices along k.
            padding: What fills incomplete cells.
        """
        steps: list[Step] = [Finite("background" if self.fill_nonfinite else "refuse"), Cast()]
        if self.spacing_mm is not None:
            steps.append(Resample(self.spacing_mm))
        if self.foreground:
            steps.append(Foreground() if image.is_volume else Region())
        if sliced and image.is_volume:
            steps.append(Planes(self.axis))
        steps += [self._keep(step, image) for step in intensity(image)]
        return (*steps, Channels(in_channels), Pad(factor, padding))

    def _keep(self, step: Step, image: Image) -> Step:
        """A window that keeps what lies outside needs not be wider than a scanner's own range."""
        if not self.keep_outside or not isinstance(step, Window):
            return step
        if image.unit is Unit.HU:
            low, high = max(step.low, CT_LOW_HU), min(step.high, CT_HIGH_HU)
            return Window(low, high, keep_outside=True)
        return replace(step, keep_outside=True)

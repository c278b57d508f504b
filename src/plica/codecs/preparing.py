"""Preparing: what a user may ask for on the way from an image to a network's input."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from plica.errors import SettingsError
from plica.image import Image, Unit
from plica.preparation.cast import Cast
from plica.preparation.channels import Channels
from plica.preparation.finite import Finite
from plica.preparation.foreground import Foreground
from plica.preparation.pad import Pad
from plica.preparation.pipelines import CT_HIGH_HU, CT_LOW_HU, mr, radiograph
from plica.preparation.planes import Planes
from plica.preparation.region import Region
from plica.preparation.reorient import Reorient
from plica.preparation.resample import Resample
from plica.preparation.step import Step
from plica.preparation.window import Window

PadMode = Literal["background", "edge", "reflect"]
Pipeline = Literal["own", "radiograph", "mr"]
SliceAxis = Literal["acquired", "axial", "coronal", "sagittal"]
Steps = Callable[[Image], tuple[Step, ...]]
"""Gives the intensity steps for an image."""
LARGEST_MM = 1e4
_AS_IT_IS = Pad((1, 1, 1))


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
        pipeline: How values are brought to the network's range: the codec's own way, "radiograph"
            (region of interest, the file's display window, inversion) or "mr" (percentiles).
    """

    axis: SliceAxis = "acquired"
    fill_nonfinite: bool = False
    keep_outside: bool = False
    foreground: bool = False
    spacing_mm: tuple[float, float, float] | None = None
    pipeline: Pipeline = "own"

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Preparing:
        """Check what came from a command line or a caller without types.

        Args:
            options: Some of the fields above by their names.

        Raises:
            SettingsError: A value is none that its field takes.
        """
        return cls(**{name: _CHECKS[name](name, value) for name, value in options.items()})

    def steps(
        self,
        image: Image,
        *,
        intensity: Steps,
        in_channels: int,
        sliced: bool,
        pad: Pad = _AS_IT_IS,
    ) -> tuple[Step, ...]:
        """The steps for one image, in order.

        Args:
            intensity: The codec's own steps.
            in_channels: Image channels the network takes.
            sliced: Whether the network sees slices along k.
            pad: What fills incomplete cells.
        """
        steps: list[Step] = [Finite("background" if self.fill_nonfinite else "refuse"), Cast()]
        if self.spacing_mm is not None:
            steps.append(Resample(self.spacing_mm))
        if self.foreground:
            steps.append(Foreground() if image.is_volume else Region())
        if sliced and image.is_volume:
            steps.append(Planes(self.axis))
        steps += [self._keep(step, image) for step in self._choose(intensity, image)]
        return (*steps, Channels(in_channels), pad)

    def _choose(self, own: Steps, image: Image) -> tuple[Step, ...]:
        """The intensity steps; which way up a network wants its volumes stays its own business."""
        if self.pipeline == "own":
            return own(image)
        chosen = {"radiograph": radiograph, "mr": mr}[self.pipeline](image)
        turned = tuple(step for step in own(image) if isinstance(step, Reorient))
        return turned + tuple(step for step in chosen if not isinstance(step, Reorient))

    def _keep(self, step: Step, image: Image) -> Step:
        """A window that keeps what lies outside needs not be wider than a scanner's own range."""
        if not self.keep_outside or not isinstance(step, Window):
            return step
        if image.unit is Unit.HU:
            low, high = max(step.low, CT_LOW_HU), min(step.high, CT_HIGH_HU)
            return Window(low, high, keep_outside=True)
        return replace(step, keep_outside=True)


def _check_word(name: str, asked: Any) -> str:
    words = get_args(SliceAxis if name == "axis" else Pipeline)
    if asked not in words:
        raise SettingsError(f"{name} is one of {', '.join(words)}, but got {asked!r}")
    return str(asked)


def _check_truth(name: str, asked: Any) -> bool:
    if not isinstance(asked, bool):
        raise SettingsError(f"{name} is true or false, but got {asked!r}")
    return asked


def _check_spacing(name: str, asked: Any) -> tuple[float, float, float]:
    """Three lengths in mm out of a tuple, a list or an array."""
    try:
        i, j, k = (float(one) for one in asked)
    except (TypeError, ValueError) as error:
        raise SettingsError(
            f"{name} is three lengths in mm such as (1, 1, 5), but got {asked!r}"
        ) from error
    if not all(0 < one <= LARGEST_MM for one in (i, j, k)):
        raise SettingsError(f"{name} is above zero and at most {LARGEST_MM:g}, but got {asked!r}")
    return i, j, k


_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "axis": _check_word,
    "fill_nonfinite": _check_truth,
    "keep_outside": _check_truth,
    "foreground": _check_truth,
    "spacing_mm": _check_spacing,
    "pipeline": _check_word,
}

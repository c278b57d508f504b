"""Controls: classical denoisers that lose as much as a codec, to see what such a loss looks like.

A codec's residual of 20 HU says little by itself: a plain denoiser may lose as much and harm
nothing, or harm more. A control is total variation (Rudin, Osher and Fatemi 1992, by Chambolle's
projections) or non-local means (Buades, Coll and Morel 2005), both scikit-image's, at the strength
at which its residual has the RMS of the codec's on the same image. Volumes are denoised slice by
slice along their thickest axis, so that both are the same in two dimensions and three.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from plica.errors import UnknownName, UnusablePixels
from plica.evaluation.fields import Field, Lengths, Real, import_extra, to_field
from plica.image import Image

Denoise = Callable[[Real, float], Real]

CLOSE = 0.01  # of the RMS asked for
STEPS = 24
LOOKED_AT = 2**18  # voxels of slices that a strength is first looked for on
TV_STEPS, TV_EPS = 100, 1e-4
PATCH, SEARCH = 5, 5


@dataclass(frozen=True)
class Control:
    """A denoiser of one strength.

    Args:
        name: "tv" or "nlm".
        strength: In the image's unit: weight of the total variation, or h of non-local means.
        rms: Of its residual, in the image's unit.
        wanted: The RMS it was to have.
    """

    name: str
    strength: float
    rms: float
    wanted: float

    def reconstruct(self, image: Image) -> Image:
        """Denoise an image as it did the one it was matched on; pixels keep their type."""
        axis = _thickest(image.grid.shape, image.grid.spacing_mm)
        denoised = np.stack([
            denoise_slices(self.name, channel.astype(np.float64), axis, self.strength)
            for channel in image.pixels
        ])  # fmt: skip
        kind = image.pixels.dtype
        if kind.kind in "iu":
            limits = np.iinfo(kind)
            denoised = np.clip(np.rint(denoised), limits.min, limits.max)
        return image.with_pixels(denoised.astype(kind))


def match_control(image: Image, name: str, rms: float) -> Control:
    """The control whose residual has the RMS of a codec's.

    Args:
        name: "tv" or "nlm".
        rms: Of the codec's residual, in the image's unit, of the mean over channels.

    Raises:
        UnknownName: There is no such control.
        UnusablePixels: No strength loses as much, or the codec loses nothing.
        MissingExtra: scikit-image is not installed.

    Examples:
        >>> control = match_control(scan, "tv", rms=10.0)
        >>> round(control.rms, 1)
        9.9
    """
    if name not in DENOISERS:
        raise UnknownName(f"there is no control '{name}'; there are: {', '.join(DENOISERS)}")
    if not rms > 0:
        raise UnusablePixels("the codec loses nothing, so there is no loss a control could match")
    field = to_field(image)
    few = _few_slices(field)
    axis = _thickest(field.values.shape, field.spacing)
    strength = _bisect(lambda s: _rms(few, axis, name, s), rms, 1e-4 * field.span, 10 * field.span)
    found = _rms(field.values, axis, name, strength)
    for _ in range(4):  # the slices looked at were not the whole
        if abs(found / rms - 1) <= CLOSE:
            break
        strength *= rms / found
        found = _rms(field.values, axis, name, strength)
    return Control(name, strength, found, rms)


def denoise_slices(name: str, values: Real, axis: int, strength: float) -> Real:
    """Each slice across an axis by itself.

    Args:
        strength: In the unit of the values.

    Examples:
        >>> values = scan.pixels[0].astype(np.float64)
        >>> smooth = denoise_slices("tv", values, 2, strength=30.0)
        >>> bool(smooth.std() < values.std())
        True
    """
    # The denoisers' own tolerances are meant for values about 1.
    scaled = [DENOISERS[name](one / strength, 1.0) for one in np.moveaxis(values, axis, 0)]
    return np.moveaxis(np.stack(scaled), 0, axis) * strength


def _rms(values: Real, axis: int, name: str, strength: float) -> float:
    denoised = denoise_slices(name, values, axis, strength)
    return float(np.sqrt(((denoised - values) ** 2).mean()))


def _bisect(rms_of: Callable[[float], float], wanted: float, low: float, high: float) -> float:
    """The strength in (low, high) that has the RMS wanted, which grows with it."""
    if (most := rms_of(high)) < wanted * (1 - CLOSE):
        raise UnusablePixels(
            f"the control loses an RMS of {most:.4g} at most, and the codec {wanted:.4g}: "
            "there is no control of equal strength for so large a loss"
        )
    for _ in range(STEPS):
        middle = float(np.sqrt(low * high))
        found = rms_of(middle)
        if abs(found / wanted - 1) <= CLOSE:
            return middle
        low, high = (middle, high) if found < wanted else (low, middle)
    return float(np.sqrt(low * high))


def _few_slices(field: Field) -> Real:
    axis = _thickest(field.values.shape, field.spacing)
    slices = np.moveaxis(field.values, axis, 0)
    most = max(1, LOOKED_AT // max(1, slices[0].size))
    step = max(1, -(-len(slices) // most))
    return np.moveaxis(slices[step // 2 :: step], 0, axis)


def _thickest(shape: tuple[int, ...], spacing: Lengths) -> int:
    """The axis slices are taken across: of one voxel, else the thickest, else the last."""
    alone = [axis for axis in range(3) if shape[axis] == 1]
    return alone[-1] if alone else max(range(3), key=lambda axis: (round(spacing[axis], 6), axis))


def _total_variation(values: Real, strength: float) -> Real:
    denoise = import_extra("skimage.restoration").denoise_tv_chambolle
    return np.asarray(denoise(values, weight=strength, eps=TV_EPS, max_num_iter=TV_STEPS))


def _nonlocal_means(values: Real, strength: float) -> Real:
    """Non-local means and its mirror image, averaged.

    scikit-image's fast form compares patches a fraction of a voxel off their middle and moves edges
    by a part of a voxel when it is strong (measured by `edges`); its mirror image moves them back.
    """
    denoise = import_extra("skimage.restoration").denoise_nl_means
    sides = [
        denoise(one, patch_size=PATCH, patch_distance=SEARCH, h=strength, fast_mode=True)
        for one in (values, np.ascontiguousarray(values[::-1, ::-1]))
    ]
    return np.asarray((sides[0] + sides[1][::-1, ::-1]) / 2)


DENOISERS: dict[str, Denoise] = {"tv": _total_variation, "nlm": _nonlocal_means}

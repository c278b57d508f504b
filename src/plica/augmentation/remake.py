"""Remake: reconstructions mixed into images of an item, whatever pipeline it goes through.

    view(s) = x + s (x̃ − x)

`transform` makes MONAI's and TorchIO's transforms of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from plica.augmentation.views import MOST_STRENGTH, Reconstruct
from plica.errors import InputError, SettingsError
from plica.grid import Grid
from plica.image import Image, Unit


@dataclass(frozen=True)
class Remake:
    """Where reconstructions come from, and how strongly they are mixed in.

    Args:
        strength: Range of s, (least, most); 1 is the reconstruction.
        prob: Share of the items that are changed.
        beside: From an image's name to that of its reconstruction in the same item.
        reconstruct: What makes it where none is beside.
        unit: What values measure, for `reconstruct`.

    Raises:
        SettingsError: A number is out of range, or there is nothing that reconstructs.
    """

    strength: tuple[float, float] = (1.0, 1.0)
    prob: float = 0.5
    beside: Mapping[str, str] | None = None
    reconstruct: Reconstruct | None = None
    unit: Unit = Unit.HU

    def __post_init__(self) -> None:
        low, high = self.strength
        if not (math.isfinite(low) and math.isfinite(high) and 0 <= low <= high <= MOST_STRENGTH):
            raise SettingsError(
                f"strength is (least, most), 0 to {MOST_STRENGTH:g}, but got {self.strength}"
            )
        if not 0 <= self.prob <= 1:
            raise SettingsError(f"prob lies between 0 and 1, but it is {self.prob}")
        if self.beside is None and self.reconstruct is None:
            raise SettingsError(
                "name the reconstructions in the item (beside), or give what makes them "
                "(reconstruct)"
            )

    def show(self, name: str, item: Mapping[Any, Any], affine: Any, strength: float) -> Any:
        """The view of one image of an item, a tensor of its type (channel, i, j[, k])."""
        x = _tensor(item[name])
        other = (self.beside or {}).get(name)
        if other is not None:
            if other not in item:
                raise InputError(f"the item has no '{other}', the reconstruction of '{name}'")
            y = _tensor(item[other])
        elif self.reconstruct is not None:
            y = torch.from_numpy(self._remake(self.reconstruct, x, affine))
        else:
            raise InputError(f"nothing says which of the item is the reconstruction of '{name}'")
        if x.shape != y.shape:
            raise InputError(
                f"'{name}' has the shape {tuple(x.shape)} and its reconstruction {tuple(y.shape)}: "
                "transforms of space belong after this one, or on both"
            )
        return mix(x, y, strength)

    def _remake(self, reconstruct: Reconstruct, x: torch.Tensor, affine: Any) -> NDArray[Any]:
        pixels = x.detach().cpu().numpy()
        flat = pixels.ndim == 3
        pixels = pixels[..., None] if flat else pixels
        matrix = np.asarray(affine, np.float64)
        sides = (int(pixels.shape[1]), int(pixels.shape[2]), int(pixels.shape[3]))
        grid = Grid(sides, matrix) if matrix.shape == (4, 4) else Grid.from_spacing(sides)
        made = [
            reconstruct(Image(pixels[n : n + 1], grid, self.unit)).pixels
            for n in range(len(pixels))
        ]
        values = np.array(np.concatenate(made))
        return values[..., 0] if flat else values


def mix(x: torch.Tensor, y: torch.Tensor, strength: float) -> torch.Tensor:
    """The view x + s (x̃ − x) in the type of x; rounded and kept in range where that is whole."""
    exact = (
        torch.float64 if x.dtype == torch.float64 or not x.is_floating_point() else torch.float32
    )
    a, b = x.to(exact), y.to(device=x.device, dtype=exact)
    values = b if strength == 1 else a + strength * (b - a)
    if not x.is_floating_point():
        limits = torch.iinfo(x.dtype)
        values = values.round().clamp(limits.min, limits.max)
    return values.to(x.dtype)


def _tensor(thing: Any) -> torch.Tensor:
    """What a MetaTensor, a TorchIO image, a tensor or an array holds."""
    data = getattr(thing, "data", thing) if not isinstance(thing, np.ndarray) else thing
    if isinstance(data, np.ndarray):
        return torch.from_numpy(np.array(data))
    return (
        data.as_subclass(torch.Tensor) if isinstance(data, torch.Tensor) else torch.as_tensor(data)
    )

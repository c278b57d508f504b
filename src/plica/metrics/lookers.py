"""Lookers: pretrained networks that see pictures, as `plica.metrics.features` lists them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from plica.codecs import pretrained
from plica.metrics.distribution import Real
from plica.metrics.pictures import SLICES, Grey, Sample, cut_slices
from plica.networks.inception import SIDE as INCEPTION_SIDE
from plica.networks.vision import VisionTower
from plica.networks.vision import prepare as prepare_for_tower

BATCH = 8
_BGR_MEAN = (0.406, 0.456, 0.485)
_RGB_MEAN, _RGB_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_RADIMAGENET_SIDE = 224
_SHOWN = "slices right way up, values by window to [0, 1]; "


@dataclass(frozen=True, eq=False)
class PictureExtractor:
    """A network that sees pictures.

    Args:
        name: As in the table.
        weights: Which file is behind it, with its SHA-256.
        preparation: What is done to a picture, in words.
        prepare: Does it: (1, channel, row, column) in [0, 1] → what the network takes.
        network: Rows of a batch.
        slices: Of a volume.
        device: Where the network runs.
    """

    name: str
    weights: str
    preparation: str
    prepare: Callable[[Tensor], Tensor]
    network: Callable[[Tensor], Tensor]
    slices: int = SLICES
    device: str = "cpu"

    @property
    def record(self) -> Mapping[str, Any]:
        """What it is."""
        return {
            "name": self.name,
            "weights": self.weights,
            "preparation": _SHOWN + self.preparation,
            "slices": self.slices,
        }

    def see(self, sample: Sample) -> tuple[Real, tuple[str, ...]]:
        """Rows of a picture, or of slices of a volume."""
        names, pictures = zip(*cut_slices(sample, self.slices), strict=True)
        rows = [
            self._look(pictures[start : start + BATCH]) for start in range(0, len(pictures), BATCH)
        ]
        return np.concatenate(rows), names

    @torch.inference_mode()
    def _look(self, pictures: Sequence[Grey]) -> Real:
        tensors = [torch.from_numpy(np.ascontiguousarray(one))[None] for one in pictures]
        batch = torch.cat([self.prepare(one).expand(-1, 3, -1, -1) for one in tensors])
        return self.network(batch.to(self.device)).double().cpu().numpy()


def inception(weights_dir: str | Path | None, device: str, slices: int) -> PictureExtractor:
    """FID's Inception-v3."""
    network = pretrained.load_inception(weights_dir).to(device)
    return PictureExtractor(
        name="inception",
        weights=pretrained.describe("inception", weights_dir),
        preparation="to 299 × 299 without regard to proportions, bicubic with antialiasing, not "
        "cut off; grey in three channels; (255 x − 128) / 128",
        prepare=lambda x: _squeeze(x, INCEPTION_SIDE, "bicubic"),
        network=network,
        slices=slices,
        device=device,
    )


def clip(weights_dir: str | Path | None, device: str, slices: int) -> PictureExtractor:
    """CLIP ViT-B/32."""
    return _look_by_tower("clip", pretrained.load_clip(weights_dir), weights_dir, device, slices)


def biomedclip(weights_dir: str | Path | None, device: str, slices: int) -> PictureExtractor:
    """BiomedCLIP ViT-B/16."""
    tower = pretrained.load_embedding(weights_dir)
    return _look_by_tower("biomedclip", tower, weights_dir, device, slices)


def radimagenet(weights_dir: str | Path | None, device: str, slices: int) -> PictureExtractor:
    """RadImageNet's ResNet-50 as MONAI's FID uses it."""
    network = pretrained.load_radimagenet(weights_dir).to(device)
    return PictureExtractor(
        name="radimagenet",
        weights=pretrained.describe("radimagenet", weights_dir),
        preparation="to 224 × 224 without regard to proportions, bilinear with antialiasing; grey "
        "in three channels, colour as blue, green, red; less 0.406, 0.456, 0.485",
        prepare=lambda x: (
            _squeeze(x, _RADIMAGENET_SIDE, "bilinear").expand(-1, 3, -1, -1).flip(1)
            - _as_channels(_BGR_MEAN)
        ),
        network=network,
        slices=slices,
        device=device,
    )


def radimagenet_lab_rasool(
    weights_dir: str | Path | None, device: str, slices: int
) -> PictureExtractor:
    """The other ResNet-50 that is called RadImageNet's."""
    name = "radimagenet-lab-rasool"
    network = pretrained.load_radimagenet(weights_dir, name=name).to(device)
    return PictureExtractor(
        name=name,
        weights=pretrained.describe(name, weights_dir),
        preparation="to 224 × 224 without regard to proportions, bilinear with antialiasing; grey "
        "in three channels; ImageNet's mean and deviation",
        prepare=lambda x: (
            (_squeeze(x, _RADIMAGENET_SIDE, "bilinear") - _as_channels(_RGB_MEAN))
            / _as_channels(_RGB_DEVIATION)
        ),
        network=network,
        slices=slices,
        device=device,
    )


def _look_by_tower(
    name: str, tower: VisionTower, weights_dir: str | Path | None, device: str, slices: int
) -> PictureExtractor:
    tower = tower.to(device)
    return PictureExtractor(
        name=name,
        weights=pretrained.describe(name, weights_dir),
        preparation="shorter side to 224, bicubic with antialiasing, the middle 224 × 224; grey in "
        "three channels; CLIP's mean and deviation",
        prepare=lambda x: prepare_for_tower(2 * x - 1),
        network=tower,
        slices=slices,
        device=device,
    )


def _squeeze(x: Tensor, side: int, mode: str) -> Tensor:
    if x.shape[2:] == (side, side):
        return x
    return functional.interpolate(
        x, size=(side, side), mode=mode, align_corners=False, antialias=True
    )


def _as_channels(values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values)[:, None, None]

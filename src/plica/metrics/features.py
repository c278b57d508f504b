"""Features: what a pretrained network, or any codec, makes of the images of a set.

    inception                 FID's Inception-v3                         2048   photographs
    clip                      CLIP ViT-B/32                               512   pictures of the web
    biomedclip                BiomedCLIP ViT-B/16                         512   figures of papers
    radimagenet               ResNet-50, brought over from Keras         2048   CT, MR, ultrasound
    radimagenet-lab-rasool    ResNet-50, another file of that name       2048   the same
    codec:NAME                latents of a codec, pooled        2 · cells · C   its own images

Networks for pictures see a radiograph whole, and evenly spaced slices of a volume. A codec sees the
whole image, so that one of three dimensions gives one row for each volume: a Fréchet distance over
those is what FVD is for videos.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from plica.codecs import pretrained
from plica.codecs.catalogue import load
from plica.codecs.codec import Codec
from plica.codecs.device import choose_device
from plica.errors import InputError, SettingsError, UnknownName, UnusablePixels
from plica.latent import Latent
from plica.metrics.distribution import Features, Real
from plica.metrics.pictures import SLICES, Grey, Sample, cut_slices
from plica.networks.inception import SIDE as INCEPTION_SIDE
from plica.networks.vision import VisionTower
from plica.networks.vision import prepare as prepare_for_tower
from plica.preparation.reorient import Reorient
from plica.registry import Registry

FEATURES = Registry(
    "feature extractor",
    (
        ("inception", "plica.metrics.features:inception"),
        ("clip", "plica.metrics.features:clip"),
        ("biomedclip", "plica.metrics.features:biomedclip"),
        ("radimagenet", "plica.metrics.features:radimagenet"),
        ("radimagenet-lab-rasool", "plica.metrics.features:radimagenet_lab_rasool"),
    ),
)
CODEC = "codec:"
CELLS = 2
BATCH = 8
_BGR_MEAN = (0.406, 0.456, 0.485)
_RGB_MEAN, _RGB_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_RADIMAGENET_SIDE = 224
_SHOWN = "slices right way up, values by window to [0, 1]; "


@runtime_checkable
class Extractor(Protocol):
    """Makes rows of features of an image.

    Contract: the same image gives the same rows; all rows have one length; `record` says all that
    the rows depend on, so that sets of equal records can be compared.
    """

    @property
    def name(self) -> str:
        """As it was asked for."""
        ...

    @property
    def record(self) -> Mapping[str, Any]:
        """What it is, JSON-ready: name, weights with their SHA-256, preparation, slices."""
        ...

    def see(self, sample: Sample) -> tuple[Real, tuple[str, ...]]:
        """Rows of an image, and what each is called.

        Raises:
            UnusablePixels: It takes no such image.
        """
        ...


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


@dataclass(frozen=True, eq=False)
class CodecExtractor:
    """A codec whose latents are pooled: mean and deviation of each channel in each cell of a grid.

    Args:
        codec: Loaded.
        cells: Along each axis it folds.
    """

    codec: Codec
    cells: int = CELLS

    @property
    def name(self) -> str:
        """`codec:` and the codec's."""
        return CODEC + self.codec.card.name

    @property
    def record(self) -> Mapping[str, Any]:
        """What it is."""
        card = self.codec.card
        across = "×".join([str(self.cells)] * (3 if card.dims == 3 else 2))
        return {
            "name": self.name,
            "weights": self.codec.fingerprint,
            "preparation": f"volumes turned to RAS; {card.expects} Mean and standard deviation of "
            f"each code channel in each of {across} cells",
            "slices": 0,
        }

    def see(self, sample: Sample) -> tuple[Real, tuple[str, ...]]:
        """One row for the image."""
        image = sample.image
        if self.codec.card.dims == 3 and not image.is_volume:
            raise UnusablePixels(f"{self.codec.card.name} folds volumes, and this is one slice")
        latent = self.codec.encode(Reorient("RAS").apply(image)[0] if image.is_volume else image)
        flat = self.codec.card.dims != 3
        return pool(latent, self.cells, flat=flat)[None], (sample.name,)


def pool(latent: Latent, cells: int = CELLS, *, flat: bool) -> Real:
    """Mean and standard deviation of each channel's codes in each cell of a grid laid over them.

    Args:
        cells: Along i and j, and along k unless `flat`.
        flat: All slices lie in one cell along k.

    Raises:
        SettingsError: The latent has no codes on a grid.
        UnusablePixels: It has fewer codes along an axis than there are cells.
    """
    if latent.kind == "bitstream":
        raise SettingsError(
            f"{latent.codec.name} makes a stream of bytes, which has no codes to pool: choose a "
            "codec with latents"
        )
    counts = (cells, cells, 1 if flat else cells)
    if any(side < count for side, count in zip(latent.grid.shape, counts, strict=True)):
        raise UnusablePixels(
            f"a latent of {latent.grid.shape} codes has no {counts} cells: the image is too small, "
            "or ask for fewer cells"
        )
    parts = [latent.codes.astype(np.float64)]
    for axis, count in enumerate(counts, start=1):
        parts = [cell for part in parts for cell in np.array_split(part, count, axis=axis)]
    means = [part.mean(axis=(1, 2, 3)) for part in parts]
    deviations = [part.std(axis=(1, 2, 3)) for part in parts]
    return np.concatenate([*means, *deviations])


# -- the table -----------------------------------------------------------------------------------


def load_extractor(
    name: str,
    *,
    weights_dir: str | Path | None = None,
    device: str = "auto",
    slices: int = SLICES,
    cells: int = CELLS,
) -> Extractor:
    """An extractor, with its weights read.

    Args:
        name: In `FEATURES`, or "codec:" and a codec's name or folder.
        weights_dir: Where pretrained networks' files are looked for first.
        device: Where it runs.
        slices: A network for pictures sees so many of a volume.
        cells: A codec's latents are pooled in so many along each axis.

    Raises:
        UnknownName: There is none of that name.
        WeightsError: Its weights are nowhere; says where they were looked for, and what to do.
        SettingsError: A number is below one, or the codec has no latents to pool.

    Example:
        extractor = load_extractor("codec:compact-4x1-3d")
    """
    if min(slices, cells) < 1:
        raise SettingsError(f"slices and cells are 1 or more, but got {slices} and {cells}")
    if name.startswith(CODEC):
        codec = load(name.removeprefix(CODEC), device=device)
        if codec.card.latents[0] == "bitstream":
            raise SettingsError(
                f"{name} makes a stream of bytes, which has no codes to pool: choose a codec with "
                "latents"
            )
        return CodecExtractor(codec, cells)
    if name not in FEATURES:
        raise UnknownName(
            f"no feature extractor '{name}'; there are {', '.join(FEATURES)}, and codec:NAME for "
            "any codec"
        )
    return FEATURES.get_thing(name)(weights_dir, choose_device(device), slices)


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


# -- a whole set ---------------------------------------------------------------------------------


def extract(
    samples: Iterable[Sample],
    extractor: Extractor,
    *,
    tell: Callable[[int], None] | None = None,
) -> Features:
    """Features of a set of images, one or more rows each.

    Args:
        tell: Told how many images are done.

    Raises:
        InputError: There are no images.
        UnusablePixels: The extractor does not take one, or its features are not finite.

    Example:
        real = extract(samples, load_extractor("inception", weights_dir="weights/"))
    """
    parts = []
    for number, sample in enumerate(samples, start=1):
        parts.append(extract_one(sample, extractor))
        if tell is not None:
            tell(number)
    if not parts:
        raise InputError("the set has no images: there is nothing to extract features from")
    return Features.join(parts)


def extract_one(sample: Sample, extractor: Extractor) -> Features:
    """Features of one image.

    Raises:
        UnusablePixels: The extractor does not take it, or its features are not finite.
    """
    rows, names = extractor.see(sample)
    return Features(rows, (sample.patient,) * len(rows), names, extractor.record)

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

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from plica.codecs.catalogue import load
from plica.codecs.codec import Codec
from plica.codecs.device import choose_device
from plica.errors import InputError, SettingsError, UnknownName, UnusablePixels
from plica.latent import Latent
from plica.metrics.distribution import Features, Real
from plica.metrics.pictures import SLICES, Sample
from plica.preparation.reorient import Reorient
from plica.registry import Registry

FEATURES = Registry(
    "feature extractor",
    (
        ("inception", "plica.metrics.lookers:inception"),
        ("clip", "plica.metrics.lookers:clip"),
        ("biomedclip", "plica.metrics.lookers:biomedclip"),
        ("radimagenet", "plica.metrics.lookers:radimagenet"),
        ("radimagenet-lab-rasool", "plica.metrics.lookers:radimagenet_lab_rasool"),
    ),
)
CODEC = "codec:"
CELLS = 2


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

    Examples:
        >>> pool(latent, 2, flat=False).shape
        (16,)
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

    Examples:
        >>> load_extractor("codec:linear-4x1-2d").name
        'codec:linear-4x1-2d'
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

    Examples:
        >>> extract(samples, load_extractor("codec:linear-4x1-2d")).rows.shape
        (6, 8)
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

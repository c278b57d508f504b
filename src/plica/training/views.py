"""Views: what a probe is shown of each image, itself or a codec's codes; made once and kept.

```text
case ─ read ─ (slice) ─ resize ─► image ─┬─ full range ────────────────► "full-resolution"
                                         ├─ codec.encode ──────────────► codes
                                         └─ codec.encode, decode, full range ─► what came back
```

Views lie in the cache of prepared images. That of an image itself goes by the file's name, size and
time of change; that of a codec by the codec's fingerprint and the content of the image, wherever
its file lies: seeds, runs and folders share them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from plica.codecs.codec import Codec
from plica.codecs.preparing import Preparing
from plica.cohort import Case, Key
from plica.errors import InputError, SettingsError
from plica.grid import Grid
from plica.image import Image, fingerprint_pixels
from plica.latent import LatentKind
from plica.preparation.pipelines import full_range
from plica.preparation.reorient import Reorient
from plica.preparation.resize import resize
from plica.preparation.trail import prepare
from plica.training.cache import Cache, Entry, identify, open_pixels
from plica.training.cohorts import SERIES_LABEL, SPACING_LABEL, read_case

FULL = "full-resolution"
VERSION = 2
"""Of what is done here; entries of another version are made anew."""

_MARGIN = 0.1  # of a volume at either end, where slices hold little of the body
_STRAIGHT = "LPS"  # volumes are turned so, and their slices are axial and upright


@dataclass(frozen=True)
class Sight:
    """How much of an image a probe is shown.

    Args:
        dims: Axes of space the probe sees.
        size: Rows and columns of a picture, or sides i, j, k of a volume, that every image is
            resized to; () leaves images as they are.
        slices: For probes of pictures: how many axial slices of a volume are shown, each by
            itself, spread evenly over its middle; 0 takes no volumes.
        decoded: Whether what a codec gives back is shown, instead of its codes.

    Raises:
        SettingsError: Size or slices do not fit the axes.
    """

    dims: int
    size: tuple[int, ...] = ()
    slices: int = 0
    decoded: bool = False

    def __post_init__(self) -> None:
        if self.size and (len(self.size) != self.dims or min(self.size) < 1):
            raise SettingsError(
                f"a probe of {self.dims} axes needs a size of as many sides, such as "
                f"{'x'.join(['256', '256', '128'][: self.dims])}, but got "
                f"{'x'.join(map(str, self.size))}"
            )
        if self.slices < 0 or (self.slices and self.dims == 3):
            raise SettingsError("slices are for probes that see pictures: leave them out")

    @property
    def shape(self) -> tuple[int, int, int] | None:
        """Voxels (i, j, k) of what is shown; None where images are left as they are."""
        if not self.size:
            return None
        if self.dims == 2:
            return self.size[1], self.size[0], 1
        return self.size[0], self.size[1], self.size[2]


@dataclass(frozen=True)
class Subject:
    """A case, or one of its slices.

    Args:
        number: Of the slice; −1 for the whole image.
    """

    case: Case
    number: int = -1

    @property
    def key(self) -> Key:
        """The case's; a slice's series says which one it is."""
        patient, study, series = self.case.key
        return patient, study, series if self.number < 0 else f"{series}#{self.number}"


@dataclass(frozen=True)
class View:
    """One subject as it is shown, on disk.

    Args:
        path: In the cache.
        shape: (channel, i, j, k).
        content: Of the image it was made of.
    """

    path: Path
    shape: tuple[int, int, int, int]
    content: str

    @classmethod
    def of(cls, entry: Entry) -> View:
        """From what the cache knows."""
        c, i, j, k = (int(side) for side in entry.facts["shape"])
        return cls(entry.path, (c, i, j, k), str(entry.facts["content"]))

    def open(self) -> NDArray[Any]:
        """Values (channel, i, j, k), memory-mapped.

        Raises:
            InputError: They were removed or damaged since.
        """
        return open_pixels(self.path)


def list_subjects(cases: Sequence[Case], sight: Sight) -> list[Subject]:
    """Each case, or each of its slices."""
    numbers = range(sight.slices) if sight.slices else (-1,)
    return [Subject(case, number) for case in cases for number in numbers]


class Views:
    """Makes what is shown, and keeps it.

    Args:
        sight: How much of an image is shown.
        folder: Of the cache; None takes the user's.

    Examples:
        >>> from plica.training.cohorts import read_case
        >>> subject, codec = Subject(next(iter(cohort))), plica.load("linear-4x1-2d")
        >>> views = Views(Sight(dims=2, size=(32, 32)), Path("cache"))
        >>> views.of_image(subject).shape, views.of_codec(subject, codec).shape
        ((1, 32, 32, 1), (1, 8, 8, 1))
    """

    def __init__(self, sight: Sight, folder: Path | None = None) -> None:
        self._sight = sight
        self._cache = Cache(folder)
        self._read: tuple[Case | None, Image | None] = (None, None)

    def of_image(self, subject: Subject) -> View:
        """The image itself, in [−1, 1].

        Raises:
            InputError: It cannot be read, or is not of the kind that is shown.
        """
        labels = subject.case.labels
        series = labels.get(SERIES_LABEL, "") + labels.get(SPACING_LABEL, "")
        shown = {**vars(self._sight), "decoded": False, "number": subject.number}
        identity = f"view {VERSION} {json.dumps(shown)} {series} {identify(subject.case.path)}"

        def make() -> tuple[NDArray[Any], dict[str, Any]]:
            image = self.show(subject)
            return self._facts(_to_range(image), _content(image))

        return View.of(self._cache.fetch(identity, make))

    def of_codec(self, subject: Subject, codec: Codec) -> View:
        """What a codec makes of the image.

        Raises:
            PlicaError: The codec refuses it.
        """
        content = self.of_image(subject).content
        kind = kind_for(codec)
        decoded = self._sight.decoded or kind == "bitstream"
        what = f"{codec.card.name} {codec.fingerprint} {kind} {'decoded' if decoded else 'codes'}"

        def make() -> tuple[NDArray[Any], dict[str, Any]]:
            image = self.show(subject)
            if decoded:
                return self._facts(_to_range(codec.decode(codec.encode(image))), content)
            return self._facts(codec.encode(image, kind=kind).codes, content)

        return View.of(self._cache.fetch(f"codes {VERSION} {what} {content}", make))

    def show(self, subject: Subject) -> Image:
        """The image that is shown, or encoded: turned, sliced and resized, values as they are.

        Raises:
            InputError: It cannot be read, or is not of the kind that is shown.
        """
        case, image = self._read
        if case is not subject.case or image is None:
            image = _read(subject.case)
            self._read = (subject.case, image)
        if subject.number >= 0 and image.is_volume:
            image = _cut(image, subject.number, self._sight.slices)
        elif (self._sight.dims == 3) != image.is_volume:
            raise InputError(_describe_misfit(subject, self._sight))
        shape = self._sight.shape
        return image if shape is None else resize(image, shape)

    def _facts(self, pixels: NDArray[Any], content: str) -> tuple[NDArray[Any], dict[str, Any]]:
        return pixels, {"shape": list(pixels.shape), "content": content}


def kind_for(codec: Codec) -> LatentKind:
    """The latent that a classifier takes: the projected one where there is one."""
    kinds = codec.card.latents
    kind: LatentKind = "projected" if "projected" in kinds else kinds[0]  # type: ignore[assignment]
    return kind


def _read(case: Case) -> Image:
    image = read_case(case)
    return Reorient(_STRAIGHT).apply(image)[0] if image.is_volume else image


def _cut(image: Image, number: int, count: int) -> Image:
    """One of `count` slices, evenly over the volume without its ends."""
    deep = image.grid.shape[2]
    k = int((_MARGIN + (1 - 2 * _MARGIN) * (number + 0.5) / count) * deep)
    rows, columns = image.grid.shape[:2]
    grid = image.grid.window((0, 0, k), (rows, columns, 1))
    return replace(image, pixels=image.pixels[..., k : k + 1], grid=grid)


def _describe_misfit(subject: Subject, sight: Sight) -> str:
    name = subject.case.path.name
    if sight.dims == 3:
        return f"{name} is one slice, but the probe sees volumes: choose a 2d one"
    return (
        f"{name} is a volume, but the probe sees pictures: say how many of its slices with "
        "--slices, or choose a 3d one"
    )


def _to_range(image: Image) -> NDArray[Any]:
    steps = Preparing().steps(image, intensity=full_range, in_channels=1, sliced=False)
    return prepare(image, steps)[0].pixels


def _content(image: Image) -> str:
    """Of all that a codec may look at."""
    facts = json.dumps([_place(image.grid), image.unit.value, image.display.to_json()])
    return hashlib.sha256(f"{fingerprint_pixels(image.pixels)}{facts}".encode()).hexdigest()


def _place(grid: Grid) -> list[Any]:
    return [list(grid.shape), [round(side, 6) for side in grid.spacing_mm], grid.orientation]

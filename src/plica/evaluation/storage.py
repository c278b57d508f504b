"""Storage: what an image takes in bytes, as a file, and what that costs in decibels.

Every number is the size of a file that was written: latents at each type of number, and streams of
standard codecs in files of the same form, so that all carry grid, unit, display and provenance.
PSNR is always of the decoded image against the source.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from plica.errors import InputError, SettingsError, UnusablePixels
from plica.formats import latents
from plica.formats.codes import STORAGE_TYPES, StorageType
from plica.image import Image
from plica.latent import Latent
from plica.metrics.metric import measure

RATES = (0.0625, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
"""Bits per pixel at which standard codecs are drawn."""
LEAST_RATE, MOST_RATE = 0.01, 24.0
BYTES_TOLERANCE = 0.03  # of the bytes
PSNR_TOLERANCE = 0.15  # dB
_TRIES = 12
_NARROWEST = 0.004  # of log rate: below it encoders take the same path
_DECIBELS_PER_BIT = 6.02
_OCTAVE = math.log(2)
LOSSLESS = "without loss"

Encode = Callable[[Image], Latent]
Decode = Callable[[Latent], Image]
EncodeAt = Callable[[Image, float | None], Latent]


@dataclass(frozen=True)
class Coding:
    """A codec whose codes can be kept in several types of number.

    Args:
        name: Of the codec.
        encode: Folds an image.
        decode: Unfolds what it folded.
    """

    name: str
    encode: Encode
    decode: Decode


@dataclass(frozen=True)
class Standard:
    """A codec that takes a rate, such as JPEG 2000.

    Args:
        name: Of the codec.
        encode: Folds an image at a rate in bits per pixel; None keeps it without loss.
        decode: Unfolds what it folded.
    """

    name: str
    encode: EncodeAt
    decode: Decode


@dataclass(frozen=True)
class Point:
    """One codec's file of one image.

    Args:
        codec: Its name.
        setting: The type of number, or the rate that was asked for.
        bytes: Of the file.
        payload: Of the codes or the stream in it; the rest is what a file of latents says.
        pixels: Values of the image (voxels times channels).
        psnr: Against the source, dB; infinite where nothing was lost.
        rate: Bits per pixel that were asked for; 0 where none were.
    """

    codec: str
    setting: str
    bytes: int
    payload: int
    pixels: int
    psnr: float
    rate: float = 0.0

    @property
    def bits_per_pixel(self) -> float:
        """Of the file."""
        return 8 * self.bytes / self.pixels

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready record; a PSNR that is infinite is written "Infinity"."""
        psnr = self.psnr if math.isfinite(self.psnr) else "Infinity"
        return {**vars(self), "psnr": psnr, "bits_per_pixel": self.bits_per_pixel}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Point:
        """The point a record was made of.

        Raises:
            InputError: It is no point's record.
        """
        try:
            return cls(
                codec=str(record["codec"]),
                setting=str(record["setting"]),
                bytes=int(record["bytes"]),
                payload=int(record["payload"]),
                pixels=int(record["pixels"]),
                psnr=float(record["psnr"]),
                rate=float(record["rate"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"this is no record of a stored image: {error!r}") from error


def store(latent: Latent, dtype: StorageType = "float32") -> tuple[Latent, int]:
    """Write a latent to a file and read it back.

    Returns:
        The latent as it is read, and the bytes of the file.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "stored.latent"
        latents.write(latent, path, dtype=dtype)
        return latents.read(path), path.stat().st_size


def weigh(
    coding: Coding, image: Image, *, dtypes: Sequence[StorageType] = STORAGE_TYPES
) -> tuple[Point, ...]:
    """A codec's files of one image, one for each type of number its codes are kept in.

    Raises:
        SettingsError: The codec makes no codes but a stream, which has no type of number.
    """
    latent = coding.encode(image)
    if latent.kind == "bitstream":
        raise SettingsError(
            f"{coding.name} makes a stream of bytes and no latent: what it takes is found by its "
            "rate, as a standard codec"
        )
    return tuple(
        _point(coding.name, dtype, image, *store(latent, dtype), decode=coding.decode)
        for dtype in dtypes
    )


def _point(
    codec: str, setting: str, image: Image, seen: Latent, size: int, *, decode: Decode,
    rate: float = 0.0,
) -> Point:  # fmt: skip
    decoded = decode(seen)
    items = {"float16": 2, "bfloat16": 2, "int8": 1}.get(setting, seen.codes.itemsize)
    return Point(
        codec=codec,
        setting=setting,
        bytes=size,
        payload=seen.codes.size * items,
        pixels=image.pixels.size,
        psnr=measure(image, decoded, metrics=("psnr",))["psnr"],
        rate=rate,
    )


# -- standard codecs at a target -----------------------------------------------------------------


@dataclass(frozen=True)
class Match:
    """A standard codec's file that comes nearest to a target.

    Args:
        point: The file; None where there is none.
        target: Bytes, or dB.
        hit: Whether it is within the tolerance.
        why: Why it is not.
    """

    point: Point | None
    target: float
    hit: bool
    why: str = ""

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready record."""
        return {**vars(self), "point": None if self.point is None else self.point.to_json()}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Match:
        """The match a record was made of."""
        point = record["point"]
        return cls(
            point=None if point is None else Point.from_json(point),
            target=float(record["target"]),
            hit=bool(record["hit"]),
            why=str(record["why"]),
        )


@dataclass
class Curve:
    """A standard codec's files of one image, by rate; each is made once.

    Args:
        standard: The codec.
        image: The image.
    """

    standard: Standard
    image: Image
    points: dict[float, Point] = field(default_factory=dict)
    _refused: float = 0.0  # the largest rate the codec could not make

    def at_rate(self, rate: float | None) -> Point:
        """The file at a rate in bits per pixel, or without loss.

        Raises:
            UnusablePixels: The codec cannot make the image so small, or cannot keep it exactly.
        """
        if rate is not None and rate in self.points:
            return self.points[rate]
        setting = LOSSLESS if rate is None else f"{rate:.4g} bits per pixel"
        seen, size = store(self.standard.encode(self.image, rate))
        point = _point(
            self.standard.name, setting, self.image, seen, size,
            decode=self.standard.decode, rate=rate or 0.0,
        )  # fmt: skip
        if rate is not None:
            self.points[rate] = point
        return point

    def at_bytes(self, target: float, *, tolerance: float = BYTES_TOLERANCE) -> Match:
        """The file of so many bytes, within a share of them."""
        guess = 8 * target / self.image.pixels.size
        goal = _Goal(lambda p: math.log(p.bytes), math.log(target), math.log1p(tolerance))
        point, why = self._search(goal, guess)
        return Match(point, target, not why, why)

    def at_psnr(self, target: float, *, tolerance: float = PSNR_TOLERANCE) -> Match:
        """The file of so many decibels, within some."""
        if not math.isfinite(target):
            return Match(None, target, False, "nothing was lost, which no rate promises")
        finite = [p for p in self.points.values() if math.isfinite(p.psnr)]
        near = min(finite, key=lambda p: abs(p.psnr - target), default=None)
        guess = near.rate * 2 ** ((target - near.psnr) / _DECIBELS_PER_BIT) if near else 1.0
        point, why = self._search(_Goal(lambda p: p.psnr, target, tolerance), guess)
        return Match(point, target, not why, why)

    def _search(self, goal: _Goal, guess: float) -> tuple[Point | None, str]:
        """The nearest file, and why it is not near enough; "" where it is.

        Quality and size rise with the rate, but in steps, and not quite evenly: the next rate
        stands where a line between the nearest known files meets the target, but well inside.
        """
        for _ in range(_TRIES):
            if (found := goal.nearest(self.points.values())) and goal.misses(found) <= 0:
                return found, ""
            rate = self._next_rate(goal, guess)
            if rate is None:
                break
            try:
                self.at_rate(rate)
            except UnusablePixels:
                self._refused = max(self._refused, rate)
        found = goal.nearest(self.points.values())
        if found is None:
            return None, f"{self.standard.name} takes no rate for this image"
        if goal.misses(found) <= 0:
            return found, ""
        return found, f"{self.standard.name} comes no nearer than this"

    def _next_rate(self, goal: _Goal, guess: float) -> float | None:
        """A rate between the nearest that are too low and too high; None where all is narrow."""
        known = [(math.log(rate), goal.of(point)) for rate, point in self.points.items()]
        low = max((one for one in known if one[1] < goal.target), default=None)
        high = min((one for one in known if one[1] > goal.target), default=None)
        floor = math.log(self._refused) if self._refused else None
        if low and high:
            share = (goal.target - low[1]) / (high[1] - low[1])
            place = low[0] + (high[0] - low[0]) * min(max(share, 0.15), 0.85)
        elif high:
            place = min(high[0] - _OCTAVE, math.log(guess))
            place = place if floor is None or place > floor + _NARROWEST else (floor + high[0]) / 2
        elif low:
            place = max(low[0] + _OCTAVE, math.log(guess))
        else:
            place = max(math.log(guess), math.log(guess) if floor is None else floor + _OCTAVE)
        place = min(max(place, math.log(LEAST_RATE)), math.log(MOST_RATE))
        tried = [one[0] for one in known] + ([] if floor is None else [floor])
        return None if any(abs(place - one) < _NARROWEST / 4 for one in tried) else math.exp(place)


@dataclass(frozen=True)
class _Goal:
    """What is looked for: a quantity that rises with the rate, its target, and how near is near."""

    of: Callable[[Point], float]
    target: float
    tolerance: float

    def misses(self, point: Point) -> float:
        """By how much a file is out of tolerance; 0 or less where it is within."""
        return abs(self.of(point) - self.target) - self.tolerance

    def nearest(self, points: Iterable[Point]) -> Point | None:
        """Of some files."""
        return min(points, key=self.misses, default=None)

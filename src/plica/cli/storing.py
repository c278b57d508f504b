"""Storing: what images of a cohort take in bytes, codec by codec, one case after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from plica.cli.contenders import Contender
from plica.cli.resuming import open_journal, refuse_nothing
from plica.codecs.catalogue import load
from plica.errors import InputError, PlicaError, SettingsError, UnusablePixels
from plica.evaluation.rate_distortion import record_storage
from plica.evaluation.results import Result, Results, Where
from plica.evaluation.selection import Selected, Selection
from plica.evaluation.storage import RATES, Coding, Curve, Match, Point, Standard, weigh
from plica.evaluation.unsuited import Unsuited, find_unsuited
from plica.formats.codes import STORAGE_TYPES, StorageType
from plica.formats.doors import read
from plica.grid import Grid
from plica.image import Image
from plica.latent import Latent
from plica.training.cohorts import SERIES_LABEL
from plica.training.data import name_of

STANDARDS = ("jpeg2000", "jpegxl")
MOST_PIXELS = 2**22
Tell = Callable[[str], None]
Matches = dict[str, dict[str, Match]]


@dataclass(frozen=True)
class Asked:
    """What the results depend on.

    Args:
        images: Keys of the cases, in order.
        codecs: Each contender with the fingerprint of its weights.
        standards: Codecs they are compared with.
        dtypes: How codes are kept.
        most_pixels: Of an image.
    """

    images: tuple[str, ...]
    codecs: tuple[str, ...]
    standards: tuple[str, ...]
    dtypes: tuple[str, ...]
    most_pixels: int


@dataclass(frozen=True, eq=False)
class Storing:
    """What is kept, and how.

    Args:
        selection: Which images.
        contenders: Whose latents.
        standards: Codecs they are compared with.
        dtypes: How codes are kept.
        most_pixels: Larger images are left out, and it is said.
    """

    selection: Selection
    contenders: tuple[Contender, ...]
    standards: tuple[Standard, ...]
    dtypes: tuple[StorageType, ...] = STORAGE_TYPES
    most_pixels: int = MOST_PIXELS

    @property
    def asked(self) -> Asked:
        """What the results depend on."""
        return Asked(
            images=tuple("/".join(one.case.key) for one in self.selection),
            codecs=tuple(f"{one.name} {one.codec.fingerprint}" for one in self.contenders),
            standards=tuple(one.name for one in self.standards),
            dtypes=self.dtypes,
            most_pixels=self.most_pixels,
        )

    def order(self) -> list[Where]:
        """Where results stand: by case, then by codec."""
        return [(one.case.key, name, one.draw) for one in self.selection for name in self.names]

    @property
    def names(self) -> tuple[str, ...]:
        """What results stand under, in order."""
        latents = tuple(one.name for one in self.contenders)
        return latents + tuple(one.name for one in self.standards)

    def list_unsuited(self, results: Results) -> tuple[Unsuited, ...]:
        """The pictures that codecs of volumes were not tried on."""
        return find_unsuited(self.order(), results)

    def keep(self, selected: Selected, tell: Tell = lambda what: None) -> list[Result]:
        """The results of one image, or of why there are none."""
        try:
            image = self._open(selected)
        except (PlicaError, OSError, MemoryError) as error:
            return [_failed(selected, name, error) for name in self.names]
        curves = [Curve(standard, image) for standard in self.standards]
        shared = _describe(selected, image)
        results = []
        for contender in self.contenders:
            if contender.takes(image):
                tell(contender.name)
                results.append(self._keep_latent(selected, image, contender, curves, shared))
        for curve in curves:
            tell(curve.standard.name)
            results.append(_keep_stream(selected, curve, shared))
        return results

    def _open(self, selected: Selected) -> Image:
        case = selected.case
        image = read(case.path, series=case.labels.get(SERIES_LABEL) or None)
        if image.pixels.size > self.most_pixels:
            raise InputError(
                f"left out, since it has {image.pixels.size:,} pixels and --most-pixels allows "
                f"{self.most_pixels:,}"
            )
        return image

    def _keep_latent(
        self,
        selected: Selected,
        image: Image,
        contender: Contender,
        curves: Sequence[Curve],
        shared: Mapping[str, Any],
    ) -> Result:
        codec = contender.codec
        try:
            begun = time.perf_counter()
            latent = codec.encode(image)
            seconds = time.perf_counter() - begun
            coding = Coding(contender.name, lambda _: latent, codec.decode)
            points = weigh(coding, image, dtypes=self.dtypes)
            at_bytes, at_psnr = _match(points, curves)
        except (PlicaError, MemoryError) as error:
            return _failed(selected, contender.name, error)
        facts = {**shared, "encode_seconds": seconds, **record_storage(points, at_bytes, at_psnr)}
        return Result(selected.case.key, contender.name, selected.group, facts=facts,
                      draw=selected.draw)  # fmt: skip


def _match(points: Sequence[Point], curves: Sequence[Curve]) -> tuple[Matches, Matches]:
    at_bytes = {c.standard.name: {p.setting: c.at_bytes(p.bytes) for p in points} for c in curves}
    at_psnr = {c.standard.name: {p.setting: c.at_psnr(p.psnr) for p in points} for c in curves}
    return at_bytes, at_psnr


def _keep_stream(selected: Selected, curve: Curve, shared: Mapping[str, Any]) -> Result:
    """A standard codec at every rate of the figure, and without loss where it can."""
    points = []
    for rate in (*RATES, None):
        try:
            points.append(curve.at_rate(rate))
        except UnusablePixels:
            continue  # not so small, or not without loss: there is no such file
        except (PlicaError, MemoryError) as error:
            return _failed(selected, curve.standard.name, error)
    facts = {**shared, **record_storage(points, {}, {})}
    return Result(selected.case.key, curve.standard.name, selected.group, facts=facts,
                  draw=selected.draw)  # fmt: skip


def _describe(selected: Selected, image: Image) -> dict[str, Any]:
    return {
        "name": name_of(selected.case),
        "shape": list(image.grid.shape),
        "dtype": str(image.pixels.dtype),
        "unit": image.unit.value,
        "pixels": int(image.pixels.size),
        "raw_bytes": int(image.pixels.nbytes),
        "source_bytes": weigh_source(selected.case.path),
    }


def weigh_source(path: Path) -> int:
    """Bytes of the file an image came in, or of all files of its folder."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def _failed(selected: Selected, codec: str, error: BaseException) -> Result:
    return Result(
        case=selected.case.key,
        codec=codec,
        group=selected.group,
        facts={"name": name_of(selected.case)},
        draw=selected.draw,
        error=str(error) or "there is not enough memory",
    )


# -- all of them ---------------------------------------------------------------------------------


def keep_all(
    storing: Storing, out: Path | None, tell: Tell, *, overwrite: bool, resume: bool
) -> Results:
    """The results of all images; in a report's folder each is kept as it comes.

    Raises:
        InputError: No image could be kept.
        OutputError: There is a run already, and nothing was said of it.
        SettingsError: It is resumed with other settings.
    """
    if out is None:
        found = [storing.keep(one, _of(one, tell)) for one in storing.selection]
        results = Results(tuple(result for results in found for result in results))
        refuse_nothing(results, storing.list_unsuited(results), None)
        return results
    journal = open_journal(out, storing.asked, overwrite=overwrite, resume=resume)
    last = storing.names[-1]  # its result comes last: an image that has it is done
    for one in storing.selection:
        if not journal.has((one.case.key, last, one.draw)):
            for result in storing.keep(one, _of(one, tell)):
                journal.add(result)
    results = journal.read(storing.order())
    refuse_nothing(results, storing.list_unsuited(results), journal)
    return results


def _of(selected: Selected, tell: Tell) -> Tell:
    name = name_of(selected.case)
    return lambda codec: tell(f"{name}: {codec}")


# -- standard codecs -----------------------------------------------------------------------------


def load_standards(names: Sequence[str]) -> tuple[Standard, ...]:
    """Codecs that take a rate, each proved on a small image before any work begins.

    Raises:
        SettingsError: One takes no rate.
        MissingExtra: One needs a package that is not installed.
    """
    small = Image(np.zeros((1, 32, 32, 1), np.uint8), Grid.from_spacing((32, 32, 1), (1, 1, 1)))
    standards = []
    for name in names:
        if name not in STANDARDS:
            raise SettingsError(f"--standard takes {' and '.join(STANDARDS)}, but got '{name}'")
        standard = Standard(name, partial(_encode_at, name), load(name).decode)
        standard.encode(small, None)
        standards.append(standard)
    return tuple(standards)


def _encode_at(name: str, image: Image, rate: float | None) -> Latent:
    codec = load(name, lossless=True) if rate is None else load(name, rate=rate)
    return codec.encode(image)

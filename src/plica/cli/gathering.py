"""Gathering: features and shrunk pictures of sets of images, image by image, kept as they come."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.cli.console import progress
from plica.cli.contenders import Contender
from plica.cohort import Case, Key
from plica.errors import InputError, LatentError, PlicaError, UnreadableFile
from plica.evaluation.unsuited import Unsuited
from plica.formats.atomic import new_file
from plica.formats.doors import read
from plica.image import Image
from plica.metrics.distribution import Features
from plica.metrics.diversity import Pictures
from plica.metrics.features import Extractor, extract_one
from plica.metrics.pictures import SHRUNK, Sample, choose_window, shrink, stack_pictures
from plica.training.cohorts import SERIES_LABEL
from plica.training.data import name_of

PICTURES = "ms-ssim"
_ENDING = ".npz"

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Shelf:
    """A folder of arrays under the sum of what they were made of.

    Args:
        folder: None keeps nothing.
    """

    folder: Path | None = None

    def take(self, made_of: Mapping[str, Any]) -> Arrays | None:
        """What was made of the same before; None where nothing was.

        Raises:
            UnreadableFile: It is damaged.
        """
        if self.folder is None or not (path := self._path(self.folder, made_of)).is_file():
            return None
        try:
            # Opened here: np.load leaves open what is no whole archive.
            with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
                return {name: kept[name] for name in kept.files}
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
            raise UnreadableFile(
                f"{path} is damaged: {error}; delete it and go on with --resume"
            ) from error

    def put(self, made_of: Mapping[str, Any], arrays: Arrays) -> None:
        """Keep arrays, whole or not at all."""
        if self.folder is None:
            return
        with new_file(self._path(self.folder, made_of), overwrite=True) as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    @staticmethod
    def _path(folder: Path, made_of: Mapping[str, Any]) -> Path:
        spelt = json.dumps(made_of, sort_keys=True, ensure_ascii=True)
        return folder / f"{hashlib.sha256(spelt.encode()).hexdigest()[:40]}{_ENDING}"


@dataclass(eq=False)
class ImageSet:
    """What was gathered of one set, by case.

    Args:
        name: What it is called.
        copies: Whether its images are decoded copies of the real ones.
        features: Of each extractor, by its name and case.
        pictures: Shrunk images with patient and name, by case.
    """

    name: str
    copies: bool = False
    features: dict[str, dict[Key, Features]] = field(default_factory=dict)
    pictures: dict[Key, tuple[Any, str, str]] = field(default_factory=dict)

    def join(self, extractor: str, keys: Iterable[Key] | None = None) -> Features:
        """Features of the set, or of some of its cases.

        Raises:
            InputError: There are none.
        """
        own = self.features.get(extractor, {})
        chosen = own if keys is None else [key for key in keys if key in own]
        if not chosen:
            raise InputError(f"{self.name} has no image that {extractor} takes")
        return Features.join([own[key] for key in chosen])

    def stack(self, keys: Iterable[Key] | None = None) -> Pictures:
        """Pictures of the set, or of some of its cases.

        Raises:
            InputError: There are none, or volumes among pictures.
        """
        chosen = self.pictures if keys is None else [key for key in keys if key in self.pictures]
        return stack_pictures([self.pictures[key] for key in chosen])


@dataclass(eq=False)
class Gatherer:
    """Looks at images through extractors.

    Args:
        extractors: Loaded.
        shrinks: Whether pictures are kept for MS-SSIM.
        shelf: What was seen before.
    """

    extractors: Sequence[Extractor]
    shrinks: bool
    shelf: Shelf = field(default_factory=Shelf)
    _refused: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    _unsuited: dict[str, dict[Key, None]] = field(default_factory=dict)

    @property
    def refused(self) -> tuple[str, ...]:
        """What was left out of which sets and why, a line for each image and reason."""
        return tuple(
            f"{name} is left out ({'; '.join(where)}): {reason}"
            for (name, reason), where in self._refused.items()
        )

    @property
    def unsuited(self) -> tuple[Unsuited, ...]:
        """The pictures that codecs of volumes did not decode."""
        return tuple(Unsuited(codec, tuple(cases)) for codec, cases in self._unsuited.items())

    def gather(
        self,
        name: str,
        cases: Sequence[Case],
        contenders: Sequence[Contender] = (),
        *,
        silent: bool = False,
    ) -> tuple[ImageSet, ...]:
        """A cohort's set, and one for each codec that decodes it.

        An image that cannot be read or seen is left out and said, and does not stop the others.
        """
        own = ImageSet(name)
        decoded = [(one, ImageSet(one.name, copies=True)) for one in contenders]
        with progress(quiet=silent, lines=True) as bar:
            task = bar.add_task(f"looking at {name}", total=len(cases) * (1 + len(contenders)))
            for case in cases:
                source = _Source(case)
                self._look(source, _View(source), own)
                bar.advance(task)
                for contender, into in decoded:
                    self._look(source, _View(source, contender), into)
                    bar.advance(task)
        return own, *(into for _, into in decoded)

    def _look(self, source: _Source, view: _View, into: ImageSet) -> None:
        """Add a case's features and picture to a set."""
        for extractor in self.extractors:
            made_of = {"extractor": dict(extractor.record), **view.identity}
            seen = self._try(partial(_see, extractor), view, made_of, (into.name, extractor.name))
            if seen is not None:
                rows, names = seen["rows"], tuple(map(str, seen["names"]))
                patients = (source.case.patient,) * len(rows)
                features = Features(rows, patients, names, extractor.record)
                into.features.setdefault(extractor.name, {})[source.case.key] = features
        if self.shrinks:
            made_of = {"shrunk": SHRUNK, **view.identity}
            seen = self._try(_shrink, view, made_of, (into.name, PICTURES))
            if seen is not None:
                into.pictures[source.case.key] = (seen["values"], source.case.patient, source.name)

    def _try(
        self,
        look: Callable[[Sample], Arrays],
        view: _View,
        made_of: Mapping[str, Any],
        where: tuple[str, str],
    ) -> Arrays | None:
        """What is on the shelf, or what is seen now; None where the image is left out."""
        kept = self.shelf.take(made_of)
        if kept is not None:
            return kept
        try:
            sample = view.make()
            seen = None if sample is None else look(sample)
        except (InputError, LatentError, OSError, MemoryError) as error:
            reason = str(error) or "there is not enough memory"
            self._refused.setdefault((view.source.name, reason), []).append(", ".join(where))
            return None
        if seen is None:
            self._unsuited.setdefault(where[0], {})[view.source.case.key] = None
        else:
            self.shelf.put(made_of, seen)
        return seen


def _see(extractor: Extractor, sample: Sample) -> Arrays:
    found = extract_one(sample, extractor)
    return {"rows": found.rows, "names": np.array(found.names)}


def _shrink(sample: Sample) -> Arrays:
    return {"values": shrink(sample)}


class _Source:
    """A case's image, read once and when it is wanted."""

    def __init__(self, case: Case) -> None:
        self.case, self.name = case, name_of(case)

    @cached_property
    def image(self) -> Image | PlicaError:
        """The image, or why there is none."""
        try:
            return read(self.case.path, series=self.case.labels.get(SERIES_LABEL) or None)
        except PlicaError as error:
            return error

    @cached_property
    def sample(self) -> Sample:
        """The image with whose it is and the window it is seen in.

        Raises:
            PlicaError: It cannot be read, or makes no picture.
        """
        if not isinstance(self.image, Image):
            raise self.image
        window = choose_window(self.image)
        return Sample(self.image, self.case.patient, self.name, window)


class _View:
    """A case's image as it is in one set: itself, or decoded; made once and when it is wanted."""

    def __init__(self, source: _Source, contender: Contender | None = None) -> None:
        self.source, self.contender = source, contender
        self._made: Sample | PlicaError | None = None
        self._tried = False

    @property
    def identity(self) -> dict[str, Any]:
        """What tells it from every other: its file as it is now, and what was done to it."""
        case, one = self.source.case, self.contender
        how = "" if one is None else f"{one.name} {one.codec.fingerprint}"
        return {"case": list(case.key), "file": _mark(case.path), "codec": how}

    def make(self) -> Sample | None:
        """The image; a decoded one in its source's window. None where a codec takes no such one.

        Raises:
            PlicaError: It cannot be read, encoded or decoded.
        """
        if not self._tried:
            self._tried = True
            try:
                self._made = self._decode()
            except PlicaError as error:
                self._made = error
        if isinstance(self._made, PlicaError):
            raise self._made
        return self._made

    def _decode(self) -> Sample | None:
        sample = self.source.sample
        if self.contender is None:
            return sample
        if not self.contender.takes(sample.image):
            return None
        return replace(sample, image=self.contender.run(sample.image)[1])


def _mark(path: Path) -> list[int]:
    """Count, size and time of a file, or of all that lies in a folder."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    facts = [one.stat() for one in files if one.exists()]
    return [
        len(facts),
        sum(one.st_size for one in facts),
        max((one.st_mtime_ns for one in facts), default=0),
    ]

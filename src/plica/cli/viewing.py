"""Viewing: what extractors see of sources and decoded images while codecs are judged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from plica.cli.gathering import Arrays, Shelf
from plica.errors import SettingsError
from plica.evaluation.distances import Judged
from plica.evaluation.results import Result, Results, Where
from plica.image import Image
from plica.metrics.distribution import DISTANCES, Features, compare_sets
from plica.metrics.features import Extractor, extract_one, load_extractor
from plica.metrics.pictures import Sample, choose_window

SOURCE, DECODED = "source", "decoded"


@dataclass(frozen=True, eq=False)
class Viewer:
    """Looks at each pair of images once, and keeps what it sees.

    Args:
        distances: The numbers between sets: which distance, and through which extractor.
        extractors: Loaded, by name.
        shelf: Where what was seen is kept.
    """

    distances: tuple[tuple[str, str], ...] = ()
    extractors: dict[str, Extractor] = field(default_factory=dict)
    shelf: Shelf = field(default_factory=Shelf)

    @classmethod
    def open(
        cls, names: Iterable[str], folder: Path, *, weights_dir: Path | None, device: str
    ) -> Viewer:
        """Load what the distances are seen through, before any image is judged.

        Args:
            names: Distance and extractor: "fid-inception", "kid-codec:compact-4x3-2d".

        Raises:
            SettingsError: It names no distance and extractor.
            WeightsError: An extractor's weights are nowhere; says where they were looked for.
        """
        parts = tuple(_split(name) for name in names)
        extractors = {
            name: load_extractor(name, weights_dir=weights_dir, device=device)
            for name in dict.fromkeys(extractor for _, extractor in parts)
        }
        return cls(parts, extractors, Shelf(folder))

    def has(self, where: Where) -> bool:
        """Whether a pair was seen."""
        return all(
            self.shelf.take(_spell(where, name, side)) is not None
            for name in self.extractors
            for side in (SOURCE, DECODED)
        )

    def see(self, result: Result, source: Image, decoded: Image) -> None:
        """Look at a pair; both in the source's window.

        Raises:
            InputError: An image cannot be seen.
        """
        if not self.extractors:
            return
        window = choose_window(source)
        name = str(result.facts.get("name", ""))
        for side, image in ((SOURCE, source), (DECODED, decoded)):
            sample = Sample(image, result.patient, name, window)
            for extractor in self.extractors.values():
                seen = extract_one(sample, extractor)
                kept: Arrays = {"rows": seen.rows, "names": np.array(seen.names)}
                self.shelf.put(_spell(result.where, extractor.name, side), kept)

    def compare(self, results: Results, *, seed: int) -> tuple[tuple[str, int, Judged], ...]:
        """Each distance between sources and decoded images: of each group, draw and codec."""
        draws = sorted({result.draw for result in results})
        return tuple(
            (group, draw, Judged(codec, extractor, distance, distance.warnings))
            for group in results.groups
            for draw in draws
            for codec in results.codecs
            if (members := [r for r in results.of(codec=codec, group=group) if r.draw == draw])
            for metric, extractor in self.distances
            for distance in [
                compare_sets(
                    self._join(members, extractor, SOURCE),
                    self._join(members, extractor, DECODED),
                    metric,
                    seed=seed,
                )
            ]
        )

    def _join(self, members: list[Result], extractor: str, side: str) -> Features:
        parts = []
        for result in members:
            seen = self.shelf.take(_spell(result.where, extractor, side))
            if seen is not None:
                rows, names = seen["rows"], tuple(map(str, seen["names"]))
                patients = (result.patient,) * len(rows)
                record = self.extractors[extractor].record
                parts.append(Features(rows, patients, names, record))
        return Features.join(parts)


def _split(name: str) -> tuple[str, str]:
    metric, dash, extractor = name.partition("-")
    if not dash or metric not in DISTANCES:
        raise SettingsError(
            f"a distance between sets is called DISTANCE-FEATURES such as fid-inception, not "
            f"'{name}'; distances are {', '.join(DISTANCES)}"
        )
    return metric, extractor


def _spell(where: Where, extractor: str, side: str) -> dict[str, object]:
    key, codec, draw = where
    return {"case": list(key), "codec": codec, "draw": draw, "through": extractor, "side": side}

"""Judging: each contender on each selected image, one result after the other, into a journal."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plica.cli.console import keep_end, progress
from plica.cli.contenders import Contender
from plica.cli.viewing import Viewer
from plica.errors import InputError, PlicaError
from plica.evaluation.journal import Journal
from plica.evaluation.protocol import Crop, Protocol
from plica.evaluation.results import Result, Where
from plica.evaluation.selection import Prepared, Selected, Selection, crop_middle, prepare
from plica.image import Image
from plica.latent import Latent
from plica.metrics.metric import measure
from plica.training.cohorts import read_case
from plica.training.data import name_of


@dataclass(frozen=True)
class Asked:
    """Everything the results depend on: a run is gone on with only where none of it changed.

    Args:
        protocol: Its name and version.
        images: SHA-256 over the keys, groups and draws of the selected images.
        codecs: Each contender and the fingerprint of its weights.
        metrics: By name.
        distances: Between sets of images, by name.
        crop: Voxels cut from the middle; () takes what the protocol says.
        data_range: Of all values; 0 leaves it to the protocol.
    """

    protocol: str
    images: str
    codecs: tuple[str, ...]
    metrics: tuple[str, ...]
    distances: tuple[str, ...] = ()
    crop: tuple[int, ...] = ()
    data_range: float = 0.0


@dataclass(frozen=True, eq=False)
class Judging:
    """What is judged, and how.

    Args:
        protocol: How images are cut, and measured.
        selection: Which images.
        contenders: Which codecs.
        metrics: By name.
        crop: Cut from the middle of every image besides.
        data_range: Instead of the protocol's.
        weights_dir: Where metrics' own networks lie.
        device: Where networks run.
        viewer: What looks at the pairs besides, for distances between sets.
    """

    protocol: Protocol
    selection: Selection
    contenders: tuple[Contender, ...]
    metrics: tuple[str, ...]
    crop: Crop | None = None
    data_range: float | None = None
    weights_dir: Path | None = None
    device: str = "cpu"
    viewer: Viewer = field(default_factory=Viewer)

    @property
    def asked(self) -> Asked:
        """What the results depend on."""
        keys = json.dumps([[*one.case.key, one.group, one.draw] for one in self.selection])
        return Asked(
            protocol=f"{self.protocol.name} v{self.protocol.version}",
            images=f"{len(self.selection)}, sha256:{hashlib.sha256(keys.encode()).hexdigest()}",
            codecs=tuple(f"{one.name} {one.codec.fingerprint}" for one in self.contenders),
            metrics=self.metrics,
            distances=tuple("-".join(pair) for pair in self.viewer.distances),
            crop=self.crop.voxels if self.crop else (),
            data_range=self.data_range or 0.0,
        )

    def order(self) -> list[Where]:
        """Where results stand in the report: by codec, then as selected."""
        return [
            (selected.case.key, contender.name, selected.draw)
            for contender in self.contenders
            for selected in self.selection
        ]

    # -- one image -------------------------------------------------------------------------------

    def open(self, selected: Selected) -> Prepared:
        """Read an image, and prepare it as the protocol says.

        Raises:
            PlicaError: It cannot be read, or is not what the protocol judges.
        """
        case = selected.case
        prepared = prepare(read_case(case), self.protocol, selected.group, labels=case.labels)
        if self.crop is None:
            return prepared
        if prepared.region is not None:
            raise InputError(f"{self.protocol.name} looks inside boxes: leave out --crop")
        cut, note = crop_middle(prepared.image, self.crop)
        return Prepared(cut, prepared.data_range, None, (*prepared.notes, note))

    def compare(
        self, selected: Selected, prepared: Prepared, contender: Contender
    ) -> tuple[Result, Latent, Image]:
        """One contender's result on one image, with what it was measured on.

        Raises:
            PlicaError: The codec or a metric refuses the image.
        """
        latent, decoded, facts = contender.run(prepared.image)
        measured = measure(
            prepared.image,
            decoded,
            metrics=self.metrics,
            data_range=self.data_range or prepared.data_range,
            region=prepared.region,
            weights_dir=self.weights_dir,
            strict=False,
        )
        facts |= describe(prepared, measured.data_range_rule)
        result = Result(
            case=selected.case.key,
            codec=contender.name,
            group=selected.group,
            values=measured.values,
            facts={"name": name_of(selected.case), **facts},
            draw=selected.draw,
        )
        return result, latent, decoded

    def done(self, journal: Journal, where: Where) -> bool:
        """Whether a result and all that goes with it is there."""
        return journal.has(where) and (self.viewer.has(where) or journal.failed(where))


def describe(prepared: Prepared, rule: str) -> dict[str, Any]:
    """What is known of an image as it was judged."""
    image = prepared.image
    return {
        "shape": list(image.grid.shape),
        "spacing_mm": [round(step, 6) for step in image.grid.spacing_mm],
        "calibrated": image.grid.calibrated,
        "channels": image.channels,
        "unit": image.unit.value,
        "dtype": str(image.pixels.dtype),
        "source_bytes": int(image.pixels.nbytes),
        "data_range_rule": rule,
        "prepared": list(prepared.notes),
    }


# -- all of them ---------------------------------------------------------------------------------


def judge_all(judging: Judging, journal: Journal, *, silent: bool) -> int:
    """Judge what the journal lacks; a codec that refuses an image does not stop the others.

    Returns:
        How many results were there already.
    """
    work = [
        (selected, contender)
        for selected in judging.selection
        for contender in judging.contenders
        if not judging.done(journal, (selected.case.key, contender.name, selected.draw))
    ]
    left = len(judging.selection) * len(judging.contenders) - len(work)
    with progress(quiet=silent, lines=True) as bar:
        task = bar.add_task("judging", total=len(work))

        def told(selected: Selected, contender: Contender) -> None:
            bar.update(
                task, description=f"{keep_end(name_of(selected.case), 40)} · {contender.name}"
            )

        for result in _results(judging, work, told):
            if result is not None:
                journal.add(result)
            bar.advance(task)
    return left


def _results(
    judging: Judging,
    work: list[tuple[Selected, Contender]],
    told: Callable[[Selected, Contender], None],
) -> Iterator[Result | None]:
    """A result for each piece of work; None where a volumetric codec met a picture."""
    current: Selected | None = None
    prepared: Prepared | PlicaError | None = None
    for selected, contender in work:
        told(selected, contender)
        if selected is not current:
            current, prepared = selected, _try_open(judging, selected)
        if isinstance(prepared, Prepared):
            yield _try_compare(judging, selected, prepared, contender)
        else:
            yield _failed(selected, contender, prepared)


def _try_open(judging: Judging, selected: Selected) -> Prepared | PlicaError:
    try:
        return judging.open(selected)
    except PlicaError as error:
        return error
    except (OSError, MemoryError) as error:
        return InputError(str(error) or "there is not enough memory")


def _try_compare(
    judging: Judging, selected: Selected, prepared: Prepared, contender: Contender
) -> Result | None:
    if not contender.takes(prepared.image):
        return None
    try:
        result, _, decoded = judging.compare(selected, prepared, contender)
        judging.viewer.see(result, prepared.image, decoded)
    except (PlicaError, MemoryError) as error:
        return _failed(selected, contender, error)
    return result


def _failed(selected: Selected, contender: Contender, error: BaseException | None) -> Result:
    return Result(
        case=selected.case.key,
        codec=contender.name,
        group=selected.group,
        facts={"name": name_of(selected.case)},
        draw=selected.draw,
        error=str(error) or "there is not enough memory",
    )

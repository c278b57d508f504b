"""Judging faithfulness: each codec and its matched controls on each image, into a journal."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from plica.cli.console import keep_end, progress
from plica.cli.contenders import Contender
from plica.cohort import Case
from plica.errors import InputError, PlicaError
from plica.evaluation.controls import match_control
from plica.evaluation.faithfulness import PARTS, Faithfulness, judge_faithfulness
from plica.evaluation.faithfulness_lesions import FACTS
from plica.evaluation.faithfulness_values import list_values
from plica.evaluation.fields import to_field, to_values
from plica.evaluation.journal import Journal
from plica.evaluation.protocol import Crop
from plica.evaluation.results import Result, Results, Where
from plica.evaluation.retention import Plan, Reconstruct, plan_lesions
from plica.evaluation.selection import crop_middle
from plica.evaluation.unsuited import Unsuited, find_unsuited
from plica.formats.doors import read
from plica.image import Image
from plica.latent import Latent
from plica.training.cohorts import SERIES_LABEL
from plica.training.data import name_of

Triple = tuple[int, int, int]
VERSION = "faithfulness v2"
QUESTIONS = {"planted": "planted lesions", "removed": "removed structures"}
"""Parts of faithfulness whose names say too little beside a bar."""


@dataclass(frozen=True)
class AskedFaithfulness:
    """Everything the results depend on.

    Args:
        version: Of the definitions.
        images: How many, and SHA-256 over their keys.
        codecs: Each codec and the fingerprint of its weights.
        controls: Denoisers matched to each of them.
        crop: Voxels cut from the middle of volumes; () takes them whole.
        diameters: Of lesions; () takes those that suit each image.
        contrasts: The same.
        seed: Of all that is drawn.
        lesions_in: The tissue they stand in, in CT.
    """

    version: str
    images: str
    codecs: tuple[str, ...]
    controls: tuple[str, ...]
    crop: tuple[int, ...]
    diameters: tuple[float, ...]
    contrasts: tuple[float, ...]
    seed: int
    lesions_in: str = "soft"


@dataclass(frozen=True, eq=False)
class Trial:
    """What is judged, and how.

    Args:
        cases: The images.
        contenders: The codecs.
        controls: Denoisers matched to each codec on each image.
        crop: Cut from the middle of volumes.
        diameters: Of lesions, in mm or pixels; none takes those that suit each image.
        contrasts: Of lesions, in the images' unit; none takes those that suit each image.
        seed: Of all that is drawn.
        lesions_in: The tissue they stand in, in CT: "soft" or "lung".
    """

    cases: tuple[Case, ...]
    contenders: tuple[Contender, ...]
    controls: tuple[str, ...] = ()
    crop: Crop | None = None
    diameters: tuple[float, ...] = ()
    contrasts: tuple[float, ...] = ()
    seed: int = 0
    lesions_in: str = "soft"

    @property
    def asked(self) -> AskedFaithfulness:
        """What the results depend on."""
        keys = json.dumps([case.key for case in self.cases])
        return AskedFaithfulness(
            version=VERSION,
            images=f"{len(self.cases)}, sha256:{hashlib.sha256(keys.encode()).hexdigest()}",
            codecs=tuple(f"{one.name} {one.codec.fingerprint}" for one in self.contenders),
            controls=self.controls,
            crop=self.crop.voxels if self.crop else (),
            diameters=self.diameters,
            contrasts=self.contrasts,
            seed=self.seed,
            lesions_in=self.lesions_in,
        )

    def names(self, contender: Contender) -> tuple[str, ...]:
        """A codec's name and those of its controls."""
        return contender.name, *(name_control(one, contender.name) for one in self.controls)

    def order(self) -> list[Where]:
        """Where results stand in the report."""
        names = [name for contender in self.contenders for name in self.names(contender)]
        return [(case.key, name, 0) for name in names for case in self.cases]

    def list_unsuited(self, results: Results) -> tuple[Unsuited, ...]:
        """The pictures that codecs of volumes were not tried on; what controls lack is theirs."""
        asked = [(case.key, one.name, 0) for one in self.contenders for case in self.cases]
        return find_unsuited(asked, results)

    def open(self, case: Case) -> Image:
        """Read an image, and cut it where it is a volume.

        Raises:
            PlicaError: It cannot be read.
        """
        image = read(case.path, series=case.labels.get(SERIES_LABEL) or None)
        if self.crop is None or not image.is_volume:
            return image
        return crop_middle(image, self.crop)[0]

    def judge(
        self,
        image: Image,
        reconstruct: Reconstruct,
        tell: Callable[[str], None] = lambda part: None,
        **known: Any,
    ) -> Faithfulness:
        """One codec or control on one image; `tell` is told which question is at work.

        Raises:
            PlicaError: Nothing can be told, or the codec refuses the image.
        """
        plan = None
        if self.diameters or self.contrasts or self.lesions_in != Plan.tissue:
            plan = plan_lesions(
                to_field(image),
                diameters=self.diameters,
                contrasts=self.contrasts,
                seed=self.seed,
                tissue=self.lesions_in,
            )

        def ask() -> Iterator[str]:
            for part in PARTS:
                tell(part)
                yield part

        return judge_faithfulness(
            image, reconstruct, seed=self.seed, plan=plan, parts=ask(), **known
        )


def name_control(control: str, codec: str) -> str:
    """What a control's numbers stand under."""
    return f"{control} at the loss of {codec}"


def group_of(image: Image) -> str:
    """The kind of image, within which numbers have one unit: "slices in HU"."""
    kind = "volumes" if image.is_volume else "slices"
    spaced = "" if image.grid.calibrated else ", pixels"
    return f"{kind} in {image.unit.value}{spaced}"


def factor_of(image: Image, latent: Latent) -> Triple:
    """How much coarser a latent is along the image's own axes.

    A codec that keeps every voxel is held against interpolation by two, within slices.
    """
    if latent.kind == "bitstream" or max(latent.factor) == 1:
        sides, spacing = image.grid.shape, image.grid.spacing_mm
        across = 2 if 1 in sides[2:] else int(np.argmax(spacing + np.arange(3) * 1e-9))
        i, j, k = (1 if axis == across else 2 for axis in range(3))
        return i, j, k
    prepared = latent.prepared.affine[:3, :3]
    own = image.grid.affine[:3, :3]
    cosines = np.abs((own / np.linalg.norm(own, axis=0)).T @ prepared)
    cosines /= np.linalg.norm(prepared, axis=0)
    i, j, k = (latent.factor[int(axis)] for axis in cosines.argmax(axis=1))
    return i, j, k


# -- all of them ---------------------------------------------------------------------------------


def judge_all(trial: Trial, journal: Journal, *, silent: bool) -> int:
    """Judge what the journal lacks; returns how many results were there already."""
    work = [
        (case, contender)
        for case in trial.cases
        for contender in trial.contenders
        if not all(journal.has((case.key, name, 0)) for name in trial.names(contender))
    ]
    with progress(quiet=silent, lines=True) as bar:
        task = bar.add_task("judging", total=len(work))

        def tell(case: Case, name: str, part: str = "", *, done: int = 0) -> None:
            about = f": {QUESTIONS.get(part, part)}" if part else ""
            bar.update(
                task, description=f"{keep_end(name_of(case), 36)} · {name}{about}", advance=done
            )

        current: Case | None = None
        image: Image | PlicaError = InputError("")
        for case, contender in work:
            if case is not current:
                current, image = case, _try_open(trial, case)
            for result in _judge_one(trial, case, contender, image, tell):
                if not journal.has(result.where):
                    journal.add(result)
            tell(case, contender.name, done=1)
    return len(trial.cases) * len(trial.contenders) - len(work)


def _try_open(trial: Trial, case: Case) -> Image | PlicaError:
    try:
        return trial.open(case)
    except PlicaError as error:
        return error
    except (OSError, MemoryError) as error:
        return InputError(str(error) or "there is not enough memory")


def _judge_one(
    trial: Trial,
    case: Case,
    contender: Contender,
    image: Image | PlicaError,
    tell: Callable[..., None],
) -> Iterator[Result]:
    """A codec's result on an image, then those of its controls."""
    facts: dict[str, Any] = {"name": name_of(case)}
    if not isinstance(image, Image):
        for name in trial.names(contender):
            yield Result(case.key, name, facts=facts, error=str(image))
        return
    if not contender.takes(image):
        return
    group = group_of(image)
    tell(case, contender.name)
    try:
        latent, decoded, _ = contender.run(image)
        factor = factor_of(image, latent)
        found = trial.judge(
            image,
            lambda one: contender.run(one)[1],
            factor=factor,
            decoded=decoded,
            tell=partial(tell, case, contender.name),
        )
    except (PlicaError, MemoryError) as error:
        for name in trial.names(contender):
            yield Result(case.key, name, group, facts=facts, error=_say(error))
        return
    yield _result(case, contender.name, group, found, facts)
    rms = float(np.sqrt(((to_values(image) - to_values(decoded)) ** 2).mean()))
    for control in trial.controls:
        name = name_control(control, contender.name)
        tell(case, name)
        try:
            matched = match_control(image, control, rms)
            found = trial.judge(
                image, matched.reconstruct, factor=factor, tell=partial(tell, case, name)
            )
        except (PlicaError, MemoryError) as error:
            yield Result(case.key, name, group, facts=facts, error=_say(error))
        else:
            yield _result(case, name, group, found, {**facts, "strength": matched.strength})


def _result(
    case: Case, name: str, group: str, found: Faithfulness, facts: dict[str, Any]
) -> Result:
    return Result(case.key, name, group, list_values(found), {**facts, FACTS: found.to_json()})


def _say(error: BaseException) -> str:
    return str(error) or "there is not enough memory"

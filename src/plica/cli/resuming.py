"""Resuming: what is there already must be of the source, or of the report, it is left for."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from plica.cli.jobs import Job
from plica.errors import InputError, OutputError, PlicaError, SettingsError
from plica.evaluation.journal import Journal
from plica.evaluation.publish import RUN, refuse_folder
from plica.evaluation.record import RECORD
from plica.evaluation.results import Results
from plica.evaluation.unsuited import Unsuited, say_unsuited
from plica.formats.latents import is_latent, read_header
from plica.formats.sources import Source
from plica.image import Image
from plica.run import RECIPE


def refuse_others(jobs: Sequence[Job], read: Callable[[Source], Image], *, chosen: bool) -> None:
    """Refuse to take a latent of another series for this one.

    Of a latent its header is read, and of the source nothing: its mark is known. Images of one
    series have one mark; where one of them was chosen, its pixels are read and tell.

    Args:
        jobs: All, with those whose output is there.
        read: Reads a source.
        chosen: Whether `--series` chose it.

    Raises:
        OutputError: A latent that is there was made of another series.
    """
    for job in jobs:
        target, (mark, _, part) = job.target(".latent"), job.source.mark.partition(".")
        if not mark or not target.is_file() or not is_latent(target):
            continue
        try:
            kept = read_header(target)["provenance"]
            differs = bool(kept["series"]) and kept["series"] != mark
            if not differs and part and chosen and kept["content"]:
                differs = kept["content"] != read(job.source).provenance.content
        except (PlicaError, OSError):
            continue  # a damaged one is left as it is, too; decoding it says what is wrong
        if differs:
            raise OutputError(
                f"{target} is there already, and is the latent of another series than "
                f"{job.source.name}: choose another output, or --overwrite to replace it"
            )


# -- reports ---------------------------------------------------------------------------------------


def refuse_report(out: Path | None, *, overwrite: bool, resume: bool) -> None:
    """Stop before any work where a report would have no place.

    Raises:
        OutputError: The folder is a file, holds other things, or holds a report or a run and
            nothing was said of it.
        SettingsError: There is no folder to resume in.
    """
    if out is None:
        if resume:
            raise SettingsError("--resume goes on in a report's folder: name it with -o")
        return
    refuse_folder(out, overwrite=True)  # a file
    names = {path.name for path in out.iterdir()} if out.exists() else set()
    if names and not (overwrite or resume):
        raise OutputError(f"{out} is there already: choose another folder, --overwrite or --resume")
    if names - {RUN, RECORD} and not (RECORD in names or (out / RUN / RECIPE).is_file()):
        raise OutputError(f"{out} holds other things than a report: choose another folder")


def open_journal(out: Path, asked: Any, *, overwrite: bool, resume: bool) -> Journal:
    """The journal of a report's folder, begun anew where the report is to be replaced.

    Args:
        out: The report's folder, which `refuse_report` had nothing against.
        asked: A frozen dataclass of everything the results depend on.
        overwrite: Whether the results that are there are removed.
        resume: Whether they are gone on with.

    Raises:
        SettingsError: It is resumed with other settings.
    """
    folder = out / RUN
    if overwrite and (folder / RECIPE).is_file():  # another's folder of that name is not ours
        shutil.rmtree(folder)
    return Journal.begin(folder, asked, resume=resume)


def refuse_nothing(
    results: Results, unsuited: Collection[Unsuited], journal: Journal | None
) -> None:
    """Stop where nothing was judged; a run that was begun for it does not stay in the way.

    There is nothing in it to go on with: each image failed, or is one of another kind.

    Raises:
        InputError: No result is without an error.
        OutputError: The run cannot be removed.
    """
    if len(results.of()):
        return
    if journal is not None:
        journal.discard()
    failures = results.failures.all
    said = []
    if failures:
        first = failures[0]
        said.append(f"{len(failures)} failed, such as {first.facts.get('name')}: {first.error}")
    if unsuited:
        said.append(f"{' '.join(say_unsuited(unsuited))} Choose codecs of pictures, or volumes")
    raise InputError(f"no image could be judged: {'. '.join(said)}")

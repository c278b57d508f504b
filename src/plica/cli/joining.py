"""Joining: whose study each output of a command becomes part of, told before any work."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from plica.cli.console import print_note
from plica.cli.jobs import Job
from plica.errors import AmbiguousSource, OutputError, PlicaError
from plica.formats.latents import read_header
from plica.grid import Grid
from plica.image import Provenance

if TYPE_CHECKING:
    from plica.formats.dicom_template import Templates

NAMED = (
    "--like writes who the patient is: name, number, birth date, accession number, the study's "
    "dates, texts and UIDs, and more (docs/identity.md) are those of the source, and the "
    "series' number is counted on from its"
)


_NAMED_DOUBTS = 3


def _join_refusals(refused: Sequence[AmbiguousSource], of: int) -> AmbiguousSource:
    """The first of them, how many more there are, and what to do where the rest could be done."""
    others = len(refused) - 1
    more = (
        f"; {others} more of {of} {'has' if others == 1 else 'have'} none there" if others else ""
    )
    rest = "; nothing was written: decode what has none without --like" if of > 1 else ""
    return AmbiguousSource(f"{refused[0]}{more}{rest}")


def _say_doubt(names: Sequence[str], doubt: str) -> str:
    """That a source was found by its grid alone."""
    said = ", ".join(names[:_NAMED_DOUBTS])
    said += f" and {len(names) - _NAMED_DOUBTS} more" if len(names) > _NAMED_DOUBTS else ""
    return (
        f"{said}: neither a series' mark nor equal pixels say that the source given is its own, "
        f"only {doubt}: another patient's image may have these too; "
        "compare them before you trust the name written"
    )


@dataclass
class Joining:
    """Finds for each output the series it was made of, and gives it a number of its own.

    Used as a context, in which a zip stays unpacked.

    Args:
        like: Where the sources' series are; None where outputs join no study.
    """

    like: Path | None
    _templates: Templates | None = None
    _numbers: set[int] = field(default_factory=set)
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def __enter__(self) -> Joining:
        """Look through the series; nothing of their pixels is read."""
        if self.like is not None:
            from plica.formats.dicom_template import Templates

            self._templates = self._stack.enter_context(Templates(self.like))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take away what was unpacked."""
        self._stack.close()

    def check(self, jobs: Sequence[Job], *, latents: bool = False, quiet: bool = False) -> None:
        """Refuse before the work what would join no study, or a wrong one.

        Args:
            jobs: What is to be done.
            latents: Whether the sources are latents, which say what they were made of.
            quiet: Not to say what of the patient will be written.

        Raises:
            OutputError: An output is not written as DICOM.
            AmbiguousSource: A latent was made of none of the series.
        """
        if self._templates is None:
            return
        for job in jobs:
            for target in job.targets:
                if target.suffix and target.suffix.lower() != ".dcm":
                    raise OutputError(
                        f"{target}: only DICOM is written --like another: let its name end in "
                        ".dcm, or leave --like out"
                    )
        doubts = self._find_doubts(jobs) if latents else {}
        if jobs and not quiet:
            print_note(NAMED)
            for doubt, names in doubts.items():
                print_note(_say_doubt(names, doubt))

    def _find_doubts(self, jobs: Sequence[Job]) -> dict[str, list[str]]:
        """What little speaks for the series of latents, and of which; strangers are refused."""
        doubts: dict[str, list[str]] = {}
        strangers: list[AmbiguousSource] = []
        for job in jobs:
            try:
                record = read_header(job.source.path)
            except (PlicaError, OSError):
                continue  # decoding it says what is wrong
            try:
                if doubt := self._refuse_stranger(job, record):
                    doubts.setdefault(doubt, []).append(job.source.name)
            except AmbiguousSource as error:
                strangers.append(error)
        if strangers:
            raise _join_refusals(strangers, len(jobs))
        return doubts

    def _refuse_stranger(self, job: Job, record: dict[str, Any]) -> str:
        """Refuse a latent of another series, by name; say what little speaks for its own."""
        provenance = Provenance.from_json(record["provenance"])
        grid = Grid.from_json(record["source"])
        try:
            return "" if self._templates is None else self._templates.doubt(provenance, grid)
        except AmbiguousSource as error:
            raise AmbiguousSource(f"{job.source.name}: {error}") from error

    def choose(self, provenance: Provenance, grid: Grid) -> dict[str, Any]:
        """What `plica.write` takes of it for the image of a source: its template and number.

        The number is the smallest from the source's and a thousand on that no series of `like`
        has, no output of this command, and nothing that is made of another series of `like`.

        Raises:
            AmbiguousSource: It was made of none of the series.
        """
        template = self._find(provenance, grid)
        from plica.formats.dicom_template import SERIES_STEP, find_free

        number = SERIES_STEP if template is None else template.next_number
        if number in self._numbers:  # made of one series twice
            taken = self._numbers | (self._templates.numbers if self._templates else set())
            number = find_free(number, taken)
        self._numbers.add(number)
        return {"like": template, "number": number}

    def _find(self, provenance: Provenance, grid: Grid) -> Any:
        return None if self._templates is None else self._templates.find(provenance, grid)

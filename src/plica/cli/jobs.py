"""Many sources, one command: plan the outputs, do what can be done, say what failed."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from plica.cli.console import (
    EXIT_FAILED,
    describe_failure,
    print_error,
    print_json,
    print_note,
    print_table,
    progress,
)
from plica.cli.options import READING
from plica.cli.reading import name_source
from plica.codecs.running import Progress
from plica.errors import InputError, OutputError, PlicaError, SettingsError
from plica.formats.sniff import find_ending
from plica.formats.sources import Skipped, Source, find_sources, strip_ending
from plica.formats.store_facts import FACTS

Localizers = Annotated[
    bool,
    typer.Option(
        "--localizers",
        help="Take localizers (scouts), too, which are left out of folders and zips that hold "
        "anything else.",
        rich_help_panel=READING,
    ),
]
Watch = Callable[[Progress], None]
LOCALIZER = "localizer"
SUFFIXES = (
    ".nii.gz", ".nii", ".nrrd", ".mha", ".png", ".tiff", ".tif", ".npy", ".npz", ".latent", ".dcm",
)  # fmt: skip


@dataclass(frozen=True)
class Job:
    """One source and where its result goes.

    Args:
        source: What is read.
        out: The output; without its ending where only the image can tell which one it gets.
        endings: The endings it may get; none where `out` has its own.
    """

    source: Source
    out: Path
    endings: tuple[str, ...] = ()

    @property
    def targets(self) -> tuple[Path, ...]:
        """Every path the output may have."""
        return tuple(self.target(ending) for ending in self.endings) or (self.out,)

    def target(self, ending: str) -> Path:
        """The output, with the ending it gets where it has none of its own."""
        return self.out.with_name(self.out.name + ending) if self.endings else self.out


@dataclass(frozen=True)
class Outcome:
    """What became of a job: facts for the table, or the sentence that says why not."""

    source: Source
    target: Path | None = None
    seconds: float = 0.0
    facts: Mapping[str, Any] = field(default_factory=dict)
    cells: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class Existing:
    """What to do where an output is there already: refuse, replace, or leave it and go on."""

    overwrite: bool = False
    resume: bool = False

    def __post_init__(self) -> None:
        """Refuse both at once: one would be passed over.

        Raises:
            SettingsError: Both were asked for.
        """
        if self.overwrite and self.resume:
            raise SettingsError(
                "--resume goes on with what is there, --overwrite begins anew: say one"
            )


@dataclass(frozen=True)
class Manner:
    """How a command speaks: tables for people, JSON for machines, or errors only."""

    as_json: bool = False
    quiet: bool = False

    @property
    def silent(self) -> bool:
        """Whether progress and notes are left out."""
        return self.as_json or self.quiet


# -- what is to be done ----------------------------------------------------------------------------


def find(
    paths: Sequence[Path], manner: Manner, series: str | None = None, *, localizers: bool = False
) -> list[Source]:
    """The sources below the paths; says on stderr what was left out.

    Localizers are left out where there is anything else: they are no slices of anybody's volume.
    Where one series was chosen, each path is one source.

    Args:
        paths: Where to look.
        manner: How to say it.
        series: The one series meant.
        localizers: Whether localizers are taken, too.
    """
    found, skipped = find_sources(paths, series=series)
    chosen = localizers or series is not None
    sources = found if chosen else [one for one in found if one.kind != LOCALIZER] or found
    left = describe_left(skipped, len(found) - len(sources))
    if left and not manner.silent:
        print_note(f"left out: {left}")
    patients = len({one.patient for one in sources if one.patient})
    if patients > 1 and not manner.silent:
        print_note(f"the images are of {patients} patients")
    if not sources:
        below = ", ".join(str(path) for path in paths)
        raise InputError(f"there is no image below {below}: name a file or folder with some")
    return _tell_apart(sources)


def describe_left(skipped: Sequence[Skipped], localizers: int = 0) -> str:
    """What was left out, in a line: "1 structured report (SR), 3 other files (a.txt: text; …)"."""
    kinds = Counter(one.kind for one in skipped if one.kind)
    parts = [count_kind(kind, count) for kind, count in sorted(kinds.items())]
    if localizers:
        parts.append(f"{count_kind(LOCALIZER, localizers)} (taken with --localizers)")
    others = [one for one in skipped if not one.kind]
    if others:
        named = [f"{(name := one.path.name)}: {one.reason.removeprefix(f'{name} ')}"
                 for one in others[:3]]  # fmt: skip
        more = [f"and {len(others) - 3} more"] if len(others) > 3 else []
        parts.append(f"{count_kind('other file', len(others))} ({'; '.join([*named, *more])})")
    return ", ".join(parts)


def count_kind(kind: str, count: int) -> str:
    """A number of things: "2 structured reports (SR)"."""
    words, bracket, rest = kind.partition(" (")
    return f"{count} {words}{'s' if count > 1 else ''}{bracket}{rest}"


def _tell_apart(sources: list[Source]) -> list[Source]:
    """Where two names are one, the files keep their endings: 10.dcm and 10.jpg beside each other.

    Again and again, since a name with its ending may be that of a third file (10.jpg.png).
    """
    while True:
        often = Counter(source.name for source in sources)
        told = [_keep_ending(one) if often[one.name] > 1 else one for one in sources]
        if told == sources:
            return sources
        sources = told


def _keep_ending(source: Source) -> Source:
    file = source.path.name
    if source.path.is_dir() or source.name.rpartition("/")[2] != strip_ending(file):
        return source
    return replace(source, name=source.name + file[len(strip_ending(file)) :])


def find_latents(paths: Sequence[Path]) -> list[Source]:
    """The latent files named, and those in the folders named, in order.

    Raises:
        InputError: There is none, or a store was given, which another command decodes.
    """
    sources = []
    for path in paths:
        if not path.exists():
            raise InputError(f"there is no {path}: name latent files, or folders of them")
        if (path / FACTS).is_file():
            raise InputError(f"{path} is a store: `plica bulk decode {path}` decodes its latents")
        files = sorted(path.rglob("*.latent")) if path.is_dir() else [path]
        base = path if path.is_dir() else path.parent
        for file in files:
            name = str(file.relative_to(base)).removesuffix(".latent")
            sources.append(Source(name=name, path=file))
    if not sources:
        below = ", ".join(str(path) for path in paths)
        raise InputError(f"there is no .latent file below {below}: name a file or folder with some")
    return sources


# -- where it goes ---------------------------------------------------------------------------------


def plan(
    sources: Sequence[Source],
    out: Path,
    *,
    endings: tuple[str, ...],
    existing: Existing,
    given: Sequence[Path] = (),
) -> list[Job]:
    """Give each source its output; with `resume`, only those whose output is not there.

    `out` is a file (one source only), a folder, or a pattern such as "decoded/*.nii.gz", whose
    star becomes each source's name. Where the sources were looked for in one path that was
    `given`, and are series of it, one of them may have been meant.

    Raises:
        OutputError: Two sources would write one output, an output is there already or would
            replace a source or cannot be written, or one file was named for several sources.
    """
    if len(sources) > 1 and "*" not in str(out) and _is_file(out):
        raise OutputError(_say_one_file(sources, out, given))
    jobs = [_place(source, out, endings) for source in sources]
    _refuse_sharing(jobs)
    read = {source.path.resolve() for source in sources}
    for job in jobs:
        for target in job.targets:
            refuse_place(target, read)
    there = {job.out: made for job in jobs for made in job.targets if made.exists()}
    if existing.resume:
        return [job for job in jobs if job.out not in there]
    if there and not existing.overwrite:
        raise OutputError(
            f"{next(iter(there.values()))} is there already"
            + (f", and {len(there) - 1} more" if len(there) > 1 else "")
            + ": choose another output, or --overwrite or --resume"
        )
    return jobs


def name_after(pattern: Path, source: Source) -> Path:
    """A pattern whose star has become the source's name."""
    return Path(str(pattern).replace("*", source.name))


def refuse_place(target: Path, read: set[Path]) -> None:
    """Refuse before the work what could not be written after it.

    Raises:
        OutputError: The target is one of the paths that are read, or its folder is none or may
            not be written to.
    """
    if target.resolve() in read:
        raise OutputError(f"{target} would replace what it is made of: choose another output")
    above = next(folder for folder in (*target.parents, Path()) if folder.exists())
    if not above.is_dir():
        raise OutputError(
            f"{target} cannot be written, since {above} is a file and not a folder: "
            "choose another output"
        )
    if not os.access(above, os.W_OK | os.X_OK):
        raise OutputError(f"{target} cannot be written: the folder {above} is read-only")


def _is_file(out: Path) -> bool:
    """Whether an output is one file, or one series of DICOM, and no folder of several."""
    # a series is a folder that ends in .dcm, and stays one when it is written again
    known = out.name.lower().endswith(SUFFIXES)
    return known and (not out.is_dir() or out.name.lower().endswith(".dcm"))


def _say_one_file(sources: Sequence[Source], out: Path, given: Sequence[Path]) -> str:
    """Why several sources cannot be written to one file, and what to name instead."""
    pattern = out.parent / ("*" + "".join(out.suffixes[-2:]))
    advice = f"name a folder, or a pattern such as {pattern}"
    what = "sources"
    if len(given) == 1 and all(source.mark for source in sources):
        what = f"series of {given[0]}"
        advice += f"; or choose one with --series (`plica inspect {given[0]}` lists them)"
    return f"{len(sources)} {what} cannot be written to the one file {out}: {advice}"


def _place(source: Source, out: Path, endings: tuple[str, ...]) -> Job:
    known = out.name.lower().endswith(SUFFIXES)
    if not known and not out.is_dir() and (ending := find_ending(out.name)):
        raise OutputError(
            f"{out}: {ending} is read but not written; choose one of {', '.join(SUFFIXES)}"
        )
    if "*" in str(out):
        return Job(source, name_after(out, source), () if known else endings)
    if _is_file(out):
        return Job(source, out)
    return Job(source, out / source.name, endings)


def _refuse_sharing(jobs: Sequence[Job]) -> None:
    seen: dict[Path, Source] = {}
    for job in jobs:
        other = seen.setdefault(job.out, job.source)
        if other is not job.source and other == job.source:
            raise OutputError(f"{job.source.path} is named twice: name it once")
        if other is not job.source:
            raise OutputError(
                f"{other.path} and {job.source.path} would both be written to {job.targets[0]}: "
                "give them different folders"
            )


# -- the work --------------------------------------------------------------------------------------


def run(
    jobs: Sequence[Job],
    work: Callable[[Job], Outcome],
    *,
    verb: str,
    manner: Manner,
    watch: Watch = lambda progress: None,
    phases: int = 1,
) -> list[Outcome]:
    """Do each job; one that fails does not stop the others.

    Args:
        watch: Is given, for each job, what wants to be told how far the codec is with it.
        phases: How often the codec goes through an image in a job.
    """
    outcomes = []
    with progress(quiet=manner.silent) as bar:
        task = bar.add_task(verb, total=len(jobs))
        for place, job in enumerate(jobs):
            bar.update(task, description=f"{verb} {job.source.name}")
            watch(_Share(place, phases, lambda done: bar.update(task, completed=done)))
            outcomes.append(_attempt(job, work))
            bar.update(task, completed=place + 1)
    return outcomes


@dataclass
class _Share:
    """What of a job is done, as a part of all jobs."""

    place: int
    phases: int
    show: Callable[[float], None]
    _over: int = 0

    def __call__(self, done: int, total: int) -> None:
        self.show(self.place + min(1.0, (self._over + done / total) / self.phases))
        self._over += done >= total


def _attempt(job: Job, work: Callable[[Job], Outcome]) -> Outcome:
    begun = time.perf_counter()
    try:
        return work(job)
    except (PlicaError, OSError, MemoryError) as error:
        seconds = time.perf_counter() - begun
        return Outcome(job.source, seconds=seconds, error=describe_failure(error))


# -- what came of it -------------------------------------------------------------------------------


def report(
    outcomes: Sequence[Outcome], columns: Sequence[str], *, title: str, manner: Manner, left: int
) -> int:
    """Print what was done on stdout, what failed on stderr; returns the exit code.

    Args:
        outcomes: Of each job.
        columns: Headings of the outcomes' cells.
        title: Of the table.
        manner: How to say it.
        left: How many outputs were there already and were left as they are.
    """
    failed = [outcome for outcome in outcomes if outcome.error]
    done = [outcome for outcome in outcomes if not outcome.error]
    if manner.as_json:
        print_json({"done": len(done), "failed": len(failed), "left": left,
                    "results": [_to_json(outcome) for outcome in outcomes]})  # fmt: skip
        return EXIT_FAILED if failed else 0
    if left and not manner.quiet:
        print_note(f"left as they are, since they were there already: {left}")
    if done and not manner.quiet:
        told = [n for n in range(len(columns)) if any(outcome.cells[n] for outcome in done)]
        rows = [(name_in_table(one.source), *(one.cells[n] for n in told), f"{one.seconds:.1f}")
                for one in done]  # fmt: skip
        print_table(title, ("image", *(columns[n] for n in told), "s"), rows)
    for outcome in failed:
        named = outcome.error.startswith(f"{outcome.source.name}: ")
        if len(outcomes) == 1:
            print_error(name_source(outcome.source, outcome.error))
        else:
            print_error(outcome.error if named else f"{outcome.source.name}: {outcome.error}")
    if len(outcomes) > 1 and failed and not manner.quiet:
        print_note(f"{len(failed)} of {len(outcomes)} failed")
    return EXIT_FAILED if failed else 0


def name_in_table(source: Source) -> str:
    """A source's name, with the number of its series where the name does not say it."""
    if source.number is None or source.name.endswith(f"/series-{source.number}"):
        return source.name
    return f"{source.name} (series {source.number})"


def _to_json(outcome: Outcome) -> dict[str, Any]:
    record: dict[str, Any] = {"image": outcome.source.name, "source": str(outcome.source.path)}
    if outcome.source.number is not None:
        record["series"] = outcome.source.number
    if outcome.error:
        return {**record, "error": outcome.error}
    seconds = round(outcome.seconds, 3)
    return {**record, "output": str(outcome.target), "seconds": seconds, **outcome.facts}

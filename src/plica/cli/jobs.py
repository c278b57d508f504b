"""Many sources, one command: plan the outputs, do what can be done, say what failed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plica.cli.console import print_error, print_json, print_note, print_table, progress
from plica.errors import InputError, OutputError, PlicaError
from plica.formats.sources import Source, find_sources

SUFFIXES = (
    ".nii.gz", ".nii", ".nrrd", ".mha", ".png", ".tiff", ".tif", ".npy", ".npz", ".latent", ".dcm",
)  # fmt: skip
EXIT_FAILED = 1


@dataclass(frozen=True)
class Job:
    """One source and where its result goes."""

    source: Source
    target: Path


@dataclass(frozen=True)
class Outcome:
    """What became of a job: facts for the table, or the sentence that says why not."""

    name: str
    target: Path
    seconds: float = 0.0
    facts: Mapping[str, Any] = field(default_factory=dict)
    cells: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class Existing:
    """What to do where an output is there already: refuse, replace, or leave it and go on."""

    overwrite: bool = False
    resume: bool = False


def find(paths: Sequence[Path], *, quiet: bool) -> list[Source]:
    """The sources below the paths; says on stderr what a tree held besides."""
    sources, skipped = find_sources(paths)
    if skipped and not quiet:
        named = ", ".join(f"{path.name} ({reason})" for path, reason in skipped[:3])
        more = f" and {len(skipped) - 3} more" if len(skipped) > 3 else ""
        print_note(f"{len(skipped)} files are no images and were left out: {named}{more}")
    if not sources:
        raise InputError("there is no image below " + ", ".join(str(path) for path in paths))
    return sources


def find_latents(paths: Sequence[Path]) -> list[Source]:
    """The latent files named, and those in the folders named, in order.

    Raises:
        InputError: There is none.
    """
    sources = []
    for path in paths:
        files = sorted(path.rglob("*.latent")) if path.is_dir() else [path]
        base = path if path.is_dir() else path.parent
        for file in files:
            name = str(file.relative_to(base)).removesuffix(".latent")
            sources.append(Source(name=name, path=file))
    if not sources:
        raise InputError("there is no .latent file below " + ", ".join(str(path) for path in paths))
    return sources


def plan(
    sources: Sequence[Source], out: Path, *, ending: Callable[[Source], str], existing: Existing
) -> list[Job]:
    """Give each source its output.

    `out` is a file (one source only), a folder, or a folder and a pattern such as
    "decoded/*.nii.gz", whose star becomes each source's name.

    Raises:
        OutputError: Two sources would write one output, an output is there already, or one
            file was named for several sources.
    """
    jobs = [Job(source, _target(source, out, ending, len(sources))) for source in sources]
    seen: dict[Path, Source] = {}
    for job in jobs:
        other = seen.setdefault(job.target, job.source)
        if other is not job.source:
            raise OutputError(
                f"{other.path} and {job.source.path} would both be written to {job.target}: "
                "encode them into different folders"
            )
    if existing.resume:
        return [job for job in jobs if not job.target.exists()]
    there = [job.target for job in jobs if job.target.exists()]
    if there and not existing.overwrite:
        raise OutputError(
            f"{there[0]} is there already"
            + (f", and {len(there) - 1} more" if len(there) > 1 else "")
            + ": choose another output, or --overwrite or --resume"
        )
    return jobs


def _target(source: Source, out: Path, ending: Callable[[Source], str], count: int) -> Path:
    if "*" in out.name:
        return out.parent / out.name.replace("*", source.name)
    if out.name.lower().endswith(SUFFIXES) and not out.is_dir():
        if count > 1:
            raise OutputError(
                f"{count} sources cannot be written to the one file {out}: name a folder, "
                f"or a pattern such as {out.parent / ('*' + ''.join(out.suffixes[-2:]))}"
            )
        return out
    return out / (source.name + ending(source))


def run(
    jobs: Sequence[Job], work: Callable[[Job], Outcome], *, verb: str, quiet: bool
) -> list[Outcome]:
    """Do each job; one that fails does not stop the others."""
    outcomes = []
    with progress(quiet=quiet) as bar:
        task = bar.add_task(verb, total=len(jobs))
        for job in jobs:
            bar.update(task, description=f"{verb} {job.source.name}")
            outcomes.append(_attempt(job, work))
            bar.advance(task)
    return outcomes


def _attempt(job: Job, work: Callable[[Job], Outcome]) -> Outcome:
    begun = time.perf_counter()
    try:
        return work(job)
    except (PlicaError, OSError, MemoryError) as error:
        message = str(error) or type(error).__name__
        elapsed = time.perf_counter() - begun
        return Outcome(job.source.name, job.target, elapsed, error=message)


def report(
    outcomes: Sequence[Outcome], columns: Sequence[str], *, title: str, as_json: bool, quiet: bool
) -> int:
    """Print what was done and what failed; returns the exit code."""
    failed = [outcome for outcome in outcomes if outcome.error]
    if as_json:
        print_json({"done": len(outcomes) - len(failed), "failed": len(failed),
                    "results": [_to_json(outcome) for outcome in outcomes]})  # fmt: skip
        return EXIT_FAILED if failed else 0
    done = [outcome for outcome in outcomes if not outcome.error]
    if done and not quiet:
        print_table(title, ("image", *columns, "s"),
                    [(o.name, *o.cells, f"{o.seconds:.1f}") for o in done])  # fmt: skip
    if len(outcomes) == 1 and failed:
        print_error(failed[0].error)
    elif failed:
        print_table(f"{len(failed)} of {len(outcomes)} failed", ("image", "why"),
                    [(o.name, o.error) for o in failed])  # fmt: skip
    return EXIT_FAILED if failed else 0


def _to_json(outcome: Outcome) -> dict[str, Any]:
    record: dict[str, Any] = {"image": outcome.name, "output": str(outcome.target)}
    if outcome.error:
        return {**record, "error": outcome.error}
    return {**record, "seconds": round(outcome.seconds, 3), **outcome.facts}

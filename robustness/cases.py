"""What is tried: one command on one source, with all that is needed to judge what came of it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from robustness import identity, outcomes, reading_back
from robustness.bases import CODEC
from robustness.damage import draw
from robustness.forking import run_forked
from robustness.markers import find_markers
from robustness.outcomes import Seen
from robustness.samples import Sample

CANARY = "canary"  # a file that appears where a file's code was run
LIMIT_S = 120.0
MOST_BYTES = 3 << 30
REPORT = ("out/r/report.json", "out/r/index.html", "out/r/cases.csv")


def _nothing(_room: Path) -> None:
    """Nothing has to be prepared."""


@dataclass(frozen=True)
class Case:
    """One command on one source.

    Args:
        table: The table it is counted in.
        command: The command, as people call it: "bulk encode".
        kind: The row it is counted in: a format, a folder, a place.
        about: What is tried, in a few words.
        words: The command line after `plica`, with paths seen from its own folder.
        names: One of these a refusal has to name.
        prepare: Puts what is needed into its own folder.
        outputs: Patterns, in its own folder, of what has to be there and whole after exit code 0;
            each matches something.
        whole: The digest of what the undamaged source gives; "" where nothing is compared.
        checksum: Whether the source could have told that it was damaged.
        finds: Whether its source is damaged and it is there to find that: exit code 0 is wrong.
        limit_s: Seconds after which it hangs.
        most: Bytes of memory that are too many.
        before: Done in the fork first.
        clear: Done after the command, such as unmounting.
        then: The command line of `decode`, run on what this command wrote, as `in`.
        secrets: A source whose identity must not be in anything that is written or said.
    """

    table: str
    command: str
    kind: str
    about: str
    words: tuple[str, ...]
    names: tuple[str, ...] = ()
    prepare: Callable[[Path], None] = _nothing
    outputs: tuple[str, ...] = ()
    whole: str = ""
    checksum: bool = True
    finds: bool = False
    limit_s: float = LIMIT_S
    most: int = MOST_BYTES
    before: Callable[[], None] | None = None
    clear: Callable[[Path], None] | None = None
    then: tuple[str, ...] = ()
    secrets: Path | None = None


def run(case: Case, room: Path, *, keep: bool = False) -> dict[str, Any]:
    """Run a case in a folder of its own, and say what it came to."""
    room.mkdir(parents=True)
    kept = room.with_name(f"{room.name}.kept")
    try:
        case.prepare(room)
        there = set(room.rglob("*"))

        def check(room: Path) -> dict[str, Any]:
            return _judge(case, room, kept)

        seen = run_forked(case.words, room, limit_s=case.limit_s, check=check, before=case.before)
        seen = _with_left(seen, case, room, there)
        kind, why = outcomes.classify(
            seen, names=case.names, checksum=case.checksum, most=case.most
        )
        if case.secrets is not None and (found := _find_secrets(case.secrets, room, seen)):
            kind, why = outcomes.SILENT, f"of the patient: {', '.join(sorted(found))}"
        if bitten := find_canaries(room, kept):
            kind, why = outcomes.CRASHED, f"what a file wanted was done: {', '.join(bitten)}"
        digest = kept / "digest"
        return {
            "table": case.table, "command": case.command, "kind": case.kind, "about": case.about,
            "words": list(case.words), "class": kind, "why": why, "code": seen.code,
            "seconds": round(seen.seconds, 3), "peak_bytes": seen.peak,
            "said": (seen.stderr.strip() or seen.stdout.strip())[-600:],
            "digest": digest.read_text() if digest.exists() else "",
        }  # fmt: skip
    finally:
        if case.clear is not None:
            case.clear(room)
        if not keep:
            shutil.rmtree(room, ignore_errors=True)
            shutil.rmtree(kept, ignore_errors=True)


def name_canary(room: Path) -> str:
    """A name that no other case has, for a file that wants to be written elsewhere."""
    return f"{CANARY}-{room.name}"


def find_canaries(room: Path, kept: Path) -> list[str]:
    """Files that a file wanted to be there, wherever they were put; outside, they are removed."""
    found = [str(path.relative_to(room)) for path in room.rglob(CANARY)]
    name = name_canary(room)
    around = [*room.parents, Path(tempfile.gettempdir())]
    escaped = {path for folder in around if (path := folder / name).exists()}
    escaped |= {path for folder in (room, kept) for path in folder.rglob(name)}
    for path in escaped:
        path.unlink()
    return sorted([*found, *map(str, escaped)])


def run_chain(case: Case, room: Path) -> list[dict[str, Any]]:
    """Run a case, and `decode` on what it wrote."""
    if not case.then:
        return [run(case, room)]
    records = [run(case, room, keep=True)]
    out = room / "out"
    if out.is_dir():
        after = replace(
            case, command="decode", words=case.then, names=(), outputs=("out/**/*.*",), then=(),
            prepare=lambda room: shutil.move(out, room / "in") and None,
        )  # fmt: skip
        records.append(run(after, room.with_name(f"{room.name}-then")))
    shutil.rmtree(room, ignore_errors=True)
    shutil.rmtree(room.with_name(f"{room.name}.kept"), ignore_errors=True)
    return records


def _find_secrets(source: Path, room: Path, seen: Seen) -> set[str]:
    """Which values of the source's headers are in what was written or said, or in files' names.

    What stands in the source's own path was said by who gave it, and is no secret.
    """
    files = [source] if source.is_file() else [path for path in source.rglob("*") if path.is_file()]
    values = identity.values_of_all(files)
    said = [f"{seen.stdout}{seen.stderr}".encode()]
    if not values:
        return set()
    for path in room.rglob("*"):
        said.append(str(path.relative_to(room)).encode())
        if path.is_file():
            said.append(path.read_bytes())
    return {name for each in said for name in find_markers(each, values)}


def _outputs(case: Case, room: Path) -> list[Path]:
    return sorted(path for pattern in case.outputs for path in room.glob(pattern))


def _judge(case: Case, room: Path, kept: Path) -> dict[str, Any]:
    """Read back what was written, and compare it with what the undamaged source gives."""
    if wrong := reading_back.find_unmatched(room, case.outputs):
        return {"wrong": wrong}
    compared = _outputs(case, room) or [kept / "stdout"]
    digest = " ".join(reading_back.digest(path) for path in compared)
    (kept / "digest").write_text(digest)
    return {"changed": case.finds or (bool(case.whole) and digest != case.whole)}


def _with_left(seen: Seen, case: Case, room: Path, there: set[Path]) -> Seen:
    """The same, with the half-written files in its folder."""
    left = [*seen.left, *reading_back.find_parts(room)]
    if seen.code != 0:
        made = reading_back.list_files(_outputs(case, room))
        new = [path for path in made if path not in there]
        left += [f"{path.name}: {wrong}" for path in new
                 if (wrong := reading_back.find_wrong([path]))]  # fmt: skip
    return Seen(**{**seen.__dict__, "left": tuple(left)})


def whole_files(data: Path) -> Iterator[Case]:
    """inspect, encode and reconstruct of every file there is, and of every folder of them."""
    for path in sorted(data.rglob("*")):
        if path.is_dir() and not any(part.is_file() for part in path.iterdir()):
            continue
        kind = path.relative_to(data).parts[0] if path.parent != data else "itself"
        about = str(path.relative_to(data))
        names: tuple[str, ...] = (path.name,)
        if path.is_file():
            yield Case("files", "inspect", kind, about, ("inspect", str(path)), names)
        else:
            yield Case("files", "inspect", kind, about, ("inspect", str(path)), ())
            names = ()
        codec = ("-c", CODEC)
        secrets = path if path.suffix in {".dcm", ""} and path.is_file() else None
        encode = ("encode", str(path), "-o", "out/", *codec, "-q")
        yield Case("files", "encode", kind, about, encode, names, outputs=("out/**/*.latent",),
                   limit_s=600, secrets=secrets,
                   then=("decode", "in", "-o", "out/", "-q"))  # fmt: skip
        if path.is_file():
            yield Case("files", "reconstruct", kind, about,
                       ("reconstruct", str(path), "-o", "out/", *codec, "-q"), names,
                       outputs=("out/**/*.*",), limit_s=600, secrets=secrets)  # fmt: skip


def other_commands(data: Path) -> Iterator[Case]:
    """Compare and judge every file there is, and archive every folder and the whole of them."""
    for path in sorted(data.rglob("*")):
        kind = path.relative_to(data).parts[0] if path.parent != data else "itself"
        about, names = str(path.relative_to(data)), (path.name,)
        secrets = path if path.suffix in {".dcm", ""} else None
        if path.is_file():
            yield Case("others", "compare", kind, about, ("compare", str(path), str(path)), names,
                       limit_s=600, secrets=secrets)  # fmt: skip
            judge = ("evaluate", "reconstruction", "in.csv", "-c", CODEC, "--metric", "psnr",
                     "--worst", "0", "-o", "out/r", "-q")  # fmt: skip
            yield Case("others", "evaluate reconstruction", kind, about, judge,
                       (*names, "in.csv"), prepare=_listing(path), limit_s=600, secrets=secrets,
                       outputs=REPORT)  # fmt: skip
        elif any(part.is_file() for part in path.iterdir()):
            yield Case("others", "bulk encode", kind, about, _archive(path), (), limit_s=1200,
                       outputs=("out/store",), secrets=path)  # fmt: skip
    # Of all of it nothing is searched for: thousands of values in hundreds of megabytes take hours.
    yield Case("others", "bulk encode", "itself", "all of it", _archive(data), (), limit_s=3600,
               outputs=("out/store",))  # fmt: skip


def _archive(folder: Path) -> tuple[str, ...]:
    return ("bulk", "encode", str(folder), "-o", "out/store", "-c", CODEC, "-q")


def _listing(image: Path) -> Callable[[Path], None]:
    """A cohort of the one image."""

    def write(room: Path) -> None:
        (room / "in.csv").write_text(f"path,patient,split\n{image},p1,dev-test\n")

    return write


def damaged(samples: list[Sample], *, cuts: int, flips: int, seed: int) -> Iterator[Case]:
    """Every sample cut and with bits turned over, through the commands that read it."""
    for sample in samples:
        size = sample.path.stat().st_size
        for one in draw(
            size, cuts=cuts, flips=flips, seed=f"{seed} {sample.kind} {sample.path.name}"
        ):
            told = sample.cuts_told if one.kind == "cut" else sample.checksum
            for use in sample.uses:
                yield Case(
                    f"damage: {one.kind}", use.command, sample.kind, f"{sample.path.name}, {one}",
                    use.words, sample.names, prepare=sample.preparing(one),
                    outputs=use.outputs, whole=sample.wholes.get(use.command, ""), checksum=told,
                    finds=use.finds, limit_s=use.limit_s,
                )  # fmt: skip


def undamaged(samples: list[Sample]) -> Iterator[tuple[Sample, Case]]:
    """Every sample as it is: what the damaged ones are compared with."""
    for sample in samples:
        for use in sample.uses:
            yield sample, Case(
                "undamaged", use.command, sample.kind, sample.path.name, use.words, sample.names,
                prepare=sample.preparing(None), outputs=use.outputs, limit_s=use.limit_s,
            )  # fmt: skip

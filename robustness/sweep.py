"""The sweep: every command on what is odd, damaged, full, interrupted or hostile, as a table.

    python -m robustness --data FOLDER                 say what came of it
    python -m robustness --data FOLDER --write         … and put the tables into docs/robustness.md
    python -m robustness --data FOLDER --json FILE     … and every outcome into a file

FOLDER holds real images; without it, files of installed packages and made ones are tried. The same
seed tries the same.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from robustness import (
    bases,
    cases,
    forking,
    identity,
    interruptions,
    page,
    places,
    processes,
    readers,
    samples,
    strangers,
)
from robustness.cases import Case
from robustness.outcomes import CLASSES, FAULTS, REFUSED, SILENT
from robustness.writers import WRITERS

Record = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """What is to be tried, and where.

    Args:
        folder: Where everything is tried; it can be thrown away afterwards.
        data: Real images; None where there are none.
        cuts: Truncations of every sample.
        flips: Turned bits of every sample.
        seed: Of both.
        jobs: How many cases are run at a time.
        every: Only every so-manieth case of a part.
    """

    folder: Path
    data: Path | None = None
    cuts: int = 8
    flips: int = 10
    seed: int = 0
    jobs: int = 2
    every: int = 1

    @property
    def base(self) -> Path:
        """What commands are tried on."""
        return self.folder / "base"


def run_all(tried: Sequence[Case], asked: Asked) -> list[Record]:
    """Run cases in as many workers at a time, each a fork of this warm process."""
    tried = tried[:: asked.every]
    workers = []
    for place in range(asked.jobs):
        kept = asked.folder / f"{time.monotonic_ns()}-{place}.jsonl"
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            _work(tried[place :: asked.jobs], kept)
        workers.append((child, kept))
    found: dict[int, list[Record]] = {}
    for place, (child, kept) in enumerate(workers):
        os.waitpid(child, 0)
        for number, line in enumerate(kept.read_text().splitlines()):
            found[place + number * asked.jobs] = json.loads(line)
    if len(found) != len(tried):
        raise SystemExit(f"{len(tried) - len(found)} cases were not run: a worker died")
    return [record for number in range(len(tried)) for record in found[number]]


def _work(tried: Sequence[Case], kept: Path) -> None:
    """Run cases, and write what came of each; never comes back."""
    code = 1
    try:
        with kept.open("w") as file:
            for number, case in enumerate(tried):
                records = cases.run_chain(case, kept.with_name(f"{kept.stem}-{number}"))
                file.write(json.dumps(records) + "\n")
                file.flush()
        code = 0
    except BaseException as error:  # a fork must not walk on as its parent
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
    finally:
        os._exit(code)


def build_base(asked: Asked) -> None:
    """Make what commands are tried on, by the commands themselves where it is their output."""
    bases.make(asked.base)
    for writer in WRITERS:
        if not writer.kept:
            continue
        room = asked.folder / f"base-{writer.kept}"
        room.mkdir()
        seen = forking.run_forked(writer.line(asked.base), room, limit_s=300)
        if seen.code != 0:
            raise SystemExit(f"{writer.command} ended with {seen.code}: {seen.stderr[-600:]}")
        shutil.copytree(room / "out", asked.base / writer.kept)


# -- the parts -------------------------------------------------------------------------------------


def try_files(asked: Asked) -> list[Record]:
    """Every command that reads images, on every file there is."""
    return run_all(list(cases.whole_files(asked.data)), asked) if asked.data else []


def try_others(asked: Asked) -> list[Record]:
    """What else reads images, on every file and folder there is."""
    return run_all(list(cases.other_commands(asked.data)), asked) if asked.data else []


def try_damage(asked: Asked) -> list[Record]:
    """Samples of every kind, cut and with bits turned over."""
    found = [*samples.images(asked.folder / "images", asked.data),
             *samples.latents(asked.folder / "latents"), *readers.find(asked.base)]  # fmt: skip
    found = found[:: -(-asked.every // 3)]
    pairs = list(cases.undamaged(found))
    records = run_all([case for _, case in pairs], replace(asked, every=1))
    for (sample, case), record in zip(pairs, records, strict=True):
        if record["class"] == REFUSED:
            record |= {"class": SILENT, "why": "the sample is refused as it is: no test of damage"}
        if case.outputs or case.command in {"inspect", "card"}:  # what else is printed holds times
            sample.wholes[case.command] = record["digest"]
    tried = cases.damaged(found, cuts=asked.cuts, flips=asked.flips, seed=asked.seed)
    return records + run_all(list(tried), asked)


def try_places(asked: Asked) -> list[Record]:
    """Every command that writes, where it cannot."""
    return [*run_all(list(places.all_cases(asked.base)), asked), *places.untried()]


def try_strangers(asked: Asked) -> list[Record]:
    """What strangers may send, through the commands that would take it."""
    return run_all(list(strangers.all_cases(asked.base)), asked)


def try_identity(asked: Asked) -> list[Record]:
    """Every command on sources full of markers."""
    return list(identity.all_records(asked.base, asked.folder, every=asked.every))


def try_interruptions(asked: Asked) -> list[Record]:
    """Every command that can go on, stopped at several moments."""
    return list(interruptions.all_records(asked.base, asked.folder, every=asked.every))


def try_processes(asked: Asked) -> list[Record]:
    """A few of all that as processes of their own, as people start them."""
    return list(processes.all_records(asked.base, asked.folder))


PARTS: dict[str, Callable[[Asked], list[Record]]] = {
    "files": try_files,
    "others": try_others,
    "damage": try_damage,
    "places": try_places,
    "strangers": try_strangers,
    "identity": try_identity,
    "interruptions": try_interruptions,
    "processes": try_processes,
}


def sweep(asked: Asked, parts: Sequence[str] = tuple(PARTS)) -> Iterator[Record]:
    """Try everything, and say of each case what it came to."""
    forking.warm()
    build_base(asked)
    for name in parts:
        begun = time.perf_counter()
        records = PARTS[name](asked)
        seconds = time.perf_counter() - begun
        print(f"{name}: {len(records)} cases in {seconds:.0f} s", file=sys.stderr, flush=True)
        yield from records


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of real images")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cuts", type=int, default=8, help="of every sample")
    parser.add_argument("--flips", type=int, default=10, help="of every sample")
    parser.add_argument("--jobs", type=int, default=2, help="cases at a time")
    parser.add_argument("--every", type=int, default=1, help="only every so-manieth case")
    parser.add_argument("--only", nargs="*", choices=PARTS, default=list(PARTS), help="these parts")
    parser.add_argument("--json", type=Path, help="every outcome, as JSON")
    parser.add_argument(
        "--of", type=Path, nargs="*", default=[], help="add outcomes kept by --json"
    )
    parser.add_argument("--write", action="store_true", help="put the tables into the page")
    given = parser.parse_args()
    seconds, records = 0.0, list[Record]()
    for kept in given.of:
        document = json.loads(kept.read_text())
        seconds += document["seconds"]
        records += document["outcomes"]
    begun = time.perf_counter()
    data = given.data.resolve() if given.data else None
    with tempfile.TemporaryDirectory(prefix="robustness-") as folder:
        asked = Asked(Path(folder), data, given.cuts, given.flips, given.seed, given.jobs,
                      given.every)  # fmt: skip
        records += sweep(asked, given.only) if given.only else []
    seconds += time.perf_counter() - begun
    if given.json:
        document = {"seed": given.seed, "seconds": seconds, "outcomes": records}
        given.json.write_text(json.dumps(document, indent=1))
    if given.write:
        page.write(records, seed=given.seed, seconds=seconds)
    sys.exit(_report(records, seconds, given.seed))


def _report(records: Sequence[Record], seconds: float, seed: int) -> int:
    """Print the counts and every fault; 1 where there is one."""
    print(f"{len(records)} cases in {seconds:.0f} s, seed {seed}")
    for kind in CLASSES:
        print(f"{sum(record['class'] == kind for record in records):6d} {kind}")
    faults = [record for record in records if record["class"] in FAULTS]
    for record in faults:
        words = " ".join(record["words"])
        print(f"{record['class']} {words} | {record['kind']}, {record['about']}: {record['why']}")
    return int(bool(faults))

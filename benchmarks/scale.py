r"""What ten million series cost beside their encoding: measured here, and drawn out.

    python benchmarks/scale.py [--series 100000] [--write]

Measured on a ledger of made series, a tree of made files, copies of one DICOM file and shards of
made latents: seconds and bytes for each series, file and shard. What a larger archive costs is
these times its numbers; the deaths of workers are simulated (benchmarks/failures.py) with what was
measured. `--write` puts the tables into docs/scale.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pages import DOCS, put_section

sys.path.insert(0, str(Path(__file__).resolve().parent))
from failures import Setting, sweep, tabulate

PAGE = DOCS / "scale.md"
PER_FOLDER, PER_SHARD = 100, 256
HOUR, GIGA = 3600.0, 1e9


@dataclass(frozen=True)
class Measured:
    """Seconds and bytes of the parts of a run that are not encoding."""

    list_s: float  # a file listed and its facts read
    header_s: float  # a DICOM file's header read and grouped
    record_s: float  # a series recorded in the ledger
    again_s: float  # a folder that did not change
    plan_s: float  # a series planned
    book_s: float  # a shard booked
    count_s: float  # states counted, for each series
    ledger_bytes: float  # for each series
    index_bytes: float  # for each series
    write_s: float  # a shard written and synced, without its encoding
    shard_bytes: float  # of one, for the latents measured


def measure(series: int) -> Measured:
    """All of it, on this machine's temporary disk."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        listed, header = measure_tree(root, 20_000), measure_headers(root, 2_000)
        return Measured(listed, header, *measure_ledger(root, series), *measure_shard(root))


def measure_tree(root: Path, files: int) -> float:
    """Seconds for each file to list a tree."""
    from plica.bulk.discovery import walk

    for number in range(files):
        folder = root / "tree" / f"{number // PER_FOLDER:04d}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.dcm").write_bytes(b"x")
    begun = time.perf_counter()
    met = sum(len(folder.files) for folder in walk(root / "tree"))
    return (time.perf_counter() - begun) / met


def measure_headers(root: Path, files: int) -> float:
    """Seconds for each DICOM file to be looked into; every folder is one series."""
    import pydicom
    from pydicom.data import get_testdata_file
    from pydicom.uid import generate_uid

    from plica.formats.sources import find_in_folder

    slice_ = pydicom.dcmread(str(get_testdata_file("CT_small.dcm")))
    for number in range(files):
        folder = root / "dicom" / f"{number // PER_FOLDER:04d}"
        if not folder.is_dir():
            folder.mkdir(parents=True)
            slice_.SeriesInstanceUID = generate_uid()
        slice_.SOPInstanceUID = generate_uid()
        slice_.InstanceNumber = number % PER_FOLDER
        slice_.ImagePositionPatient[2] = float(number % PER_FOLDER)
        slice_.save_as(folder / f"{number}.dcm")
    begun = time.perf_counter()
    for folder in sorted((root / "dicom").iterdir()):
        find_in_folder(root / "dicom", folder, sorted(folder.iterdir()))
    return (time.perf_counter() - begun) / files


def measure_ledger(root: Path, series: int) -> tuple[float, float, float, float, float, float]:
    """Recording, meeting again, planning, booking, counting, and bytes."""
    from plica.bulk.ledger import LEDGER, Ledger
    from plica.bulk.naming import name_key
    from plica.bulk.task import Found, Made, Outcome

    store = root / "ledger"
    store.mkdir()
    folders = [range(at, min(at + PER_FOLDER, series)) for at in range(0, series, PER_FOLDER)]
    with Ledger(store) as ledger:
        begun = time.perf_counter()
        with ledger.looking() as look:
            for at, numbers in enumerate(folders):
                found = [
                    Found(name_key(f"{n}"), f"site/patient{at:07d}/series{n:08d}", None, 10**7,
                          name_key(f"signature {n}")) for n in numbers
                ]  # fmt: skip
                look.record(f"site/patient{at:07d}", name_key(f"folder {at}"), found, [])
        record = (time.perf_counter() - begun) / series
        begun = time.perf_counter()
        with ledger.looking() as look:
            for at in range(len(folders)):
                look.knows(f"site/patient{at:07d}", name_key(f"folder {at}"))
        again = (time.perf_counter() - begun) / len(folders)
        begun = time.perf_counter()
        ledger.plan(most_series=PER_SHARD, most_bytes=1 << 62)
        plan = (time.perf_counter() - begun) / series
        begun, booked = time.perf_counter(), 0
        for task in ledger.tasks():
            outcomes = tuple(Outcome(item.key, seconds=1.0) for item in task.items)
            ledger.book(Made(task.shard, outcomes, 10**7, "0" * 64))
            booked += 1
            if booked == 200:
                break
        book = (time.perf_counter() - begun) / booked
        begun = time.perf_counter()
        ledger.count()
        count = (time.perf_counter() - begun) / series
    return record, again, plan, book, count, (store / LEDGER).stat().st_size / series


def measure_shard(root: Path) -> tuple[float, float, float]:
    """Bytes of the index for each series, seconds to write a shard, its bytes."""
    import plica
    from plica.formats.store import Store
    from plica.formats.store_writing import ShardWriter
    from plica.grid import Grid
    from plica.image import Image, Unit

    rng = np.random.default_rng(0)
    codec = plica.load("linear-8x1-2d", device="cpu")
    pixels = rng.normal(0, 100, (1, 256, 256, 8)).astype(np.float32)
    grid = Grid.from_spacing(pixels.shape[1:], (1, 1, 3))
    latent = codec.encode(Image(pixels, grid, unit=Unit.HU))
    store = Store.create(root / "store", codec=latent.codec)
    begun = time.perf_counter()
    with ShardWriter(store, "measured") as writer:
        for number in range(PER_SHARD):
            writer.add(f"{number:032x}", latent, {"source_hash": "0" * 64})
        meta = writer.close()
    seconds = time.perf_counter() - begun
    return store.index_path("measured").stat().st_size / PER_SHARD, seconds, meta.bytes


# -- drawn out -----------------------------------------------------------------------------------


def tabulate_measured(m: Measured, series: int) -> list[str]:
    """What was measured."""
    rows = [
        ("a file listed, with size and time of change", f"{1e6 * m.list_s:.1f} µs"),
        ("a DICOM header read and its slice put to its series", f"{1e3 * m.header_s:.2f} ms"),
        ("a series recorded in the ledger", f"{1e6 * m.record_s:.0f} µs"),
        ("an unchanged folder met again", f"{1e6 * m.again_s:.1f} µs"),
        ("a series planned into a shard", f"{1e6 * m.plan_s:.0f} µs"),
        (f"a shard of {PER_SHARD} booked, synced", f"{1e3 * m.book_s:.1f} ms"),
        ("all series counted by state, for each", f"{1e9 * m.count_s:.0f} ns"),
        (f"a shard of {m.shard_bytes / 1e6:.1f} MB put together, written, synced",
         f"{1e3 * m.write_s:.0f} ms"),
        ("ledger, for each series", f"{m.ledger_bytes:.0f} bytes"),
        ("index, for each series", f"{m.index_bytes:.0f} bytes"),
    ]  # fmt: skip
    return [
        "| what | measured |", "|---|---:|", *(f"| {what} | {value} |" for what, value in rows), "",
        f"A ledger of {series:,} made series; {os.cpu_count()} processors, {platform.machine()}, "
        "local disk.",
    ]  # fmt: skip


def tabulate_sizes(m: Measured) -> list[str]:
    """What archives of three sizes cost, of radiographs and of CT of 200 slices."""
    lines = [
        "| series | files each | first look | look again | planning | ledger | index | shards |"
        " booking, all shards |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for series in (10**5, 10**6, 10**7):
        for files in (1, 200):
            listing = series * files * m.list_s
            first = listing + series * (files * m.header_s + m.record_s)
            again = listing + series * (1 / PER_FOLDER if files == 1 else 1) * m.again_s
            shards = -(-series // PER_SHARD)
            lines.append(
                f"| {series:,} | {files} | {say(first)} | {say(again)} | {say(series * m.plan_s)} "
                f"| {series * m.ledger_bytes / GIGA:.2g} GB | {series * m.index_bytes / GIGA:.2g} "
                f"GB | {shards:,} | {say(shards * m.book_s)} |"
            )
    return lines


def tabulate_requests() -> list[str]:
    """Requests to an object store for writing 10⁷ series, and for reading them once, shuffled."""
    lines = ["| series in a shard | objects written | reads by shard | reads one by one |",
             "|---:|---:|---:|---:|"]  # fmt: skip
    series = 10**7
    for per_shard in (64, 256, 1024):
        shards = -(-series // per_shard)
        # Index whole; a shard's header and data whole, or header and one range for each latent.
        lines.append(
            f"| {per_shard} | {2 * shards + 1:,} | {3 * shards:,} | {2 * shards + series:,} |"
        )
    return lines


def say(seconds: float) -> str:
    """A time people can read."""
    if seconds < 90:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.0f} min" if seconds < 2 * HOUR else f"{seconds / HOUR:.1f} h"


def main() -> None:
    """Measure, draw out, print, and with --write put the tables into docs/scale.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=100_000)
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    found = measure(asked.series)
    base = Setting(shard=PER_SHARD, booking_s=found.book_s)
    tables = {
        "measured": tabulate_measured(found, asked.series),
        "sizes": tabulate_sizes(found),
        "requests": tabulate_requests(),
        "failures": tabulate(sweep(base)),
    }
    for name, lines in tables.items():
        print(f"\n{name}\n" + "\n".join(lines))
    if asked.write:
        for name, lines in tables.items():
            put_section(PAGE, name, "\n".join(lines))


if __name__ == "__main__":
    main()

r"""What a bulk run reaches of the codec's own speed, beside processes that only encode.

    python benchmarks/bulk_throughput.py [--images 96] [--side 512] [--codec NAME] [--write]

An archive of made radiographs (16-bit PNG) is encoded on one machine

    codec alone         the same images, read before the clock starts, encoded one after another
    files, one by one   read, encode, write a .latent each: what `plica encode` does
    plain processes     a pool, each process its share of the files
    bulk, in process    `plica bulk encode --workers 1`
    bulk, Ray           `plica bulk encode --workers 2`

Times are of the work, without the start of interpreters (bulk: as its report says, `wall_s`; what
a start costs stands in a column of its own). Ratios are to the codec alone, in one run, in turns.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pages import DOCS, put_section

PAGE = DOCS / "bulk.md"
MARK = "throughput"
CORES = os.cpu_count() or 1


def make_archive(folder: Path, images: int, side: int) -> Path:
    """Smooth shapes with noise, as 16-bit pictures."""
    from plica.formats.doors import write
    from plica.grid import Grid
    from plica.image import Image, Unit

    rng = np.random.default_rng(3)
    axis = np.linspace(-1, 1, side)
    for number in range(images):
        radius = np.hypot(axis[:, None] - rng.normal(0, 0.2), axis[None] - rng.normal(0, 0.2))
        pixels = 3000 * np.exp(-2 * radius**2) + rng.normal(0, 30, (side, side)) + 500
        image = Image(
            pixels[None, :, :, None].clip(0, 65535).astype(np.uint16),
            Grid.from_spacing((side, side, 1), (0.5, 0.5, 1)),
            unit=Unit.RELATIVE,
        )
        write(image, folder / f"{number // 32:03d}" / f"{number:05d}.png")
    return folder


def encode_alone(archive: Path, codec: str) -> float:
    """Seconds in which the codec encodes images that are in memory already."""
    import plica

    loaded = plica.load(codec, device="cpu")
    images = [plica.read(path) for path in sorted(archive.rglob("*.png"))]
    loaded.encode(images[0])
    begun = time.perf_counter()
    for image in images:
        loaded.encode(image)
    return time.perf_counter() - begun


def encode_files(archive: Path, codec: str, out: Path, part: int = 0, parts: int = 1) -> float:
    """Seconds to read, encode and write every file, or a part of them."""
    import torch

    import plica

    torch.set_num_threads(max(1, CORES // parts))
    loaded = plica.load(codec, device="cpu")
    files = sorted(archive.rglob("*.png"))[part::parts]
    loaded.encode(plica.read(files[0]))
    begun = time.perf_counter()
    for file in files:
        plica.write(loaded.encode(plica.read(file)), out / f"{file.stem}.latent", dtype="float16")
    return time.perf_counter() - begun


def _isolated(function: Callable[..., float], *args: object) -> float:
    """The same in a process of its own, as every other way is."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, args)


def encode_in_processes(archive: Path, codec: str, out: Path) -> float:
    """The slowest of as many processes as there are cores."""
    with multiprocessing.get_context("spawn").Pool(CORES) as pool:
        parts = [
            pool.apply_async(encode_files, (archive, codec, out, part, CORES))
            for part in range(CORES)
        ]
        return max(part.get() for part in parts)


def encode_in_bulk(archive: Path, codec: str, out: Path, workers: int) -> tuple[float, float, dict]:
    """Seconds of the work, of the whole command, and the report."""
    begun = time.perf_counter()
    words = ["bulk", "encode", archive, "-o", out, "-c", codec, "--workers", workers, "--json",
             "--device", "cpu", "--shard-series", 16]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "plica", *map(str, words)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    said = json.loads(done.stdout)["run"]
    return said["wall_s"], time.perf_counter() - begun, said


def measure(archive: Path, codec: str, repeats: int) -> list[str]:
    """The table, as Markdown."""
    found: dict[str, list[tuple[float, float]]] = {}
    said: dict[str, dict] = {}
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder)
            found.setdefault("codec alone", []).append((_isolated(encode_alone, archive, codec), 0))
            found.setdefault("files, one by one", []).append(
                (_isolated(encode_files, archive, codec, out / "files"), 0)
            )
            found.setdefault(f"plain processes ({CORES})", []).append(
                (encode_in_processes(archive, codec, out / "pool"), 0)
            )
            for workers, name in ((1, "bulk, in process"), (CORES, f"bulk, Ray ({CORES} workers)")):
                work, whole, report = encode_in_bulk(
                    archive, codec, out / f"bulk{workers}", workers
                )
                found.setdefault(name, []).append((work, whole - work))
                said[name] = report
    images = sum(1 for _ in archive.rglob("*.png"))
    lines = [
        "| way | images a second, median (least to greatest) | of the codec alone | start, s |"
        " bottleneck |",
        "|---|---:|---:|---:|---|",
    ]
    alone = [work for work, _ in found["codec alone"]]
    for name, times in found.items():
        rates = sorted(images / work for work, _ in times)
        share = statistics.median(a / work for a, (work, _) in zip(alone, times, strict=True))
        start = statistics.median(start for _, start in times)
        lines.append(
            f"| {name} | {statistics.median(rates):.1f} ({rates[0]:.1f} to {rates[-1]:.1f}) | "
            f"{100 * share:.0f} % | {f'{start:.1f}' if start else ''} | "
            f"{said.get(name, {}).get('bottleneck', '')} |"
        )
    return lines


def main() -> None:
    """Measure, print, and with --write put the table into docs/bulk.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=96)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--codec", default="compact-4x3-2d")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        archive = make_archive(Path(folder) / "archive", asked.images, asked.side)
        lines = measure(archive, asked.codec, asked.repeats)
        shutil.rmtree(archive)
    import torch

    lines += ["", f"{asked.images} images of {asked.side}², {asked.codec}, float16 latents, "
              f"{asked.repeats} runs in turns; {CORES} processors, {platform.machine()}, "
              f"torch {torch.__version__}."]  # fmt: skip
    text = "\n".join(lines)
    print(text)
    if asked.write:
        put_section(PAGE, MARK, text)


if __name__ == "__main__":
    main()

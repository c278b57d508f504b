"""Seconds and peak memory of `plica encode` and `plica decode` on a CT of 512 × 512 × 200 voxels.

    python benchmarks/encode_ct_512.py                 the default codec for volumes
    python benchmarks/encode_ct_512.py --write         put the table into docs/performance.md too
    python benchmarks/encode_ct_512.py --codec FOLDER  another one
    python benchmarks/encode_ct_512.py --tiles 0 128   with these tiles; 0 takes those plica chooses

The whole command counts: starting, reading NIfTI, preparing, the network, writing. The CT is made:
neither time nor memory depends on what it shows. CPU seconds are those of all threads together; on
a machine with other work they say more than wall seconds. Exits with 1 if encoding with the tiles
that plica chooses takes a minute or 3 GiB.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
from pages import DOCS, put_section

PAGE = DOCS / "performance.md"
MARK = "benchmarks/encode_ct_512.py"
SHAPE = (512, 512, 200)
MOST_SECONDS, MOST_GIB = 60.0, 3.0


@dataclass(frozen=True)
class Cost:
    """Of one command in a process of its own."""

    command: str
    tile: int
    seconds: float
    cpu_seconds: float
    gib: float

    def row(self) -> str:
        """Of the table."""
        tile = str(self.tile) if self.tile else "chosen"
        cells = (f"{self.seconds:.1f}", f"{self.cpu_seconds:.1f}", f"{self.gib:.2f}")
        return f"| {self.command} | {tile} | {' | '.join(cells)} |"


def make_ct(path: Path) -> Path:
    """An ellipse of tissue with noise, in air."""
    i, j = np.meshgrid(*[np.linspace(-1.2, 1.2, side) for side in SHAPE[:2]], indexing="ij")
    body = np.where(i**2 + (1.5 * j) ** 2 < 1, 40, -1000)
    noise = np.random.default_rng(0).normal(0, 20, SHAPE)
    pixels = (body[..., None] + noise).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(pixels, np.diag([0.8, 0.8, 1.5, 1.0])), path)
    return path


def run(command: str, tile: int, *words: str) -> Cost:
    """Run plica once; two threads, as on two cores."""
    words = (command, *words, *(("--tile", str(tile)) if tile else ()))
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    begun = time.perf_counter()
    child = subprocess.Popen([sys.executable, "-m", "plica", *words], env=environment)
    _, status, used = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"plica {' '.join(words)} failed")
    seconds, cpu = time.perf_counter() - begun, used.ru_utime + used.ru_stime
    return Cost(command, tile, seconds, cpu, used.ru_maxrss * 1024 / 2**30)


def measure(codec: str, tiles: list[int]) -> list[Cost]:
    """There and back with each tile."""
    costs = []
    with tempfile.TemporaryDirectory() as folder:
        ct = make_ct(Path(folder) / "ct.nii")
        for tile in tiles:
            latent, back = f"{folder}/{tile}.latent", f"{folder}/{tile}.nii"
            said = () if codec == "auto" else ("--codec", codec)
            costs.append(run("encode", tile, str(ct), "-o", latent, "--unit", "HU", *said))
            costs.append(run("decode", tile, latent, "-o", back, *said))
    return costs


def describe(codec: str, costs: list[Cost]) -> str:
    """The table, and on what it was measured."""
    shown = "the default codec" if codec == "auto" else Path(codec).name
    return "\n".join(
        [
            "## A CT on two cores",
            "",
            f"{' × '.join(map(str, SHAPE))} voxels with {shown}; whole commands, NIfTI to latent "
            "and back.",
            "",
            "| command | tile | wall s | CPU s | peak GiB |",
            "|---|---|---:|---:|---:|",
            *(cost.row() for cost in costs),
            "",
            f"{os.cpu_count()} processors, {platform.machine()}, Python "
            f"{platform.python_version()}.",
        ]
    )


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--codec", default="auto", help="name or folder; the default one if left")
    parser.add_argument("--tiles", type=int, nargs="+", default=[0])
    parser.add_argument("--write", action="store_true", help="into docs/performance.md")
    asked = parser.parse_args()
    costs = measure(asked.codec, asked.tiles)
    text = describe(asked.codec, costs)
    sys.stdout.write(text + "\n")
    if asked.write:
        put_section(PAGE, MARK, text)
    chosen = next(cost for cost in costs if cost.command == "encode")
    slow = not chosen.tile and (chosen.seconds >= MOST_SECONDS or chosen.gib >= MOST_GIB)
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())

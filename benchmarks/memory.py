"""The most memory a process holds while it encodes and decodes a CT, beside what it was given.

    python benchmarks/memory.py            a table
    python benchmarks/memory.py --write    put it into docs/memory.md too
    python benchmarks/memory.py --quick    a small CT, to try it

The CT is made, and lies on disk as an uncompressed NIfTI file: neither time nor memory depends on
what it shows. Each row is a process of its own that reads, runs, and writes; its peak is Linux' own
record (VmHWM), with the interpreter and PyTorch. Exits with 1 if one lies above 1.1 times what was
given.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pages import DOCS, put_section

import plica

PAGE = DOCS / "memory.md"
MARK = "benchmarks/memory.py"
SLACK = 1.1
RUNS = [
    ("compact-4x1-3d", (512, 512, 200), None),
    ("compact-4x1-3d", (512, 512, 200), "1G"),
    ("compact-4x1-3d", (512, 512, 200), "640M"),
    ("linear-4x1-3d", (512, 512, 1000), "1G"),
    ("linear-4x1-3d", (512, 512, 1000), "512M"),
]
CHILD = """
import json, sys, time
from pathlib import Path
import plica
from plica.formats.drafts import Draft
from plica.networks.memory import read_peak

command, name, memory, folder = sys.argv[1], sys.argv[2], sys.argv[3] or None, Path(sys.argv[4])
codec = plica.load(name, memory=memory)
if command == "encode":
    image = plica.read(folder / "ct.nii", unit="HU", mapped=True)
    plan = codec.plan_encoding(image)
    plica.write(codec.encode(image), folder / "ct.latent", overwrite=True)
else:
    latent = plica.read_latent(folder / "ct.latent")
    plan = codec.plan_decoding(latent, mapped=True)
    with Draft(lambda image: folder / "back.nii", overwrite=True) as draft:
        draft.finish(codec.decode_into(latent, draft.begin))
print(json.dumps({"peak": read_peak(), "pieces": plan.pieces, "foretold": plan.peak_bytes,
                  "memory": plan.memory, "cpu": time.process_time()}))
"""


@dataclass(frozen=True)
class Row:
    """One process."""

    command: str
    name: str
    shape: tuple[int, int, int]
    asked: str | None
    found: dict[str, float]

    @property
    def holds(self) -> bool:
        """Whether its peak is within what it was given."""
        return self.found["peak"] <= SLACK * self.found["memory"]

    def __str__(self) -> str:
        gib = {key: f"{self.found[key] / 2**30:.2f}" for key in ("foretold", "peak", "memory")}
        given = f"{gib['memory']}{'' if self.asked else ' (half)'}"
        pixels = np.prod(self.shape, dtype=np.int64) * 2 / 2**30
        return (
            f"| {self.command} | {self.name} | {'×'.join(map(str, self.shape))} | {pixels:.2f} | "
            f"{given} | {gib['foretold']} | {gib['peak']} | {self.found['pieces']} | "
            f"{self.found['cpu']:.0f} |"
        )


def make_ct(path: Path, shape: tuple[int, int, int]) -> None:
    """Noise in a ramp; never whole in memory here either."""
    outline = plica.Image(
        np.broadcast_to(np.int16(0), (1, *shape)), plica.Grid.from_spacing(shape, (0.8, 0.8, 1.5)),
        plica.Unit.HU,
    )  # fmt: skip
    plica.write(outline, path, overwrite=True)
    size = int(np.prod(shape, dtype=np.int64)) * 2
    pixels = np.memmap(
        path, np.int16, "r+", offset=path.stat().st_size - size, shape=shape, order="F"
    )
    generator = np.random.default_rng(0)
    for k in range(shape[2]):
        noise = generator.normal(0, 20, shape[:2])
        pixels[..., k] = (noise + np.linspace(-1000, 400, shape[0])[:, None]).astype(np.int16)
    pixels.flush()


def measure(
    command: str, name: str, shape: tuple[int, int, int], asked: str | None, folder: Path
) -> Row:
    """Run it once; two threads, as on two cores."""
    words = [sys.executable, "-c", CHILD, command, name, asked or "", str(folder)]
    done = subprocess.run(
        words, capture_output=True, text=True, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{command} with {name} failed:\n{done.stderr}")
    return Row(command, name, shape, asked, json.loads(done.stdout.splitlines()[-1]))


def describe(rows: list[Row]) -> str:
    """The table, and on what it was measured."""
    return "\n".join(
        [
            "| | codec | voxels | pixels GiB | given GiB | foretold GiB | peak GiB | pieces "
            "| CPU s |",
            "|---|---|---|---:|---:|---:|---:|---:|---:|",
            *map(str, rows),
            "",
            "(half): nothing was said, and half of the machine's memory taken. 2 threads, "
            f"{platform.machine()} {platform.system()}, Python {platform.python_version()}.",
        ]
    )


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="into docs/memory.md")
    parser.add_argument("--quick", action="store_true", help="a small CT")
    asked = parser.parse_args()
    rows, made = [], None
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name, full, memory in RUNS:
            shape = (128, 128, full[2] // 4) if asked.quick else full
            if shape != made:
                make_ct(folder / "ct.nii", shape)
                made = shape
            for command in ("encode", "decode"):
                rows.append(measure(command, name, shape, memory, folder))
                sys.stdout.write(f"{rows[-1]}\n")
                sys.stdout.flush()
    text = describe(rows)
    if asked.write:
        put_section(PAGE, MARK, text)
    return 0 if all(row.holds for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())

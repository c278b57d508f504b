"""Sizes for which the published code needs more memory than machines have: what they take here.

    python benchmarks/large_images.py                print the table
    python benchmarks/large_images.py --write        put it into docs/performance.md too
    python benchmarks/large_images.py --only 1024    only the lines that contain the word

Every line is a fresh process that reads no file, so that its peak is the codec's own. Weights are
drawn: neither time nor memory depends on them. Exits with 1 if a peak is above 1.1 times what was
allowed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass

from machine import describe_machine
from pages import DOCS, put_section

PAGE = DOCS / "performance.md"
MARK = "benchmarks/large_images.py"
MEMORY = "8G"
SLACK = 1.1
CHILD = """
import json, sys, time
import numpy as np
import plica
from plica.codecs.codec import RANDOM
from plica.networks.memory import read_peak

name, side, tiling, precision, memory = sys.argv[1:6]
dims = 2 if name.endswith("2d") else 3
shape = (int(side),) * dims + (1,) * (3 - dims)
codec = plica.load(name, RANDOM, device="cpu", tiling=tiling, precision=precision, memory=memory)
pixels = np.random.default_rng(0).normal(0, 300, (1, *shape)).astype(np.float32)
image = plica.Image(pixels, plica.Grid.from_spacing(shape), plica.Unit.RELATIVE)
found = {"plans": [codec.plan_encoding(image).describe()]}
wall, cpu = time.perf_counter(), time.process_time()
latent = codec.encode(image)
found["encode"] = [time.perf_counter() - wall, time.process_time() - cpu, read_peak()]
found["plans"].append(codec.plan_decoding(latent).describe())
wall, cpu = time.perf_counter(), time.process_time()
codec.decode(latent)
found["decode"] = [time.perf_counter() - wall, time.process_time() - cpu, read_peak()]
print(json.dumps(found | {"memory": codec.planner.memory}))
"""


@dataclass(frozen=True)
class Case:
    """One line of the table."""

    dims: int
    side: int
    tiling: str
    precision: str

    @property
    def label(self) -> str:
        """What the line is called."""
        return f"medvae-4x1-{self.dims}d {self.side}{'²' if self.dims == 2 else '³'}"

    @property
    def dense_gib(self) -> float:
        """Scores and weights of attention, every cell of the latent with every other, in float32.

        What softmax reads and what it writes: the published code holds both.
        """
        return 2 * 4 * (self.side / 4) ** (2 * self.dims) / 2**30


CASES = [
    Case(dims, side, tiling, precision)
    for dims, side, tiling in ((2, 1024, "exact"), (3, 160, "exact"))
    for precision in ("float32", "bfloat16")
]
HEAD = """\
| network, size | precision | encode s | CPU s | peak GiB | decode s | CPU s | peak GiB \
| dense attention alone, GiB |
|---|---|---:|---:|---:|---:|---:|---:|---:|"""


def measure(case: Case) -> str:
    """Run one case in a process of its own; its line of the table."""
    words = [f"medvae-4x1-{case.dims}d", case.side, case.tiling, case.precision, MEMORY]
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *map(str, words)],
        capture_output=True, text=True, check=False,
        env={**os.environ, "OMP_NUM_THREADS": str(os.cpu_count())},
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{case.label} failed:\n{done.stderr}")
    found = json.loads(done.stdout.splitlines()[-1])
    print("\n".join(found["plans"]), file=sys.stderr)
    cells = [case.label, case.precision]
    for part in ("encode", "decode"):
        wall, cpu, peak = found[part]
        if peak > SLACK * found["memory"]:
            raise SystemExit(f"{case.label} {part}: {peak / 2**30:.2f} GiB of {MEMORY}")
        cells += [f"{wall:.0f}", f"{cpu:.0f}", f"{peak / 2**30:.2f}"]
    return f"| {' | '.join(cells)} | {case.dense_gib:,.1f} |"


def main() -> int:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--only", default="")
    asked = parser.parse_args()
    lines = [HEAD]
    for case in CASES:
        if asked.only in f"{case.label} {case.precision}":
            lines.append(measure(case))
            print(lines[-1], flush=True)
    text = "\n".join(
        [
            "## Sizes the reference cannot run", "", *lines, "",
            f"`--tiling exact --memory {MEMORY}`; the peak is of the whole process, with "
            "interpreter and weights, and that of decoding includes encoding. The last column is "
            "two float32 matrices of every cell of the latent with every other, which the "
            f"published code makes. {describe_machine()}.",
        ]
    )  # fmt: skip
    if asked.write:
        put_section(PAGE, MARK, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

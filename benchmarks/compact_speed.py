"""How fast the compact codecs' networks encode and decode, beside what the machine can do.

    python benchmarks/compact_speed.py

Imported by against_reference.py, which writes the table.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from machine import Machine, describe_machine, measure_machine

import plica
from plica.networks.heap import keeping_freed

CODECS = ("compact-4x1-2d", "compact-4x3-2d", "compact-8x4-2d", "compact-4x1-3d", "compact-8x1-3d")
SIDES = {2: 1024, 3: 128}
TARGET = 1.5  # million voxels a second

HEAD = """| codec, size | precision | encode M/s | CPU s | of conv peak | decode M/s | CPU s \
| of conv peak | codes differ by |
|---|---|---:|---:|---:|---:|---:|---:|---:|"""


def measure_compact(machine: Machine, *, quick: bool = False) -> str:
    """The table, in Markdown."""
    rows = []
    for name in CODECS:
        codecs = {p: plica.load(name, device="cpu", precision=p) for p in ("float32", "bfloat16")}
        rows += _measure_one(name, codecs, machine, 1 if quick else 3)
        print("\n".join(rows[-2:]), flush=True)
    return (
        "### Compact codecs\n\n"
        + "\n".join([HEAD, *rows])
        + "\n\nMillions of voxels a wall second, networks alone, on pictures of 1024² and volumes "
        f"of 128³; at least {TARGET} when encoding in bfloat16 is the target."
    )


def _measure_one(name: str, codecs: dict[str, Any], machine: Machine, runs: int) -> list[str]:
    dims = codecs["float32"].card.dims
    side = SIDES[dims]
    x = torch.rand(1, 1, *[side] * dims) * 2 - 1
    rows, exact = [], None
    with torch.inference_mode(), keeping_freed():
        for precision, codec in codecs.items():
            network = codec.network
            z = network.encode(x)
            exact = z if exact is None else exact
            work = network.multiply_adds()
            cells = [f"{name} {side}{'²' if dims == 2 else '³'}", precision]
            for part, given, each in (("encode", x, work[0]), ("decode", z, work[1])):
                wall, cpu = _time(lambda: getattr(network, part)(given), runs)  # noqa: B023
                share = 2 * each * x.numel() / cpu / 1e12 / machine.convolution[precision]
                cells += [f"{x.numel() / wall / 1e6:.2f}", f"{cpu:.2f}", f"{share:.0%}"]
            far = float((z - exact).std() / exact.std())
            rows.append(f"| {' | '.join(cells)} | {f'{far:.1e}' if far else ''} |")
    return rows


def _time(work: Any, runs: int) -> tuple[float, float]:
    """Least wall and processor seconds of some runs, after one that does not count."""
    work()
    taken = []
    for _ in range(runs):
        begun, cpu = time.perf_counter(), time.process_time()
        work()
        taken.append((time.perf_counter() - begun, time.process_time() - cpu))
    return min(wall for wall, _ in taken), min(cpu for _, cpu in taken)


if __name__ == "__main__":
    print(describe_machine())
    print(measure_compact(measure_machine()))

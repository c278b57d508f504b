"""Seconds and peak memory of MedVAE's networks, beside the way the published code computes.

    python benchmarks/encode_1024.py              print the table
    python benchmarks/encode_1024.py --write      put it into docs/performance.md too
    python benchmarks/encode_1024.py --only 1024  only the cases whose line contains the word

Every line is a fresh process, so that its peak is its own. Weights are random numbers: neither time
nor memory depends on them. Exits with 1 if 1024 × 1024 takes 6 GiB or more.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from plica.networks import attention, blocks, coders
from plica.networks.kl import KlAutoencoder

PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"
BEGIN, END = "<!-- benchmarks/encode_1024.py -->", "<!-- end of benchmarks/encode_1024.py -->"
MOST_GIB = 6.0
WIDTHS = (128, 256, 512)


@dataclass(frozen=True)
class Case:
    """One line of the table.

    Args:
        dims: 2 or 3.
        side: Voxels per axis.
        way: "plica", or "as published": dense attention, repetition before the convolution,
            copies for activations and sums, channels first.
        repeats: The least of so many is kept.
    """

    dims: int
    side: int
    way: str
    repeats: int

    @property
    def label(self) -> str:
        """What the line is called."""
        size = "²" if self.dims == 2 else "³"
        return f"medvae-4x1-{self.dims}d, {self.side}{size}"


CASES = (
    Case(2, 512, "as published", 2),
    Case(2, 512, "plica", 2),
    Case(2, 1024, "plica", 1),
    Case(3, 64, "as published", 2),
    Case(3, 64, "plica", 2),
    Case(3, 128, "plica", 1),
)


def compute_as_published() -> None:
    """Replace our layers' arithmetic by that of the published code."""

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return torch.softmax(q @ k.transpose(1, 2) * q.shape[2] ** -0.5, dim=2) @ v

    def upsample(layer: blocks.Upsample, x: Tensor) -> Tensor:
        return layer.conv(functional.interpolate(x, scale_factor=2.0, mode="nearest"))

    attention.attend = attend
    blocks.Upsample.forward = upsample
    for module in (blocks, coders):
        module.activate = lambda h: h * torch.sigmoid(h)
    for module in (blocks, attention):
        module.add = lambda h, x: h + x


def measure(case: Case) -> dict[str, float]:
    """Run one case in this process."""
    torch.manual_seed(0)
    network = KlAutoencoder(
        dims=case.dims, in_channels=1, code_channels=1, widths=WIDTHS, projection=True
    ).eval()
    if case.way == "as published":
        compute_as_published()
    else:
        blocks.lay_out(network)
    x = torch.rand(1, 1, *[case.side] * case.dims) * 2 - 1
    result = {"before_gib": peak_gib()}
    with torch.inference_mode():
        z = network.encode(x[(..., *[slice(0, 32)] * case.dims)])  # what is set up only once
        network.decode(z)
        result |= time_of("encode", lambda: network.encode(x), case.repeats)
        z = torch.zeros(1, 1, *[case.side // network.factor] * case.dims)
        result |= time_of("decode", lambda: network.decode(z), case.repeats)
    return result


def time_of(what: str, run: Any, repeats: int) -> dict[str, float]:
    """Least wall and processor seconds of some runs, and the peak so far."""
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        run()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return {f"{what}_s": min(walls), f"{what}_cpu_s": min(cpus), f"{what}_gib": peak_gib()}


def peak_gib() -> float:
    """The most memory this process has held."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def run_apart(case: Case) -> dict[str, float]:
    """Run one case in a process of its own."""
    command = [sys.executable, __file__, "--case", json.dumps(asdict(case))]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def table(rows: list[tuple[Case, dict[str, float]]]) -> str:
    """Markdown of all lines."""
    head = (
        "| network, size | computed | encode s | CPU s | peak GiB | decode s | CPU s | peak GiB |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    lines = [
        f"| {case.label} | {case.way} | {row['encode_s']:.1f} | {row['encode_cpu_s']:.1f} "
        f"| {row['encode_gib']:.2f} | {row['decode_s']:.1f} | {row['decode_cpu_s']:.1f} "
        f"| {row['decode_gib']:.2f} |"
        for case, row in rows
    ]
    return "\n".join([head, *lines])


def describe() -> str:
    """Where and with what it was measured."""
    return (
        f"float32, {torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"{platform.machine()} {platform.system()}. Peaks are of the whole process, with the "
        "interpreter and the weights (2D 0.2 GiB, 3D 0.6 GiB); that of decoding includes encoding. "
        "Wall seconds depend on what else the machine does, processor seconds less so."
    )


def write(text: str) -> None:
    """Put the section into the page, in place of the one that was there."""
    page = PAGE.read_text(encoding="utf-8") if PAGE.exists() else "# Performance\n"
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    section = f"{BEGIN}\n{text}\n{END}"
    PAGE.write_text(f"{before.rstrip()}\n\n{section}\n{after.lstrip()}", encoding="utf-8")


def main() -> int:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.case:
        print(json.dumps(measure(Case(**json.loads(asked.case)))))
        return 0
    rows = []
    for case in CASES:
        if asked.only in f"{case.label} {case.way}":
            rows.append((case, run_apart(case)))
            print(table(rows[-1:]).splitlines()[-1], flush=True)
    text = f"## MedVAE's networks on a CPU\n\n{table(rows)}\n\n{describe()}"
    print(f"\n{text}\nload {os.getloadavg()[0]:.1f}")
    if asked.write:
        write(text)
    peaks = [max(row["encode_gib"], row["decode_gib"]) for case, row in rows if case.side == 1024]
    return int(any(peak >= MOST_GIB for peak in peaks))


if __name__ == "__main__":
    sys.exit(main())

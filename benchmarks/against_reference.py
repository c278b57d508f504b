"""The published networks beside their reference implementation, with the same made weights.

    python benchmarks/against_reference.py --reference CHECKOUT --python INTERPRETER [--write]
    python benchmarks/against_reference.py --quick          one run each; without the reference too

CHECKOUT is the reference's repository (github.com/StanfordMIMI/MedVAE) and INTERPRETER a Python
that has PyTorch and einops. Nothing is fetched, and nothing of the reference is in here. All
sides are processes of their own that live side by side and are run in turns (A B C, C B A, …), so
that what else the machine does falls on all of them. --write puts the tables into
docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from compact_speed import measure_compact
from machine import Machine, describe_machine, measure_machine
from pages import DOCS, put_section
from torch import nn

from plica.networks.cost import build_shapes, count_work
from plica.networks.kl import KlAutoencoder

PAGE = DOCS / "performance.md"
MARK = "benchmarks/against_reference.py"
CHILD = Path(__file__).with_name("against_reference_child.py")
WIDTHS = (128, 256, 512)
TARGETS = {(2, "bfloat16"): 3.0, (2, "float32"): 1.6, (3, "bfloat16"): 3.0, (3, "float32"): 1.4}
REFERENCE = "reference"


@dataclass(frozen=True)
class Case:
    """A size that all sides can run.

    Args:
        dims: 2 or 3.
        side: Voxels per axis.
        runs: Of each side, after one that does not count.
    """

    dims: int
    side: int
    runs: int

    @property
    def label(self) -> str:
        """What its lines are called."""
        return f"medvae-4x1-{self.dims}d {self.side}{'²' if self.dims == 2 else '³'}"


@dataclass(frozen=True)
class Line:
    """What one side took for one part of a case."""

    wall: tuple[float, ...]
    cpu: tuple[float, ...]
    peak: float


class Child:
    """A side in a process of its own."""

    def __init__(self, python: str, threads: int) -> None:
        self.threads = threads
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        self._process = subprocess.Popen(
            [python, str(CHILD)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=environment,
        )  # fmt: skip

    def ask(self, **order: Any) -> dict[str, Any]:
        """Give an order and wait for the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(order), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit("a child process died: see what it said above")
        return json.loads(answer)

    def close(self) -> None:
        """Let it end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def make_state(dims: int, folder: Path) -> Path:
    """Weights that are drawn, the same for all sides, under the published names."""
    torch.manual_seed(0)
    network = KlAutoencoder(
        dims=dims, in_channels=1, code_channels=1, widths=WIDTHS, projection=True
    )
    path = folder / f"made-{dims}d.pt"
    torch.save(network.state_dict(), path)
    return path


@contextmanager
def sides_of(
    case: Case, part: str, asked: argparse.Namespace, folder: Path
) -> Iterator[dict[str, Child]]:
    """All sides of a case, built and warm."""
    state = str(make_state(case.dims, folder))
    order = {"do": "build", "state": state, "dims": case.dims, "voxels": case.side,
             "threads": asked.threads}  # fmt: skip
    kinds: dict[str, tuple[str, dict[str, Any]]] = {}
    if asked.reference:
        words = {"side": REFERENCE, "checkout": str(asked.reference.resolve())}
        kinds[REFERENCE] = (str(asked.python), words)
    for precision in ("float32", "bfloat16"):
        kinds[precision] = (sys.executable, {"side": "plica", "precision": precision})
    with ExitStack() as stack:
        children = {}
        for name, (python, words) in kinds.items():
            children[name] = Child(python, asked.threads)
            stack.callback(children[name].close)
            children[name].ask(**order, **words)
            children[name].ask(do="run", part=part)
        yield children


def measure_case(
    case: Case, part: str, asked: argparse.Namespace, folder: Path
) -> tuple[dict[str, Line], dict[str, float]]:
    """What each side takes, and how far plica's results are from the reference's."""
    with sides_of(case, part, asked, folder) as children:
        taken: dict[str, list[dict[str, float]]] = {name: [] for name in children}
        for turn in range(1 if asked.quick else case.runs):
            for name in list(children)[:: -1 if turn % 2 else 1]:
                taken[name].append(children[name].ask(do="run", part=part))
        results = {}
        for name, child in children.items():
            child.ask(do="save", part=part, to=str(folder / f"{name}.pt"))
            results[name] = torch.load(folder / f"{name}.pt", weights_only=True)
    first = results.get(REFERENCE, results["float32"])
    far = {
        name: float((result - first).std() / first.std())
        for name, result in results.items()
        if result is not first
    }
    lines = {
        name: Line(
            tuple(run["wall"] for run in runs),
            tuple(run["cpu"] for run in runs),
            max(run["peak"] for run in runs),
        )
        for name, runs in taken.items()
    }
    return lines, far


class _Part(nn.Module):
    """One direction of a network, to be counted."""

    def __init__(self, network: Any, part: str) -> None:
        super().__init__()
        self.network, self.part = network, part

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Codes or image."""
        return getattr(self.network, self.part)(x)


def count(case: Case, part: str) -> float:
    """Operations (a multiply-add is two) of direct convolutions and of attention."""
    network = build_shapes(
        lambda: KlAutoencoder(dims=case.dims, in_channels=1, code_channels=1, widths=WIDTHS)
    )
    side = case.side if part == "encode" else case.side // network.factor
    return 2 * count_work(_Part(network, part), (1, 1, *[side] * case.dims)).multiply_adds


def moved(case: Case, part: str, precision: str) -> float:
    """Bytes of maps that layers read and write once each."""
    blocks, cells = (2, 3)[part == "decode"], case.side**case.dims
    values = sum(
        # of a block: norm, silu, conv, norm, silu, conv and sum, each reads and writes its map
        width * cells / 2 ** (case.dims * level) * blocks * 13
        for level, width in enumerate(WIDTHS)
    )
    return values * (4 if precision == "float32" else 2)


def table(
    case: Case, part: str, lines: dict[str, Line], far: dict[str, float], machine: Machine
) -> list[str]:
    """Markdown lines of a case."""
    first = lines.get(REFERENCE)
    operations = count(case, part)
    rows = []
    for name, line in lines.items():
        precision = "float32" if name == REFERENCE else name
        floor = machine.floor(operations, moved(case, part, precision), precision)
        ratio = f"{min(first.cpu) / min(line.cpu):.2f}" if first else "–"
        walls = (
            f"{statistics.median(first.wall) / statistics.median(line.wall):.2f}" if first else "–"
        )
        wanted = TARGETS[case.dims, name] if name in {"float32", "bfloat16"} else None
        rows.append(
            f"| {case.label} {part} | {'reference' if name == REFERENCE else 'plica ' + name} "
            f"| {min(line.wall):.2f} / {statistics.median(line.wall):.2f} "
            f"| {min(line.cpu):.2f} / {statistics.median(line.cpu):.2f} "
            f"| {ratio} | {walls} | {f'{wanted:.1f}' if wanted else ''} "
            f"| {line.peak:.2f} | {floor:.2f} | {floor / min(line.cpu):.0%} "
            f"| {f'{far[name]:.1e}' if name in far else ''} |"
        )
    return rows


HEAD = """| network, size | computed by | wall s, min / median | CPU s, min / median \
| × reference, CPU | × reference, wall | target | peak GiB | floor CPU s | of floor | differs by |
|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"""

NOTES = """\
Processes side by side, in turns; ratios of the least processor seconds and of the median wall
seconds. The peak is of the whole process, with interpreter and weights. The floor is what direct
convolutions, phase convolutions and attention need at the fastest product or convolution measured,
or what their maps need at the measured bandwidth, whichever is more; networks.winograd needs fewer
operations than that in float32. "Differs by" is the deviation of the difference from the
reference's result, over the deviation of that."""


def describe(machine: Machine, load: tuple[float, float]) -> str:
    """What was measured with, and what that can do."""
    peaks = "; ".join(
        f"{name}: products {machine.products[name]:.2f}, convolutions "
        f"{machine.convolution[name]:.2f} TFLOP"
        for name in machine.products
    )
    return (
        f"{describe_machine()}. Per core and processor second, {peaks}; copies "
        f"{machine.copy:.1f} GB. Load of the machine before and after: {load[0]:.1f} and "
        f"{load[1]:.1f}."
    )


def main() -> int:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reference", type=Path, help="a checkout of the reference")
    parser.add_argument("--python", type=Path, default=Path(sys.executable))
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--quick", action="store_true", help="one run of each")
    parser.add_argument("--only", default="", help="lines that contain the word")
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    begun, machine = os.getloadavg()[0], measure_machine()
    rows: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for case in (Case(2, 512, 5), Case(3, 64, 5)):
            for part in ("encode", "decode"):
                if asked.only in f"{case.label} {part}":
                    found = measure_case(case, part, asked, Path(folder))
                    rows += table(case, part, *found, machine)
                    print("\n".join(rows[-3:]), flush=True)
    compact = measure_compact(machine, quick=asked.quick) if asked.only in "compact" else ""
    load = (begun, os.getloadavg()[0])
    text = "\n\n".join(
        one for one in (
            "## Beside the reference implementation", "\n".join([HEAD, *rows]),
            NOTES, compact, describe(machine, load),
        ) if one
    )  # fmt: skip
    print(f"\n{text}")
    if asked.write:
        put_section(PAGE, MARK, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

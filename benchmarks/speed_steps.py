"""What each step brings that makes the published networks faster here: measured by leaving it out.

    python benchmarks/speed_steps.py [--write]

All variants of a line are one process and are run in turns; numbers are processor seconds without
the step over those with all. --write puts the table into docs/performance.md.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest import mock

import torch
from machine import describe_machine
from pages import DOCS, put_section
from torch.nn import functional

from plica.networks import attention, blocks, coders, convolution, winograd
from plica.networks.heap import keeping_freed
from plica.networks.kl import KlAutoencoder
from plica.networks.precision import set_precision

PAGE = DOCS / "performance.md"
MARK = "benchmarks/speed_steps.py"
WIDTHS = (128, 256, 512)
CASES = [(dims, side, p) for dims, side in ((2, 384), (3, 48)) for p in ("float32", "bfloat16")]
RUNS = 3
Step = Callable[[Any], Any]


def _patch(target: Any, name: str, value: Any) -> Any:
    return mock.patch.object(target, name, value)


def _enlarge(layer: blocks.Upsample, x: torch.Tensor) -> torch.Tensor:
    return convolution.convolve_same(
        layer.conv, functional.interpolate(x, scale_factor=2.0, mode="nearest")
    )


def _attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return torch.softmax(q @ k.transpose(1, 2) * q.shape[2] ** -0.5, dim=2) @ v


@contextmanager
def _apart() -> Iterator[None]:
    """Normalising, activating and adding one after the other, each into a map of its own."""

    def normalise(norm: Any, x: torch.Tensor, *, overwrite: bool = False) -> torch.Tensor:
        y = functional.group_norm(x, norm.num_groups, norm.weight, norm.bias, norm.eps)
        return functional.silu(y)

    def add(h: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return h + x

    with (
        _patch(blocks, "normalise_and_activate", normalise),
        _patch(coders, "normalise_and_activate", normalise),
        _patch(blocks, "add", add),
    ):
        yield


STEPS: dict[str, Callable[[], Any]] = {
    "all": nullcontext,
    "Winograd's convolutions": lambda: _patch(winograd, "pays", lambda x, w: False),
    "wide convolutions in parts": lambda: _patch(convolution, "is_slow", lambda x, w: False),
    "phase convolutions": lambda: _patch(blocks.Upsample, "forward", _enlarge),
    "normalising and adding in place": _apart,
    "attention in chunks": lambda: _patch(attention, "attend", _attend),
    "keeping freed maps": nullcontext,
    "channels last": nullcontext,
}


def build(dims: int, precision: str, *, ordered: bool) -> Any:
    """A network with drawn weights."""
    torch.manual_seed(0)
    network = KlAutoencoder(
        dims=dims, in_channels=1, code_channels=1, widths=WIDTHS, projection=True
    )
    network.eval().requires_grad_(False)
    if ordered:
        blocks.lay_out(network)
    set_precision(network, precision)
    return network


def measure(dims: int, side: int, precision: str, part: str) -> dict[str, float]:
    """Least processor seconds of each variant."""
    networks = {ordered: build(dims, precision, ordered=ordered) for ordered in (True, False)}
    cells = side if part == "encode" else side // 4
    x = torch.randn(1, 1, *[cells] * dims)
    taken: dict[str, list[float]] = {name: [] for name in STEPS}
    for turn in range(RUNS + 1):  # the first of which does not count
        for name, without in STEPS.items():
            network = networks[name != "channels last"]
            kept = nullcontext() if name == "keeping freed maps" else keeping_freed()
            with torch.inference_mode(), without(), kept:
                begun = time.process_time()
                getattr(network, part)(x)
                taken[name] += [time.process_time() - begun] if turn else []
    return {name: min(seconds) for name, seconds in taken.items()}


def main() -> int:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    columns = [
        (f"{dims}D {side}{'²' if dims == 2 else '³'} {part}, {precision}",
         measure(dims, side, precision, part))
        for dims, side, precision in CASES for part in ("encode", "decode")
    ]  # fmt: skip
    names = [name for name in STEPS if name != "all"]
    lines = [f"| | CPU s | {' | '.join(names)} |", f"|---|---:|{'---:|' * len(names)}"]
    for label, seconds in columns:
        ratios = " | ".join(f"{seconds[name] / seconds['all']:.2f}" for name in names)
        lines.append(f"| {label} | {seconds['all']:.2f} | {ratios} |")
    text = "\n".join(
        ["## What each step brings", "", *lines, "",
         "Processor seconds without the step over those with all of them (least of "
         f"{RUNS} runs in turns). {describe_machine()}."]
    )  # fmt: skip
    print(text)
    if asked.write:
        put_section(PAGE, MARK, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

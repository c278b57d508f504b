"""What a core can do: products, convolutions and copies per processor second, with PyTorch.

    python benchmarks/machine.py

Imported by the benchmarks that set what was measured beside what is possible. All cores work at
once; what is divided by are their processor seconds, which other work on the machine changes least.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

RUNS = 4
# dims, channels, side: those of the published networks' levels.
_CONVOLUTIONS = ((2, 128, 256), (2, 256, 256), (2, 512, 128), (3, 128, 32), (3, 256, 32))
_ORDER = {2: torch.channels_last, 3: torch.channels_last_3d}


@dataclass(frozen=True)
class Machine:
    """Peaks of one core that were measured while all work.

    Args:
        products: TFLOP/s of a matrix product, by precision.
        convolution: TFLOP/s of the fastest direct convolution, by precision.
        copy: GB per second, read and written.
    """

    products: dict[str, float]
    convolution: dict[str, float]
    copy: float

    def floor(self, operations: float, moved: float, precision: str) -> float:
        """The least processor seconds: operations over peak, or bytes over bandwidth."""
        most = max(self.products[precision], self.convolution[precision])
        return max(operations / most / 1e12, moved / self.copy / 1e9)


def measure_machine() -> Machine:
    """Take the peaks: the best of some runs each."""
    types = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    with torch.inference_mode():
        return Machine(
            {name: _multiply(dtype) for name, dtype in types.items()},
            {
                name: max(_convolve(dtype, *case) for case in _CONVOLUTIONS)
                for name, dtype in types.items()
            },
            _copy(),
        )


def describe_machine() -> str:
    """Processor, cores, system and versions, in a line."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    flags = ""
    if info.is_file():
        lines = dict(
            line.split(":", 1) for line in info.read_text().splitlines() if line.count(":")
        )
        named = {key.strip(): value.strip() for key, value in lines.items()}
        model = named.get("model name", model)
        words = named.get("flags", "").split()
        known = {"amx_bf16": "AMX bf16", "avx512_bf16": "AVX-512 bf16", "avx512f": "AVX-512"}
        flags = next((f", {text}" for flag, text in known.items() if flag in words), "")
    return (
        f"{model}{flags}, {os.cpu_count()} cores, {platform.system()}, "
        f"Python {platform.python_version()}, torch {torch.__version__}"
    )


def least_seconds(work: Callable[[], object], runs: int = RUNS) -> float:
    """The least processor seconds of some runs, after one that does not count."""
    work()
    taken = []
    for _ in range(runs):
        begun = time.process_time()
        work()
        taken.append(time.process_time() - begun)
    return min(taken)


def _multiply(dtype: torch.dtype, side: int = 3072) -> float:
    a, b = torch.randn(2, side, side).to(dtype)
    out = torch.empty_like(a)
    return 2 * side**3 / least_seconds(lambda: torch.mm(a, b, out=out)) / 1e12


def _convolve(dtype: torch.dtype, dims: int, channels: int, side: int) -> float:
    layer = (nn.Conv2d if dims == 2 else nn.Conv3d)(channels, channels, 3, padding=1)
    layer = layer.to(dtype).to(memory_format=_ORDER[dims])
    x = torch.randn(1, channels, *[side] * dims).to(dtype).contiguous(memory_format=_ORDER[dims])
    operations = 2 * channels**2 * 3**dims * side**dims
    return operations / least_seconds(lambda: layer(x)) / 1e12


def _copy(size: int = 2**28) -> float:
    a = torch.zeros(size // 4)
    b = torch.ones_like(a)
    return 2 * size / least_seconds(lambda: b.copy_(a)) / 1e9


if __name__ == "__main__":
    print(describe_machine())
    print(measure_machine())

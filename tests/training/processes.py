"""Trainings in processes of their own, and the same ones here."""

import os
import subprocess
import sys
from pathlib import Path

import torch
from tests.training.walk import main

ROOT = Path(__file__).resolve().parent.parent.parent
ONE = (sys.executable, "-m", "tests.training.walk")
TWO = (
    sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
    "-m", "tests.training.walk",
)  # fmt: skip


def walk(*options, command=ONE):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        [*command, *map(str, options)], cwd=ROOT, env=environment, capture_output=True, text=True,
        check=False, timeout=300,
    )  # fmt: skip


def walk_here(*options):
    """The same without a process of its own, which takes seconds to start."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as there: sums over parts of several threads round otherwise
    try:
        return main([*map(str, options)])
    finally:
        torch.set_num_threads(threads)

"""How long plica takes before it does anything: `import plica`, `plica --help`, `plica inspect`.

    python benchmarks/start.py [--write]

Each in a fresh process, a plain interpreter that imports numpy beside them in the same run.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from pages import DOCS, put_section

import plica

PAGE = DOCS / "performance.md"
MARK = "benchmarks/start.py"
RUNS = 11


def make_latent(folder: Path) -> Path:
    """A latent of a 128³ volume, to inspect."""
    pixels = np.random.default_rng(0).integers(0, 900, (1, 128, 128, 128)).astype(np.int16)
    image = plica.Image(pixels, plica.Grid.from_spacing((128, 128, 128)))
    return plica.write(plica.load("linear-4x1-3d").encode(image), folder / "a.latent")


def measure(commands: dict[str, list[str]]) -> dict[str, float]:
    """Median wall seconds of each command; run in turn, so that a busy spell hits all."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(RUNS + 1):
        for name, words in commands.items():
            begun = time.perf_counter()
            subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
            if turn:  # the first one warms the disk's cache
                times[name].append(time.perf_counter() - begun)
    return {name: statistics.median(each) for name, each in times.items()}


def describe(seconds: dict[str, float]) -> str:
    """A table of the medians, and how many times numpy's own import that is."""
    bare = seconds["python -c 'import numpy'"]
    rows = [f"| `{name}` | {each:.2f} | {each / bare:.1f}× |" for name, each in seconds.items()]
    return "\n".join(
        [
            "## Before any work",
            "",
            "| command | median wall s | of importing numpy |",
            "|---|---:|---:|",
            *rows,
            "",
            f"{RUNS} runs each, in turn, in fresh processes.",
        ]
    )


def main() -> None:
    """Measure, print, and write with --write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--write", action="store_true", help="put the table into docs/performance.md"
    )
    asked = parser.parse_args()
    script = [sys.executable, "-c", "from plica.cli.main import main; main()"]
    with tempfile.TemporaryDirectory() as folder:
        latent = str(make_latent(Path(folder)))
        seconds = measure(
            {
                "python -c 'import numpy'": [sys.executable, "-c", "import numpy"],
                "python -c 'import plica'": [sys.executable, "-c", "import plica"],
                "plica inspect a.latent": [*script, "inspect", latent],
                "plica --help": [*script, "--help"],
            }
        )
    text = describe(seconds)
    print(text)
    if asked.write:
        put_section(PAGE, MARK, text)


if __name__ == "__main__":
    main()

"""Whether the batch that was foretold for a processor fits: foretold, then done.

    python benchmarks/largest_batch.py [--memory 2] [--size 256 128] [--write]

HRNet-W64's forward pass. The batch is done in a process of its own, whose most memory is read.
--write puts the table into docs/efficiency.md.
"""

from __future__ import annotations

import argparse
import multiprocessing
from functools import partial
from multiprocessing.connection import Connection

from pages import DOCS, put_section

from plica.networks.cost import prepare_forward
from plica.networks.memory import find_largest_batch, read_peak
from plica.networks.probes import build_probe

PAGE = DOCS / "efficiency.md"
MARK = "foretold"
PROBE = "hrnet-w64"
GIB = 2**30


def do_batch(pipe: Connection, batch: int, side: int) -> None:
    """What the child does."""
    prepare_forward(build_probe(PROBE), (batch, 1, side, side))()
    pipe.send(read_peak())


def weigh_batch(batch: int, side: int) -> int:
    """The most bytes a process that does it ever held."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=do_batch, args=(there, batch, side))
    child.start()
    there.close()
    peak = int(here.recv())
    child.join()
    return peak


def main() -> None:
    """Foretell and do, and print, or write, what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memory", type=float, default=2.0, help="GiB")
    parser.add_argument("--size", type=int, nargs="+", default=[256, 128])
    parser.add_argument("--write", action="store_true", help="put the table into the page")
    args = parser.parse_args()
    allowed = round(args.memory * GIB)
    lines = ["| images of | foretold for | batch | it took | more |", "|---|---:|---:|---:|---:|"]
    for side in args.size:
        found = find_largest_batch(partial(build_probe, PROBE), (1, side, side), memory=allowed)
        peak = weigh_batch(found.batch, side)
        lines.append(
            f"| {side}×{side} | {allowed / GIB:.3g} GiB | {found.batch} | {peak / GIB:.2f} GiB | "
            f"{100 * (peak / allowed - 1):+.1f} % |"
        )
    text = "\n".join(lines)
    print(text)
    if args.write:
        put_section(PAGE, MARK, text)


if __name__ == "__main__":
    main()

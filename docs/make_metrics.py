"""Write the tables of metrics into docs/metrics.md, from what each metric says of itself.

python docs/make_metrics.py            rewrite the tables between their marks
python docs/make_metrics.py --check    say whether they are up to date, and change nothing
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from parts import fill, keep, tabulate

from plica.metrics.distribution import DISTANCES
from plica.metrics.metric import DEFAULT, METRICS
from plica.metrics.overlap import EMPTY_RULE, LABEL_METRICS

PAGE = Path(__file__).resolve().parent / "metrics.md"


def make_pairs() -> str:
    """A row for each metric of an image and its source."""
    rows = [METRICS.get_thing(name) for name in METRICS]
    return tabulate(
        ("metric", "unit", "better", "data range", "what is computed", "masks"),
        [
            (f"`{m.name}`" + ("" if m.name in DEFAULT else " *"), m.unit, m.better,
             "needed" if m.ranged else "–", m.definition, m.mask_rule)
            for m in rows
        ],
    )  # fmt: skip


def make_labels() -> str:
    """A row for each metric of two drawings."""
    rows = [LABEL_METRICS.get_thing(name) for name in LABEL_METRICS]
    table = tabulate(
        ("metric", "unit", "better", "what is computed"),
        [(f"`{m.name}`", m.unit, m.better, m.definition) for m in rows],
    )
    return f"{table}\n\n{EMPTY_RULE}"


def make_sets() -> str:
    """A row for each metric of two sets of images."""
    rows = [DISTANCES.get_thing(name) for name in DISTANCES]
    return tabulate(
        ("metric", "unit", "better", "what is computed"),
        [(f"`{m.name}`", m.unit, m.better, m.definition) for m in rows],
    )


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if outdated")
    parts = {"pairs": make_pairs(), "labels": make_labels(), "sets": make_sets()}
    return keep(PAGE, fill(PAGE, parts), check=parser.parse_args().check)


if __name__ == "__main__":
    sys.exit(main())

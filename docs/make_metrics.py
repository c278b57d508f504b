"""Write the tables of metrics into docs/metrics.md, from what each metric says of itself.

python docs/make_metrics.py            rewrite the tables between their marks
python docs/make_metrics.py --check    say whether they are up to date, and change nothing
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from plica.metrics.distribution import DISTANCES
from plica.metrics.metric import DEFAULT, METRICS
from plica.metrics.overlap import EMPTY_RULE, LABEL_METRICS

PAGE = Path(__file__).resolve().parent / "metrics.md"


def make_pairs() -> str:
    """A row for each metric of an image and its source."""
    rows = [METRICS.get_thing(name) for name in METRICS]
    return _table(
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
    table = _table(
        ("metric", "unit", "better", "what is computed"),
        [(f"`{m.name}`", m.unit, m.better, m.definition) for m in rows],
    )
    return f"{table}\n\n{EMPTY_RULE}"


def make_sets() -> str:
    """A row for each metric of two sets of images."""
    rows = [DISTANCES.get_thing(name) for name in DISTANCES]
    return _table(
        ("metric", "unit", "better", "what is computed"),
        [(f"`{m.name}`", m.unit, m.better, m.definition) for m in rows],
    )


PARTS = {"pairs": make_pairs, "labels": make_labels, "sets": make_sets}


def renew(page: str) -> str:
    """The page with its tables as the metrics say them.

    Raises:
        SystemExit: The page lacks a mark.
    """
    for name, make in PARTS.items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        if page.count(begin) != 1 or page.count(end) != 1:
            sys.exit(f"docs/metrics.md needs the two lines {begin!r} and {end!r} once each")
        before, rest = page.split(begin)
        page = f"{before}{begin}\n{make()}\n{end}{rest.split(end)[1]}"
    return page


def _table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [columns, tuple("---" for _ in columns), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if outdated")
    options = parser.parse_args()
    page = PAGE.read_text(encoding="utf-8")
    renewed = renew(page)
    if renewed != page and options.check:
        print("the tables in docs/metrics.md are outdated; run: python docs/make_metrics.py")
        return 1
    if renewed != page:
        PAGE.write_text(renewed, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

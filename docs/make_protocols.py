"""Write the tables of docs/protocols.md from the protocols, tasks and data sets themselves.

python docs/make_protocols.py            rewrite them between their marks
python docs/make_protocols.py --check    say whether they are up to date, and change nothing
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from parts import fill, keep, tabulate

from plica.cli.evaluate_protocols import LISTED, TASKS_LISTED, list_row, task_row
from plica.evaluation.datasets import BY_TABLE, DATASETS
from plica.evaluation.protocol import list_protocols
from plica.evaluation.tasks import TASKS

PAGE = Path(__file__).resolve().parent / "protocols.md"


def make_parts() -> dict[str, str]:
    """Each part of the page that is made, by its mark."""
    tasks = [TASKS.get_thing(name) for name in TASKS]
    return {
        "protocols": _tabulate_names(LISTED, [list_row(one) for one in list_protocols()]),
        "tasks": _tabulate_names(TASKS_LISTED, [task_row(task) for task in tasks]),
        "rules": "\n".join(
            f"- `{task.name}`: {task.title} {' '.join(task.rules)}" for task in tasks
        ),
        "data sets": _tabulate_names(
            ("data set", "to be had at", "terms", "laid out as"),
            [
                (one.name, f"[{one.title}]({one.homepage})", one.terms, _layout(one.layout))
                for one in DATASETS.values()
            ],
        ),
    }


def _layout(layout: str) -> str:
    return "a table" if layout == BY_TABLE else layout


def _tabulate_names(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A table whose first column holds names, as they are typed."""
    return tabulate(columns, [(f"`{row[0]}`", *row[1:]) for row in rows])


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing")
    return keep(PAGE, fill(PAGE, make_parts()), check=parser.parse_args().check)


if __name__ == "__main__":
    sys.exit(main())

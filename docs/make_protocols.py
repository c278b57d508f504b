"""Write the tables of docs/protocols.md from the protocols, tasks and data sets themselves.

python docs/make_protocols.py            rewrite them between their marks
python docs/make_protocols.py --check    say whether they are up to date, and change nothing
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from plica.cli.evaluate_protocols import LISTED, TASKS_LISTED, list_row, task_row
from plica.evaluation.datasets import BY_TABLE, DATASETS
from plica.evaluation.protocol import list_protocols
from plica.evaluation.tasks import TASKS

PAGE = Path(__file__).resolve().parent / "protocols.md"


def make_parts() -> dict[str, str]:
    """Each part of the page that is made, by its mark."""
    tasks = [TASKS.get_thing(name) for name in TASKS]
    return {
        "protocols": _table(LISTED, [list_row(one) for one in list_protocols()]),
        "tasks": _table(TASKS_LISTED, [task_row(task) for task in tasks]),
        "rules": "\n".join(
            f"- `{task.name}`: {task.title} {' '.join(task.rules)}" for task in tasks
        ),
        "data sets": _table(
            ("data set", "to be had at", "terms", "laid out as"),
            [
                (one.name, f"[{one.title}]({one.homepage})", one.terms, _layout(one.layout))
                for one in DATASETS.values()
            ],
        ),
    }


def _layout(layout: str) -> str:
    return "a table" if layout == BY_TABLE else layout


def _table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """The first column holds names, as they are typed."""
    named = [(f"`{row[0]}`", *row[1:]) for row in rows]
    lines = [columns, ("---",) * len(columns), *named]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def replace_parts(page: str, parts: dict[str, str]) -> str:
    """The page with each part between its marks.

    Raises:
        SystemExit: A mark is missing.
    """
    for name, text in parts.items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        if page.count(begin) != 1 or page.count(end) != 1:
            sys.exit(f"{PAGE.name} needs the two lines {begin!r} and {end!r} once each")
        before, rest = page.split(begin)
        page = f"{before}{begin}\n{text}\n{end}{rest.split(end)[1]}"
    return page


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing")
    page = PAGE.read_text(encoding="utf-8")
    made = replace_parts(page, make_parts())
    if parser.parse_args().check:
        if made != page:
            print(f"{PAGE.name} is out of date: run python docs/make_protocols.py")
        return int(made != page)
    PAGE.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

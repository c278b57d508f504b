"""The parts of pages that commands write: between two marks, and compared or written at once."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

BAR = "\\|"  # a bar inside a cell


RULES = {"l": "---", "r": "---:", "c": ":---:"}


def tabulate(columns: Sequence[str], rows: Iterable[Sequence[str]], align: str = "") -> str:
    r"""A table in Markdown, whose cells may hold bars.

    Args:
        columns: What stands above them.
        rows: As many cells each.
        align: A letter for each column: l, r or c; "" for all to the left.

    Examples:
        >>> print(tabulate(("name", "sides"), [("ct", "512|512")]))
        | name | sides |
        | --- | --- |
        | ct | 512\|512 |
    """
    rules = [RULES[letter] for letter in align or "l" * len(columns)]
    lines = [columns, rules, *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', BAR) for cell in line)} |" for line in lines)


def fill(path: Path, parts: Mapping[str, str], page: str | None = None) -> str:
    """The page with each part between its marks, `<!-- name -->` and `<!-- /name -->`.

    Args:
        path: Where the page lies.
        parts: Markdown by the name of its marks.
        page: Its text; None to read it.

    Raises:
        SystemExit: A mark is missing, or there twice.
    """
    page = path.read_text(encoding="utf-8") if page is None else page
    for name, text in parts.items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        if page.count(begin) != 1 or page.count(end) != 1:
            sys.exit(f"{path.name} needs the two lines {begin!r} and {end!r} once each")
        before, _, rest = page.partition(begin)
        if end not in rest:
            sys.exit(f"{path.name} has {end!r} before {begin!r}")
        made = f"{begin}\n{text}\n{end}" if text else f"{begin}\n{end}"
        page = f"{before}{made}{rest.partition(end)[2]}"
    return page


def keep(path: Path, made: str, *, check: bool) -> int:
    """Write the page, or only compare it: 1 where it is not what was made.

    Args:
        check: Change nothing, and say on standard output what would renew a stale page.
    """
    if path.is_file() and path.read_text(encoding="utf-8") == made:
        return 0
    if check:
        print(f"{path.name} is out of date: run python docs/{Path(sys.argv[0]).name}")
        return 1
    path.write_text(made, encoding="utf-8")
    return 0

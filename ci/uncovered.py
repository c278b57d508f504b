"""What of the package no test reaches, place by place, each with its reason.

make coverage                        count, then this
python ci/uncovered.py               places without a reason, reasons for what is reached; 1 if any
python ci/uncovered.py --write       list them in ci/uncovered.toml, reasons to be filled in
python ci/uncovered.py --page        put the numbers into docs/house.md

A place is a run of statements that no test ran, or a branch that none took; it is known by its file
and its words, so that reasons survive when lines move.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "src/plica/"  # tests install copies of it elsewhere, which are counted, too
COUNTED = ROOT / ".cache" / "coverage.json"
REASONS = ROOT / "ci" / "uncovered.toml"
PAGE = ROOT / "docs" / "house.md"


@dataclass(frozen=True)
class Place:
    """Statements in a row, or a branch, that no test reaches.

    Attributes:
        file: From the root, with slashes.
        words: Of its first line; of a branch also what it leads to.
        lines: Statements; 0 for a branch.
    """

    file: str
    words: str
    lines: int


def find_places(counted: dict[str, Any]) -> dict[tuple[str, str], Place]:
    """Every place, by file and words; those with the same words in a file are one, added up."""
    found: dict[tuple[str, str], Place] = {}
    for file, facts in _own(counted):
        source = (ROOT / file).read_text(encoding="utf-8").splitlines()
        for place in (*_runs(file, source, facts), *_branches(file, source, facts)):
            before = found.get((file, place.words))
            lines = place.lines + (before.lines if before else 0)
            found[file, place.words] = Place(file, place.words, lines)
    return found


def _own(counted: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return sorted(
        (file, facts) for file, facts in counted["files"].items() if file.startswith(PACKAGE)
    )


def _runs(file: str, source: list[str], facts: dict[str, Any]) -> Iterator[Place]:
    missing = set(facts["missing_lines"])
    first, lines = 0, 0
    for line in sorted({*missing, *facts["executed_lines"]}):
        if line in missing:
            first, lines = first or line, lines + 1
        elif lines:
            yield Place(file, source[first - 1].strip(), lines)
            first, lines = 0, 0
    if lines:
        yield Place(file, source[first - 1].strip(), lines)


def _branches(file: str, source: list[str], facts: dict[str, Any]) -> Iterator[Place]:
    """Branches whose both ends are run: the others are told by their statements."""
    missing = set(facts["missing_lines"])
    for begin, end in facts["missing_branches"]:
        if begin not in missing and end not in missing:
            to = source[end - 1].strip() if end > 0 else "the end"
            yield Place(file, f"{source[begin - 1].strip()} → {to}", 0)


def read_reasons() -> tuple[dict[str, str], dict[tuple[str, str], dict[str, Any]]]:
    """Reasons that many places share, by name; and the places."""
    told = tomllib.loads(REASONS.read_text(encoding="utf-8")) if REASONS.is_file() else {}
    shared = told.pop("reasons", {})
    return shared, {
        (file, words): one for file, some in told.items() for words, one in some.items()
    }


def compare(
    places: dict[tuple[str, str], Place], reasons: dict[tuple[str, str], dict[str, Any]]
) -> list[str]:
    """A line for each place without a reason or grown since, and for each that is reached now."""
    said = []
    for (file, words), place in places.items():
        told = reasons.get((file, words))
        if told is None or not told["reason"]:
            said.append(f"{file}: no reason: {words} ({place.lines or 'a branch'})")
        elif place.lines > told.get("lines", 0):
            said.append(f"{file}: grew to {place.lines} lines: {words}")
    said += [
        f"{file}: reached now: {words}" for file, words in reasons if (file, words) not in places
    ]
    return said


def write(
    places: dict[tuple[str, str], Place],
    shared: dict[str, str],
    reasons: dict[tuple[str, str], dict[str, Any]],
) -> None:
    """The list as it is now, with the reasons there were."""
    lines = ["# What no test reaches and why; see ci/uncovered.py.", "", "[reasons]"]
    lines += [f"{name} = {_quote(text)}" for name, text in shared.items()]
    before = ""
    for (file, words), place in places.items():
        lines += [] if file == before else ["", f"[{_quote(file)}]"]
        before = file
        reason = reasons.get((file, words), {}).get("reason", "")
        count = f"lines = {place.lines}, " if place.lines else ""
        lines.append(f"{_quote(words)} = {{ {count}reason = {_quote(reason)} }}")
    REASONS.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def summarise(
    counted: dict[str, Any], shared: dict[str, str], reasons: Iterable[dict[str, Any]]
) -> str:
    """The numbers, and the reasons by how many places they are given for."""
    total = Counter[str]()
    for _, facts in _own(counted):  # beside the counts are shares, some of them as text
        total.update({name: n for name, n in facts["summary"].items() if isinstance(n, int)})
    statements = 100 * total["covered_lines"] / total["num_statements"]
    branches = 100 * total["covered_branches"] / total["num_branches"]
    often = Counter(one["reason"] if one["reason"] in shared else "" for one in reasons)
    rows = [f"| {often[name]} | {text} |" for name, text in shared.items() if often[name]]
    rows.append(f"| {often['']} | reasons of their own |")
    return "\n".join(
        (
            f"Tests run {statements:.1f} % of {total['num_statements']:,} statements and take "
            f"{branches:.1f} % of {total['num_branches']:,} branches.",
            "", "| places | why no test reaches them |", "|---:|---|", *rows,
        )
    )  # fmt: skip


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="list what is not reached")
    parser.add_argument("--page", action="store_true", help="put the numbers into docs/house.md")
    asked = parser.parse_args()
    if not COUNTED.is_file():
        sys.exit(f"{COUNTED.relative_to(ROOT)} is not there: run make coverage")
    counted = json.loads(COUNTED.read_text(encoding="utf-8"))
    places = find_places(counted)
    shared, reasons = read_reasons()
    if asked.write:
        write(places, shared, reasons)
        shared, reasons = read_reasons()
    said = compare(places, reasons)
    print(*said, sep="\n")
    print(f"{len(places)} places no test reaches, {len(said)} of them to be looked at")
    if asked.page:
        sys.path.insert(0, str(ROOT / "docs"))
        from parts import fill, keep

        text = summarise(counted, shared, reasons.values())
        keep(PAGE, fill(PAGE, {"uncovered": text}), check=False)
    return int(bool(said))


if __name__ == "__main__":
    sys.exit(main())

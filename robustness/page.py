"""docs/robustness.md: the tables between its markers, made of outcomes."""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from robustness.outcomes import CLASSES

PAGE = Path(__file__).resolve().parent.parent / "docs" / "robustness.md"
sys.path.append(str(PAGE.parent))  # a folder of pages and scripts, no package

from parts import fill, tabulate  # noqa: E402

MARK = "python -m robustness"
Record = dict[str, Any]


def write(records: Sequence[Record], *, seed: int, seconds: float) -> None:
    """Put the tables into the page."""
    made = "\n\n".join(sections(records, seed=seed, seconds=seconds))
    PAGE.write_text(fill(PAGE, {MARK: made}), encoding="utf-8")


def sections(records: Sequence[Record], *, seed: int, seconds: float) -> Iterable[str]:
    """Each table under its heading."""
    parts = defaultdict(list)
    for record in records:
        parts[record["table"]].append(record)
    count = f"{len(records):,}".replace(",", " ")
    yield f"{count} cases, seed {seed}, {seconds / 60:.0f} minutes."
    yield "## By command\n\n" + _table("command", records, "command")
    for name, title in (
        ("files", "## Real files, whole: odd, bad and all others"),
        ("others", "## The same files, compared, judged and archived"),
        ("undamaged", "## The samples, undamaged"),
        ("damage: cut", "## Cut off"),
        ("damage: flip", "## One bit turned over"),
        ("places", "## Places that cannot be written to"),
        ("interruptions", "## Stopped, and gone on with"),
        ("strangers", "## From strangers"),
        ("processes", "## As processes of their own"),
    ):
        if parts[name]:
            key = "command" if name == "interruptions" else "kind"
            yield f"{title}\n\n" + _table(key, parts[name], key)
    if parts["identity"]:
        yield "## What is written of a patient\n\n" + _identity(parts["identity"])


def _table(heading: str, records: Sequence[Record], key: str) -> str:
    """Counts of classes by row; columns that are empty in every row but a fault's are kept out."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for record in records:
        counts[record[key]][record["class"]] += 1
    total = sum(counts.values(), Counter())
    shown = [kind for kind in CLASSES if total[kind] or kind.isupper()]
    rows = []
    for name in sorted(counts):
        own = [record for record in records if record[key] == name]
        cells = [str(counts[name][kind]) for kind in shown]
        longest = max(record["seconds"] for record in own)
        rows.append((name, str(len(own)), *cells, f"{longest:.1f}"))
    rows.append(("**all**", f"**{len(records)}**", *(f"**{total[kind]}**" for kind in shown), ""))
    columns = (heading, "cases", *shown, "seconds, longest")
    return tabulate(columns, rows, f"l{'r' * (len(columns) - 1)}")


def _identity(records: Sequence[Record]) -> str:
    rows = [
        (f"`{record['command']}`", record["kind"], f"{record['searched']:,}".replace(",", " "),
         str(len(record["markers"])), record["class"])
        for record in records
    ]  # fmt: skip
    return tabulate(
        ("command", "identity", "bytes searched", "markers found", "class"), rows, "llrrl"
    )

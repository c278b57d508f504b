"""Write the table of frozen autoencoders into docs/foundation.md, from their cards.

python docs/make_foundation.py                   rewrite the table between its marks
python docs/make_foundation.py --check           say whether it is up to date, and change nothing
python docs/make_foundation.py --audit REPORT    put the tables of a faithfulness report there too
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from make_faithfulness import GLANCE, PLANTED, TISSUES, list_tables
from parts import fill, keep, tabulate

from plica.codecs.card import CodecCard
from plica.codecs.catalogue import cards

PAGE = Path(__file__).resolve().parent / "foundation.md"
FAMILIES = ("tiny", "foundation")
COLUMNS = (
    "codec", "folds", "factor i, j, k", "codes", "order of slices", "normalises over", "posterior",
    "run in pieces", "licence of the weights",
)  # fmt: skip


def make_table() -> str:
    """A row for each."""
    rows = [tell(card) for card in cards() if card.family in FAMILIES]
    return tabulate(COLUMNS, rows)


def tell(card: CodecCard) -> tuple[str, ...]:
    """The cells of one."""
    kind = "sequences of slices" if card.period else {2: "slices", 3: "volumes"}[card.dims]
    unnamed = "not looked into" if "missing" in card.extras else "nothing"
    order = "–"
    if card.period:
        order = f"1 + {card.period} n, causal" if card.causal else f"{card.period} n"
    return (
        f"`{card.name}`", kind, ", ".join(map(str, card.factors)), str(card.channels), order,
        ", ".join(card.norms) or unnamed, card.posterior, say_pieces(card), card.licence,
    )  # fmt: skip


def say_pieces(card: CodecCard) -> str:
    """What running it in pieces does."""
    facts = card.extras
    if "missing" in facts:
        return f"only a card: {facts['missing']}"
    if card.tileable:
        return "exact tiles"
    if "streaming" in facts:
        return str(facts["streaming"])
    return "not at all" if card.name.startswith("dc-ae") else "exact schedule"


def compose_audit(report: str) -> str:
    """The tables of a report that the page shows, and what its self-test said."""
    titles = (
        (GLANCE, "At a glance"),
        (TISSUES, "Bias and error by tissue"),
        (PLANTED, "Share of a planted lesion's contrast that is kept"),
    )
    parts = [
        f"**{title}: {group}, {n}**\n\n{rows}"
        for section, title in titles
        for group, n, rows in list_tables(report, section)
    ]
    said = re.search(r"^Self-test of[^\n]*", report, re.MULTILINE)
    return "\n".join([*parts, *([f"> {said[0]}"] if said else [])]).rstrip()


def main() -> int:
    """Rewrite the page, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--audit", type=Path)
    asked = parser.parse_args()
    parts = {"cards": make_table()}
    if asked.audit:
        parts["audit"] = compose_audit((asked.audit / "report.md").read_text(encoding="utf-8"))
    return keep(PAGE, fill(PAGE, parts), check=asked.check)


if __name__ == "__main__":
    sys.exit(main())

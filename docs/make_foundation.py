"""Write the table of frozen autoencoders into docs/foundation.md, from their cards.

python docs/make_foundation.py            rewrite the table between its marks
python docs/make_foundation.py --check    say whether it is up to date, and change nothing
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from plica.codecs.card import CodecCard
from plica.codecs.catalogue import cards

PAGE = Path(__file__).resolve().parent / "foundation.md"
BEGIN, END = "<!-- cards -->", "<!-- end of cards -->"
FAMILIES = ("tiny", "foundation")
COLUMNS = (
    "codec", "folds", "factor i, j, k", "codes", "order of slices", "normalises over", "posterior",
    "run in pieces", "licence of the weights",
)  # fmt: skip


def make_table() -> str:
    """A row for each."""
    rows = [tell(card) for card in cards() if card.family in FAMILIES]
    lines = [COLUMNS, ("---",) * len(COLUMNS), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


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


def main() -> int:
    """Rewrite the page, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise SystemExit(f"{PAGE.name} lacks {BEGIN} or {END}")
    renewed = f"{before}{BEGIN}\n{make_table()}\n{END}{after}"
    if parser.parse_args().check:
        if renewed != page:
            sys.stdout.write(
                "the table of docs/foundation.md is old: python docs/make_foundation.py\n"
            )
            return 1
        return 0
    PAGE.write_text(renewed, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

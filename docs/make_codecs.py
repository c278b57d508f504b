"""Write a page for each family of codecs into docs/codecs/, from the cards alone.

python docs/make_codecs.py                 rewrite the pages; those of families that are gone go too
python docs/make_codecs.py --check         say whether they are up to date, and change nothing
python docs/make_codecs.py --print NAME    show one codec's part, as of a package just installed
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from parts import tabulate

from plica.codecs.card import CodecCard
from plica.codecs.catalogue import CODECS, offer
from plica.codecs.modelcard import write_model_card

FOLDER = Path(__file__).resolve().parent / "codecs"
TITLES = {
    "compact": "Compact codecs",
    "linear": "Linear codecs",
    "medvae": "MedVAE",
    "latentdiffusion": "Latent diffusion: KL and VQ autoencoders of natural images",
    "tiny": "Tiny autoencoders of natural images",
    "foundation": "Foundation autoencoders of pictures, films and volumes",
    **{
        one: f"Interpolation: {one}"
        for one in ("nearest", "bilinear", "bicubic", "area", "lanczos")
    },
    "jpeg2000": "JPEG 2000",
    "jpegxl": "JPEG XL",
    "identity": "Identity",
}
COLUMNS = (
    "codec", "folds", "factor", "codes", "voxels per code", "tiles", "weights", "licence",
)  # fmt: skip
_WEIGHTS = {"packaged": "inside plica", "package": "with its package", "hub": "from the hub",
            "file": "`--weights`", "none": "none", "unstated": "not stated"}  # fmt: skip
_FOLDS = {0: "any", 2: "slices", 3: "volumes"}


def list_own() -> list[CodecCard]:
    """The cards of plica's own codecs: those of packages that happen to be here are not ours."""
    return [offer(name).card for name in CODECS if CODECS[name].startswith("plica.")]


def group(cards: Iterable[CodecCard]) -> dict[str, list[CodecCard]]:
    """Cards by family, families in the table's order."""
    families: dict[str, list[CodecCard]] = {}
    for card in cards:
        families.setdefault(card.family, []).append(card)
    return families


def list_cards(cards: Sequence[CodecCard], *, link: str = "") -> str:
    """A row for each card."""
    rows = []
    for card in cards:
        name = f"[`{card.name}`]({link}#{anchor(card.name)})"
        per_code = f"{card.total_factor / card.channels:.3g}" if card.channels else "–"
        rows.append((name, _FOLDS[card.dims], str(card.factor), str(card.channels), per_code,
                     "exact" if card.tileable else "–",
                     _WEIGHTS.get(card.weights.kind, card.weights.kind), card.licence))  # fmt: skip
    return tabulate(COLUMNS, rows, "llrrrlll")


def anchor(name: str) -> str:
    """What a heading of that name is linked by."""
    return re.sub(r"[^\w-]", "", name.lower())


def tell(card: CodecCard) -> str:
    """One codec: its model card, a level lower, without what every card says again."""
    text = write_model_card(card)
    text = re.sub(r"\A---\n.*?\n---\n+", "", text, flags=re.DOTALL)
    text = re.sub(r"```python\n.*?```\n+", "", text, flags=re.DOTALL)
    text = re.sub(r"## Not a medical device\n\n.*?\n\n(?=## )", "", text, flags=re.DOTALL)
    text = re.sub(r"^## (.*)$", r"**\1**", text, flags=re.MULTILINE)
    return re.sub(r"^# (.*)$", rf"## \1 {{ #{anchor(card.name)} }}", text, flags=re.MULTILINE)


def write_family(family: str, cards: Sequence[CodecCard]) -> str:
    """The page of a family."""
    title = TITLES.get(family, family.capitalize())
    parts = [f"# {title}", list_cards(cards), *(tell(card) for card in cards)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def write_index(families: dict[str, list[CodecCard]]) -> str:
    """The page of all."""
    parts = [
        "# Codecs",
        "What each codec's card says of it; `plica card NAME` prints the whole, and `plica codecs "
        "NAME --json` gives it to programs. Compare codecs at the same number of *voxels per "
        "code*. Those of other packages are not listed here: `plica codecs` has them where they "
        "are installed.",
        "Research software. None of them is a medical device, and what they decode is not meant "
        "for diagnosis.",
    ]
    for family, cards in families.items():
        title = TITLES.get(family, family.capitalize())
        parts.append(f"## [{title}]({family}.md)\n\n{list_cards(cards, link=f'{family}.md')}")
    return "\n\n".join(parts) + "\n"


def make_pages() -> dict[str, str]:
    """Every page of the folder by name."""
    families = group(list_own())
    pages = {f"{family}.md": write_family(family, cards) for family, cards in families.items()}
    return {"index.md": write_index(families), **pages}


def check(pages: dict[str, str]) -> int:
    """1 where a page is not as the cards would have it."""
    there = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
    stale = sorted(name for name in {*there, *pages} if there.get(name) != pages.get(name))
    for name in stale:
        print(f"docs/codecs/{name} is not what the cards say: python docs/make_codecs.py")
    return 1 if stale else 0


def main() -> int:
    """Do what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--print", metavar="NAME", dest="name")
    asked = parser.parse_args()
    if asked.name:
        print(tell(offer(asked.name).card))
        return 0
    pages = make_pages()
    if asked.check:
        return check(pages)
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.glob("*.md"):
        if path.name not in pages:
            path.unlink()
    for name, text in pages.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

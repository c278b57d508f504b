r"""Put the tables and the figure of an efficiency report into docs/efficiency.md.

plica evaluate efficiency ../shared/data/MANIFEST.csv --split dev-test --group cxr mammo msk-xray \
    -c bicubic-4x-2d linear-4x1-2d compact-4x3-2d linear-8x1-2d -o efficiency-report
python docs/make_efficiency.py efficiency-report
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
PAGE = DOCS / "efficiency.md"
PICTURE = DOCS / "images" / "rate-distortion-cxr.png"
TABLE = re.compile(r"^\*\*(?P<title>[^\n]+)\*\*\n\n(?P<rows>(?:\|[^\n]*\n)+)", re.MULTILINE)
STANDS_ON = re.compile(r"^## What it stands on\n\n(?P<text>.*?)(?=^## |\Z)", re.M | re.S)
# What each mark of the page is filled with: titles that begin like this, and columns kept.
MARKS = {
    "operations": ("Operations of",),
    "time": ("Time of the probe", "What encoding costs"),
    "memory": ("Largest batch",),
    "storage": ("Who keeps more", "What files take"),
}


def fill(page: str, report: str) -> str:
    """The page with the report's tables between its marks."""
    tables = [(m["title"], m["rows"].rstrip()) for m in TABLE.finditer(report)]
    for mark, titles in MARKS.items():
        chosen = [(t, rows) for begin in titles for t, rows in tables if t.startswith(begin)]
        if chosen:
            page = _replace(page, mark, "\n\n".join(f"**{t}**\n\n{rows}" for t, rows in chosen))
    if mark := STANDS_ON.search(report):
        page = _replace(page, "setting", mark["text"].strip())
    return page


def _replace(page: str, mark: str, text: str) -> str:
    pattern = re.compile(rf"(<!-- {mark} -->\n).*?(<!-- end of {mark} -->)", re.DOTALL)
    filled, n = pattern.subn(lambda found: f"{found[1]}{text}\n{found[2]}", page)
    if n != 1:
        raise SystemExit(f"{PAGE.name} has no marks for {mark}, or has them twice")
    return filled


def main() -> None:
    """Fill the page from the reports named, later ones on top of earlier ones."""
    page = PAGE.read_text(encoding="utf-8")
    for folder in map(Path, sys.argv[1:]):
        page = fill(page, (folder / "report.md").read_text(encoding="utf-8"))
        figure = folder / "figures" / PICTURE.name
        if figure.is_file():
            shutil.copyfile(figure, PICTURE)
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()

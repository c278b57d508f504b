r"""Put the tables and the figure of an efficiency report into docs/efficiency.md.

plica evaluate efficiency ../shared/data/MANIFEST.csv --split dev-test --group cxr mammo msk-xray \
    -c bicubic-4x-2d linear-4x1-2d compact-4x3-2d linear-8x1-2d -o efficiency-report
plica evaluate efficiency --probe seresnet-152 --only flops -o volumes-report
python docs/make_efficiency.py volumes-report efficiency-report
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from parts import fill, keep

DOCS = Path(__file__).resolve().parent
PAGE = DOCS / "efficiency.md"
PICTURE = DOCS / "images" / "rate-distortion-cxr.png"
TABLE = re.compile(r"^\*\*(?P<title>[^\n]+)\*\*\n\n(?P<rows>(?:\|[^\n]*\n)+)", re.MULTILINE)
STANDS_ON = re.compile(r"^## What it stands on\n\n(?P<text>.*?)(?=^## |\Z)", re.M | re.S)
RAW = re.compile(
    r"^## Storage: (?P<kind>[^\n]+)\n\n(?P<n>\d+) images of [\d,]+ pixels on average: "
    r"(?P<raw>[\d,]+) bytes as arrays, (?P<source>[\d,]+) as the files",
    re.MULTILINE,
)
BY_RATE, LOSSLESS = (
    "Standard codecs by rate: ",
    re.compile(r"^\| (?P<codec>\w+) \| without loss \| \d+ \| (?P<bytes>[\d,]+) \|", re.MULTILINE),
)
# What each mark of the page is filled with: titles that begin like this, and columns kept.
MARKS = {
    "operations": ("Operations of hrnet",),
    "operations of volumes": ("Operations of seresnet",),
    "time": ("Time of the probe", "What encoding costs"),
    "memory": ("Largest batch",),
    "storage": ("Who keeps more", "What files take"),
}


def make_parts(report: str) -> dict[str, str]:
    """What the page takes of a report, by mark."""
    tables = [(m["title"], m["rows"].rstrip()) for m in TABLE.finditer(report)]
    parts = {}
    for mark, titles in MARKS.items():
        chosen = [(t, rows) for begin in titles for t, rows in tables if t.startswith(begin)]
        if chosen:
            parts[mark] = "\n\n".join(f"**{t}**\n\n{rows}" for t, rows in chosen)
    if lossless := list_lossless(report, dict(tables)):
        parts["lossless"] = lossless
    if setting := STANDS_ON.search(report):
        parts["setting"] = setting["text"].strip()
    return parts


def list_lossless(report: str, tables: dict[str, str]) -> str:
    """Bytes of images as arrays, as the files they came in, and stored without loss; or nothing."""
    codecs: list[str] = []
    rows = []
    for found in RAW.finditer(report):
        by_rate = tables.get(f"{BY_RATE}{found['kind']}", "")
        sizes = {m["codec"]: _read(m["bytes"]) for m in LOSSLESS.finditer(by_rate)}
        codecs, raw = list(sizes), _read(found["raw"])
        shares = (
            f"{n:,} ({100 * n / raw:.0f} %)" for n in (_read(found["source"]), *sizes.values())
        )
        rows.append(" | ".join((found["kind"], found["n"], f"{raw:,}", *shares)))
    if not rows:
        return ""
    heads = ("images", "n", "as arrays", "as they came", *codecs)
    rule = "| --- " + "| ---: " * (len(heads) - 1) + "|"
    lines = (f"| {row} |" for row in (" | ".join(heads), *rows))
    return "\n".join(("**Bytes of images without loss**\n", next(lines), rule, *lines))


def _read(number: str) -> int:
    return int(number.replace(",", ""))


def main() -> None:
    """Fill the page from the reports named, later ones on top of earlier ones."""
    parts: dict[str, str] = {}
    for folder in map(Path, sys.argv[1:]):
        parts |= make_parts((folder / "report.md").read_text(encoding="utf-8"))
        figure = folder / "figures" / PICTURE.name
        if figure.is_file():
            shutil.copyfile(figure, PICTURE)
    keep(PAGE, fill(PAGE, parts), check=False)


if __name__ == "__main__":
    main()

r"""Put the tables of three faithfulness reports into docs/faithfulness.md, between its marks.

plica evaluate faithfulness images/ … -o ct           # the three commands stand on the page
python docs/make_faithfulness.py ct radiographs volumes
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from parts import fill, keep

PAGE = Path(__file__).resolve().parent / "faithfulness.md"
NAMES = ("CT slices", "Radiographs and mammograms", "Volumes")
SECTION = re.compile(r"^## (?P<title>[^\n]+)\n(?P<body>.*?)(?=^## |\Z)", re.M | re.S)
TABLE = re.compile(
    r"^\*\*(?P<group>[^\n]+)\*\*\n\n(?P<rows>(?:\|[^\n]*\n)+)\n(?P<n>\d+ images? of \d+ patients?)",
    re.M,
)
TISSUES, PLANTED, GLANCE = "Tissues", "Lesions planted", "At a glance"
LAST_CODEC = "compact-4x3-2d"  # whose controls stand beside it in the long tables of pictures
CONTROL, SHORT = " at the loss of ", " ≙ "


def list_tables(report: str, title: str) -> Iterator[tuple[str, str, str]]:
    """Group, how many images, and rows, of the tables of one section."""
    for section in SECTION.finditer(report):
        if section["title"] == title:
            for table in TABLE.finditer(section["body"]):
                yield table["group"], table["n"], table["rows"].replace(CONTROL, SHORT)


def keep_columns(rows: str, keep: Callable[[str], bool]) -> str:
    """Only some columns, beside the first."""
    cells = [[c.strip() for c in row.strip().strip("|").split("|")] for row in rows.splitlines()]
    places = [0, *(n for n, name in enumerate(cells[0]) if n and keep(name))]
    return "".join("| " + " | ".join(row[n] for n in places) + " |\n" for row in cells)


def compose(reports: list[str]) -> str:
    """Everything between the marks."""
    parts = [
        f"**{name}: {group}, {n}**\n\n{rows}"
        for name, report in zip(NAMES, reports, strict=True)
        for group, n, rows in list_tables(report, GLANCE)
    ]
    slices, pictures, volumes = reports

    def keep(name: str) -> bool:
        return SHORT not in name or name.endswith(f"{SHORT}{LAST_CODEC}")

    for _, _, rows in list_tables(slices, TISSUES):
        parts.append(f"**{NAMES[0]}: bias and error by tissue**\n\n{keep_columns(rows, keep)}")
    for name, report, kept in (
        (NAMES[0], slices, keep),
        (NAMES[1], pictures, keep),
        (NAMES[2], volumes, bool),
    ):
        for group, _, rows in list_tables(report, PLANTED):
            title = f"**{name}: {group}, share of a lesion's contrast that is kept**"
            parts.append(f"{title}\n\n{keep_columns(rows, kept)}")
    said = [m[0] for report in reports if (m := re.search(r"^Self-test of[^\n]*", report, re.M))]
    parts.append(
        "The self-tests of the three, as printed:\n\n" + "\n>\n".join(f"> {s}" for s in said)
    )
    return "\n".join(parts)


def main() -> None:
    """Fill the page from the reports named."""
    reports = [(Path(folder) / "report.md").read_text(encoding="utf-8") for folder in sys.argv[1:]]
    if len(reports) != len(NAMES):
        raise SystemExit(__doc__)
    keep(PAGE, fill(PAGE, {"measured": compose(reports).rstrip()}), check=False)


if __name__ == "__main__":
    main()

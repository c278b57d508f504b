"""Pages: what a benchmark printed, between the two marks that are its own on a page of docs/."""

from __future__ import annotations

from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"


def put_section(page: Path, begin: str, end: str, text: str) -> None:
    """Replace what stands between the marks; where they are not on the page yet, at its end.

    Args:
        page: A file of docs/, which is there.
        begin, end: Marks, each at most once on the page.
        text: Markdown.

    Example:
        >>> put_section(DOCS / "memory.md", "<!-- a -->", "<!-- end of a -->", "| a table |")
    """
    said = page.read_text(encoding="utf-8")
    if said.count(begin) > 1 or said.count(begin) != said.count(end):
        raise SystemExit(f"{page.name} has {begin} twice, or not both of its marks: mend the page")
    section = f"{begin}\n{text}\n{end}"
    if begin not in said:
        page.write_text(f"{said.rstrip()}\n\n{section}\n", encoding="utf-8")
        return
    before, _, rest = said.partition(begin)
    page.write_text(f"{before}{section}{rest.partition(end)[2]}", encoding="utf-8")

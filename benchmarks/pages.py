"""Pages: what a benchmark printed, between the two marks that are its own on a page of docs/."""

from __future__ import annotations

import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"
sys.path.append(str(DOCS))  # a folder of pages and scripts, no package

from parts import fill  # noqa: E402


def put_section(page: Path, name: str, text: str) -> None:
    """Replace what stands between the marks; where they are not on the page yet, at its end.

    Args:
        page: A file of docs/, which is there.
        name: What the marks are called, `<!-- name -->` and `<!-- /name -->`.
        text: Markdown.

    Example:
        >>> put_section(DOCS / "memory.md", "benchmarks/memory.py", "| a table |")
    """
    said = page.read_text(encoding="utf-8")
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    if begin not in said and end not in said:
        said = f"{said.rstrip()}\n\n{begin}\n{end}\n"
    page.write_text(fill(page, {name: text}, said), encoding="utf-8")

"""The blocks of code on a page of the documentation, and what is said of those that are not run."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
GENERATED = ("commands.md", "codecs", "formats.md", "changelog.md")
"""Pages of docs/ that a program writes, and whose own tests compare them with it."""
RUN, PARSED, PICTURED = {"python", "console", "bash"}, {"toml", "json", "csv"}, {"text", ""}
_SHOWN = re.compile(r"<!-- shown: (.+?) -->\s*\Z", re.DOTALL)
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One block: what it is written in, its text, its line, and why it is shown alone, if it is."""

    page: Path
    line: int
    language: str
    text: str
    shown: str = ""

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def commands(self) -> list[list[str]]:
        """The words of each command of plica, without comments."""
        if self.language not in {"console", "bash"}:
            return []
        lines = self.text.replace("\\\n", " ").splitlines()
        return [shlex.split(x, comments=True) for x in lines if x.lstrip().startswith("plica ")]

    @property
    def others(self) -> list[str]:
        """Lines of a shell that are no command of plica's."""
        if self.language not in {"console", "bash"}:
            return []
        lines = [x.strip() for x in self.text.replace("\\\n", " ").splitlines()]
        return [x for x in lines if x and not x.startswith(("plica ", "#"))]


def find_blocks(page: Path) -> list[Block]:
    """All blocks of a page, in their order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        why = _SHOWN.search(text[: match.start()])
        line = text.count("\n", 0, match.start()) + 1
        shown = why[1].strip() if why else ""
        found.append(Block(page, line, match[1], match[2], shown))
    return found


def list_pages() -> list[Path]:
    """The pages people write."""
    docs = ROOT / "docs"
    pages = [path for path in sorted(docs.rglob("*.md"))
             if path.relative_to(docs).parts[0] not in GENERATED]  # fmt: skip
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *pages]

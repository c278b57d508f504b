"""Write CHANGELOG.md from the fragments in changes/.

python docs/make_changelog.py                        what is not released yet, between its marks
python docs/make_changelog.py --check                say whether it is up to date, change nothing
python docs/make_changelog.py --release 2026-12-01   make it the release of this version

A release gives the section its version and day, and takes the fragments away.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from pathlib import Path

from parts import fill, keep

import plica

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "CHANGELOG.md"
CHANGES = ROOT / "changes"
KINDS = {
    "feature": "What you can do now",
    "fix": "What works now",
    "removal": "What is gone, and what to do instead",
    "docs": "What is explained now",
}
MARK = "unreleased"
OPENING = f"""# Changelog

What changed for those who use plica, newest first. Versions follow [semantic versioning](https://semver.org/);
what that holds for stands in [docs/installing.md](docs/installing.md).

<!-- {MARK} -->
<!-- /{MARK} -->
"""


def list_fragments() -> list[Path]:
    """In their order; their names say number and kind.

    Raises:
        SystemExit: One is of no kind that there is.
    """
    found = sorted(path for path in CHANGES.glob("*.md") if path.name != "README.md")
    for path in found:
        number, _, kind = path.stem.partition(".")
        if not number.isdigit() or kind not in KINDS:
            sys.exit(f"{path.name} is not named NUMBER.KIND.md, KIND one of {', '.join(KINDS)}")
    return found


def make_section(heading: str) -> str:
    """All fragments under their kinds, the newest first; each is a paragraph of its own."""
    lines = [f"## {heading}"]
    fragments = list_fragments()
    for kind, title in KINDS.items():
        ours = [path for path in reversed(fragments) if path.stem.endswith(f".{kind}")]
        lines += [f"\n### {title}"] if ours else []
        for path in ours:
            words = path.read_text(encoding="utf-8").strip().splitlines()
            lines.append("\n- " + "\n  ".join(words))
    return "\n".join(lines)


def make_page(page: str, released: str = "") -> str:
    """The page with what is not released, or with that as a release."""
    if released:
        section = make_section(f"{plica.__version__}, {released}")
        end = f"<!-- /{MARK} -->"
        return fill(PAGE, {MARK: ""}, page).replace(end, f"{end}\n\n{section}\n")
    return fill(PAGE, {MARK: make_section("Not released yet") if list_fragments() else ""}, page)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing")
    parser.add_argument("--release", type=datetime.date.fromisoformat, help="the day of it")
    asked = parser.parse_args()
    page = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else OPENING
    if asked.release and ".dev" in plica.__version__:
        sys.exit(f"{plica.__version__} is not a release's version: set it first")
    made = make_page(page, asked.release.isoformat() if asked.release else "")
    if asked.check:
        return keep(PAGE, made, check=True)
    keep(PAGE, made, check=False)
    for path in list_fragments() if asked.release else ():
        path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Write the annotated tree of the package into ARCHITECTURE.md, from the modules' own first lines.

python docs/make_tree.py            rewrite the tree between its two marks
python docs/make_tree.py --check    say whether it is up to date, and change nothing
python docs/make_tree.py --print    show it
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
import tomllib
from pathlib import Path

from parts import fill, keep

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "plica"
PAGE = ROOT / "ARCHITECTURE.md"


def make_tree(package: Path = PACKAGE) -> str:
    """The package's files and rooms, each with the first line of its docstring."""
    rows = [(f"src/{package.name}/", first_line(package / "__init__.py"))]
    entries = [*_files(package), *_rooms(package)]
    for n, entry in enumerate(entries):
        last = n == len(entries) - 1
        branch, stem = ("└── ", "    ") if last else ("├── ", "│   ")
        if entry.is_file():
            rows.append((branch + entry.name, first_line(entry)))
            continue
        rows.append((f"{branch}{entry.name}/", first_line(entry / "__init__.py")))
        inside = _files(entry)
        for m, file in enumerate(inside):
            twig = "└── " if m == len(inside) - 1 else "├── "
            rows.append((stem + twig + file.name, first_line(file)))
    width = max(len(name) for name, _ in rows) + 2
    return "\n".join(f"{name:<{width}}{line}".rstrip() for name, line in rows)


def first_line(path: Path) -> str:
    """First line of a module's docstring, without its full stop or the module's own name."""
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    line = doc.partition("\n")[0].rstrip(".")
    line = re.sub(rf"^({path.stem}|plica): ", "", line, flags=re.IGNORECASE)
    return line[:1].upper() + line[1:] if line.partition(" ")[0].isalpha() else line


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.py") if path.name != "__init__.py")


def _rooms(package: Path) -> list[Path]:
    """Rooms from the ground up: as the import contract stacks them."""
    rooms = sorted(path.parent for path in package.glob("*/__init__.py"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    order = re.findall(r"plica\.(\w+)", " ".join(reversed(layers)))
    return sorted(rooms, key=lambda room: order.index(room.name) if room.name in order else 99)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--check", action="store_true", help="change nothing; exit 1 if outdated")
    choice.add_argument("--print", action="store_true", help="show the tree")
    options = parser.parse_args()
    if options.print:
        print(make_tree())
        return 0
    tree = f"```text\n{make_tree()}\n```"
    return keep(PAGE, fill(PAGE, {"tree": tree}), check=options.check)


if __name__ == "__main__":
    sys.exit(main())

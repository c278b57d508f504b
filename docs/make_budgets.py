"""Measure the house: sizes, names, words, repetitions, imports; write the table of docs/house.md.

python docs/make_budgets.py            print it, and rewrite it between its marks
python docs/make_budgets.py --check    print it, fail where a budget is broken or the page stale

Lines are counted as they stand in the file, with signature and docstring, but for the bodies that
are named so. A command's signature is its options with their help, and is not counted.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import statistics
import sys
import tokenize
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from parts import fill, keep, tabulate

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "plica"
PAGE = ROOT / "docs" / "house.md"

SHOWN = 0.87  # of the functions with arguments to explain: a share that may only grow
SAME = 12  # lines of code in a row that stand twice: a repetition
FORBIDDEN = {"utils", "util", "helpers", "helper", "common", "misc", "core", "manager", "data2"}
HOLDING = (ast.stmt, ast.excepthandler, ast.match_case)
"""What statements may stand in."""
NESTING = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.Match, ast.FunctionDef)
CHOICES = (ast.If, ast.For, ast.While, ast.ExceptHandler, ast.match_case)
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Budget:
    """One thing that is measured.

    Args:
        what: Its name.
        found: What was found, in words.
        allowed: What is allowed, in words.
        holds: Whether it is.
        offenders: Where it is not.
    """

    what: str
    found: str
    allowed: str
    holds: bool
    offenders: tuple[str, ...] = ()


def measure() -> list[Budget]:
    """Everything, in the order of the page."""
    return [*_sizes(), *_shapes(), *_names(), *_words(), *_wiring()]


# -- what there is -------------------------------------------------------------------------------


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of the package, parsed, by its path in it."""
    return {
        path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(PACKAGE.rglob("*.py"))
    }


@cache
def functions() -> tuple[tuple[str, str, Function], ...]:
    """Every function: its module, where it is, itself."""
    return tuple(
        (name, f"{name}:{node.lineno} {node.name}", node)
        for name, tree in modules().items()
        for node in _statements(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """All statements within, at any depth."""
    for child in _inner(node):
        yield child
        yield from _statements(child)


def _inner(node: ast.AST) -> Iterator[ast.AST]:
    """The next statements within; no expression holds one."""
    return (child for child in ast.iter_child_nodes(node) if isinstance(child, HOLDING))


@cache
def public_things() -> tuple[tuple[str, ast.AST], ...]:
    """Functions, classes and their methods that others may use: no name begins with _."""
    found: list[tuple[str, ast.AST]] = []
    for name, tree in modules().items():
        for thing in tree.body:
            if not isinstance(thing, Function | ast.ClassDef) or thing.name.startswith("_"):
                continue
            found.append((f"{name}:{thing.lineno} {thing.name}", thing))
            if isinstance(thing, ast.ClassDef):
                found += [
                    (f"{name}:{inner.lineno} {thing.name}.{inner.name}", inner)
                    for inner in thing.body
                    if isinstance(inner, Function) and not inner.name.startswith("_")
                ]
    return tuple(found)


def _docstring(node: ast.AST) -> ast.stmt | None:
    body = getattr(node, "body", [])
    first = body[0] if body else None
    said = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return first if said and isinstance(first.value.value, str) else None


def _lines(path: str) -> list[str]:
    return (PACKAGE / path).read_text(encoding="utf-8").splitlines()


# -- sizes ---------------------------------------------------------------------------------------


def _sizes() -> Iterator[Budget]:
    files = {name: len(_lines(name)) for name in modules()}
    yield _within("lines of a file", files, most=500, median=200)
    whole, bodies, statements = {}, {}, {}
    for name, where, node in functions():
        doc = _docstring(node)
        begun = node.body[0].lineno if name.startswith("cli/") else node.lineno
        end = node.end_lineno or node.lineno
        told = (doc.end_lineno or doc.lineno) - doc.lineno + 1 if doc else 0
        whole[where] = end - begun + 1
        bodies[where] = end - begun + 1 - told
        statements[where] = sum(
            1 + sum(isinstance(one, ast.stmt) for one in _statements(part))
            for part in node.body if part is not doc
        )  # fmt: skip
    yield _within("lines of a function, all", whole, most=60, median=15)
    yield _within("lines of a function without its docstring", bodies, most=60, median=10)
    yield _within("statements of a function", statements, most=50, median=10)


def _within(what: str, found: dict[str, int], *, most: int, median: int) -> Budget:
    numbers = list(found.values())
    over = tuple(f"{where}: {n}" for where, n in found.items() if n > most)
    middle = statistics.median(numbers)
    tenth = statistics.quantiles(numbers, n=10)[-1]
    words = f"median {middle:g}, p90 {tenth:g}, most {max(numbers)}"
    allowed = f"median ≤ {median}, most ≤ {most}"
    return Budget(what, words, allowed, middle <= median and not over, over)


# -- shapes --------------------------------------------------------------------------------------


def _shapes() -> Iterator[Budget]:
    given, by_place, deep, forks = {}, {}, {}, {}
    for name, where, node in functions():
        named = [*node.args.posonlyargs, *node.args.args]
        named = [one for one in named if one.arg not in {"self", "cls"}]
        deep[where] = _depth(node)
        forks[where] = 1 + sum(isinstance(one, CHOICES) for one in _statements(node))
        # A command's arguments are its options, and so are those of the one door for images.
        if not name.startswith(("cli/", "formats/doors.py")):
            given[where] = len(named) + len(node.args.kwonlyargs)
            by_place[where] = len(named)
    yield _within("arguments", given, most=7, median=3)
    yield _within("arguments without a name", by_place, most=7, median=2)
    yield _within("depth of nesting", deep, most=4, median=1)
    yield _within("ways through a function (McCabe)", forks, most=10, median=3)


def _depth(node: ast.AST, above: int = 0) -> int:
    depths = [above]
    for child in _inner(node):
        # What follows "else if" stands no deeper than the first.
        chained = isinstance(node, ast.If) and isinstance(child, ast.If) and child in node.orelse
        depths.append(_depth(child, above + (isinstance(child, NESTING) and not chained)))
    return max(depths)


# -- names ---------------------------------------------------------------------------------------


def _names() -> Iterator[Budget]:
    depths = {name: name.count("/") for name in modules()}
    deep = tuple(name for name, n in depths.items() if n > 1)
    yield Budget("depth of rooms", f"most {max(depths.values())}", "most 1", not deep, deep)
    public = _read_public()
    yield Budget("names of `import plica`", str(len(public)), "≤ 20", len(public) <= 20)
    bad = [name for name in modules() if FORBIDDEN & {*Path(name).with_suffix("").parts}]
    bad += [where for where, thing in public_things() if _says_nothing(thing)]
    yield Budget("names that say nothing", str(len(bad)), "0", not bad, tuple(bad))


def _says_nothing(thing: ast.AST) -> bool:
    name = getattr(thing, "name", "").lower()
    return name in FORBIDDEN or name.startswith("do_")


def _read_public() -> list[str]:
    for node in modules()["__init__.py"].body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    sys.exit("plica/__init__.py has no __all__")


# -- words ---------------------------------------------------------------------------------------


def _words() -> Iterator[Budget]:
    yield _share("modules with a docstring", list(modules().items()), least=1.0)
    yield _share("public names with a docstring", public_things(), least=1.0)
    opened = [
        (where, thing)
        for where, thing in public_things()
        if isinstance(thing, Function) and "." not in where.split()[-1] and "Args:" in _said(thing)
    ]
    shown = [where for where, thing in opened if re.search(r"Example|>>>", _said(thing))]
    share = len(shown) / len(opened)
    yield Budget(
        "public functions with `Args:` that show an example",
        f"{share:.0%} of {len(opened)}", "not less", share >= SHOWN,
    )  # fmt: skip
    comments = code = 0
    for name in modules():
        text = (PACKAGE / name).read_text(encoding="utf-8")
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            comments += token.type == tokenize.COMMENT and not token.string.startswith("# -- ")
            code += token.type == tokenize.NEWLINE
    share = comments / code
    yield Budget("comments beside statements", f"{share:.1%}", "≤ 10 %", share <= 0.1)


def _said(node: ast.AST) -> str:
    return ast.get_docstring(node) or ""


def _share(what: str, things: Sequence[tuple[str, ast.AST]], *, least: float) -> Budget:
    without = tuple(where for where, thing in things if _docstring(thing) is None)
    share = 1 - len(without) / len(things)
    words = f"{share:.0%} of {len(things)}"
    return Budget(what, words, f"{least:.0%}", share >= least, without)


# -- wiring --------------------------------------------------------------------------------------


def _wiring() -> Iterator[Budget]:
    for what, inside in (("at the top of modules", False), ("and inside functions", True)):
        rings = find_rings(graph(inside=inside))
        words = tuple(" ↔ ".join(ring) for ring in rings)
        yield Budget(f"rings of imports, {what}", str(len(rings)), "0", not rings, words)
    # Commands repeat their options, by design.
    code = {name: _code_lines(name) for name in modules() if not name.startswith("cli/")}
    pairs = tuple(find_repetitions(code))
    yield Budget(f"runs of {SAME} equal lines of code", str(len(pairs)), "0", not pairs, pairs)


def graph(*, inside: bool) -> dict[str, set[str]]:
    """Which module imports which; not those that are for type checkers alone."""
    names = {name.removesuffix(".py").removesuffix("/__init__"): name for name in modules()}
    found: dict[str, set[str]] = defaultdict(set)
    for name, tree in modules().items():
        for node in _walk(tree, inside=inside):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("plica"):
                stem = node.module.removeprefix("plica").lstrip(".").replace(".", "/")
                inner = {f"{stem}/{alias.name}".lstrip("/") for alias in node.names}
                aims = {names[one] for one in inner if one in names} or {
                    names.get(stem, "__init__.py")
                }
                found[name] |= aims - {name}
    return found


def _walk(node: ast.AST, *, inside: bool) -> Iterator[ast.AST]:
    for child in _inner(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if isinstance(child, Function) and not inside:
            continue
        yield child
        yield from _walk(child, inside=inside)


def find_rings(edges: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import each other, by Tarjan's algorithm."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    rings: list[list[str]] = []

    def visit(name: str) -> None:
        number[name] = low[name] = len(number)
        stack.append(name)
        for other in sorted(edges.get(name, ())):
            if other not in number:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], number[other])
        if low[name] == number[name]:
            ring = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(ring) > 1:
                rings.append(sorted(ring))

    for name in sorted(edges):
        if name not in number:
            visit(name)
    return rings


def find_repetitions(code: Mapping[str, Sequence[tuple[int, str]]]) -> Iterator[str]:
    """Pairs of places that share `SAME` lines of code.

    Args:
        code: The lines of each file, with their numbers.
    """
    seen: dict[tuple[str, ...], tuple[str, int]] = {}
    told: set[tuple[str, str]] = set()
    for name, lines in code.items():
        for at in range(len(lines) - SAME + 1):
            run, here = tuple(text for _, text in lines[at : at + SAME]), (name, lines[at][0])
            there = seen.setdefault(run, here)
            if there != here and (there[0], name) not in told:
                told.add((there[0], name))
                yield f"{there[0]}:{there[1]} ~ {name}:{here[1]}"


def _code_lines(name: str) -> list[tuple[int, str]]:
    """Lines with their numbers, without docstrings, comments, imports and signatures."""
    left_out: set[int] = set()
    for node in (modules()[name], *_statements(modules()[name])):
        spans: list[tuple[int, int | None]] = []
        if isinstance(node, Function | ast.ClassDef | ast.Module) and (doc := _docstring(node)):
            spans.append((doc.lineno, doc.end_lineno))
        if isinstance(node, ast.Import | ast.ImportFrom):
            spans.append((node.lineno, node.end_lineno))
        if isinstance(node, Function):
            spans.append((node.lineno, node.body[0].lineno - 1))
        left_out |= {n for begin, end in spans for n in range(begin, (end or begin) + 1)}
    return [
        (number, line.strip())
        for number, line in enumerate(_lines(name), 1)
        if number not in left_out and re.search(r"\w", line) and not line.strip().startswith("#")
    ]


# -- the page ------------------------------------------------------------------------------------


def tabulate_budgets(budgets: Iterable[Budget]) -> str:
    """The table of the page."""
    rows = [(one.what, one.found, one.allowed + ("" if one.holds else " **✗**")) for one in budgets]
    return tabulate(("what", "found", "allowed"), rows)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing")
    check = parser.parse_args().check
    budgets = measure()
    print(tabulate_budgets(budgets))
    broken = [one for one in budgets if not one.holds]
    for one in broken:
        print(f"{one.what}: {one.found}, allowed {one.allowed}", *one.offenders[:20], sep="\n  ")
    stale = keep(PAGE, fill(PAGE, {"budgets": tabulate_budgets(budgets)}), check=check)
    return int(bool(broken) or bool(stale))


if __name__ == "__main__":
    sys.exit(main())

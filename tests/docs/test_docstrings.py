"""Every example of a docstring is run, and prints what it says it prints."""

import ast
import doctest
import importlib
import re
import shlex
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.docs.docstring_scene import bring, give, lay
from tests.docs.test_blocks import understand

import plica
from plica.errors import MissingExtra

PACKAGE = Path(plica.__file__).parent
SKIP = "# doctest: +SKIP"
_SECTION = re.compile(r"^Examples?:(.*)\n((?:(?: .*)?\n)*)", re.MULTILINE)
_NAMED = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Shown:
    """A docstring that shows an example: where, its text, and the module whose names it knows."""

    where: str
    text: str
    module: str
    line: int

    @property
    def bare(self) -> list[str]:
        """Examples in Python that print nothing, and so have no prompt."""
        blocks = [block for said, block in self._sections if not said and ">>>" not in block]
        return [textwrap.dedent(block) for block in blocks]

    @property
    def commands(self) -> list[str]:
        """Examples of the command line."""
        return [said for said, _ in self._sections if said.startswith("plica ")]

    @property
    def _sections(self) -> list[tuple[str, str]]:
        found = _SECTION.finditer(self.text + "\n")
        return [(one[1].strip(), one[2]) for one in found]


def find_shown() -> list[Shown]:
    """Read, not imported: what a machine does not have is missed by its own example alone."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE)
        module = ".".join(("plica", *place.with_suffix("").parts)).removesuffix(".__init__")
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for name, node in (("", tree), *walk(tree)):
            text = ast.get_docstring(node) or ""
            if ">>>" in text or _SECTION.search(text + "\n"):
                where = f"{place}:{name}" if name else str(place)
                found.append(Shown(where, text, module, node.body[0].lineno))
    return found


def walk(node, above=""):
    """Everything public that may have a docstring, by its name in the module."""
    for inner in node.body:
        if isinstance(inner, _NAMED) and not inner.name.startswith("_"):
            yield above + inner.name, inner
            if isinstance(inner, ast.ClassDef):
                yield from walk(inner, f"{above}{inner.name}.")


def find_names(module):
    """A module's names, but for those that are there for type checkers alone."""
    names = vars(importlib.import_module(module))
    return {name: thing for name, thing in names.items() if thing is not object}


SHOWN = find_shown()


@pytest.fixture(scope="session")
def scene(tmp_path_factory):
    """Made once; each example gets files of its own."""
    return lay(tmp_path_factory.mktemp("docstrings"))


@pytest.mark.parametrize("shown", SHOWN, ids=[shown.where for shown in SHOWN])
def test_what_an_example_shows_happens(shown, scene, tmp_path, monkeypatch):
    for command in shown.commands:
        understand(shlex.split(command))
    if not shown.bare and ">>>" not in shown.text:
        return
    bring(shown.text, scene, tmp_path)
    monkeypatch.chdir(tmp_path)
    known = find_names(shown.module)
    names = give(shown.text) | known
    for block in shown.bare:
        exec(compile(block, shown.where, "exec"), dict(names))
    test = doctest.DocTestParser().get_doctest(
        shown.text, names, shown.where, shown.where, shown.line - 1
    )
    try:
        ran = doctest.DebugRunner(verbose=False, optionflags=doctest.ELLIPSIS).run(test)
    except doctest.UnexpectedException as error:
        if isinstance(error.exc_info[1], MissingExtra):
            pytest.skip(str(error.exc_info[1]))
        raise error.exc_info[1] from error
    except doctest.DocTestFailure as error:
        said = f"{error.example.source}printed {error.got!r}, not {error.example.want!r}"
        pytest.fail(said, pytrace=False)
    assert (ran.failed, ran.attempted) == (0, shown.text.count(">>> ") - shown.text.count(SKIP))


def test_an_example_that_is_not_run_says_why():
    silent = [
        f"{shown.where}: {line.strip()}"
        for shown in SHOWN
        for line in shown.text.splitlines()
        if SKIP in line and not re.search(rf"# \S.*?  {re.escape(SKIP)}$", line)
    ]
    assert silent == []

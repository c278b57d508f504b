"""The family of errors is as drawn."""

import ast
import inspect
import re
from pathlib import Path

import pytest

from plica import errors
from plica.errors import InputError, MissingExtra, PlicaError

CLASSES = {
    name: thing
    for name, thing in vars(errors).items()
    if inspect.isclass(thing) and issubclass(thing, Exception)
}
SOURCE = Path(errors.__file__).parent


def read_drawn_tree():
    """Class → parent, from the indentation of the docstring's tree."""
    parents, above = {}, []
    for line in errors.__doc__.splitlines():
        found = re.match(r"^([ │├└─]+)([A-Z]\w+)(?:  .*)?$", line)
        if found:
            depth = (len(found[1]) - 4) // 4
            above[depth:] = [found[2]]
            parents[found[2]] = above[depth - 1] if depth else "Exception"
    return parents


def test_the_tree_in_the_docstring_is_the_tree_of_classes():
    assert read_drawn_tree() == {name: kind.__base__.__name__ for name, kind in CLASSES.items()}


def test_all_are_one_family_and_say_what_they_mean():
    for kind in CLASSES.values():
        assert issubclass(kind, PlicaError)
        assert kind.__doc__.endswith(".") or "Args:" in kind.__doc__


def test_a_missing_extra_says_the_line_that_helps():
    error = MissingExtra("JPEG XL", "imagecodecs", "codecs")

    assert "pip install 'plica[codecs]'" in str(error)
    assert not isinstance(error, InputError)


# `plica.testing` is a suite that others inherit: its assertions are what it is for.
FILES = [path for path in sorted(SOURCE.rglob("*.py")) if path.parent.name != "testing"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_file_catches_everything_or_asserts_its_input(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        where = f"{path.name}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Assert):  # "is not None" tells the type checker what is known
            assert ast.unparse(node.test).endswith("is not None"), f"{where}: vanishes under -O"
        if isinstance(node, ast.ExceptHandler):
            caught = ast.unparse(node.type) if node.type else "everything"
            assert caught not in {"everything", "Exception", "BaseException"}, where

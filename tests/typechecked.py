"""What functions of plica say they take and give, held against what they are called with.

beartype looks names of annotations up when a function is first called. Those that are imported for
type checkers alone are not there then; they are put into their module as what takes anything.
"""

import ast
import importlib.abc
import sys
import typing
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

from beartype import BeartypeConf
from beartype.claw import beartype_package


class Anything:
    """A module of which every name is the type of any object."""

    def __getattr__(self, name: str) -> type[object]:
        return object


class Finder(importlib.abc.MetaPathFinder):
    """Finds what Python would, and adds to a module once it has run."""

    def find_spec(self, fullname, path, target=None) -> ModuleSpec | None:
        if not fullname.startswith("plica."):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module
            spec.loader.exec_module = lambda module: (run(module), fill(module), free(module))
        return spec


def fill(module: ModuleType) -> None:
    """Give a module the names that it imports for type checkers."""
    source = module.__loader__.get_source(module.__name__) or ""
    if "if TYPE_CHECKING" in source:
        for name, thing in find_hidden(ast.parse(source)):
            vars(module).setdefault(name, thing)


def free(module: ModuleType) -> None:
    """Take from classes what others stumble over.

    Named tuples are made in a module that Python invents, where no name is to be found; beartype
    marks a class that it has seen with a `__sizeof__`, which Ray takes for a method of it.
    """
    for thing in list(vars(module).values()):
        if not isinstance(thing, type) or thing.__module__ != module.__name__:
            continue
        if issubclass(thing, tuple) and hasattr(thing, "_fields"):
            thing.__new__ = getattr(thing.__new__, "__wrapped__", thing.__new__)
        if "__sizeof__" in vars(thing):
            del thing.__sizeof__


def find_hidden(tree: ast.Module) -> Iterator[tuple[str, object]]:
    for node in tree.body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for line in node.body:
                if isinstance(line, ast.ImportFrom):
                    yield from ((one.asname or one.name, object) for one in line.names)
                elif isinstance(line, ast.Import):
                    yield from ((one.asname or one.name, Anything()) for one in line.names)


def remember_what_fits() -> None:
    """Ask once for each class of plica whether it has all that a protocol of plica asks for.

    Python asks each object anew for each attribute, properties and all, whenever one is handed on.
    Objects of others are asked each time.
    """
    ask, fit = typing._ProtocolMeta.__instancecheck__, set()

    def is_one(protocol: type, thing: object) -> bool:
        pair = protocol, type(thing)
        if pair in fit:
            return True
        if not ask(protocol, thing):
            return False
        if all(kind.__module__.startswith("plica.") for kind in pair):
            fit.add(pair)
        return True

    typing._ProtocolMeta.__instancecheck__ = is_one


def check_types() -> None:
    """To be called before plica is imported."""
    # A float may be given as an int, and names within functions are the functions' own affair.
    conf = BeartypeConf(is_pep484_tower=True, claw_is_pep526=False)
    beartype_package("plica", conf=conf)
    remember_what_fits()
    sys.meta_path.insert(0, Finder())

"""Recipes on disk: found by name or path, listed, and changed by dotted names."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plica import settings
from plica.errors import SettingsError, UnknownName
from plica.training.recipe import Recipe

_PACKAGE = Path(__file__).resolve().parent.parent
# In a wheel the recipes lie inside the package; in a checkout, beside `src`.
FOLDERS = (_PACKAGE / "recipes", _PACKAGE.parent.parent / "recipes")
SUFFIX = ".toml"
"""Of a recipe's file."""
_SHOWN = 12


@dataclass(frozen=True)
class Listed:
    """A recipe that comes with plica, as a list shows it."""

    name: str
    summary: str
    path: Path
    steps: int
    batch: int


def list_recipes() -> tuple[Listed, ...]:
    """The recipes that come with plica, by name.

    Examples:
        >>> "compact-4x3-2d" in [listed.name for listed in list_recipes()]
        True
    """
    return tuple(_listed(path, table) for path, table in _shipped())


def find_recipe(name: str | Path) -> Path:
    """The file of a recipe: one of plica's by name, or any TOML file by path.

    Raises:
        UnknownName: No recipe comes with plica under that name, and no such file is there.

    Examples:
        >>> find_recipe("medvae-4x1-2d-stage1").name
        'medvae-4x1-2d-stage1.toml'
    """
    path = Path(name)
    if path.suffix == SUFFIX or len(path.parts) > 1:
        if path.is_file():
            return path
        raise UnknownName(f"no recipe at {path}; `plica train --list` shows those of plica")
    for file, _ in _shipped(f"{name}{SUFFIX}"):
        return file
    raise UnknownName(_unknown(str(name), sorted(file.stem for file, _ in _shipped())))


def read_recipe(name: str | Path) -> Recipe:
    """Read a recipe by name or path, strictly.

    Raises:
        UnknownName: There is none.
        SettingsError: A setting is unknown, missing, of the wrong kind or out of range.

    Examples:
        >>> read_recipe("medvae-4x1-2d-stage1").steps
        100000
    """
    return settings.read(Recipe, find_recipe(name))


def change(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """The recipe with other settings, by dotted name.

    Args:
        changes: {"optimiser.rate": 1e-3, "data.cohort": "images/"}; tables may be given whole.

    Raises:
        SettingsError: A name is unknown, or a value is of the wrong kind or out of range.

    Examples:
        >>> short = change(recipe, {"steps": 100, "data.crop": 64})
        >>> short.steps, short.data.crop
        (100, 64)
    """
    table = tomllib.loads(settings.to_toml(recipe))
    for name, value in changes.items():
        _put(table, name, value)
    return settings.parse(Recipe, settings.to_toml(table))


def shrink(recipe: Recipe) -> Recipe:
    """The recipe at its smoke scale: the same way, in a minute on two cores.

    Raises:
        SettingsError: It says none, or what it says does not fit.
    """
    if not recipe.smoke:
        raise SettingsError(
            f"the recipe {recipe.name} says no smoke scale: add a table [smoke] with the settings "
            "that --smoke changes, by their dotted names, such as steps = 6, evaluate_every = 3, "
            '"data.validation_cases" = 2'
        )
    return change(recipe, recipe.smoke)


def parse_changes(pairs: list[str] | None) -> dict[str, Any]:
    """["optimiser.rate=1e-3"] → {"optimiser.rate": 0.001}; values are TOML, or else words.

    Raises:
        SettingsError: A pair has no name or no value.
    """
    changes: dict[str, Any] = {}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise SettingsError(
                f"a setting is NAME=VALUE, such as optimiser.rate=1e-3, but got '{pair}'"
            )
        changes[name.strip()] = _parse_value(value.strip())
    return changes


def _shipped(name: str = "") -> Iterator[tuple[Path, dict[str, Any]]]:
    """Files of training recipes: other commands' recipes lie beside them and have no network."""
    folder = next((folder for folder in FOLDERS if folder.is_dir()), None)
    for path in sorted(folder.glob(f"*{SUFFIX}")) if folder else ():
        if name not in {"", path.name}:
            continue
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        if "network" in table:
            yield path, table


def _listed(path: Path, table: Mapping[str, Any]) -> Listed:
    return Listed(path.stem, table["summary"], path, table["steps"], table["batch"])


def _unknown(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if near:
        return f"no recipe '{name}'; did you mean {' or '.join(near)}?"
    shown = f"{', '.join(names[:_SHOWN])}{', …' if len(names) > _SHOWN else ''}"
    return f"no recipe '{name}'; there are {len(names)}: {shown}. A path to a .toml file will do"


def _put(table: dict[str, Any], name: str, value: Any) -> None:
    *outer, last = name.split(".")
    for place, part in enumerate(outer):
        inner: Any = table.setdefault(part, {})
        if not isinstance(inner, dict):
            inside = ".".join(outer[: place + 1])
            raise SettingsError(f"{name}: {inside} is a single setting and holds no others")
        table = inner
    if name == "objective.kind" and table.get("kind") != value:
        table.clear()  # settings of the other objective, which this one does not know
    table[last] = value


def _parse_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return text

"""Settings: TOML ⇄ frozen dataclasses, read strictly."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import json
import math
import tomllib
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

import pydantic

from plica.errors import SettingsError

Settings = TypeVar("Settings")

# Made once for each class: to make them takes ten times as long as to read a recipe.
_reader: Callable[[Any], Any] = functools.cache(pydantic.TypeAdapter)
_hints: Callable[[Any], dict[str, Any]] = functools.cache(typing.get_type_hints)
_BARE_KEY = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


def read(cls: type[Settings], path: str | Path) -> Settings:
    """Read the settings `cls`, a frozen dataclass, from a TOML file.

    Raises:
        SettingsError: The file is missing or is not TOML; a setting is unknown, missing or of the
            wrong kind. The message names the setting's path inside the file.

    Examples:
        >>> read(Recipe, "recipe.toml").name
        'small'
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the settings {path} cannot be read: {error}") from error
    try:
        return parse(cls, text)
    except SettingsError as error:
        raise SettingsError(f"{Path(path).name}: {error}") from error


def parse(cls: type[Settings], text: str) -> Settings:
    """Read the settings `cls` from TOML text.

    Raises:
        SettingsError: As for `read`.

    Examples:
        >>> from plica.training.recipe import Optimiser
        >>> parse(Optimiser, "rate = 0.5").rate
        0.5
    """
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SettingsError(f"the settings are not valid TOML: {error}") from error
    for where, unknown, known in _unknown_keys(cls, table, ()):
        raise SettingsError(_unknown_message(where, unknown, known))
    try:
        # JSON's strict mode knows tables, lists and strings as the forms of dataclasses, tuples
        # and paths, and nothing else; Python's would want the dataclass itself.
        found: Settings = _reader(cls).validate_json(json.dumps(table, default=str), strict=True)
    except pydantic.ValidationError as error:
        raise SettingsError(_invalid_message(error)) from error
    return found


def to_toml(settings: Any) -> str:
    """Write settings as TOML that `parse` reads back equal; None is left out.

    Raises:
        SettingsError: A value is of a kind TOML has no form for.

    Examples:
        >>> from plica.training.recipe import Optimiser
        >>> print(to_toml(Optimiser(rate=0.5)).splitlines()[0])
        kind = "adam"
    """
    table = _plain(settings, ())
    if not isinstance(table, dict):
        raise SettingsError(f"settings are a dataclass, but got {type(settings).__name__}")
    return "\n".join(_table_lines(table, ())).strip("\n") + "\n"


# -- reading -------------------------------------------------------------------------------------


def _unknown_keys(
    kind: Any, value: Any, where: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], str, list[str]]]:
    """Each key of `value` that no dataclass in `kind` has, with its place and the known keys."""
    if isinstance(value, Mapping):
        dataclass_fields = _fields_of(_choose_by_kind(kind, value))
        if dataclass_fields:
            for key, item in value.items():
                if key not in dataclass_fields:
                    yield where, key, list(dataclass_fields)
                else:
                    yield from _unknown_keys(dataclass_fields[key], item, (*where, key))
        else:
            for key, item in value.items():
                for inner in _arguments(kind):
                    yield from _unknown_keys(inner, item, (*where, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            for inner in _arguments(kind):
                yield from _unknown_keys(inner, item, (*where, str(number)))


def _choose_by_kind(kind: Any, value: Mapping[str, Any]) -> Any:
    """Of a union of dataclasses the one whose literal field `kind` has the value's `kind`.

    Else a setting of another one would be taken for known, and then be ignored.
    """
    for part in typing.get_args(kind):
        own = _hints(part).get("kind") if dataclasses.is_dataclass(part) else None
        if value.get("kind") in typing.get_args(own):
            return part
    return kind


def _fields_of(kind: Any) -> dict[str, Any]:
    """Settable fields, with their types, of the dataclass `kind` or of those in a union."""
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = _hints(kind)
        return {field.name: hints[field.name] for field in dataclasses.fields(kind) if field.init}
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return {
            name: inner
            for part in typing.get_args(kind)
            for name, inner in _fields_of(part).items()
        }
    return {}


def _arguments(kind: Any) -> tuple[Any, ...]:
    """Types inside `tuple[X, ...]`, `dict[str, X]`, `X | None`, that could be dataclasses."""
    found: list[Any] = []
    for part in typing.get_args(kind):
        if _fields_of(part):
            found.append(part)
        elif typing.get_args(part):
            found.extend(_arguments(part))
    return tuple(dict.fromkeys(found))


def _unknown_message(where: tuple[str, ...], unknown: str, known: list[str]) -> str:
    place = f"{'.'.join(where)}: " if where else ""
    near = difflib.get_close_matches(unknown, known, n=1, cutoff=0.5)
    advice = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(sorted(known))}"
    return f"{place}no setting '{unknown}'; {advice}"


def _invalid_message(error: pydantic.ValidationError) -> str:
    errors = error.errors(include_url=False)
    first = errors[0]
    place = ".".join(str(part) for part in first["loc"]) or "the settings"
    if first["type"] == "missing":
        return f"{place}: this setting is missing and has no default"
    got = first["input"]
    kinds = [one for one in errors if one["type"] == "literal_error" and one["loc"][-1] == "kind"]
    if len(kinds) > 1:  # of a union: pydantic names the class it tried in the middle of the place
        place = ".".join(str(part) for part in (*first["loc"][:-2], "kind"))
        words = " or ".join(dict.fromkeys(one["ctx"]["expected"] for one in kinds))
        return f"{place}: Input should be {words}; but got {got!r} ({type(got).__name__})"
    return f"{place}: {first['msg']}; but got {got!r} ({type(got).__name__})"


# -- writing -------------------------------------------------------------------------------------


def _plain(value: Any, where: tuple[str, ...]) -> Any:
    """Dataclasses, enums and paths as the tables, lists and scalars TOML has."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, Mapping):
        items = value.items()
        return {
            str(key): _plain(item, (*where, str(key))) for key, item in items if item is not None
        }
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [_plain(item, (*where, str(number))) for number, item in enumerate(value)]
    raise SettingsError(f"{'.'.join(where)}: TOML has no form for a {type(value).__name__}")


def _table_lines(table: dict[str, Any], where: tuple[str, ...]) -> Iterator[str]:
    """Scalars and lists first: in TOML what follows a header belongs to it."""
    for key, value in table.items():
        if not isinstance(value, dict) and not _is_array_of_tables(value):
            yield f"{_key(key)} = {_inline(value)}"
    for key, value in table.items():
        inside = (*where, key)
        if isinstance(value, dict):
            yield from ("", f"[{'.'.join(map(_key, inside))}]", *_table_lines(value, inside))
        elif _is_array_of_tables(value):
            for item in value:
                yield from ("", f"[[{'.'.join(map(_key, inside))}]]", *_table_lines(item, inside))


def _is_array_of_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(x, dict) for x in value)


def _inline(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_inline, value))}]"
    return f"{{ {', '.join(f'{_key(key)} = {_inline(item)}' for key, item in value.items())} }}"


def _key(key: str) -> str:
    return key if key and set(key) <= _BARE_KEY else _quoted(key)


def _quoted(text: str) -> str:
    """JSON's escapes are TOML's, but for DEL, which TOML wants escaped, and pairs of surrogates."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")

"""Tables of names: "name" → "module:thing", imported only when the thing is asked for."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from plica.errors import PlicaError, UnknownName, WeightsError
from plica.importing import no_search_for_garbage

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

# How many names a message lists before it ends in dots.
_SHOWN = 12
# What importing another's module raises when it is broken: it runs their code.
_BROKEN = (
    PlicaError,
    ImportError,
    AttributeError,
    SyntaxError,
    NameError,
    TypeError,
    ValueError,
    LookupError,
    OSError,
    RuntimeError,
    ArithmeticError,
    AssertionError,
)


class Registry(Mapping[str, str]):
    """A read-only table of what exists under which name.

    Args:
        kind: What the table holds, in the singular, for messages: "codec".
        table: Pairs of name and "module:thing". Pairs, not a dict, so that a name
            written twice is refused instead of the first one vanishing.
        group: Entry point group through which other packages may add names. One that cannot be
            used, since its name is taken or it cannot be imported, is refused when it is asked
            for by name, and stands in no other's way.
        hint: Added to the message for a name that is not there: how it might get in; "{name}" in
            it stands for that name.

    Raises:
        ValueError: A name stands twice in the table.
    """

    def __init__(
        self,
        kind: str,
        table: tuple[tuple[str, str], ...],
        *,
        group: str | None = None,
        hint: str = "",
    ) -> None:
        self.kind = kind
        self._group = group
        self._hint = hint
        self._table: dict[str, str] = {}
        self._others: dict[str, str] = {}  # name → the package that added it
        self._clashes: dict[str, str] = {}  # name → why nothing can be had under it
        self._asked_others = False
        for name, target in table:
            self._add(name, target)

    def _add(self, name: str, target: str) -> None:
        if name in self._table:
            raise ValueError(
                f"two things are registered as {self.kind} '{name}': "
                f"{self._table[name]} and {target}; rename one"
            )
        self._table[name] = target

    def _with_others(self) -> dict[str, str]:
        if self._group is not None and not self._asked_others:
            from importlib.metadata import entry_points  # a tenth of our start-up time

            for entry in entry_points(group=self._group):
                self._add_another(entry)
            self._asked_others = True
        return self._table

    def _add_another(self, entry: EntryPoint) -> None:
        if self._table.get(entry.name) == entry.value:
            return
        package = entry.dist.name if entry.dist is not None else "another package"
        if entry.name in self._table:
            # Which of the two was meant? Neither is had, and all other names are as they were.
            self._clashes[entry.name] = (
                f"two things are registered as {self.kind} '{entry.name}': "
                f"{self._table[entry.name]} and {entry.value} of {package}; uninstall {package}"
            )
            return
        self._table[entry.name] = entry.value
        self._others[entry.name] = package

    def __getitem__(self, name: str) -> str:
        table = self._with_others()
        if name not in table:
            raise UnknownName(self._unknown(name))
        if name in self._clashes:
            raise UnknownName(self._clashes[name])
        return table[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._with_others())

    def __len__(self) -> int:
        return len(self._with_others())

    def __contains__(self, name: object) -> bool:
        return name in self._with_others()

    def get_thing(self, name: str) -> Any:
        """Import and return what stands under `name`.

        Raises:
            UnknownName: Nothing does; the message offers the nearest names. Or another package
                added the name, and what it leads to cannot be imported, or the name was taken.
        """
        module, _, attribute = self[name].partition(":")
        try:
            with no_search_for_garbage():
                return getattr(importlib.import_module(module), attribute)
        except _BROKEN as error:
            if name not in self._others:
                raise
            raise self.blame(name, error) from error

    def blame(self, name: str, error: Exception) -> UnknownName:
        """What to say where the thing that another package added under `name` cannot be used.

        Examples:
            >>> fruits = Registry("fruit", (("apple", "json:dumps"),))
            >>> str(fruits.blame("apple", ImportError("no seeds")))[:41]
            "the fruit 'apple' of plica cannot be impo"
        """
        package = self._others.get(name, "plica")
        if isinstance(error, WeightsError):
            return UnknownName(
                f"the {self.kind} '{name}' of {package} was imported, but has no "
                f"weights to use yet ({error}). Put a folder as `plica export` writes it "
                f"there, and install {package} again"
            )
        return UnknownName(
            f"the {self.kind} '{name}' of {package} cannot be imported "
            f"({type(error).__name__}: {error}): update or uninstall {package}"
        )

    def _unknown(self, name: str) -> str:
        after = f" {self._hint.format(name=name)}" if self._hint else ""
        near = difflib.get_close_matches(name, self._table, n=3, cutoff=0.5)
        if near:
            return f"no {self.kind} '{name}'; did you mean {' or '.join(near)}?{after}"
        names = sorted(self._table)
        shown = f"{', '.join(names[:_SHOWN])}{', …' if len(names) > _SHOWN else ''}"
        return f"no {self.kind} '{name}'; there are {len(names)}: {shown}{after and '.' + after}"

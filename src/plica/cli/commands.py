"""Commands and groups of them: imported when asked for, explained alike."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from plica.registry import Registry


class Command(TyperCommand):
    """A command whose help has its options in sections, in the order they are declared.

    An option that may be repeated also takes several words at once: `--codec A B C`.
    """

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options, section by section."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                option = getattr(param, "rich_help_panel", None) or "Options"
                name = "Arguments" if param.param_type_name == "argument" else option
                sections.setdefault(name, []).append(record)
        for name, records in sections.items():
            with formatter.section(name):
                formatter.write_dl(records)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words of the command line."""
        return super().parse_args(ctx, self._repeat(ctx, args))

    def _repeat(self, ctx: Any, words: list[str]) -> list[str]:
        """`--codec A B` as `--codec A --codec B`, for commands whose one argument stands first."""
        params = self.get_params(ctx)
        if any(p.param_type_name == "argument" and p.nargs == -1 for p in params):
            return words
        several = {
            name
            for param in params
            if param.param_type_name == "option" and getattr(param, "multiple", False)
            for name in param.opts
        }
        out: list[str] = []
        option, taken = "", 0
        for place, word in enumerate(words):
            if word == "--":
                return [*out, *words[place:]]
            if word.startswith("-"):
                option, taken = (word if word in several else ""), 0
            elif option:
                taken += 1
                out += [option] if taken > 1 else []
            out.append(word)
        return out


class Commands(TyperGroup):
    """A table as a group: a command is imported when it is run or explained, not before."""

    table: Registry

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names, in the table's order."""
        return list(self.table)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of a name; None where there is none."""
        if cmd_name not in self.table:
            return None
        thing = self.table.get_thing(cmd_name)
        if isinstance(thing, typer.Typer):
            return typer.main.get_command(thing)
        alone = typer.Typer(
            add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
        )
        alone.command(cmd_name, cls=Command, short_help=thing.__doc__.splitlines()[0])(thing)
        return typer.main.get_command(alone)

"""Commands and groups of them: imported when asked for, explained alike."""

from __future__ import annotations

import ast
import importlib.util
import inspect
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from plica.errors import UnknownName
from plica.registry import Registry

EXAMPLE = "Example:"
LAST_OPTION = "plica.last-option"
"""Under which a context keeps the option whose value was its last word."""


class Interrupted(BaseException):
    """Ctrl-C ended a command that had nothing to say of it: typer would end it without a word."""


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

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        """Write what it does, then its examples, each in a line of its own to be copied."""
        text, examples = read_help(self.help or "")
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(text)
            formatter.write_paragraph()
            for example in examples:
                formatter.write(f"{'':{formatter.current_indent}}{EXAMPLE} {example}\n")

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words of the command line."""
        words = self._repeat(ctx, args)
        if len(words) > 1 and not words[-1].startswith("-"):
            ctx.meta[LAST_OPTION] = words[-2]
        return super().parse_args(ctx, words)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Complete an option's name, or one more value of an option that takes several."""
        for param in self.get_params(ctx):
            several = getattr(param, "multiple", False) and not incomplete.startswith("-")
            if several and ctx.meta.get(LAST_OPTION) in param.opts:
                return param.shell_complete(ctx, incomplete)
        return super().shell_complete(ctx, incomplete)

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
            if word.startswith("-") and not _is_number(word):
                option, taken = (word if word in several else ""), 0
            elif option:
                taken += 1
                out += [option] if taken > 1 else []
            out.append(word)
        return out


def read_help(text: str) -> tuple[str, list[str]]:
    """A command's help without its examples, and these."""
    lines = inspect.cleandoc(text).splitlines()
    examples = [line.removeprefix(EXAMPLE).strip() for line in lines if line.startswith(EXAMPLE)]
    prose = [line for line in lines if not line.startswith(EXAMPLE)]
    return "\n".join(prose).strip(), examples


@dataclass(frozen=True)
class _Offered:
    """A command as a shell is offered it; made as the parser makes its own."""

    value: str
    help: str
    type: str = "plain"


class Commands(TyperGroup):
    """A table as a group: a command is imported when it is run or explained, not before."""

    table: Registry

    def invoke(self, ctx: Any) -> Any:
        """Import the command, and run it."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            raise Interrupted from stop

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names, in the table's order."""
        return list(self.table)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write each command with its sentence."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.say(name)) for name in self.table])

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Complete a command's name; none is imported for it."""
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        names = [name for name in self.table if name.startswith(incomplete)]
        return [_Offered(name, self.say(name)) for name in names]

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command of the first word; of another word, the nearest ones are offered."""
        name = args[0]
        if name not in self.table and not name.startswith("-") and not ctx.resilient_parsing:
            try:
                self.table[name]
            except UnknownName as error:
                ctx.fail(str(error))
        return super().resolve_command(ctx, args)

    def say(self, name: str) -> str:
        """A command's sentence: of a function, the first line of its docstring."""
        module, _, attribute = self.table[name].partition(":")
        if sentence := _read_sentence(module, attribute):
            return sentence
        thing = self.table.get_thing(name)
        return str(thing.info.help if isinstance(thing, typer.Typer) else _first_line(thing))

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
        alone.command(cmd_name, cls=Command)(thing)
        return typer.main.get_command(alone)


def make_group(name: str, sentence: str, table: Registry, **options: Any) -> typer.Typer:
    """A table of commands as one command."""
    app = typer.Typer(
        name=name,
        cls=type("Group", (Commands,), {"table": table}),
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        help=sentence,
        **options,
    )
    app.callback()(_begin)
    return app


def _begin() -> None:
    """Options that stand before a command: there are none."""


def _read_sentence(module: str, function: str) -> str:
    """The first line of a function's docstring, read from the source; empty where there is none.

    Exists because a list of commands should not wait until all of them are imported.
    """
    found = importlib.util.find_spec(module)
    read = getattr(found.loader if found else None, "get_source", None)
    source = read(module) if read else None
    for node in ast.parse(source or "").body:
        if isinstance(node, ast.FunctionDef) and node.name == function:
            return (ast.get_docstring(node) or "").partition("\n")[0]
    return ""


def _is_number(word: str) -> bool:
    """Whether a word that begins like an option is a value below zero."""
    try:
        float(word)
    except ValueError:
        return False
    return True


def _first_line(thing: Any) -> str:
    return (thing.__doc__ or "").partition("\n")[0]

"""Write docs/commands.md: every command with its options, from what each says of itself.

python docs/make_commands.py            rewrite the page
python docs/make_commands.py --check    say whether it is up to date, and change nothing
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from parts import keep

from plica.cli.commands import Commands, read_help
from plica.cli.main import app

PAGE = Path(__file__).resolve().parent / "commands.md"
INTRODUCTION = """\
# Commands

`plica COMMAND --help` says what stands here, from the same source: this page is generated
(`docs/make_commands.py`).

## What all of them share

| option | means |
|---|---|
| `-o`, `--out` | where the result goes: a file, a folder, or a pattern such as `'out/*.nii.gz'` |
| `-c`, `--codec` | a codec's name (`plica codecs`), or the folder of a trained one |
| `--device` | `auto`, `cpu`, `cuda`, `cuda:1`, `mps` |
| `--memory` | the most memory to hold, such as `4G` |
| `--overwrite`, `--resume` | what is there is refused, replaced, or left and the rest done |
| `--json` | one JSON document on stdout, for programs; an error is `{"error": "…"}` |
| `-q`, `--quiet` | errors alone |
| `--seed` | of whatever is drawn; equal seeds give equal results |

Results go to stdout, progress and errors to stderr. An error is one sentence: what came, what was
expected, what to do. An option that may be repeated takes several words at once:
`--codec compact-4x3-2d bicubic-4x-2d`. After `--`, no word is an option.

## Exit codes

| code | means |
|---|---|
| 0 | all was done |
| 1 | something failed, and stderr says what; of many images, those that could be done are done |
| 2 | the words were not understood, and nothing was done |
| 130 | interrupted (Ctrl-C); what was finished is kept, and `--resume` goes on |

## Completion

`plica --install-completion` teaches the shell that runs it (bash, zsh, fish) to complete commands,
options and their values: codecs, recipes, protocols, units, devices, files. `plica
--show-completion` prints the script instead.
"""


def make_page() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    root: Any = typer.main.get_command(app)
    for words, command in walk(root, ("plica",)):
        parts.append("\n".join(describe(words, command)).rstrip() + "\n")
    return "\n".join(parts)


def walk(group: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command, in the order of the help; groups of commands are walked through."""
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        yield (*words, name), command
        if isinstance(command, Commands):
            yield from walk(command, (*words, name))


def describe(words: tuple[str, ...], command: Any) -> Iterator[str]:
    """A command's heading, sentence, example, arguments and options."""
    yield f"{'#' * len(words)} {' '.join(words)}"
    yield ""
    text, examples = read_help(command.help or "")
    yield mark(text)
    yield ""
    if examples:
        yield from ("```console", *examples, "```", "")
    sections: dict[str, list[Any]] = {}
    for param in (one for one in command.params if not getattr(one, "hidden", False)):
        panel = getattr(param, "rich_help_panel", None) or "Options"
        section = "Arguments" if param.param_type_name == "argument" else panel
        if param.name != "help":
            sections.setdefault(section, []).append(param)
    for name, params in sections.items():
        yield from (f"| {name} | means | if left out |", "|---|---|---|")
        yield from (describe_param(param) for param in params)
        yield ""


def describe_param(param: Any) -> str:
    """A row: how it is spelt, what it means, and its default."""
    if param.param_type_name == "argument":
        spelt = f"`{param.name.upper()}{'…' if param.nargs == -1 else ''}`"
    else:
        value = "" if param.is_flag else f" {param.metavar or ''}".rstrip()
        spelt = ", ".join(f"`{one}`" for one in sorted(param.opts, key=len))
        spelt = spelt[:-1] + value + "`" if value else spelt
    if param.required:
        default = "it must be given"
    elif param.default in (None, "", False) or callable(param.default):
        default = ""
    else:
        default = f"`{param.default}`"
    cells = (spelt, param.help or "", default)
    return "| " + " | ".join(mark(cell).replace("|", r"\|") for cell in cells) + " |"


def mark(text: str) -> str:
    """Markdown of a help text: options as code, stars and underscores as they are."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else _mark(part) for part in parts)


def _mark(text: str) -> str:
    text = re.sub(r"(?<![\w`-])(--[a-z][a-z-]*)", r"`\1`", text)
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(
        part if part.startswith("`") else re.sub(r"([*_<\[])", r"\\\1", part) for part in parts
    )


def main() -> int:
    """Rewrite or check the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    return keep(PAGE, make_page(), check=parser.parse_args().check)


if __name__ == "__main__":
    sys.exit(main())

"""The `plica` command: the table of its subcommands, and what every one of them shares."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

import plica
from plica.cli.commands import Commands
from plica.cli.console import (
    EXIT_FAILED,
    print_error,
    print_json,
    ready_streams,
    speak_shell,
)
from plica.errors import PlicaError, TrainingInterrupted
from plica.registry import Registry

COMMANDS = Registry(
    "command",
    (
        ("encode", "plica.cli.encode:encode"),
        ("decode", "plica.cli.decode:decode"),
        ("reconstruct", "plica.cli.reconstruct:reconstruct"),
        ("compare", "plica.cli.compare:compare"),
        ("verify", "plica.cli.verify:verify"),
        ("inspect", "plica.cli.inspect:inspect"),
        ("codecs", "plica.cli.codecs:codecs"),
        ("card", "plica.cli.card:card"),
        ("train", "plica.cli.train:train"),
        ("export", "plica.cli.export:export"),
        ("augment", "plica.cli.augment:augment"),
        ("evaluate", "plica.cli.evaluate:app"),
        ("bulk", "plica.cli.bulk:app"),
        ("demo", "plica.cli.demo:demo"),
        ("doctor", "plica.cli.doctor:doctor"),
    ),
)
EXIT_INTERRUPTED = 130


class _Commands(Commands):
    """The commands of `plica` itself."""

    table = COMMANDS


app = typer.Typer(
    name="plica",
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help=(
        "Fold medical images into small latents, and unfold them on the patient's own grid.\n\n"
        "Research software, not a medical device. Exit codes: 0 all done, 1 something failed, "
        "2 the command was not understood, 130 interrupted."
    ),
)


def _print_version(asked: bool) -> bool:
    if asked:
        typer.echo(f"plica {plica.__version__}")
        raise typer.Exit
    return asked


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Options that stand before a command."""


def main() -> None:
    """Run the command line; errors of ours become one sentence and exit code 1."""
    ready_streams()
    try:
        if not _inspect_at_once(sys.argv[1:]):
            app()
    except TrainingInterrupted as error:
        _say(speak_shell(str(error)))
        sys.exit(EXIT_INTERRUPTED)
    except (PlicaError, OSError, MemoryError) as error:
        _say(speak_shell(str(error)) or "there is not enough memory")
        sys.exit(EXIT_FAILED)
    except SystemExit as stop:
        if stop.code == EXIT_INTERRUPTED:  # typer makes it of KeyboardInterrupt
            _say(
                "interrupted; what was finished is written: run the same again, with --resume "
                "where the command has it"
            )
        raise


def _inspect_at_once(words: list[str]) -> bool:
    """Inspect a latent without the parser of options, whose imports take longer than the answer.

    Programs ask this of thousands of files. Every other call of `inspect` goes the usual way.
    """
    if len(words) not in {2, 3} or words[0] != "inspect" or set(words[2:]) - {"--json"}:
        return False
    from plica.cli.inspect import inspect
    from plica.formats.latents import is_latent

    file = Path(words[1])
    if words[1].startswith("-") or not is_latent(file):
        return False
    inspect(file, as_json=len(words) == 3)
    return True


def _say(message: str) -> None:
    """An error that ends the command: JSON on stdout for those who asked for it."""
    words = sys.argv[1:]
    given = words[: words.index("--")] if "--" in words else words
    if "--json" in given:
        with suppress(OSError):  # where stdout is full, stderr may still be read
            print_json({"error": message})
            return
    print_error(message)

"""The `plica` command: the table of its subcommands, and what every one of them shares."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

import plica
from plica.cli.codecs import codecs
from plica.cli.compare import compare
from plica.cli.console import print_error, print_json
from plica.cli.decode import decode
from plica.cli.demo import demo
from plica.cli.encode import encode
from plica.cli.inspect import inspect
from plica.cli.jobs import EXIT_FAILED
from plica.cli.reconstruct import reconstruct
from plica.errors import PlicaError

COMMANDS = (encode, decode, reconstruct, compare, inspect, codecs, demo)
EXIT_INTERRUPTED = 130

app = typer.Typer(
    name="plica",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help=(
        "Fold medical images into small latents, and unfold them on the patient's own grid.\n\n"
        "Research software, not a medical device. Exit codes: 0 all done, 1 something failed, "
        "2 the command was not understood, 130 interrupted."
    ),
)
for command in COMMANDS:
    app.command()(command)


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
    try:
        app()
    except (PlicaError, OSError, MemoryError) as error:
        _say(str(error) or "there is not enough memory")
        sys.exit(EXIT_FAILED)
    except SystemExit as stop:
        if stop.code == EXIT_INTERRUPTED:  # typer makes it of KeyboardInterrupt
            _say("interrupted; what was finished is written, run again with --resume")
        raise


def _say(message: str) -> None:
    """An error that ends the command: JSON on stdout for those who asked for it."""
    words = sys.argv[1:]
    given = words[: words.index("--")] if "--" in words else words
    if "--json" in given:
        print_json({"error": message})
    else:
        print_error(message)

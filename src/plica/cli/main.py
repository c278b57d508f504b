"""The `plica` command: the table of its subcommands, and what every one of them shares."""

from __future__ import annotations

import atexit
import gc
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

import plica
from plica.cli.commands import Interrupted, make_group
from plica.cli.completing import answer, is_asked
from plica.cli.console import (
    EXIT_FAILED,
    describe_failure,
    print_error,
    print_json,
    ready_streams,
    speak_shell,
    stderr,
)
from plica.errors import PlicaError, TrainingInterrupted
from plica.registry import Registry
from plica.run import say_version

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
EXIT_MISUNDERSTOOD, EXIT_INTERRUPTED = 2, 130
SLOW = ["bulk", "encode"]
"""The command that says at once that it starts: its imports may take seconds."""


_UsageError: Any = typer.BadParameter.__base__  # which typer has under no name of its own

app = make_group(
    "plica",
    "Fold medical images into small latents, and unfold them on the patient's own grid.\n\n"
    "Research software, not a medical device.\n\n"
    "Exit codes: 0 all was done; 1 something failed, and stderr says what; 2 the words were not "
    "understood, and nothing was done; 130 interrupted, and what was finished is kept.\n\n"
    "Completion of the words in bash, zsh and fish: plica --install-completion",
    COMMANDS,
)


def _print_version(asked: bool) -> bool:
    if asked:
        typer.echo(f"plica {say_version(plica.__version__)}")
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
    """Run the command line; what goes wrong becomes one sentence and an exit code.

    SIGTERM, which schedulers send, is answered like Ctrl+C: what is half-written is removed.
    """
    ready_streams()
    # What is left at the end goes with the process; to take it apart first costs half a second.
    atexit.register(gc.freeze)
    if is_asked():
        sys.exit(answer(app))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _say_that_it_starts(sys.argv[1:])
        if not _inspect_at_once(sys.argv[1:]):
            sys.exit(app(standalone_mode=False) or 0)
    except _UsageError as error:
        _say_misunderstood(error)
        sys.exit(EXIT_MISUNDERSTOOD)
    except TrainingInterrupted as error:
        _say(speak_shell(str(error)))
        sys.exit(EXIT_INTERRUPTED)
    except (PlicaError, OSError, MemoryError) as error:
        _say(describe_failure(error))
        sys.exit(EXIT_FAILED)
    except SystemExit as stop:
        if stop.code == EXIT_INTERRUPTED and _was_interrupted(stop):
            _say(_describe_interruption(sys.argv[1:]))
        raise
    except (Interrupted, KeyboardInterrupt):
        _say(_describe_interruption(sys.argv[1:]))
        sys.exit(EXIT_INTERRUPTED)


def _say_that_it_starts(words: list[str]) -> None:
    """One line on a terminal for `plica bulk encode`, whose imports take seconds."""
    if words[:2] != SLOW or {"--json", "--quiet", "-q", "--help"} & set(words):
        return
    if sys.stderr.isatty():
        stderr().print("starting …")


def _describe_interruption(words: list[str]) -> str:
    if words[:2] == SLOW:  # interrupted at work, it says itself what became of that
        return "interrupted before it encoded; run the same again: it goes on with what there is"
    return (
        "interrupted; what was finished is written: run the same again, with --resume where the "
        "command has it"
    )


def _was_interrupted(stop: SystemExit) -> bool:
    """Whether Ctrl-C itself ended the command: typer makes it the cause of an exit.

    A command that ends with this code by itself has said what there is to say.
    """
    return isinstance(getattr(stop.__context__, "__cause__", None), KeyboardInterrupt)


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
    inspect([file], as_json=len(words) == 3)
    return True


def _say_misunderstood(error: Any) -> None:
    """What the parser could not understand, in our form; `plica` alone gets the help instead."""
    message = error.format_message()
    if message.startswith("Usage:"):
        error.show()
        return
    words = sys.argv[1:]
    if words[:1] == ["verify"] and any(Path(word).suffix == ".latent" for word in words[1:]):
        message = (
            "verify tries a codec on an image; whether a latent is whole says plica inspect "
            "FILE.latent --check"
        )
    option = next(iter(getattr(error.param, "opts", ())), "") if hasattr(error, "param") else ""
    if option.startswith("-") and option in words[:-1]:
        why = error.message.replace("Input should be", "this should be").partition(", unable")[0]
        message = f"{option} {words[words.index(option) + 1]}: {why}"
    else:
        message = message[:1].lower() + message[1:]
    command = error.ctx.command_path if error.ctx is not None else "plica"
    _say(f"{message.rstrip('.')} (see `{command} --help`)")


def _say(message: str) -> None:
    """An error that ends the command: JSON on stdout for those who asked for it."""
    words = sys.argv[1:]
    given = words[: words.index("--")] if "--" in words else words
    if "--json" in given:
        with suppress(OSError):  # where stdout is full, stderr may still be read
            print_json({"error": message})
            return
    print_error(message)

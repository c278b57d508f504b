"""Completion: what a shell offers where the value of an option or argument is being typed."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from plica.errors import PlicaError

Complete = Callable[[str], list[str]]

ASKED = "_PLICA_COMPLETE"
"""The variable by which a shell's script asks: complete_bash and its like."""
BREAKS = (":", "=")
"""Where bash parts words, though they are one: stitched:linear-4x1-3d, cuda:0."""


def is_asked() -> bool:
    """Whether a shell wants completions, and not the command."""
    return ASKED in os.environ


def answer(complete: Callable[[], object]) -> int:
    """Print what the parser would complete; a line being typed is never spoilt by an error."""
    said = io.StringIO()
    try:
        before = _join_words()
        with redirect_stdout(said), redirect_stderr(io.StringIO()):
            complete()
    except (PlicaError, OSError, LookupError, ValueError, ImportError):
        return 1
    except SystemExit as stop:
        if stop.code:
            return 1
    for line in said.getvalue().splitlines():
        sys.stdout.write(line.removeprefix(before) + "\n")
    return 0


def _join_words() -> str:
    """Join again what bash parted at colons and equals signs; returns what it does not replace.

    Exists because bash hands over `stitched`, `:` and `lin` as three words, and replaces the last
    of them alone.
    """
    if os.environ[ASKED] != "complete_bash" or "\n" not in os.environ["COMP_WORDS"]:
        return ""
    cursor = int(os.environ["COMP_CWORD"])
    first, *words = os.environ["COMP_WORDS"].split("\n")[: cursor + 1]
    joined = [first]
    glued = True  # nothing is joined to the name of the program
    for word in words:
        together = len(joined) > 1 and (word in BREAKS or glued)
        joined = [*joined[:-1], joined[-1] + word] if together else [*joined, word]
        glued = word in BREAKS
    os.environ["COMP_WORDS"], os.environ["COMP_CWORD"] = "\n".join(joined), str(len(joined) - 1)
    return joined[-1].rpartition("=")[2].rpartition(":")[0] + ":"


def offer(words: Iterable[str], typed: str) -> list[str]:
    """Those of the words that begin as typed."""
    return [word for word in words if word.startswith(typed)]


def one_of(*words: str) -> Complete:
    """The completion of an option that takes one of a few words."""

    def complete(incomplete: str) -> list[str]:
        return offer(words, incomplete)

    return complete


def some_of(*words: str) -> Complete:
    """The completion of an option that takes several words with commas between."""

    def complete(incomplete: str) -> list[str]:
        before, comma, _ = incomplete.rpartition(",")
        return offer((before + comma + word for word in words), incomplete)

    return complete


def codecs(incomplete: str) -> list[str]:
    """Codecs of the table; behind `stitched:`, those that fold slices.

    Folders of trained codecs are left to the shell, which completes files where this finds none.
    """
    from plica.codecs.catalogue import CODECS, STITCHED

    if not incomplete.startswith(STITCHED):
        return offer((*CODECS, STITCHED), incomplete)
    return offer((STITCHED + name for name in CODECS if not name.endswith("-3d")), incomplete)


def codecs_or_auto(incomplete: str) -> list[str]:
    """The same, where the image may choose."""
    return [*offer(("auto",), incomplete), *codecs(incomplete)]


def recipes(incomplete: str) -> list[str]:
    """Recipes that come with plica."""
    from plica.training.recipes import FOLDERS

    return offer(_stems(FOLDERS), incomplete)


def protocols(incomplete: str) -> list[str]:
    """Protocols that come with plica."""
    from plica.evaluation.protocol import FOLDERS

    return offer(_stems(FOLDERS), incomplete)


def tasks(incomplete: str) -> list[str]:
    """The papers' tasks."""
    from plica.evaluation.tasks import TASKS

    return offer(TASKS, incomplete)


def protocols_or_tasks(incomplete: str) -> list[str]:
    """What `plica evaluate protocols` shows."""
    return [*protocols(incomplete), *tasks(incomplete)]


def metrics(incomplete: str) -> list[str]:
    """Metrics of a pair of images."""
    from plica.metrics.metric import METRICS

    return offer(METRICS, incomplete)


def features(incomplete: str) -> list[str]:
    """What sets of images are seen through."""
    from plica.codecs.catalogue import CODECS
    from plica.metrics.features import CODEC, FEATURES

    return offer((*FEATURES, *(CODEC + name for name in CODECS)), incomplete)


def units(incomplete: str) -> list[str]:
    """Units of values."""
    from plica.image import Unit

    return offer((unit.value for unit in Unit), incomplete)


def _stems(folders: Iterable[Path]) -> list[str]:
    return sorted({file.stem for folder in folders for file in folder.glob("*.toml")})

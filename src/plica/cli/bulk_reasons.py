"""Why series are not in a store, in words of `plica bulk`, which lacks some options of reading."""

from __future__ import annotations

import re
from collections.abc import Sequence

from plica.cli.console import speak_shell
from plica.evaluation.text import say_count

# What one file says of itself holds for no whole archive, so that bulk does not ask for it.
_SAVED = {
    "--spacing": ", or save it as .npz or NIfTI with its spacing",
    "--volume": ", or save its volumes as files of their own",
}
_OF_ONE = re.compile(r"(?<![\w-])--(?:spacing|volume|series|unit)\b")


def explain_reason(reason: str) -> str:
    """A reason as the ledger has it, with a way that there is where it names an option bulk lacks.

    Args:
        reason: The sentence of the error that the series met.

    Examples:
        >>> explain_reason("choose one with volume=0 to volume=3")[:32]
        'choose one with --volume 0 to --'
    """
    said = speak_shell(reason)
    asked = _OF_ONE.search(said)
    if asked is None:
        return said
    return (
        f"{said} (`plica bulk encode` has no {asked[0]}: encode this one by itself, "
        f"`plica encode SOURCE {asked[0]} …`{_SAVED.get(asked[0], '')})"
    )


def explain_nothing(left_out: Sequence[tuple[str, str]]) -> str:
    """That an archive holds no image, and what else; no store need be left that could be asked.

    Args:
        left_out: Path and reason of each file that is no image.

    Examples:
        >>> explain_nothing([("notes.txt", "text")])[-35:]
        '1 file is left out: notes.txt: text'
    """
    said = "the archive holds no image: was another folder meant?"
    if not left_out:
        return said
    path, reason = left_out[0]
    are = "is left out:" if len(left_out) == 1 else "are left out, such as"
    return f"{said} {say_count(len(left_out), 'file')} {are} {path}: {reason}"

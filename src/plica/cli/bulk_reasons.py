"""Why series are not in a store, in words of `plica bulk`, which lacks some options of reading."""

from __future__ import annotations

import re

from plica.cli.console import speak_shell

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

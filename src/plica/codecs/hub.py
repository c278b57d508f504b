"""Codecs on a model hub: the folder that `plica export --push` put there, fetched and kept."""

from __future__ import annotations

import re
from pathlib import Path

from plica.codecs.directory import CARD, WEIGHTS
from plica.codecs.fetching import fetch
from plica.errors import UnknownName

HUB = "hub:"
_INSTEAD = f"name the folder that holds it and {WEIGHTS} as the codec: --codec FOLDER"
_NAME = re.compile(r"hub:(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")


def fetch_codec(name: str) -> Path:
    """The folder of a codec on the hub, in the hub's own cache on this machine.

    Args:
        name: "hub:owner/name" or "hub:owner/name@revision". Only a revision that is a whole commit
            is the same codec for ever.

    Raises:
        UnknownName: It is not such a name.
        WeightsError: There is no card or weights, or the hub does not answer.

    Examples:
        >>> fetch_codec("hub:someone/compact-4x3-2d@main")  # asks the hub  # doctest: +SKIP
    """
    found = _NAME.fullmatch(name)
    if found is None:
        raise UnknownName(
            f"'{name}' does not name a codec on the hub: write hub:owner/name@revision"
        )
    revision = found["revision"] or ""
    files = [
        fetch(found["repo"], filename, revision, name=name, instead=_INSTEAD)
        for filename in (CARD, WEIGHTS)
    ]
    return files[0].parent

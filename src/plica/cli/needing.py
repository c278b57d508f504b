"""Needing: what an evaluation cannot do without, looked for before any work."""

from __future__ import annotations

from importlib.util import find_spec

from plica.errors import MissingExtra

PACKAGES = {"skimage": "scikit-image"}


def need(purpose: str, *modules: str, extra: str = "eval") -> None:
    """Refuse at once what would be refused after an hour.

    Args:
        purpose: What they are needed for, as the subject of a sentence.
        modules: What is imported later.
        extra: plica's extra that installs them.

    Raises:
        MissingExtra: One is not installed.

    Examples:
        >>> need("a chart", "json")  # says nothing: it is there
    """
    for module in modules:
        if find_spec(module) is None:
            raise MissingExtra(purpose, PACKAGES.get(module, module), extra)

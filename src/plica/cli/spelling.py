"""Spelling: records of JSON as rows that people can read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def spell_rows(name: str, value: Any) -> dict[str, str]:
    """Rows of one fact: a record has a row for each of its entries, a list of records for each.

    Examples:
        >>> spell_rows("network", {"kind": "kl", "code_channels": 4, "seed": None})
        {'network: kind': 'kl', 'network: code channels': '4'}
    """
    if isinstance(value, Mapping):
        rows: dict[str, str] = {}
        for key, entry in value.items():
            rows |= spell_rows(f"{name}: {key.replace('_', ' ')}", entry)
        return rows
    if isinstance(value, list | tuple) and any(isinstance(entry, Mapping) for entry in value):
        lines = [spell(entry) for entry in value]
        return {f"{name} {n}": line for n, line in enumerate(lines, start=1)}
    text = spell(value)
    return {name: text} if text else {}


def spell(value: Any) -> str:
    """A value in words; "" for what says nothing.

    Examples:
        >>> spell({"metric": "psnr", "mean": 26.378799, "judged_by": ""})
        'metric psnr, mean 26.38'
    """
    if isinstance(value, Mapping):
        said = [(key.replace("_", " "), spell(entry)) for key, entry in value.items()]
        return ", ".join(f"{key} {text}" for key, text in said if text)
    if isinstance(value, list | tuple):
        return ", ".join(spell(entry) for entry in value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)

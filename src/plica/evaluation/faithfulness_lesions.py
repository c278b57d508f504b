"""What is on record of lesions: how many an image had, in what they stood, and whose elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from plica.cohort import Key
from plica.evaluation.faithfulness_values import name_background
from plica.evaluation.results import Results
from plica.evaluation.text import NOTHING
from plica.evaluation.tissues import name_classes
from plica.image import Unit

FACTS = "faithfulness"


def list_records(results: Results, part: str) -> Iterator[Mapping[str, Any]]:
    """What was found of one part, image by image."""
    for result in results:
        yield from (result.facts.get(FACTS) or {}).get(part) or ()


def say_range(counts: Collection[int]) -> str:
    """The fewest and the most of a count.

    Examples:
        >>> say_range({3, 1, 2}), say_range({4}), say_range(())
        ('1 to 3', '4', '–')
    """
    if not counts:
        return NOTHING
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low} to {high}"


def say_planted(results: Results) -> str:
    """Where lesions of a group stood, and where not; "" where none were planted."""
    if (ends := _find_ends(results)) is None:
        return ""
    unit = _unit_of(results)
    said = f"Lesions stood in {name_background(unit, *ends)}."
    if unit == Unit.HU.value and "lung" not in name_classes(*ends):
        said += " None stood in lung: of nodules there this says nothing."
    return f"{said} {say_places(results)}".rstrip()


def say_lesions(results: Results) -> str:
    """How many lesions of a kind an image had under one codec, and in what they stood."""
    counts = {int(row["n"]) for row in _list_planted(results)}
    ends = _find_ends(results)
    if ends is None:
        return NOTHING
    return f"{say_range(counts)} in {name_background(_unit_of(results), *ends)}"


def say_places(results: Results, what: str = "Lesions") -> str:
    """That codecs of other factors have theirs elsewhere; "" where all have one factor.

    A lesion's box has as much room around it as one cell of the codec's, for what is smeared over
    its border: another factor is another box, and another draw of places.
    """
    factors: dict[Key, set[tuple[int, ...]]] = {}
    for result in results:
        if factor := (result.facts.get(FACTS) or {}).get("factor"):
            factors.setdefault(result.case, set()).add(tuple(factor))
    if all(len(found) < 2 for found in factors.values()):
        return ""
    every = sorted(set().union(*factors.values()))
    *first, last = (" × ".join(map(str, factor)) for factor in every)
    return (
        f"{what} of codecs of other factors (here {', '.join(first)} and {last} voxels a cell) "
        "stand at other places: compare codecs of one factor."
    )


def _list_planted(results: Results) -> list[Mapping[str, Any]]:
    rows = list_records(results, "lesions")
    return [row for row in rows if row.get("background_low") is not None]


def _find_ends(results: Results) -> tuple[float, float] | None:
    """The lowest and the highest mean of a box that a lesion was planted in."""
    if not (rows := _list_planted(results)):
        return None
    low = min(float(row["background_low"]) for row in rows)
    return low, max(float(row["background_high"]) for row in rows)


def _unit_of(results: Results) -> str:
    """Of a group's values: it is the same in all that were judged."""
    return next(str(r.facts[FACTS]["unit"]) for r in results if r.facts.get(FACTS))

"""Unsuited: pictures that a codec of volumes was not tried on, counted and named."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from plica.cohort import Key
from plica.evaluation.report import Section, Table
from plica.evaluation.results import Results, Where
from plica.evaluation.text import name_case, say_count

TITLE = "What was not judged"
MOST_NAMED = 1500  # rows a page still scrolls through; report.json has all


@dataclass(frozen=True)
class Unsuited:
    """What one codec was not tried on, since it folds volumes and these are pictures.

    Args:
        codec: Its name.
        cases: Keys of the pictures, each once.
        alone: Whether the codec was tried on nothing else.
    """

    codec: str
    cases: tuple[Key, ...]
    alone: bool = False

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready record."""
        return {
            "codec": self.codec,
            "images": len(self.cases),
            "why": "a codec that folds volumes does not judge pictures",
            "cases": [list(case) for case in self.cases],
        }


def find_unsuited(asked: Iterable[Where], results: Results) -> tuple[Unsuited, ...]:
    """The cases that have neither a result nor a failure under a codec, codec by codec.

    Args:
        asked: All there would be, were each codec one for each image.
        results: What there is, once all work is done.

    Examples:
        >>> asked = [(("p1", "", "a.png"), "compact-4x1-3d", 0)]
        >>> find_unsuited(asked, Results(()))[0].cases
        (('p1', '', 'a.png'),)
    """
    there = {result.where for result in results}
    tried = {result.codec for result in results}
    missing: dict[str, dict[Key, None]] = {}
    for where in asked:
        if where not in there:
            missing.setdefault(where[1], {})[where[0]] = None
    return tuple(
        Unsuited(codec, tuple(cases), alone=codec not in tried) for codec, cases in missing.items()
    )


def say_unsuited(found: Iterable[Unsuited]) -> tuple[str, ...]:
    """One sentence for all codecs that miss the same pictures.

    Examples:
        >>> say_unsuited([Unsuited("compact-4x1-3d", (("p1", "", "a.png"),))])
        ('1 picture was not judged by compact-4x1-3d, which folds volumes.',)
    """
    alike: dict[tuple[tuple[Key, ...], bool], list[str]] = {}
    for one in found:
        alike.setdefault((one.cases, one.alone), []).append(one.codec)
    return tuple(_say(len(cases), codecs, alone) for (cases, alone), codecs in alike.items())


def _say(pictures: int, codecs: Sequence[str], alone: bool) -> str:
    *most, last = codecs
    names = f"{', '.join(most)} and {last}" if most else last
    several = len(codecs) > 1
    nothing = f" and {'have' if several else 'has'} no results here" if alone else ""
    return (
        f"{say_count(pictures, 'picture')} {'was' if pictures == 1 else 'were'} not judged by "
        f"{names}, which fold{'' if several else 's'} volumes{nothing}."
    )


def show_unsuited(found: Collection[Unsuited]) -> Iterator[Section]:
    """A section that names each picture with the codecs that left it out; none where none did."""
    codecs: dict[Key, list[str]] = {}
    for one in found:
        for case in one.cases:
            codecs.setdefault(case, []).append(one.codec)
    if not codecs:
        return
    rows = tuple((name_case(case), ", ".join(names)) for case, names in codecs.items())
    hidden = len(rows) - MOST_NAMED
    yield Section(
        title=TITLE,
        prose=(*say_unsuited(found), "No number above holds them, and none counts as a failure."),
        tables=(
            Table(
                "Pictures beside codecs of volumes",
                ("case", "not judged by"),
                rows[:MOST_NAMED],
                caption=f"{hidden} more stand in report.json." if hidden > 0 else "",
            ),
        ),
    )

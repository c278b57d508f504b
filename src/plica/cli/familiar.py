"""Which of the images that are judged a codec's card names as those it was trained or chosen on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from plica.codecs.card import CodecCard
from plica.cohort import Case

UNNAMED = "unnamed"
"""What a card calls the source of images whose table names none."""
MOST_NAMED = 5
_WHY = "what it keeps of them is no measure of images it has not seen"


def say_familiar(name: str, card: CodecCard, cases: Iterable[Case]) -> Iterator[str]:
    """Sentences for a report; none where no image is of a source and split that the card names.

    Cards say source and split, not images: where the cohort names neither, the images may be those.

    Args:
        name: What the codec's numbers stand under.
        cases: The images that are judged.

    Examples:
        >>> card = plica.load("bicubic-4x-2d").card
        >>> list(say_familiar(card.name, card, [Case("p1", "", "1.png", Path("1.png"))]))
        []
    """
    rows = list(_rows(card))
    if not rows:
        return
    judged = {case.key: case for case in cases}.values()
    trained = rows[0]["split"]  # what was trained on comes first on a card, then what was judged
    for split, deed in (
        (trained, "was trained on"),
        *((one, "may have had its checkpoint chosen on")
          for one in dict.fromkeys(row["split"] for row in rows) if one != trained),
    ):  # fmt: skip
        sources = {str(row["source"]) for row in rows if row["split"] == split}
        yield from _say(name, list(judged), (sources, str(split)), deed)


def _rows(card: CodecCard) -> Iterator[Mapping[str, Any]]:
    """Those of the training data that say source and split; a card may be a stranger's."""
    training = card.extras.get("training")
    rows = training.get("data") if isinstance(training, Mapping) else None
    for row in rows if isinstance(rows, list | tuple) else ():
        if isinstance(row, Mapping) and {"source", "split"} <= set(row):
            yield row


def _say(
    name: str, judged: list[Case], known: tuple[set[str], str], deed: str
) -> Iterator[str]:  # fmt: skip
    sources, split = known
    found = [case for case in judged if _source(case) in sources and case.split in {split, ""}]
    named = [case for case in found if case.split and _source(case) != UNNAMED]
    if named:
        of = list(dict.fromkeys(_source(case) for case in named))
        more = f" and {len(of) - MOST_NAMED} more" if len(of) > MOST_NAMED else ""
        yield (
            f"{len(named)} of {len(judged)} images are of sources and a split that {name} {deed}, "
            f"as its card says ({', '.join(of[:MOST_NAMED])}{more}: {split}): {_WHY}."
        )
    if others := len(found) - len(named):
        yield (
            f"{others} of {len(judged)} images may be some that {name} {deed}: the cohort, or its "
            f"card, does not name their source or split ('{split}'); if they are, {_WHY}."
        )


def _source(case: Case) -> str:
    return case.labels.get("source", "") or UNNAMED

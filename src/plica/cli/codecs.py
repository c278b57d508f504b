"""plica codecs: which codecs there are."""

from __future__ import annotations

from typing import Annotated

import typer

from plica.cli import options as o
from plica.cli.console import print_json, print_table
from plica.codecs.card import CodecCard
from plica.codecs.catalogue import cards, find_offer

COLUMNS = ("codec", "folds", "factor", "codes", "voxels per code", "weights", "licence")
WHERE_ANY = {"receptive_field", "native_window", "period", "causal"}
"""Facts that only some codecs have."""
WEIGHTS = {"packaged": "inside plica", "hub": "from the hub", "file": "--weights", "none": "none"}


def codecs(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A codec, or the folder of one, to see its whole card.", show_default=False
        ),
    ] = None,
    as_json: o.Json = False,
) -> None:
    """List the codecs, or show the card of one.

    Example: plica codecs medvae-4x1-3d
    """
    if name is not None:
        _show(find_offer(name).card, as_json)
        return
    listed = cards()
    if as_json:
        print_json([card.to_json() for card in listed])
        return
    print_table("", COLUMNS, [_row(card) for card in listed])


def _show(card: CodecCard, as_json: bool) -> None:
    record = card.to_json()
    if as_json:
        print_json(record)
        return
    weights = record.pop("weights")
    record["weights"] = ", ".join(f"{key} {value}" for key, value in weights.items() if value)
    for key in ("latents", "norms", "value_range"):
        record[key] = ", ".join(str(one) for one in record[key])
    record.update({f"· {key}": value for key, value in record.pop("extras").items()})
    summary = record.pop("summary")
    rows = [
        (key.replace("_", " "), str(value))
        for key, value in record.items()
        if value != "" and not (key in WHERE_ANY and not value)
    ]
    print_table(summary, ("fact", card.name), rows)


def _row(card: CodecCard) -> tuple[str, ...]:
    per_code = card.total_factor / card.channels if card.channels else 1.0
    return (
        card.name,
        "sequences" if card.period else {0: "any", 2: "slices", 3: "volumes"}[card.dims],
        f"{card.factor}, {card.period} along" if card.period else str(card.factor),
        str(card.channels),
        f"{per_code:.3g}",
        "only a card" if "missing" in card.extras else WEIGHTS[card.weights.kind],
        card.licence,
    )

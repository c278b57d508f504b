"""plica codecs: which codecs there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from plica.cli import completing
from plica.cli import options as o
from plica.cli.console import print_json, print_note, print_table
from plica.cli.spelling import spell, spell_rows
from plica.codecs.card import CodecCard
from plica.codecs.catalogue import find_empty, find_offer, listing
from plica.codecs.modelcard import CHOSE, is_folder, part_sources
from plica.codecs.presence import find_lacking, name_needs
from plica.errors import UnknownName

COLUMNS = ("codec", "folds", "factor", "codes", "voxels per code", "weights", "licence")
WHERE_ANY = {"receptive_field", "native_window", "period", "causal"}
"""Facts that only some codecs have."""
WEIGHTS = {
    "packaged": "in plica",
    "package": "its package",
    "hub": "the hub",
    "file": "--weights",
    "none": "none",
    "unstated": "not stated",
}

EMPTY = "not there yet"
"""Said of weights that a package's card promises, and that its package does not hold."""


def codecs(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A codec, or the folder of one, to see its whole card.",
            show_default=False,
            autocompletion=completing.codecs,
        ),
    ] = None,
    as_json: o.Json = False,
) -> None:
    """List the codecs, or show the card of one.

    Example: plica codecs medvae-4x1-3d
    """
    if name is not None:
        empty = find_empty(name)
        _show(find_offer(name).card, as_json, empty=bool(empty))
        if empty:
            print_note(empty)
        return
    listed = list(listing())
    if as_json:
        print_json([card.to_json() for _, card in listed if isinstance(card, CodecCard)])
    else:
        print_table("", COLUMNS, [_row(name, one) for name, one in listed])
    known = [card for _, card in listed if isinstance(card, CodecCard)]
    extras = sorted({find_lacking(card) for card in known} - {""})
    if extras and not as_json:
        print_note(f"needs extra: pip install 'plica[{','.join(extras)}]'")
    for name, one in listed:
        if not isinstance(one, CodecCard):
            print_note(str(one))
        elif empty := find_empty(name):
            print_note(empty)


def _show(card: CodecCard, as_json: bool, *, empty: bool = False) -> None:
    record = card.to_json()
    if as_json:
        print_json(record)
        return
    record.pop("total_factor")
    weights = record.pop("weights")
    weights["SHA-256 of the file"] = weights.pop("sha256", "")
    told = [f"{key} {value}" for key, value in weights.items() if value and key != "kind"]
    record["voxels per code"] = f"{card.voxels_per_code:.3g}"
    where = "beside its card" if is_folder(card) else WEIGHTS[card.weights.kind]
    where = f"{where}, {EMPTY}" if empty else where
    record["weights"] = ", ".join([where, *told])
    record["receptive_field"] = {None: "not stated", 0: "the whole image"}.get(
        card.receptive_field, card.receptive_field
    )
    for key in ("latents", "norms", "value_range"):
        record[key] = ", ".join(str(one) for one in record[key])
    package, extra = name_needs(card)
    if package and extra:
        record["extras"]["needs"] = f"{package}: pip install 'plica[{extra}]'"
    for key, value in record.pop("extras").items():
        record.update(
            _spell_training(value) if key == "training" else spell_rows(f"· {key}", value)
        )
    summary = record.pop("summary")
    rows = [
        (key.replace("_", " "), spell(value))
        for key, value in record.items()
        if value != "" and not (key in WHERE_ANY and not value)
    ]
    print_table(summary, ("fact", card.name), rows)


def _spell_training(told: Any) -> dict[str, str]:
    """What a card says of the training; the images that chose the checkpoint by themselves."""
    if not isinstance(told, Mapping):
        return spell_rows("· training", told)
    trained, chose = part_sources(told)
    if not chose:
        return spell_rows("· training", told)
    return {
        **spell_rows("· training", {**told, "data": trained}),
        **spell_rows(f"· {CHOSE[:1].lower()}{CHOSE[1:]}", {"data": chose}),
    }


def _say_weights(name: str, card: CodecCard) -> str:
    """Where its weights are, or what is in the way."""
    if find_empty(name):
        return EMPTY
    if "missing" in card.extras:
        return "only card"
    return "needs extra" if find_lacking(card) else WEIGHTS[card.weights.kind]


def _row(name: str, card: CodecCard | UnknownName) -> tuple[str, ...]:
    if not isinstance(card, CodecCard):
        return (name, "", "", "", "", "cannot be used", "")
    return (
        card.name,
        "frames" if card.period else {0: "any", 2: "slices", 3: "volumes"}[card.dims],
        f"{card.factor}×{card.factor}×{card.period}" if card.period else str(card.factor),
        str(card.channels),
        f"{card.voxels_per_code:.3g}",
        _say_weights(name, card),
        card.licence,
    )

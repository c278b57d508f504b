"""plica export: from a run to a codec."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from plica.cli import completing
from plica.cli import options as o
from plica.cli.choosing import check_word
from plica.cli.console import print_json, print_table
from plica.cli.reading import refuse_missing

CHOICES = ("best", "last")


def export(
    run: Annotated[Path, typer.Argument(help="The run's folder.", show_default=False)],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="The codec's folder.",
            show_default=False,
            rich_help_panel=o.OUTPUT,
        ),
    ],
    checkpoint: Annotated[
        str,
        typer.Option(
            help="best (by the recipe's metric) or last.",
            autocompletion=completing.one_of(*CHOICES),
        ),
    ] = "best",
    push: Annotated[
        str | None,
        typer.Option(
            help="Put it on the Hugging Face hub under this name.",
            show_default=False,
            metavar="OWNER/NAME",
        ),
    ] = None,
    overwrite: o.Overwrite = False,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Make a codec of a run: card, weights and model card.

    Example: plica export runs/compact-4x3-2d -o codec/
    """
    refuse_missing(run, "run")
    check_word("--checkpoint", checkpoint, CHOICES)
    # Here, since it needs torch: `plica --help` should not wait for it.
    from plica.training.export import export_run
    from plica.training.export import push as push_to_hub

    exported = export_run(run, out, choice=checkpoint, overwrite=overwrite)  # type: ignore[arg-type]
    address = push_to_hub(exported, push) if push is not None else ""
    record: dict[str, Any] = {
        "codec": exported.card.name,
        "folder": str(out),
        "step": exported.step,
        "metrics": exported.metrics,
        "hub": address,
    }
    if as_json:
        print_json(record)
    elif not quiet:
        # A bare name would be the table's codec, where it has one of that name.
        place = out if len(out.parts) > 1 else f"./{out}"
        rows = [
            ("weights after", f"{exported.step} steps"),
            *((one["metric"], _say_metric(one)) for one in exported.metrics),
            ("load it", f'plica.load("{place}") or --codec {place}'),
            *([("on the hub", address)] if address else []),
        ]  # fmt: skip
        print_table(f"Exported {exported.card.name}", ("fact", "value"), rows)


def _say_metric(one: Mapping[str, Any]) -> str:
    """A mean with its unit, unless it is a bare number."""
    unit = "" if one["unit"] == "1" else f" {one['unit']}"
    return f"{one['mean']:.4g}{unit} (n = {one['n']}, {one['split']})"

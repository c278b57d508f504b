"""plica evaluate compare: what changed between two reports beyond noise."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from plica.cli import completing
from plica.cli import judging_options as j
from plica.cli import options as o
from plica.cli.console import print_json, print_note, print_table, stdout
from plica.cli.needing import need
from plica.cli.reading import refuse_missing
from plica.errors import SettingsError
from plica.evaluation.comparing import Comparison, compare
from plica.evaluation.comparison_report import (
    COLUMNS,
    report_comparison,
    summarise_comparison,
    tabulate_changes,
)
from plica.evaluation.publish import publish, refuse_folder
from plica.evaluation.record import make_strict, read_record


def compare_reports(
    first: Annotated[
        Path, typer.Argument(help="Folder of the earlier report.", show_default=False)
    ],
    second: Annotated[Path, typer.Argument(help="Folder of the later report.", show_default=False)],
    first_codec: Annotated[
        str | None,
        typer.Option(
            "--first",
            help="This codec of the first report …",
            show_default=False,
            rich_help_panel=o.CODEC,
        ),
    ] = None,
    second_codec: Annotated[
        str | None,
        typer.Option(
            "--second",
            help="… against this one of the second. None: each with itself.",
            show_default=False,
            rich_help_panel=o.CODEC,
        ),
    ] = None,
    metric: Annotated[
        list[str] | None, o.metrics("all they share", among=completing.metrics)
    ] = None,
    shared_only: Annotated[
        bool,
        typer.Option("--shared-only", help="Leave out images that one report lacks."),
    ] = False,
    out: j.SomeReport = None,
    seed: Annotated[int, o.seed("the resampling behind intervals")] = 0,
    overwrite: o.Overwrite = False,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Say what changed between two reports of one protocol, beyond noise.

    Example: plica evaluate compare report-before/ report-after/ -o changes/
    """  # fmt: skip
    need("comparing reports", "scipy", *(["matplotlib"] if out is not None else []))
    if (first_codec is None) != (second_codec is None):
        raise SettingsError("--first and --second name a codec each: give both, or none")
    if out is not None:
        refuse_folder(out, overwrite=overwrite)
    codecs = None if first_codec is None or second_codec is None else (first_codec, second_codec)
    refuse_missing(first, "report")
    refuse_missing(second, "report")
    comparison = compare(
        read_record(first), read_record(second), codecs=codecs, metrics=metric or None,
        shared_only=shared_only, seed=seed,
    )  # fmt: skip
    page = None
    if out is not None:
        page = publish(report_comparison(comparison), out, overwrite=overwrite)
    if as_json:
        print_json({**_record(comparison), "report": None if page is None else str(page)})
    elif not quiet:
        _tell(comparison)
        if page is not None:
            print_note(f"report written to {page}")


def _record(comparison: Comparison) -> dict[str, object]:
    return {
        "summary": summarise_comparison(comparison),
        "changes": [make_strict(change.to_json()) for change in comparison.changes],
        "surroundings": [
            dict(zip(("what", "first", "second"), row, strict=True))
            for row in comparison.surroundings
        ],
        "notes": list(comparison.notes),
    }


def _tell(comparison: Comparison) -> None:
    """What is beyond noise in sentences, all in a table, and what else differs."""
    found = comparison.having("worse", "better")
    for change in found:
        stdout().print(str(change), soft_wrap=True, markup=False)
    table = tabulate_changes(comparison.changes)
    print_table(summarise_comparison(comparison), COLUMNS, table.rows, caption=table.caption)
    if comparison.surroundings:
        print_table("What else differs", ("what", "first", "second"), comparison.surroundings)
    for note in comparison.notes:
        print_note(note)

"""plica compare: how far is one image from another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from plica.cli import options as o
from plica.cli.console import print_json, print_note, print_table
from plica.cli.reading import Reading
from plica.cli.writing import draw_panel, refuse_panel
from plica.errors import OutputError
from plica.formats.limits import DEFAULT_MAX_BYTES
from plica.formats.sources import Source
from plica.metrics.metric import Measurement, measure

COLUMNS = ("metric", "value", "unit", "better", "how")


def compare(
    source: Annotated[Path, typer.Argument(help="The image as it was.", show_default=False)],
    decoded: Annotated[Path, typer.Argument(help="The image to judge.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="A PNG: source | decoded | residual.", show_default=False),
    ] = None,
    data_range: Annotated[
        float | None,
        typer.Option(
            help="Full range of values for PSNR and SSIM, in the image's unit.", show_default=False
        ),
    ] = None,
    spacing: o.Spacing = None,
    volume: o.Volume = None,
    series: o.Series = None,
    unit: o.UnitName = None,
    max_bytes: o.MaxBytes = DEFAULT_MAX_BYTES,
    overwrite: o.Overwrite = False,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Compare two images on one grid, value by value.

    Example: plica compare ct/ decoded.nii.gz -o panel.png
    """  # fmt: skip
    refuse_panel(out)
    if out is not None and out.exists() and not overwrite:
        raise OutputError(f"{out} is there already: choose another output, or --overwrite")
    reading = Reading(volume, series, spacing, unit, max_bytes)
    first, second = (reading.read(Source(name=path.name, path=path)) for path in (source, decoded))
    measured = measure(first, second, data_range=data_range)
    if out is not None:
        draw_panel(out, first, second, title=source.name, overwrite=overwrite)
    if as_json:
        print_json(measured.to_json())
    elif not quiet:
        print_measurement(measured, title=f"{decoded.name} against {source.name}")
        if out is not None:
            print_note(f"panel written to {out}")


def print_measurement(measured: Measurement, *, title: str) -> None:
    """A table of the metrics, each with its unit, direction and definition."""
    rows = [
        (value.metric, f"{value.value:.4g}", value.unit, value.better,
         value.definition + (f" ({value.note})" if value.note else ""))
        for value in measured.values
    ]  # fmt: skip
    left_out = f"; {measured.n_excluded} not finite, left out" if measured.n_excluded else ""
    caption = (
        f"{measured.n_values} values{left_out}; data range {measured.data_range:g} "
        f"({measured.data_range_rule})"
    )
    print_table(title, COLUMNS, rows, caption=caption)

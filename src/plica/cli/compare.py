"""plica compare: how far is one image from another, or one drawing from another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from plica.cli import options as o
from plica.cli.console import print_json, print_note, print_table
from plica.cli.reading import Reading
from plica.cli.writing import draw_panel, refuse_panel
from plica.errors import InputError, OutputError, SettingsError
from plica.formats.limits import DEFAULT_MAX_BYTES
from plica.formats.sources import Source
from plica.image import Image
from plica.metrics.metric import Measurement, Value, measure
from plica.metrics.overlap import LabelValues, measure_labels
from plica.metrics.pair import Bools, refuse_other_grid

COLUMNS = ("metric", "value", "unit", "better", "how")
LABEL_COLUMNS = ("label", "voxels", "in the other", "metric", "value", "unit", "better", "how")


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
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="Which metrics (docs/metrics.md lists them), such as psnr ssim lpips-vgg; may be "
            "repeated.",
            show_default=False,
        ),
    ] = None,
    region: Annotated[
        Path | None,
        typer.Option(
            help="A mask on the same grid: compare where it is not 0.", show_default=False
        ),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            help="Both are label images: compare them by Dice and surfaces, which count as one "
            "where they are at most so many mm apart.",
            show_default=False,
        ),
    ] = None,
    weights_dir: Annotated[
        Path | None,
        typer.Option(help="A folder with LPIPS' weights.", show_default=False),
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
    Example: plica compare ct/ decoded.nii.gz --metric psnr ssim --region lesion.nii.gz
    """  # fmt: skip
    refuse_panel(out)
    if out is not None and out.exists() and not overwrite:
        raise OutputError(f"{out} is there already: choose another output, or --overwrite")
    reading = Reading(volume, series, spacing, unit, max_bytes)
    first, second = (reading.read(Source(name=path.name, path=path)) for path in (source, decoded))
    if tolerance is not None:
        if region is not None or data_range is not None:
            raise SettingsError("label images have no --region and no --data-range: leave them out")
        labels = measure_labels(first, second, tolerance_mm=tolerance, metrics=metric)
    else:
        measured = measure(
            first,
            second,
            metrics=metric,
            data_range=data_range,
            region=None if region is None else read_region(region, reading, first),
            weights_dir=weights_dir,
        )
    if out is not None:
        draw_panel(out, first, second, title=source.name, overwrite=overwrite)
    title = f"{decoded.name} against {source.name}"
    if as_json:
        found = measured.to_json() if tolerance is None else [one.to_json() for one in labels]
        print_json(found)
    elif not quiet:
        if tolerance is None:
            print_measurement(measured, title=title)
        else:
            print_labels(labels, title=title)
        if out is not None:
            print_note(f"panel written to {out}")


def read_region(path: Path, reading: Reading, like: Image) -> Bools:
    """Where a mask is not 0, as truth values (i, j, k).

    Raises:
        InputError: It is on another grid than the image, has several channels, or holds NaN.
    """
    mask = replace(reading, volume=None, series=None, unit="label").read(Source(path.name, path))
    refuse_other_grid(like.grid, mask.grid, what="the images and the region are")
    if mask.channels != 1 or mask.count_nonfinite():
        raise InputError(
            f"a region is a mask of one channel of finite values, but {path.name} has "
            f"{mask.channels} and {mask.count_nonfinite()} values that are not finite"
        )
    return np.asarray(mask.pixels[0] != 0)


def print_measurement(measured: Measurement, *, title: str) -> None:
    """A table of the metrics, each with its unit, direction and definition."""
    rows = [_row(value) for value in measured.values]
    left_out = f"; {measured.n_excluded} not finite, left out" if measured.n_excluded else ""
    left_out += f"; {measured.n_outside} outside the region" if measured.n_outside else ""
    caption = (
        f"{measured.n_values} values{left_out}; data range {measured.data_range:g} "
        f"({measured.data_range_rule})"
    )
    print_table(title, COLUMNS, rows, caption=caption)


def print_labels(labels: Sequence[LabelValues], *, title: str) -> None:
    """A table of the labels, each with its metrics."""
    rows = [
        (str(one.label), str(one.n_reference), str(one.n_segmented), *_row(value))
        for one in labels
        for value in one.values
    ]
    tolerance = next(
        (v.detail["tolerance_mm"] for one in labels for v in one.values if v.metric == "nsd"), None
    )
    caption = "" if tolerance is None else f"tolerance of nsd: {tolerance:g} mm"
    print_table(title, LABEL_COLUMNS, rows, caption=caption)


def _row(value: Value) -> tuple[str, str, str, str, str]:
    how = value.definition + (f" ({value.note})" if value.note else "")
    return value.metric, f"{value.value:.4g}", value.unit, value.better, how

"""plica compare: how far is one image from another, or one drawing from another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from plica.cli import completing
from plica.cli import options as o
from plica.cli.console import print_json, print_note, print_table
from plica.cli.jobs import refuse_place
from plica.cli.listing import find_lone, fits, survey_export
from plica.cli.reading import Reading, naming
from plica.cli.showing import DisplayWindow, ResidualRange, Showing, Slice
from plica.cli.writing import draw_panel, refuse_panel
from plica.errors import AmbiguousSource, InputError, SettingsError
from plica.evaluation.tissues import Tissue, judge_ranges
from plica.formats.atomic import refuse_existing
from plica.formats.limits import DEFAULT_MAX_BYTES
from plica.formats.sniff import identify
from plica.formats.sources import Source
from plica.grid import Grid
from plica.image import Image
from plica.metrics.metric import Measurement, Value, measure
from plica.metrics.overlap import LabelValues, measure_labels
from plica.metrics.pair import Bools, refuse_other_grid

COLUMNS = ("metric", "value", "unit", "better", "how")
TISSUE_COLUMNS = ("tissue", "source HU", "voxels", "MAE HU", "bias HU")
TISSUE_LIMIT = (
    "Part of each error is the scan's own noise, and noise that decides a voxel's range biases it "
    "towards the range's middle: for values without that bias use plica evaluate faithfulness "
    "(docs/faithfulness.md), whose ranges and crop differ from these."
)
LABEL_COLUMNS = ("label", "voxels", "in the other", "metric", "value", "unit", "better", "how")


def compare(
    source: Annotated[Path, typer.Argument(help="The image as it was.", show_default=False)],
    decoded: Annotated[Path, typer.Argument(help="The image to judge.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="A PNG: source | decoded | residual.",
            show_default=False,
            rich_help_panel=o.OUTPUT,
        ),
    ] = None,
    data_range: o.DataRange = None,
    metric: Annotated[
        list[str] | None, o.metrics("the usual ones", among=completing.metrics)
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
            help="Compare label images, by Dice and surfaces: how far apart, in mm, these may be "
            "and count as one (NSD).",
            show_default=False,
        ),
    ] = None,
    tissues: Annotated[
        bool,
        typer.Option(
            "--tissues", help="MAE and bias of each tissue too, by ranges of the source's HU."
        ),
    ] = False,
    display: DisplayWindow = None,
    at_slice: Slice = None,
    residual_range: ResidualRange = None,
    weights_dir: o.WeightsDir = None,
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

    --series chooses from the source, the first image; of the other, name one series' folder.

    Example: plica compare ct/ decoded.nii.gz -o panel.png
    Example: plica compare ct/ decoded.nii.gz --tissues -o panel.png --display soft --slice 40
    Example: plica compare ct/ decoded.nii.gz --metric psnr ssim --region lesion.nii.gz
    """  # fmt: skip
    if out is not None:
        refuse_panel(out)
        refuse_place(out, {path.resolve() for path in (source, decoded, region) if path})
        refuse_existing(out, overwrite=overwrite)
    if tolerance is not None and (region is not None or data_range is not None or tissues):
        raise SettingsError(
            "label images have no --region, no --data-range and no --tissues: leave them out"
        )
    showing = Showing(display, at_slice, residual_range)
    showing.check(out is not None)
    reading = Reading(volume, series, spacing, unit, max_bytes)
    _refuse_needless_series(source, series)
    first = reading.read(Source(name=source.name, path=source))
    second = read_decoded(decoded, reading, first)
    _refuse_apart(source, first, decoded, second, series)
    mask = None if region is None else read_region(region, reading, first)
    shown = showing.choose(first, mask) if out is not None else {}
    title = f"{decoded.name} against {source.name}"
    if tolerance is not None:
        with naming(title):
            labels = measure_labels(first, second, tolerance_mm=tolerance, metrics=metric)
        _say([one.to_json() for one in labels], as_json)
        if not (as_json or quiet):
            print_labels(labels, title=title)
    else:
        with naming(title):
            measured = measure(
                first,
                second,
                metrics=metric,
                data_range=data_range,
                region=mask,
                weights_dir=weights_dir,
            )
            found = judge_ranges(first, second, mask) if tissues else None
        more = {} if found is None else {"tissues": [one.to_json() for one in found]}
        _say({**measured.to_json(), **more}, as_json)
        if not (as_json or quiet):
            print_measurement(measured, title=title)
            print_tissues(found, within=mask is not None)
    if out is not None:
        named = source.name if series is None else f"{source.name}, series {series}"
        told = f"{named}; decoded: {decoded.name}"
        draw_panel(out, first, second, title=told, overwrite=overwrite, **shown)
        if not (as_json or quiet):
            print_note(f"panel written to {out}")


def _say(record: Any, as_json: bool) -> None:
    if as_json:
        print_json(record)


def _refuse_needless_series(source: Path, series: str | None) -> None:
    """Refuse to choose a series of what has none: the two images may have been swapped."""
    if series is None:
        return
    with naming(source.name):
        if identify(source) != "dicom":
            raise SettingsError(
                f"--series chooses from the source, the first argument, and {source.name} is not "
                "DICOM: are the two images swapped? If not, leave --series out"
            )


def _refuse_apart(
    source: Path, first: Image, decoded: Path, second: Image, series: str | None
) -> None:
    """Refuse images on two grids, and name the series of the source that would fit.

    Raises:
        InputError: They are on two grids.
    """
    names = (source.name, decoded.name)
    try:
        refuse_other_grid(first.grid, second.grid, names=names)
    except InputError as error:
        fitting = _find_fitting(source, second.grid, series)
        if not fitting:
            raise
        found = f"; of {source.name}, series {' and '.join(fitting)} has the voxels of the other"
        raise InputError(f"{error}{found}: --series {fitting[0]}") from error


def _find_fitting(source: Path, grid: Grid, series: str | None) -> list[str]:
    """The numbers of other series of an export, of the same shape and spacing."""
    found = survey_export(source)
    if series is None or found is None:
        return []
    return [
        str(one.number)
        for one in found.series
        if str(one.number) != series and not one.mark.startswith(series) and fits(one, grid)
    ]


def read_decoded(path: Path, reading: Reading, like: Image) -> Image:
    """The image to judge, read like the source.

    A series and a volume are chosen of the source: what was decoded from it may be that one alone.

    Raises:
        AmbiguousSource: It holds several series.
        InputError: It cannot be read.
    """
    reading = replace(reading, series=None)
    try:
        return _read_beside(path, reading, like)
    except InputError:
        if reading.volume is None:
            raise
    return _read_beside(path, replace(reading, volume=None), like)


def read_region(path: Path, reading: Reading, like: Image) -> Bools:
    """Where a mask is not 0, as truth values (i, j, k).

    Raises:
        InputError: It is on another grid than the image, has several channels or series, or holds
            NaN.
    """
    mask = _read_beside(path, replace(reading, volume=None, series=None, unit="label"), like)
    refuse_other_grid(like.grid, mask.grid, what="the images and the region are")
    if mask.channels != 1 or mask.count_nonfinite():
        raise InputError(
            f"a region is a mask of one channel of finite values, but {path.name} has "
            f"{mask.channels} and {mask.count_nonfinite()} values that are not finite"
        )
    return np.asarray(mask.pixels[0] != 0)


def _read_beside(path: Path, reading: Reading, like: Image) -> Image:
    """Read what stands beside the source, of which no option chooses a series.

    Raises:
        AmbiguousSource: It holds several.
        InputError: It cannot be read.
    """
    try:
        return reading.read(Source(name=path.name, path=path))
    except AmbiguousSource as error:
        found = survey_export(path)
        if found is None:  # it is several volumes that it holds
            raise
        lone = find_lone(path, found.series, like.grid)
        give = (
            f"give one by itself, such as {lone}"
            if lone
            else "put the one meant into a folder of its own"
        )
        raise AmbiguousSource(
            f"{path.name} holds {len(found.series)} series, and --series chooses from the source, "
            f"the first argument, alone: {give}"
        ) from error


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


def print_tissues(tissues: Sequence[Tissue] | None, *, within: bool) -> None:
    """A table of the tissues, each with the range it is defined by.

    Args:
        tissues: None prints nothing.
        within: Whether they are those of a region alone.
    """
    if tissues is None:
        return
    rows = [
        (one.name, _range(one), str(one.voxels), f"{one.mae:.4g}", f"{one.bias:.4g}")
        for one in tissues
    ]
    caption = "ranges of the source's own values; −500 … −190 HU is no one tissue"
    title = "By tissue, within the region" if within else "By tissue"
    print_table(title, TISSUE_COLUMNS, rows, caption=f"{caption}. {TISSUE_LIMIT}")


def _range(tissue: Tissue) -> str:
    if not np.isfinite(tissue.low):
        return f"below {tissue.high:g}"
    return f"{tissue.low:g} … {tissue.high:g}" if np.isfinite(tissue.high) else (
        f"from {tissue.low:g}")  # fmt: skip


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

"""plica verify: what running a codec in pieces, or in half precision, does to an image of yours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from plica.cli import completing
from plica.cli import options as o
from plica.cli.choosing import (
    AUTO,
    asked_preparing,
    asked_running,
    choose_weights,
    parse_settings,
)
from plica.cli.console import (
    EXIT_FAILED,
    format_bytes,
    format_shape,
    print_error,
    print_json,
    print_note,
    print_table,
    progress,
)
from plica.cli.jobs import Manner, find
from plica.cli.reading import Reading
from plica.cli.verifying import Task, Trial, run_apart
from plica.codecs.catalogue import STITCHED, find_offer
from plica.codecs.difference import Difference, Half
from plica.errors import SettingsError
from plica.formats.limits import DEFAULT_MAX_BYTES

EXACT_RMS, EXACT_LARGEST = 1e-5, 1e-3
"""What rounding of float32 may do, in standard deviations: on the whole, and to one value."""
ROUNDED_RMS = 0.1
"""What bfloat16 may do: measured on the published networks are 0.02 to 0.03."""
SLACK = 1.1
"""How far a peak may lie above the memory that was allowed."""
NOT_TRIED = "not tried: one piece"
COLUMNS = ("", "how", "pieces", "max σ", "rms σ", "PSNR dB", "s", "peak", "verdict")


@dataclass(frozen=True)
class Row:
    """One direction of one comparison, or of the reference itself."""

    part: str
    how: str
    half: Half
    peak: int
    difference: Difference | None
    verdict: str
    holds: bool

    def cells(self) -> tuple[str, ...]:
        """Of the table."""
        d = self.difference
        numbers = (
            ("", "", "") if d is None else (f"{d.largest:.1e}", f"{d.rms:.1e}", f"{d.psnr:.0f}")
        )
        return (
            self.part, self.how, str(self.half.pieces), *numbers, f"{self.half.seconds:.2f}",
            format_bytes(self.peak), self.verdict,
        )  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        record: dict[str, Any] = {
            "part": self.part, "how": self.how, "pieces": self.half.pieces,
            "plan": self.half.plan, "seconds": round(self.half.seconds, 3),
            "peak_bytes": self.peak, "verdict": self.verdict, "holds": self.holds,
        }  # fmt: skip
        if self.difference is not None:
            record |= {
                "largest_sigma": self.difference.largest,
                "rms_sigma": self.difference.rms,
                "psnr_db": self.difference.psnr,
            }
        return record


def verify(
    codec: Annotated[
        str,
        typer.Argument(
            help="A codec's name or folder.",
            show_default=False,
            autocompletion=completing.codecs,
        ),
    ],
    source: Annotated[
        Path, typer.Argument(help="An image file, or a DICOM series.", show_default=False)
    ],
    memory: o.Memory = None,
    device_memory: o.DeviceMemory = None,
    tiling: o.Tiling = None,
    tile: o.Tile = None,
    precision: o.Precision = None,
    side: Annotated[
        int | None,
        typer.Option(
            help="Side of the crop that is compared; as large as takes seconds if left out.",
            show_default=False,
            rich_help_panel=o.RUNNING,
            min=8,
        ),
    ] = None,
    full: Annotated[
        bool,
        typer.Option(
            "--full",
            rich_help_panel=o.RUNNING,
            help="Encode and decode the whole image too, and compare its peak with --memory.",
        ),
    ] = False,
    device: o.Device = AUTO,
    weights: o.Weights = None,
    random_weights: o.RandomWeights = False,
    settings: o.Settings = None,
    axis: o.Axis = None,
    pipeline: o.Pipeline = None,
    spacing: o.Spacing = None,
    volume: o.Volume = None,
    series: o.Series = None,
    unit: o.UnitName = None,
    max_bytes: o.MaxBytes = DEFAULT_MAX_BYTES,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Prove on an image of yours what running a codec in pieces changes: nothing, or how much.

    The middle of the image is encoded and decoded in one piece, then in pieces as the options say,
    and with --precision bfloat16 in that too; each in a process of its own, whose peak is told.
    Differences are in standard deviations σ of what came out in one piece.

    Exit codes: 0 all that is promised holds (exact pieces differ by rounding alone, rms ≤ 1e-5 σ;
    bfloat16 by rms ≤ 0.1 σ; with --full, peaks stay within 1.1 × --memory); 1 something does not.
    Windows and blending promise nothing: how far they are from one piece is told.

    Example: plica verify compact-4x1-3d ct.nii --memory 1G --full
    """
    manner = Manner(as_json, quiet)
    options = {
        **parse_settings(settings),
        **asked_preparing(axis, False, False, False, None, pipeline),
        **asked_running(tile, memory, device_memory, tiling, None),
    }
    find_offer(codec.removeprefix(STITCHED))
    found = find([source], manner, series)
    if len(found) != 1:
        raise SettingsError(
            f"verify takes one image, and there are {len(found)} below {source}: name one"
        )
    task = Task(
        codec, choose_weights(weights, random=random_weights), device, options, found[0],
        Reading(volume, series, spacing, unit, max_bytes, mapped=True), "whole", side,
    )  # fmt: skip
    with progress(quiet=manner.silent) as bar:
        shown = bar.add_task("verifying", total=2 + bool(precision) + full)
        rows, shape = _compare(task, tiling, precision, full, lambda: bar.update(shown, advance=1))
    raise typer.Exit(_report(rows, codec, shape, manner))


def _compare(
    task: Task, tiling: str | None, precision: str | None, full: bool, tick: Any
) -> tuple[list[Row], tuple[int, ...]]:
    """Each trial in its own process, one after the other."""
    whole = run_apart(task)
    codes = whole.encoded.values
    tick()
    rows = [*_rows("in one piece", whole, None, "", True)]
    pieces = run_apart(replace(task, way="asked", codes=codes))
    tick()
    rows += _judge(pieces, whole, promised=tiling not in {"window", "blend"})
    if precision not in {None, "float32"}:
        options = {**task.options, "precision": precision}
        rounded = run_apart(replace(task, options=options, codes=codes))
        tick()
        rows += _rows(str(precision), rounded, whole, "rounded", bound=ROUNDED_RMS)
    if full:
        rows += _judge_memory(run_apart(replace(task, way="full")), task)
        tick()
    return rows, whole.shape


def _judge(pieces: Trial, whole: Trial, *, promised: bool) -> list[Row]:
    windows = "window" in pieces.encoded.plan
    if windows or not promised:
        return list(_rows("in windows", pieces, whole, "as its authors run it", bound=float("inf")))
    rows = _rows("in pieces", pieces, whole, "exact", bound=EXACT_RMS)
    return [row if row.half.pieces > 1 else replace(row, verdict=NOT_TRIED) for row in rows]


def _rows(
    how: str, trial: Trial, whole: Trial | None, verdict: str, holds: bool = True, *,
    bound: float = float("inf"),
) -> Sequence[Row]:  # fmt: skip
    rows = []
    for part, n in (("encode", 0), ("decode", 1)):
        half, true = _half(trial, n), None if whole is None else _half(whole, n)
        difference = None if true is None else Difference.between(true.values, half.values)
        fine = holds if difference is None else difference.rms <= bound  # NaN is not
        said = verdict if fine else f"not {verdict}"
        rows.append(Row(part, how, half, trial.peaks[n], difference, said, fine))
    return rows


def _half(trial: Trial, number: int) -> Half:
    return (trial.encoded, trial.decoded)[number]


def _judge_memory(trial: Trial, task: Task) -> list[Row]:
    rows = []
    for row in _rows(f"all {format_shape(trial.shape[1:])}", trial, None, ""):
        fine = row.peak <= SLACK * trial.memory
        said = f"{'within' if fine else 'above'} {format_bytes(trial.memory)}"
        rows.append(replace(row, verdict=said, holds=fine))
    return rows


def _report(rows: Sequence[Row], codec: str, shape: tuple[int, ...], manner: Manner) -> int:
    failed = [row for row in rows if not row.holds]
    if manner.as_json:
        print_json({
            "codec": codec, "crop": list(shape), "holds": not failed,
            "rows": [row.to_json() for row in rows],
        })  # fmt: skip
        return EXIT_FAILED if failed else 0
    if not manner.quiet:
        print_table(
            f"{codec} on {format_shape(shape[1:])} voxels of the image",
            COLUMNS, [row.cells() for row in rows],
            caption="σ: standard deviation of what came out in one piece; peak: of the process",
        )  # fmt: skip
        for row in rows:
            if row.part == "encode" and row.how != "in one piece":
                print_note(f"{row.how}: {row.half.plan}")
    for row in failed:
        print_error(f"{row.part}, {row.how}: {row.verdict}")
    return EXIT_FAILED if failed else 0

"""plica reconstruct: images → latents → images, and what was lost."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import typer

from plica.cli import options as o
from plica.cli.choosing import AUTO, asked_preparing, asked_running, choose
from plica.cli.console import format_shape
from plica.cli.encode import count_fewer
from plica.cli.jobs import (
    Existing,
    Job,
    Manner,
    Outcome,
    find,
    name_after,
    plan,
    refuse_place,
    report,
    run,
)
from plica.cli.reading import Reading
from plica.cli.writing import draw_panel, ending_for, endings, refuse_panel
from plica.errors import OutputError
from plica.formats.atomic import refuse_existing
from plica.formats.doors import write
from plica.formats.latents import to_image
from plica.formats.limits import DEFAULT_MAX_BYTES
from plica.formats.sources import Source
from plica.image import Image
from plica.latent import Latent
from plica.metrics.metric import Measurement, measure

METRICS = ("psnr", "ms-ssim", "mae", "bias", "max-error")
COLUMNS = ("codec", "voxels", "fewer", "PSNR dB", "MS-SSIM", "MAE", "bias", "unit")


@dataclass(frozen=True)
class Extras:
    """What is written beside the decoded images."""

    residual: Path | None
    panel: Path | None
    existing: Existing

    @property
    def replaces(self) -> bool:
        """Whether files may be replaced: what lies beside an output that is missing is a rest."""
        return self.existing.overwrite or self.existing.resume

    def check(self, jobs: list[Job]) -> None:
        """Refuse before the work what could not be written after it.

        Raises:
            OutputError: One file for several images, or one that is there, or cannot be.
        """
        refuse_panel(self.panel)
        taken = {path.resolve() for job in jobs for path in (job.source.path, *job.targets)}
        for path in (self.residual, self.panel):
            if path is None:
                continue
            if len(jobs) > 1 and "*" not in str(path):
                raise OutputError(
                    f"{len(jobs)} images cannot share {path}: use a pattern such as "
                    f"{path.parent / ('*' + ''.join(path.suffixes))}"
                )
            for target in (name_after(path, job.source) for job in jobs):
                refuse_place(target, taken)
                refuse_existing(target, overwrite=self.replaces)

    def write(self, source: Source, image: Image, decoded: Image, latent: Latent) -> None:
        """Write the residual and the panel, where they were asked for."""
        if self.residual is not None:
            write(subtract(decoded, image), name_after(self.residual, source),
                  overwrite=self.replaces)  # fmt: skip
        if self.panel is not None:
            codes = None if latent.kind == "bitstream" else to_image(latent)
            draw_panel(
                name_after(self.panel, source), image, decoded, latent=codes,
                title=f"{source.name} · {latent.codec.name}", overwrite=self.replaces,
            )  # fmt: skip


def reconstruct(
    sources: o.Sources,
    out: o.Out,
    codec: o.CodecName = AUTO,
    device: o.Device = AUTO,
    weights: o.Weights = None,
    residual: o.Residual = None,
    panel: o.Panel = None,
    settings: o.Settings = None,
    memory: o.Memory = None,
    device_memory: o.DeviceMemory = None,
    tiling: o.Tiling = None,
    precision: o.Precision = None,
    tile: o.Tile = None,
    axis: o.Axis = None,
    fill_nonfinite: o.FillNonfinite = False,
    keep_outside: o.KeepOutside = False,
    pipeline: o.Pipeline = None,
    foreground: o.Foreground = False,
    resample: o.Resample = None,
    spacing: o.Spacing = None,
    volume: o.Volume = None,
    series: o.Series = None,
    unit: o.UnitName = None,
    max_bytes: o.MaxBytes = DEFAULT_MAX_BYTES,
    like: o.Like = None,
    overwrite: o.Overwrite = False,
    resume: o.Resume = False,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Encode and decode in one go, and measure what was lost.

    Example: plica reconstruct ct/ -o decoded.nii.gz --codec linear-4x1-3d --panel ct.png
    """  # fmt: skip
    preparing = asked_preparing(axis, fill_nonfinite, keep_outside, foreground, resample, pipeline)
    running = asked_running(tile, memory, device_memory, tiling, precision)
    chooser = choose(codec, weights, device, settings, preparing, running)
    reading = Reading(volume, series, spacing, unit, max_bytes)
    manner, existing = Manner(as_json, quiet), Existing(overwrite, resume)
    extras = Extras(residual, panel, existing)
    found = find(sources, manner, series)
    jobs = plan(found, out, endings=endings(like), existing=existing)
    extras.check(jobs)
    if jobs:
        chooser.load_first()

    def work(job: Job) -> Outcome:
        begun = time.perf_counter()
        image = reading.read(job.source)
        chosen = chooser.for_image(image)
        latent = chosen.encode(image)
        decoded = chosen.decode(latent)
        measured = measure(image, decoded, metrics=METRICS, strict=False)
        extras.write(job.source, image, decoded, latent)
        # last: an output that is there means all is done
        target = job.target(ending_for(image, like))
        ratio = image.pixels.nbytes / latent.codes.nbytes
        write(decoded, target, like=like, ratio=ratio, overwrite=overwrite)
        facts, cells = _describe(image, latent, measured)
        return Outcome(job.source, target, time.perf_counter() - begun, facts, cells)

    outcomes = run(jobs, work, verb="reconstructing", manner=manner, watch=chooser.watch, phases=2)
    left = len(found) - len(jobs)
    raise typer.Exit(report(outcomes, COLUMNS, title="Reconstructed", manner=manner, left=left))


def subtract(decoded: Image, source: Image) -> Image:
    """What decoding changed, value by value, in float32; NaN where a value is not finite."""
    with np.errstate(invalid="ignore", over="ignore"):
        difference = decoded.pixels.astype(np.float32) - source.pixels.astype(np.float32)
    return decoded.with_pixels(difference)


def _describe(
    image: Image, latent: Latent, measured: Measurement
) -> tuple[dict[str, Any], tuple[str, ...]]:
    fewer = count_fewer(image, latent)
    facts: dict[str, Any] = {
        "codec": latent.codec.name,
        "shape": list(image.grid.shape),
        "unit": image.unit.value,
        "voxels_per_code": fewer,
        "losses": latent.trail.losses,
        **measured.to_json(),
    }
    cells = (
        latent.codec.name,
        format_shape(image.grid.shape),
        "" if fewer is None else f"{fewer:.1f}×",
        f"{measured['psnr']:.2f}",
        f"{measured['ms-ssim']:.4f}",
        f"{measured['mae']:.3g}",
        f"{measured['bias']:.2g}",
        image.unit.value,
    )
    return facts, cells

"""plica reconstruct: images → latents → images, and what was lost."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from plica.cli import options as o
from plica.cli.choosing import AUTO, Chooser, parse_settings
from plica.cli.console import format_shape
from plica.cli.encode import asked_preparing
from plica.cli.jobs import Existing, Job, Outcome, find, plan, report, run
from plica.cli.reading import Reading
from plica.cli.writing import draw_panel, ending_for
from plica.errors import OutputError
from plica.formats.doors import write
from plica.formats.latents import to_image
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
    like: Path | None
    overwrite: bool

    def check(self, jobs: list[Job]) -> None:
        """Refuse a single file for several images."""
        for path in (self.residual, self.panel):
            if path is not None and len(jobs) > 1 and "*" not in path.name:
                raise OutputError(
                    f"{len(jobs)} images cannot share {path}: use a pattern such as "
                    f"{path.parent / ('*' + ''.join(path.suffixes))}"
                )

    def write(self, name: str, image: Image, decoded: Image, latent: Latent) -> None:
        """Write the residual and the panel, where they were asked for."""
        if self.residual is not None:
            target = _named(self.residual, name)
            difference = decoded.pixels.astype(np.float32) - image.pixels.astype(np.float32)
            write(decoded.with_pixels(difference), target, overwrite=self.overwrite)
        if self.panel is not None:
            codes = None if latent.kind == "bitstream" else to_image(latent)
            draw_panel(
                _named(self.panel, name), image, decoded,
                latent=codes, title=f"{name} · {latent.codec.name}", overwrite=self.overwrite,
            )  # fmt: skip


def reconstruct(
    sources: o.Sources,
    out: o.Out,
    codec: o.CodecName = AUTO,
    device: o.Device = AUTO,
    weights: o.Weights = None,
    residual: Annotated[
        Path | None,
        typer.Option(help="Write decoded − source here; a * becomes the name.", show_default=False),
    ] = None,
    panel: Annotated[
        Path | None,
        typer.Option(help="Write a picture here; a * becomes the name.", show_default=False),
    ] = None,
    settings: o.Settings = None,
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
    like: Annotated[
        Path | None,
        typer.Option(
            help="For DICOM output: the source, whose patient and study are taken over.",
            show_default=False,
        ),
    ] = None,
    overwrite: o.Overwrite = False,
    resume: o.Resume = False,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Encode and decode in one go, and measure what was lost.

    Example: plica reconstruct ct/ -o decoded.nii.gz --codec linear-4x1-3d --panel ct.png
    """  # fmt: skip
    chooser = Chooser(codec, weights, device, {
        **parse_settings(settings), **asked_preparing(
            axis, fill_nonfinite, keep_outside, foreground, resample, pipeline)})  # fmt: skip
    chooser.check()
    reading = Reading(volume, series, spacing, unit)
    extras = Extras(residual, panel, like, overwrite)
    jobs = plan(
        find(sources, quiet=quiet or as_json),
        out,
        ending=lambda source: _ending(reading, source),
        existing=Existing(overwrite, resume),
    )
    extras.check(jobs)

    def work(job: Job) -> Outcome:
        begun = time.perf_counter()
        image = reading.read(job.source)
        chosen = chooser.for_image(image)
        latent = chosen.encode(image)
        decoded = chosen.decode(latent)
        job.target.parent.mkdir(parents=True, exist_ok=True)
        write(decoded, job.target, like=like, overwrite=overwrite)
        extras.write(job.source.name, image, decoded, latent)
        measured = measure(image, decoded, metrics=METRICS)
        return _outcome(job, image, latent, measured, time.perf_counter() - begun)

    outcomes = run(jobs, work, verb="reconstructing", quiet=quiet or as_json)
    raise typer.Exit(report(outcomes, COLUMNS, title="Reconstructed", as_json=as_json, quiet=quiet))


def _ending(reading: Reading, source: Source) -> str:
    image = reading.read(source)
    return ending_for(image.is_volume, image.unit, image.grid.calibrated)


def _named(path: Path, name: str) -> Path:
    target = path.parent / path.name.replace("*", name)
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def _outcome(
    job: Job, image: Image, latent: Latent, measured: Measurement, seconds: float
) -> Outcome:
    fewer = image.pixels.size / latent.codes.size
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
        f"{fewer:.1f}×",
        f"{measured['psnr']:.2f}",
        f"{measured['ms-ssim']:.4f}",
        f"{measured['mae']:.3g}",
        f"{measured['bias']:.2g}",
        image.unit.value,
    )
    return Outcome(job.source.name, job.target, seconds, facts, cells)

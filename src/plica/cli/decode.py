"""plica decode: latents → images on the patient's own grid."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from plica.cli import options as o
from plica.cli.choosing import AUTO, Chooser, parse_settings
from plica.cli.console import format_bytes, format_shape
from plica.cli.jobs import Existing, Job, Outcome, find_latents, plan, report, run
from plica.cli.writing import ending_for, measure_bytes
from plica.formats.doors import write
from plica.formats.latents import read, read_header
from plica.formats.sources import Source
from plica.image import Unit

COLUMNS = ("codec", "voxels", "spacing mm", "unit", "type", "written")


def decode(
    latents: Annotated[
        list[Path], typer.Argument(help="Latent files, or folders of them.", show_default=False)
    ],
    out: o.Out,
    codec: o.CodecName = AUTO,
    device: o.Device = AUTO,
    weights: o.Weights = None,
    settings: o.Settings = None,
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
    """Unfold latents into images on the source's own grid, in its own unit.

    Example: plica decode latents/ -o 'decoded/*.nii.gz'
    """  # fmt: skip
    chooser = Chooser(codec, weights, device, parse_settings(settings))
    chooser.check()
    jobs = plan(find_latents(latents), out, ending=_ending, existing=Existing(overwrite, resume))

    def work(job: Job) -> Outcome:
        begun = time.perf_counter()
        latent = read(job.source.path)
        image = chooser.for_latent(latent).decode(latent)
        job.target.parent.mkdir(parents=True, exist_ok=True)
        ratio = image.pixels.nbytes / job.source.path.stat().st_size
        write(image, job.target, like=like, ratio=ratio, overwrite=overwrite)
        size = measure_bytes(job.target)
        facts = {
            "codec": latent.codec.name,
            "shape": list(image.grid.shape),
            "spacing_mm": list(image.grid.spacing_mm),
            "unit": image.unit.value,
            "dtype": str(image.pixels.dtype),
            "bytes": size,
        }
        spacing = " × ".join(f"{side:.3g}" for side in image.grid.spacing_mm)
        cells = (
            latent.codec.name,
            format_shape(image.grid.shape),
            spacing if image.grid.calibrated else "not known",
            image.unit.value,
            str(image.pixels.dtype),
            format_bytes(size),
        )
        return Outcome(job.source.name, job.target, time.perf_counter() - begun, facts, cells)

    outcomes = run(jobs, work, verb="decoding", quiet=quiet or as_json)
    raise typer.Exit(report(outcomes, COLUMNS, title="Decoded", as_json=as_json, quiet=quiet))


def _ending(source: Source) -> str:
    header = read_header(source.path)
    shape = header["source"]["shape"]
    return ending_for(shape[2] > 1, Unit(header["unit"]), bool(header["source"]["calibrated"]))

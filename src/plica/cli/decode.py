"""plica decode: latents → images on the patient's own grid."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from plica.cli import options as o
from plica.cli.choosing import AUTO, asked_running, choose
from plica.cli.console import format_bytes, format_shape
from plica.cli.jobs import Existing, Job, Manner, Outcome, find_latents, plan, report, run
from plica.cli.joining import Joining
from plica.cli.writing import ending_for, endings, measure_bytes
from plica.codecs.codec import Streaming
from plica.formats.doors import read_latent
from plica.formats.drafts import Draft
from plica.image import Image

COLUMNS = ("codec", "voxels", "spacing mm", "unit", "type", "written")


def decode(
    latents: Annotated[
        list[Path], typer.Argument(help="Latent files, or folders of them.", show_default=False)
    ],
    out: o.Out,
    codec: o.MakerName = AUTO,
    device: o.Device = AUTO,
    weights: o.Weights = None,
    settings: o.Settings = None,
    memory: o.Memory = None,
    device_memory: o.DeviceMemory = None,
    tiling: o.Tiling = None,
    precision: o.Precision = None,
    tile: o.Tile = None,
    like: o.Like = None,
    overwrite: o.Overwrite = False,
    resume: o.Resume = False,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Unfold latents into images on the source's own grid, in its own unit.

    Example: plica decode latents/ -o 'decoded/*.nii.gz'
    """  # fmt: skip
    running = asked_running(tile, memory, device_memory, tiling, precision)
    chooser = choose(codec, weights, device, settings, {}, running, quiet=as_json or quiet)
    manner = Manner(as_json, quiet)
    found = find_latents(latents)
    jobs = plan(found, out, endings=endings(like), existing=Existing(overwrite, resume))
    joining = Joining(like)

    def work(job: Job) -> Outcome:
        begun = time.perf_counter()
        latent = chooser.settle(read_latent(job.source.path))
        joined = joining.choose(latent.provenance, latent.source)
        chosen = chooser.for_latent(latent)

        def place(image: Image) -> Path:
            return job.target(ending_for(image, like))

        with Draft(place, overwrite=overwrite) as draft:
            if isinstance(chosen, Streaming):
                image = chosen.decode_into(latent, draft.begin)
            else:
                image = chosen.decode(latent)
            ratio = image.pixels.nbytes / job.source.path.stat().st_size
            target = draft.finish(image, ratio=ratio, **joined)
        size = measure_bytes(target)
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
        return Outcome(job.source, target, time.perf_counter() - begun, facts, cells)

    with joining:
        joining.check(jobs, latents=True, quiet=manner.silent)
        if jobs and codec != AUTO:
            chooser.load_first()
        outcomes = run(jobs, work, verb="decoding", manner=manner, watch=chooser.watch)
    left = len(found) - len(jobs)
    raise typer.Exit(report(outcomes, COLUMNS, title="Decoded", manner=manner, left=left))

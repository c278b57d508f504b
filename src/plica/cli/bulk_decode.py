"""plica bulk decode: series of a store → images."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from plica.cli import options as o
from plica.cli.bulk_status import StorePath
from plica.cli.choosing import AUTO, choose
from plica.cli.console import format_bytes, format_shape
from plica.cli.jobs import Existing, Job, Manner, Outcome, plan, report, run
from plica.cli.writing import ending_for, endings, measure_bytes
from plica.formats.doors import write
from plica.formats.sources import Source
from plica.formats.store import Store

COLUMNS = ("codec", "voxels", "unit", "type", "written")


def decode(
    store: StorePath,
    out: o.Out,
    keys: Annotated[
        list[str] | None,
        typer.Option("--key", help="These series only, by their keys.", show_default=False),
    ] = None,
    codec: o.MakerName = AUTO,
    device: o.Device = AUTO,
    weights: o.Weights = None,
    overwrite: o.Overwrite = False,
    resume: o.Resume = False,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Unfold a store's latents into images, each named by its key.

    Example: plica bulk decode archive.store -o 'decoded/*.nii.gz' --key 3f2a… 91bc…
    """
    opened = Store.open(store)
    chosen = list(keys) if keys else opened.keys
    for key in chosen:
        opened.number(key)  # an unknown one is refused before any work
    chooser = choose(codec, weights, device, None, {}, {})
    manner = Manner(as_json, quiet)
    found = [Source(key, store / key) for key in chosen]
    jobs = plan(found, out, endings=endings(None), existing=Existing(overwrite, resume))

    def work(job: Job) -> Outcome:
        begun = time.perf_counter()
        latent = opened.read(job.source.name)
        image = chooser.for_latent(latent).decode(latent)
        target = job.target(ending_for(image, None))
        write(image, target, overwrite=overwrite)
        size = measure_bytes(target)
        facts = {"codec": latent.codec.name, "shape": list(image.grid.shape), "bytes": size}
        cells = (latent.codec.name, format_shape(image.grid.shape), image.unit.value,
                 str(image.pixels.dtype), format_bytes(size))  # fmt: skip
        return Outcome(job.source, target, time.perf_counter() - begun, facts, cells)

    outcomes = run(jobs, work, verb="decoding", manner=manner, watch=chooser.watch)
    left = len(found) - len(jobs)
    raise typer.Exit(report(outcomes, COLUMNS, title="Decoded", manner=manner, left=left))

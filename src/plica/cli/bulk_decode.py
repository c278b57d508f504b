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
from plica.cli.reading import refuse_missing
from plica.cli.writing import ending_for, endings, measure_bytes
from plica.formats.doors import write
from plica.formats.sources import Source
from plica.formats.store import Store
from plica.formats.store_naming import find_key, name_series

COLUMNS = ("codec", "voxels", "unit", "type", "written")


def decode(
    store: StorePath,
    out: o.Out,
    keys: Annotated[
        list[str] | None,
        typer.Option(
            "--key",
            help="These series only: by key, by the beginning of one, or by path within the "
            "archive.",
            show_default=False,
        ),
    ] = None,
    by_path: Annotated[
        bool,
        typer.Option(
            "--by-path",
            help="Name each image by its path within the archive, which the store's ledger or "
            "index knows; it may name patients.",
            rich_help_panel=o.OUTPUT,
        ),
    ] = False,
    codec: o.MakerName = AUTO,
    device: o.Device = AUTO,
    weights: o.Weights = None,
    overwrite: o.Overwrite = False,
    resume: o.Resume = False,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Unfold a store's latents into images, each named by its key or by where it came from.

    Example: plica bulk decode archive.store -o 'decoded/*.nii.gz' --key 3f2a… 91bc…
    """
    refuse_missing(store, "store")
    opened = Store.open(store)
    chosen = [find_key(opened, said) for said in keys] if keys else opened.keys
    key_of = name_series(opened, chosen) if by_path else {key: key for key in chosen}
    chooser = choose(codec, weights, device, None, {}, {}, quiet=as_json or quiet)
    manner = Manner(as_json, quiet)
    found = [Source(name, store / key) for name, key in key_of.items()]
    jobs = plan(found, out, endings=endings(None), existing=Existing(overwrite, resume))

    def work(job: Job) -> Outcome:
        latent = opened.read(key_of[job.source.name])
        maker = chooser.for_latent(latent)  # which the first one loads: no time of the image's
        begun = time.perf_counter()
        image = maker.decode(latent)
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

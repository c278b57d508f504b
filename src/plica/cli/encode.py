"""plica encode: images → latents."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import typer

from plica.cli import options as o
from plica.cli.ahead import AHEAD_BYTES, UNPACKED_BYTES, Ahead
from plica.cli.choosing import AUTO, asked_preparing, asked_running, check_word, choose
from plica.cli.console import format_bytes, format_shape, print_note
from plica.cli.jobs import Existing, Job, Localizers, Manner, Outcome, find, plan, report, run
from plica.cli.reading import Reading
from plica.cli.resuming import refuse_others
from plica.cli.writing import measure_bytes
from plica.errors import SettingsError
from plica.formats.doors import write
from plica.formats.limits import DEFAULT_MAX_BYTES
from plica.formats.terms import BURNED_IN
from plica.image import Image
from plica.latent import Latent
from plica.preparation.channels import count_voxels

COLUMNS = ("codec", "modality", "voxels", "unit", "codes", "fewer", "read", "kept", "not kept")


def encode(
    sources: o.Sources,
    out: o.Out,
    codec: o.CodecName = AUTO,
    device: o.Device = AUTO,
    dtype: o.Dtype = "float32",
    weights: o.Weights = None,
    latent: o.LatentKind = "",
    sample: o.Sample = False,
    seed: o.Seed = None,
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
    localizers: Localizers = False,
    unit: o.UnitName = None,
    max_bytes: o.MaxBytes = DEFAULT_MAX_BYTES,
    no_marks: o.NoMarks = False,
    overwrite: o.Overwrite = False,
    resume: o.Resume = False,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Fold images into latents.

    Example: plica encode study/ -o latents/ --codec medvae-4x1-3d --weights vae_4x_1c_3D.ckpt
    """
    check_word("--dtype", dtype, o.DTYPES)
    if latent:
        check_word("--latent", latent, o.KINDS)
    drawn = _drawn_with(sample, seed)
    preparing = asked_preparing(axis, fill_nonfinite, keep_outside, foreground, resample, pipeline)
    running = asked_running(tile, memory, device_memory, tiling, precision)
    chooser = choose(codec, weights, device, settings, preparing, running,
                     quiet=as_json or quiet)  # fmt: skip
    reading = Reading(volume, series, spacing, unit, max_bytes, mapped=True)
    kept = None if dtype == "float32" else dtype  # the default, which other formats choose too
    how: dict[str, Any] = {"kind": latent or None, "seed": drawn}
    manner = Manner(as_json, quiet)
    found = find(sources, manner, series, localizers=localizers)
    jobs = plan(
        found, out, endings=(".latent",), existing=Existing(overwrite, resume), given=sources
    )
    if resume:
        everything = plan(found, out, endings=(".latent",), existing=Existing(overwrite=True))
        refuse_others(everything, reading.read, chosen=series is not None)
    if jobs:
        chooser.load_first()

    # Where the memory was said, there may be none for a second image.
    small = replace(reading, max_bytes=min(max_bytes, UNPACKED_BYTES))
    ahead = Ahead(
        [job.source for job in jobs],
        reading.read,
        small.read,
        most_bytes=0 if memory else AHEAD_BYTES,
    )

    def work(job: Job) -> Outcome:
        begun = time.perf_counter()
        image = ahead.take(job.source)
        if BURNED_IN in image.provenance.notes and not manner.silent:
            print_note(f"{job.source.name}: {BURNED_IN}")
        made = chooser.for_image(image).encode(image, **how)
        if no_marks:
            made = replace(made, provenance=made.provenance.without_marks())
        write(made, job.target(".latent"), dtype=kept, overwrite=overwrite)
        return _outcome(job, image, made, time.perf_counter() - begun)

    with ahead:
        outcomes = run(jobs, work, verb="encoding", manner=manner, watch=chooser.watch)
    left = len(found) - len(jobs)
    raise typer.Exit(report(outcomes, COLUMNS, title="Encoded", manner=manner, left=left))


def count_fewer(image: Image, latent: Latent) -> float | None:
    """How many voxels share one code; None for streams of bytes, which are no codes."""
    if latent.kind == "bitstream":
        return None
    return count_voxels(image, latent.trail) / latent.codes.size


def describe_losses(latent: Latent) -> str:
    """What the preparation could not keep, in a few words: "window: clipped_fraction 0.002"."""
    return "; ".join(
        f"{step}: " + ", ".join(f"{name} {_short(value)}" for name, value in loss.items())
        for step, loss in latent.trail.losses.items()
    )


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _outcome(job: Job, image: Image, latent: Latent, seconds: float) -> Outcome:
    target = job.target(".latent")
    size = measure_bytes(target)
    fewer = count_fewer(image, latent)
    facts = {
        "codec": latent.codec.name,
        "modality": image.provenance.modality,
        "shape": list(image.grid.shape),
        "spacing_mm": list(image.grid.spacing_mm),
        "unit": image.unit.value,
        "codes": list(latent.codes.shape),
        "voxels_per_code": fewer,
        "image_bytes": image.pixels.nbytes,
        "latent_bytes": size,
        "losses": latent.trail.losses,
        "notes": list(image.provenance.notes),
    }
    codes = "bytes" if latent.kind == "bitstream" else (
        f"{latent.codes.shape[0]} on {format_shape(latent.codes.shape[1:])}")  # fmt: skip
    cells = (
        latent.codec.name,
        image.provenance.modality,
        format_shape(image.grid.shape),
        image.unit.value,
        codes,
        "" if fewer is None else f"{fewer:.1f}×",
        format_bytes(image.pixels.nbytes),
        format_bytes(size),
        describe_losses(latent),
    )
    return Outcome(job.source, target, seconds, facts, cells)


def _drawn_with(sample: bool, seed: int | None) -> int | None:
    """The seed of a sample; None for the posterior's mean."""
    if seed is not None and not sample:
        raise SettingsError(
            f"--seed {seed} is the seed of a sample, and none was asked for: add --sample, or "
            "leave it out"
        )
    return (seed or 0) if sample else None

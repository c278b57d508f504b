"""plica reconstruct: images → latents → images, and what was lost."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import typer

from plica.cli import options as o
from plica.cli.choosing import AUTO, asked_preparing, asked_running, check_word, choose
from plica.cli.console import format_shape
from plica.cli.encode import count_fewer
from plica.cli.jobs import (
    Existing,
    Job,
    Localizers,
    Manner,
    Outcome,
    find,
    name_after,
    plan,
    refuse_place,
    report,
    run,
)
from plica.cli.joining import Joining
from plica.cli.reading import Reading
from plica.cli.showing import DisplayWindow, ResidualRange, Showing, Slice
from plica.cli.writing import draw_panel, ending_for, endings, refuse_panel
from plica.codecs.codec import Codec
from plica.codecs.policy import Policy
from plica.errors import OutputError, SettingsError
from plica.evaluation.tissues import judge_ranges
from plica.formats.atomic import refuse_existing
from plica.formats.doors import write
from plica.formats.latents import to_image
from plica.formats.limits import DEFAULT_MAX_BYTES
from plica.formats.sources import Source
from plica.image import Display, Image, Unit
from plica.latent import Latent
from plica.metrics.metric import Measurement, measure

METRICS = ("psnr", "ms-ssim", "mae", "bias", "max-error")
COLUMNS = (
    "codec", "passes", "voxels", "fewer", "PSNR dB", "MS-SSIM", "MAE", "bias", "unit", "outside",
)  # fmt: skip


@dataclass(frozen=True)
class Made:
    """What a codec made of an image.

    Args:
        image: Decoded.
        codec: Its name.
        latent: Where there is one of all the image, not one for each pass.
        facts: Of the passes, where there were any.
    """

    image: Image
    codec: str
    latent: Latent | None
    facts: dict[str, Any]

    @property
    def title(self) -> str:
        """The codec, and in how many passes it was used."""
        passes = self.facts.get("passes", 1)
        return f"{self.codec}, {passes} passes" if passes > 1 else self.codec


@dataclass(frozen=True)
class Extras:
    """What is written beside the decoded images."""

    residual: Path | None
    panel: Path | None
    existing: Existing
    showing: Showing = field(default_factory=Showing)

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
        self.showing.check(self.panel is not None)
        read = {job.source.path.resolve() for job in jobs}
        decoded = {path.resolve() for job in jobs for path in job.targets}
        for path in (self.residual, self.panel):
            if path is None:
                continue
            if len(jobs) > 1 and "*" not in str(path):
                raise OutputError(
                    f"{len(jobs)} images cannot share {path}: use a pattern such as "
                    f"{path.parent / ('*' + ''.join(path.suffixes))}"
                )
            for target in (name_after(path, job.source) for job in jobs):
                refuse_place(target, read)
                if target.resolve() in decoded:
                    raise OutputError(
                        f"{target} may be where the decoded image is to be written: choose "
                        f"another name, such as {path.with_name('*-beside' + path.suffix)}"
                    )
                refuse_existing(target, overwrite=self.replaces)

    def write(self, source: Source, image: Image, made: Made) -> None:
        """Write the residual and the panel, where they were asked for."""
        decoded, latent = made.image, made.latent
        if self.residual is not None:
            write(subtract(decoded, image), name_after(self.residual, source),
                  overwrite=self.replaces)  # fmt: skip
        if self.panel is not None:
            shown = latent is not None and latent.kind != "bitstream"
            codes = to_image(latent) if latent is not None and shown else None
            draw_panel(
                name_after(self.panel, source), image, decoded, latent=codes,
                title=f"{source.name} · {made.title}", overwrite=self.replaces,
                **self.showing.choose(image),
            )  # fmt: skip


def reconstruct(
    sources: o.Sources,
    out: o.Out,
    codec: o.CodecName = AUTO,
    device: o.Device = AUTO,
    weights: o.Weights = None,
    residual: o.Residual = None,
    panel: o.Panel = None,
    display: DisplayWindow = None,
    at_slice: Slice = None,
    residual_range: ResidualRange = None,
    settings: o.Settings = None,
    memory: o.Memory = None,
    device_memory: o.DeviceMemory = None,
    tiling: o.Tiling = None,
    precision: o.Precision = None,
    tile: o.Tile = None,
    windows: o.Windows = None,
    shifts: o.Shifts = 1,
    axes: o.Axes = None,
    outside: o.Outside = "keep",
    recalibrate: o.Recalibrate = False,
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
    like: o.Like = None,
    overwrite: o.Overwrite = False,
    resume: o.Resume = False,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Encode and decode in one go, and measure what was lost.

    Example: plica reconstruct ct/ -o decoded.nii.gz --codec linear-4x1-3d --panel ct.png
    Example: plica reconstruct ct/ -o decoded.nii.gz -c taef2 --windows wide,soft --shifts 4
    """  # fmt: skip
    preparing = asked_preparing(axis, fill_nonfinite, keep_outside, foreground, resample, pipeline)
    running = asked_running(tile, memory, device_memory, tiling, precision)
    policy = ask_policy(windows, shifts, axes, outside, recalibrate)
    chooser = choose(codec, weights, device, settings, preparing, running,
                     quiet=as_json or quiet)  # fmt: skip
    reading = Reading(volume, series, spacing, unit, max_bytes)
    manner, existing = Manner(as_json, quiet), Existing(overwrite, resume)
    extras = Extras(residual, panel, existing, Showing(display, at_slice, residual_range))
    found = find(sources, manner, series, localizers=localizers)
    jobs = plan(found, out, endings=endings(like), existing=existing, given=sources)
    extras.check(jobs)
    joining = Joining(like)

    def work(job: Job) -> Outcome:
        begun = time.perf_counter()
        image = reading.read(job.source)
        joined = joining.choose(image.provenance, image.grid)
        chosen = chooser.for_image(image)
        made = make(chosen, image, policy)
        decoded = made.image
        measured = measure(image, decoded, metrics=METRICS, strict=False)
        extras.write(job.source, image, made)
        # last: an output that is there means all is done
        target = job.target(ending_for(image, like))
        write(decoded, target, ratio=made_smaller(image, made), overwrite=overwrite, **joined)
        facts, cells = _describe(image, made, measured)
        if image.unit is Unit.HU:
            facts["tissues"] = [one.to_json() for one in judge_ranges(image, decoded)]
        return Outcome(job.source, target, time.perf_counter() - begun, facts, cells)

    phases = 2 * (policy.passes if policy else 1)
    with joining:
        joining.check(jobs, quiet=manner.silent)
        if jobs:
            chooser.load_first()
        outcomes = run(jobs, work, verb="reconstructing", manner=manner, watch=chooser.watch,
                       phases=phases)  # fmt: skip
    left = len(found) - len(jobs)
    raise typer.Exit(report(outcomes, COLUMNS, title="Reconstructed", manner=manner, left=left))


def subtract(decoded: Image, source: Image) -> Image:
    """What decoding changed, value by value, in float32; NaN where a value is not finite.

    It says so of itself, and the source's window, which is for other values, is not its own.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        difference = decoded.pixels.astype(np.float32) - source.pixels.astype(np.float32)
    maker = decoded.provenance.decoder
    return replace(
        decoded,
        pixels=difference,
        display=Display(),
        provenance=decoded.provenance.after(f"decoded by {maker}, less its source"),
    )


def ask_policy(
    windows: str | None, shifts: int, axes: str | None, outside: str, recalibrate: bool
) -> Policy | None:
    """What the options say of passes; None where they say nothing of them."""
    check_word("--outside", outside, o.OUTSIDES)
    if windows is None and shifts == 1 and axes is None and not recalibrate:
        if outside != "keep":
            raise SettingsError(
                "--outside speaks of the windows of --windows, which was left out; what the "
                "codec's own window cuts off is counted, or kept with --keep-outside"
            )
        return None
    return Policy.from_options(windows, shifts, axes, outside, recalibrate)


def make(codec: Codec, image: Image, policy: Policy | None) -> Made:
    """Encode and decode, once or in the passes of a policy."""
    if policy is None:
        latent = codec.encode(image)
        return Made(codec.decode(latent), latent.codec.name, latent, {})
    from plica.codecs.reconstruction import Reconstructor  # torch is there by now

    came = Reconstructor(codec, policy).run(image)
    return Made(came.image, codec.card.name, None, came.facts)


def made_smaller(image: Image, made: Made) -> float | None:
    """How many times fewer bytes the codes have; None where there are none of all the image."""
    return None if made.latent is None else image.pixels.nbytes / made.latent.codes.nbytes


def _describe(
    image: Image, made: Made, measured: Measurement
) -> tuple[dict[str, Any], tuple[str, ...]]:
    fewer = None if made.latent is None else count_fewer(image, made.latent)
    facts: dict[str, Any] = {
        "codec": made.codec,
        "shape": list(image.grid.shape),
        "unit": image.unit.value,
        "voxels_per_code": fewer,
        "losses": {} if made.latent is None else made.latent.trail.losses,
        **({"reconstruction": made.facts} if made.facts else {}),
        **measured.to_json(),
    }
    cells = (
        made.codec,
        str(made.facts.get("passes", "")),
        format_shape(image.grid.shape),
        "" if fewer is None else f"{fewer:.1f}×",
        f"{measured['psnr']:.2f}",
        f"{measured['ms-ssim']:.4f}",
        f"{measured['mae']:.3g}",
        f"{measured['bias']:.2g}",
        image.unit.value,
        say_outside(image, made),
    )
    return facts, cells


def say_outside(image: Image, made: Made) -> str:
    """What became of values beyond a window: "0.41 % kept", "0.41 % cut"; empty where none are."""
    facts, became = made.facts, "cut"
    if facts.get("outside") == "keep":
        became = "kept"
    if made.latent is not None:
        facts = made.latent.trail.losses.get("window", {})
    share = (facts.get("voxels_below", 0) + facts.get("voxels_above", 0)) / image.pixels.size
    return f"{share:.2%} {became}".replace("%", " %") if share else ""

"""plica demo: the main job on real images, in a minute."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from plica.cli import options as o
from plica.cli.console import (
    format_bytes,
    format_shape,
    print_json,
    print_note,
    print_table,
    progress,
)
from plica.cli.jobs import refuse_place
from plica.cli.samples import Sample, find_packaged, find_radiographs
from plica.cli.writing import draw_panel, ending_for
from plica.codecs.catalogue import DEFAULT_FOR_VOLUMES, default_name, load
from plica.errors import OutputError
from plica.formats.doors import read, write
from plica.formats.latents import to_image
from plica.image import Image
from plica.metrics.metric import Measurement, measure
from plica.preparation.channels import count_voxels

COLUMNS = (
    "image", "voxels", "codec", "fewer", "image", "latent",
    "PSNR dB", "MS-SSIM", "MAE", "unit", "s",
)  # fmt: skip
METRICS = ("psnr", "ms-ssim", "mae")


@dataclass(frozen=True)
class Row:
    """One image through one codec."""

    sample: Sample
    image: Image
    codec: str
    fewer: float
    latent_bytes: int
    measured: Measurement
    seconds: float

    def cells(self) -> tuple[str, ...]:
        """As the table shows it."""
        return (
            self.sample.name,
            format_shape(self.image.grid.shape),
            self.codec,
            f"{self.fewer:.1f}×",
            format_bytes(self.image.pixels.nbytes),
            format_bytes(self.latent_bytes),
            f"{self.measured['psnr']:.2f}",
            f"{self.measured['ms-ssim']:.4f}",
            f"{self.measured['mae']:.3g}",
            self.image.unit.value,
            f"{self.seconds:.2f}",
        )

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "image": self.sample.name,
            "origin": self.sample.origin,
            "shape": list(self.image.grid.shape),
            "unit": self.image.unit.value,
            "codec": self.codec,
            "voxels_per_code": self.fewer,
            "image_bytes": self.image.pixels.nbytes,
            "latent_bytes": self.latent_bytes,
            "seconds": self.seconds,
            **self.measured.to_json(),
        }


def demo(
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", help="Folder that everything is written to.", rich_help_panel=o.OUTPUT
        ),
    ] = Path("demo-output"),
    radiographs: Annotated[
        Path | None,
        typer.Option(help="A folder of development images with radiographs.", show_default=False),
    ] = None,
    overwrite: o.Overwrite = False,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Encode and decode real images that come inside installed packages, and look at the result.

    Example: plica demo -o demo-output
    """
    samples, missing = find_packaged()
    if radiographs is not None:
        samples += find_radiographs(radiographs)
    refuse_place(out / "demo", set())
    if out.is_dir() and any(out.iterdir()) and not overwrite:
        raise OutputError(f"{out} is not empty: choose another folder, or --overwrite")
    if not quiet:
        for sentence in missing:
            print_note(sentence)
    rows = []
    with progress(quiet=quiet or as_json) as bar:
        task = bar.add_task("demo", total=len(samples))
        for sample in samples:
            bar.update(task, description=sample.name)
            rows += _show(sample, out)
            bar.advance(task)
    if as_json:
        print_json([row.to_json() for row in rows])
    if as_json or quiet:
        return
    print_table(
        "Real images, folded and unfolded on their own grids", COLUMNS, [r.cells() for r in rows],
        caption="fewer: voxels per code value. image and latent: bytes of the pixels, and of the "
        "latent file with float16 codes. s: encoding and decoding.",
    )  # fmt: skip
    print_note(f"latents, decoded images and pictures are in {out}")


def _show(sample: Sample, out: Path) -> list[Row]:
    """The default codec with its files and its picture; then linear and bicubic."""
    image = read(sample.path)
    chosen = default_name(image)
    others = (
        ["linear-4x1-3d", "bicubic-4x-3d"]
        if chosen == DEFAULT_FOR_VOLUMES
        else ["linear-4x3-2d", "bicubic-4x-2d"]
    )
    return [
        _run(sample, image, chosen, out, draw=True),
        *(_run(sample, image, other, out, draw=False) for other in others),
    ]


def _run(sample: Sample, image: Image, name: str, out: Path, *, draw: bool) -> Row:
    codec = load(name)
    begun = time.perf_counter()
    latent = codec.encode(image)
    decoded = codec.decode(latent)
    seconds = time.perf_counter() - begun
    stem = f"{sample.name}.{name}"
    out.mkdir(parents=True, exist_ok=True)
    file = out / f"{stem}.latent"
    write(latent, file, dtype="float16", overwrite=True)
    if draw:
        ending = ending_for(image)
        write(decoded, out / f"{stem}{ending}", overwrite=True)
        draw_panel(out / f"{stem}.panel.png", image, decoded, latent=to_image(latent),
                    title=f"{sample.name} · {name}", overwrite=True)  # fmt: skip
    fewer = count_voxels(image, latent.trail) / latent.codes.size
    measured = measure(image, decoded, metrics=METRICS, strict=False)
    return Row(sample, image, name, fewer, file.stat().st_size, measured, seconds)

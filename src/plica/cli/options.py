"""Options that several commands share, so that they are spelt and explained alike."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from plica.cli import completing

READING, CODEC, RUNNING, PREPARING, LATENT, OUTPUT = (
    "Reading", "Codec", "Running", "Preparing", "Latent", "Output",
)  # fmt: skip
PASSES, CHANCE = "Passes", "Chance"
"""Sections of a command's help."""

DTYPES = ("float32", "float16", "bfloat16", "int8")
KINDS = ("raw", "projected")
AXES = ("acquired", "axial", "coronal", "sagittal")
TILINGS = ("auto", "exact", "window", "blend", "whole")
PRECISIONS = ("float32", "bfloat16")
PIPELINES = ("own", "radiograph", "mr")
OUTSIDES = ("keep", "report")
DEVICES = ("auto", "cpu", "cuda", "cuda:0", "cuda:1", "mps")

Sources = Annotated[
    list[Path],
    typer.Argument(
        help="Image files, DICOM series folders, zips, or trees of them.", show_default=False
    ),
]
Out = Annotated[
    Path,
    typer.Option(
        "--out",
        "-o",
        help="A file, a folder, or a pattern such as 'out/*.nii.gz'; its ending "
        "chooses the format (.dcm: a folder of a DICOM series).",
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]
CodecName = Annotated[
    str,
    typer.Option(
        "--codec",
        "-c",
        help="A codec's name (see `plica codecs`) or the folder of a trained one. "
        "auto: compact-4x3-2d for single slices and for volumes of thick ones, compact-4x1-3d for "
        "other volumes, which is not for small findings.",
        rich_help_panel=CODEC,
        autocompletion=completing.codecs_or_auto,
    ),
]
MakerName = Annotated[
    str,
    typer.Option(
        "--codec",
        "-c",
        help="The folder of a trained codec, where one made the latents. "
        "auto: the codec that each latent names.",
        rich_help_panel=CODEC,
        autocompletion=completing.codecs_or_auto,
    ),
]
Device = Annotated[
    str,
    typer.Option(
        help="auto, cpu, cuda, cuda:1 or mps.",
        rich_help_panel=CODEC,
        autocompletion=completing.one_of(*DEVICES),
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        help="A local weights file or folder, or hub:repo@revision.",
        show_default=False,
        rich_help_panel=CODEC,
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="A setting of the codec, such as rate=0.5; may be repeated.",
        show_default=False,
        rich_help_panel=CODEC,
        metavar="NAME=VALUE",
    ),
]
RandomWeights = Annotated[
    bool,
    typer.Option(
        "--random-weights",
        help="Draw the weights that are not at hand: a trial of the way, of time and of memory; "
        "images come back as noise.",
        rich_help_panel=CODEC,
    ),
]
WeightsDir = Annotated[
    Path | None,
    typer.Option(
        help="Folder of pretrained networks' weights, instead of the hub.",
        show_default=False,
        rich_help_panel=CODEC,
    ),
]
DataRange = Annotated[
    float | None,
    typer.Option(
        help="Full range of values for PSNR and SSIM, in the images' unit.",
        show_default=False,
        rich_help_panel=READING,
    ),
]
Axis = Annotated[
    str | None,
    typer.Option(
        help="Slicing axis of 2d codecs on volumes: acquired, axial, coronal, sagittal.",
        show_default=False,
        rich_help_panel=PREPARING,
        autocompletion=completing.one_of(*AXES),
    ),
]
Memory = Annotated[
    str | None,
    typer.Option(
        help="The most memory the process may hold, such as 4G; half of the machine's if left out. "
        "Work is cut into pieces that fit, or refused with the least that can.",
        show_default=False,
        rich_help_panel=RUNNING,
        metavar="AMOUNT",
    ),
]
DeviceMemory = Annotated[
    str | None,
    typer.Option(
        help="The most memory of a GPU that feature maps may take; what is free if left out.",
        show_default=False,
        rich_help_panel=RUNNING,
        metavar="AMOUNT",
    ),
]
Tiling = Annotated[
    str | None,
    typer.Option(
        help="exact (pieces that change nothing), window (as the network's authors run it), blend "
        "(overlapping windows), whole, or auto: what the codec means.",
        show_default=False,
        rich_help_panel=RUNNING,
        autocompletion=completing.one_of(*TILINGS),
    ),
]
Precision = Annotated[
    str | None,
    typer.Option(
        help="float32 (default, the reference) or bfloat16: several times as fast on processors "
        "and GPUs that multiply it themselves, codes a few hundredths of their deviation off.",
        show_default=False,
        rich_help_panel=RUNNING,
        autocompletion=completing.one_of(*PRECISIONS),
    ),
]
Tile = Annotated[
    int | None,
    typer.Option(
        help="Side of the tiles in voxels: smaller ones need less memory and more time, and change "
        "nothing. Only for codecs whose tiles are exact (see `plica codecs`), or with --tiling "
        "blend.",
        show_default=False,
        rich_help_panel=RUNNING,
    ),
]
FillNonfinite = Annotated[
    bool,
    typer.Option(
        "--fill-nonfinite",
        help="Replace NaN and infinities; they come back.",
        rich_help_panel=PREPARING,
    ),
]
KeepOutside = Annotated[
    bool,
    typer.Option(
        "--keep-outside",
        help="Keep the voxels a window clips, and restore them.",
        rich_help_panel=PREPARING,
    ),
]
Foreground = Annotated[
    bool,
    typer.Option(
        "--foreground",
        help="Encode the body only; the rest becomes background.",
        rich_help_panel=PREPARING,
    ),
]
Pipeline = Annotated[
    str | None,
    typer.Option(
        help="How values are prepared: own (the codec's way), radiograph (region of "
        "interest, display window, inversion) or mr (percentiles).",
        show_default=False,
        rich_help_panel=PREPARING,
        autocompletion=completing.one_of(*PIPELINES),
    ),
]
Spacing = Annotated[
    str | None,
    typer.Option(
        help="Spacing i,j,k in mm for arrays that have none.",
        show_default=False,
        rich_help_panel=READING,
        metavar="I,J,K",
    ),
]
Resample = Annotated[
    str | None,
    typer.Option(
        help="Resample to this spacing i,j,k in mm first: a loss.",
        show_default=False,
        rich_help_panel=PREPARING,
        metavar="I,J,K",
    ),
]
Volume = Annotated[
    int | None,
    typer.Option(
        help="Which volume of a 4D source, from 0.", show_default=False, rich_help_panel=READING
    ),
]
Series = Annotated[
    str | None,
    typer.Option(
        help="Which series of a folder: its number or the start of its mark.",
        show_default=False,
        rich_help_panel=READING,
    ),
]
UnitName = Annotated[
    str | None,
    typer.Option(
        help="Unit of the values where the file does not say or says wrongly: HU, relative, …",
        show_default=False,
        rich_help_panel=READING,
        autocompletion=completing.units,
    ),
]
MaxBytes = Annotated[
    int,
    typer.Option(
        help="Refuse images of more decoded bytes than this.", rich_help_panel=READING, min=1
    ),
]
Dtype = Annotated[
    str,
    typer.Option(
        help=f"How codes are kept: {', '.join(DTYPES)}.",
        rich_help_panel=LATENT,
        autocompletion=completing.one_of(*DTYPES),
    ),
]
LatentKind = Annotated[
    str,
    typer.Option(
        help="raw (what the decoder takes) or projected (what classifiers take).",
        show_default=False,
        rich_help_panel=LATENT,
        autocompletion=completing.one_of(*KINDS),
    ),
]
Sample = Annotated[
    bool,
    typer.Option(
        "--sample", help="Draw from the posterior; otherwise its mean.", rich_help_panel=LATENT
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        help="Seed of --sample; 0 if left out.", rich_help_panel=LATENT, show_default=False
    ),
]
Windows = Annotated[
    str | None,
    typer.Option(
        help="Show the codec these ranges of values, a pass each, and fuse them: wide (-1000:1000 "
        "HU), soft (-175:250 HU), full (the image's own) or low:high.",
        show_default=False,
        rich_help_panel=PASSES,
        metavar="NAME,…",
        autocompletion=completing.some_of("wide", "soft", "full"),
    ),
]
Shifts = Annotated[
    int,
    typer.Option(
        help="Passes that each begin elsewhere in the codec's cells, averaged (cycle spinning).",
        rich_help_panel=PASSES,
        min=1,
    ),
]
Axes = Annotated[
    str | None,
    typer.Option(
        help="Slicing axes, a pass each, averaged: axial, coronal, sagittal.",
        show_default=False,
        rich_help_panel=PASSES,
        metavar="NAME,…",
        autocompletion=completing.some_of(*AXES[1:]),
    ),
]
Outside = Annotated[
    str,
    typer.Option(
        help="Values outside the widest of --windows: keep them as the source has them, or report "
        "(count them; they then stand at the window's edge).",
        rich_help_panel=PASSES,
        autocompletion=completing.one_of(*OUTSIDES),
    ),
]
Recalibrate = Annotated[
    bool,
    typer.Option(
        "--recalibrate",
        help="Lay the line of least squares to the source through what came of it.",
        rich_help_panel=PASSES,
    ),
]
Residual = Annotated[
    Path | None,
    typer.Option(
        help="Write decoded − source here; a * becomes the name.",
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]
Panel = Annotated[
    Path | None,
    typer.Option(
        help="Write a picture here; a * becomes the name.",
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]
NoMarks = Annotated[
    bool,
    typer.Option(
        "--no-marks",
        help="Leave out the hashes of the series' UID and of the pixels. This stops linking by "
        "them alone: equal files, exact grids and who holds the source still link.",
        rich_help_panel=OUTPUT,
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace outputs that are there.", rich_help_panel=OUTPUT),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume", help="Leave what is there and whole, do the rest.", rich_help_panel=OUTPUT
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print JSON for machines.", rich_help_panel=OUTPUT)
]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        help="No progress, no table, no notes; errors alone.",
        rich_help_panel=OUTPUT,
    ),
]
Like = Annotated[
    Path | None,
    typer.Option(
        help="For DICOM output: the source, whose patient and study are taken over. It is known by "
        "its series' mark or by equal pixels; where a latent has neither, by its grid, and a note "
        "says so.",
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]


def seed(of: str) -> Any:
    """--seed of a command that draws something."""
    return typer.Option(help=f"Seed of {of}.", min=0, rich_help_panel=CHANCE)


def metrics(otherwise: str, *, among: completing.Complete, panel: str | None = None) -> Any:
    """--metric of a command that measures."""
    return typer.Option(
        "--metric",
        help="Which metrics (docs/metrics.md lists them), such as psnr ssim lpips-vgg; "
        f"{otherwise} if left out.",
        show_default=False,
        rich_help_panel=panel,
        autocompletion=among,
    )

"""How much the compact codecs keep, beside linear codecs and interpolation, on images unseen.

    python benchmarks/compact_codecs.py --data DATA [--write] [--codec FOLDER …] [--add CODEC …]

DATA holds MANIFEST.csv; --write puts the tables into docs/compact-codecs.md. Every image stands in
the split "dev-test": no compact codec was trained on it. --add makes the table of another codec
alone, whoever made it: a name that `plica codecs` lists, or a folder; --write then puts it behind
those that are on the page. What is at work is said on stderr.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pages import DOCS, put_section
from torch import Tensor
from torch.nn import functional

import plica.codecs.catalogue as catalogue
from plica.codecs.card import CodecCard
from plica.cohort import Case, Cohort
from plica.errors import NotAVolume
from plica.formats.doors import read
from plica.image import Image
from plica.metrics.metric import choose_data_range, measure

PAGE = DOCS / "compact-codecs.md"
MARK = "compact codecs"
FACTS = "facts"
Array = NDArray[np.float64]
Reconstruct = Callable[[Image], Image]
NOTHING = "–"
LEAST_SIDE = 16  # voxels: a volume of fewer along an axis has hardly a cell of 8 there


@dataclass(frozen=True)
class Category:
    """Images of one kind, and the margins on bicubic MedVAE's paper reports for its own models.

    Args:
        where: Values of the manifest's columns that select them.
        reported: Margin in dB by shape of codec (Varma et al., 2025, tables 2, 5 and 6).
    """

    name: str
    dims: int
    where: dict[str, tuple[str, ...]]
    reported: dict[str, float]


PICTURES = ("PNG", "JPG")  # one file per picture: the hips are there as DICOM, too
VOLUMES = ("NIfTI", "NRRD", "ZIP of DICOM")
CATEGORIES = (
    Category("chest radiographs", 2, {"category": ("cxr",), "format": PICTURES},
             {"4x3": 8.1, "8x4": 6.8, "4x1": 3.0}),
    Category("mammograms", 2, {"category": ("mammo",), "format": PICTURES},
             {"4x3": 5.9, "8x4": 5.3, "4x1": 0.7}),
    Category("musculoskeletal", 2, {"category": ("msk-xray",), "format": PICTURES},
             {"4x3": 9.2, "8x4": 8.8, "4x1": 3.8}),
    Category("brain MR", 3, {"category": ("brain-mri",), "format": VOLUMES}, {"4x1": 3.3}),
    Category("head CT", 3, {"category": ("head-ct",), "format": VOLUMES}, {"4x1": 8.9}),
    Category("chest CT", 3, {"category": ("chest-ct",), "format": VOLUMES}, {"4x1": 4.4}),
)  # fmt: skip
SHAPES = {2: ("4x1", "4x3", "8x1", "8x4"), 3: ("4x1", "4x4", "8x1")}


@dataclass(frozen=True)
class Scores:
    """One value per image, in the images' order; no MS-SSIM where it was not asked for."""

    psnr: Array
    ms_ssim: Array


# -- images --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Source:
    """An image as it lies on disk, its values as float32 so that nothing is rounded on the way.

    Args:
        data_range: That of PSNR: 255 of 8-bit pictures, 4095 of CT, else the image's own.
    """

    image: Image
    data_range: float


def say(sentence: str) -> None:
    """How it goes: on a terminal each line is written over the one before, elsewhere they stay."""
    live = sys.stderr.isatty()
    sys.stderr.write(f"\r\x1b[K{sentence}" if live else f"{sentence}\n")
    sys.stderr.flush()


def read_category(category: Category, cohort: Cohort) -> list[Source]:
    """Its images; volumes too thin for a cell are left out, and said."""
    say(f"reading {category.name}")
    return [
        source for case in cohort.where(**category.where) for source in _read(case, category.dims)
    ]


def _read(case: Case, dims: int) -> Iterator[Source]:
    try:
        image = read(case.path)
    except NotAVolume as error:
        sys.stderr.write(f"left out: {error}\n")
        return
    if dims == 3 and min(image.grid.shape) < LEAST_SIDE:
        sys.stderr.write(f"left out: {case.path.name}, {image.grid.shape} voxels\n")
        return
    data_range, _ = choose_data_range(image)
    pixels = image.pixels
    if all(np.array_equal(pixels[0], channel) for channel in pixels[1:]):
        pixels = pixels[:1]  # grey that is stored as three equal channels
    yield Source(replace(image, pixels=pixels.astype(np.float32)), data_range)


# -- ways to fold and unfold ---------------------------------------------------------------------


def codec_way(name: str | Path) -> Reconstruct:
    """A codec of the table, or of a folder."""
    codec = catalogue.load(name, device="cpu")

    def reconstruct(image: Image) -> Image:
        return codec.decode(codec.encode(image))

    return reconstruct


def plain_bicubic_way(factor: int, dims: int) -> Reconstruct:
    """PyTorch's bicubic interpolation as it is by default: without antialiasing."""

    def reconstruct(image: Image) -> Image:
        x = torch.from_numpy(np.array(image.pixels))
        sides = x.shape[1 : 1 + dims]
        small = [max(1, round(side / factor)) for side in sides]
        y = _resize(_resize(x, small), list(sides))
        low, high = float(x.min()), float(x.max())
        return replace(image, pixels=y.clamp(low, high).numpy())

    return reconstruct


def _resize(x: Tensor, sides: list[int]) -> Tensor:
    """(1, i, j, k) to new sides along the first axes, one after another."""
    for axis, side in enumerate(sides, start=1):
        lines = x.movedim(axis, -1)
        flat = lines.reshape(1, 1, -1, lines.shape[-1])
        flat = functional.interpolate(flat, size=(flat.shape[2], side), mode="bicubic")
        x = flat.reshape(*lines.shape[:-1], side).movedim(-1, axis)
    return x.contiguous()


def score(
    way: Reconstruct, sources: list[Source], *, title: str = "", similarity: bool = False
) -> Scores:
    """PSNR in dB of each image and, where it is asked for, MS-SSIM, which takes longer.

    Args:
        title: What is judged on what, said with each image that is begun.
    """
    metrics = ("psnr", "ms-ssim") if similarity else ("psnr",)
    found = []
    for done, one in enumerate(sources, start=1):
        say(f"{title}: image {done} of {len(sources)}")
        found.append(measure(one.image, way(one.image), metrics=metrics, data_range=one.data_range))
    psnr, *others = ([one[metric] for one in found] for metric in metrics)
    return Scores(np.array(psnr), np.array(others[0] if others else []))


# -- tables --------------------------------------------------------------------------------------

HEAD = (
    "images", "compact: PSNR", "MS-SSIM", "linear: PSNR", "bicubic: PSNR", "margin on bicubic",
    "on plain bicubic", "linear's margins", "reported for MedVAE", "missing to it",
)  # fmt: skip


def make_table(
    name: str | Path,
    shape: str,
    category: Category,
    images: list[Source],
    memory: dict[str, Scores],
) -> str:
    """One row: a compact codec on one kind of images."""
    factor, dims = int(shape.split("x")[0]), category.dims
    own = score(codec_way(name), images, title=f"{name}, {category.name}", similarity=True)
    linear = _remember(memory, f"linear-{shape}-{dims}d", category, images)
    bicubic = _remember(memory, f"bicubic-{factor}x-{dims}d", category, images)
    plain = _remember(memory, f"plain-{factor}-{dims}", category, images)
    margin, on_plain = _margin(own, bicubic), _margin(own, plain)
    others = [_margin(linear, other) for other in (bicubic, plain)]
    reported = category.reported.get(shape)
    cells = [
        f"{category.name} (n = {len(images)})",
        _spread(own.psnr),
        f"{np.nanmean(own.ms_ssim):.4f}",
        _spread(linear.psnr),
        _spread(bicubic.psnr),
        f"**{_gain(margin)}**",
        f"**{_gain(on_plain)}**",
        ", ".join(f"{one.mean():+.2f}" for one in others if one.size) or NOTHING,
        "" if reported is None else f"{reported:+.1f}",
        "" if reported is None else _missing(reported, margin.mean(), on_plain.mean()),
    ]
    return f"| {' | '.join(cells)} |"


def _remember(
    memory: dict[str, Scores], name: str, category: Category, images: list[Source]
) -> Scores:
    key = f"{name} {category.name}"
    if key not in memory:
        kind, factor, dims = name.split("-")[0], *name.split("-")[1:]
        plain = kind == "plain"
        if not plain and name not in catalogue.CODECS:
            memory[key] = Scores(np.empty(0), np.empty(0))  # there is none of that shape
            return memory[key]
        way = plain_bicubic_way(int(factor), int(dims)) if plain else codec_way(name)
        memory[key] = score(way, images, title=f"{name}, {category.name}")
    return memory[key]


def _margin(one: Scores, other: Scores) -> Array:
    """Image by image; empty where one of them is no codec of the table."""
    return one.psnr - other.psnr if one.psnr.size and other.psnr.size else np.empty(0)


def _spread(values: Array) -> str:
    if not values.size:
        return NOTHING
    deviation = f" ± {values.std(ddof=1):.2f}" if len(values) > 1 else ""
    return f"{values.mean():.2f}{deviation}"


def _gain(values: Array) -> str:
    if not values.size:
        return NOTHING
    deviation = f" ± {values.std(ddof=1):.2f}" if len(values) > 1 else ""
    return f"{values.mean():+.2f}{deviation}"


def _missing(reported: float, margin: float, on_plain: float) -> str:
    return ", ".join(
        "reached" if one >= reported else f"{reported - one:.1f} dB" for one in (margin, on_plain)
    )


def make_page(folders: dict[str, Path], data: Path) -> str:
    """All tables, one per codec.

    Args:
        folders: Of compact codecs that are judged instead of the packaged ones, by their names.
    """
    asked = []
    for dims, shapes in SHAPES.items():
        for shape in shapes:
            name = f"compact-{shape}-{dims}d"
            if name in folders or name in catalogue.CODECS:
                asked.append((str(folders.get(name, name)), name, (shape, dims)))
    return _make_tables(asked, data)


def make_added(codecs: Sequence[str], data: Path) -> str:
    """The tables of other codecs, each with its rivals; nothing else is computed."""
    cards = {codec: catalogue.find_offer(codec).card for codec in codecs}
    return _make_tables(
        [(codec, card.name, (_shape(card), card.dims)) for codec, card in cards.items()], data
    )


def _make_tables(asked: Sequence[tuple[str, str, tuple[str, int]]], data: Path) -> str:
    cohort = Cohort.from_manifest(data / "MANIFEST.csv").of_split("dev-test")
    needed = {dims for _, _, (_, dims) in asked}
    images = {one.name: read_category(one, cohort) for one in CATEGORIES if one.dims in needed}
    memory: dict[str, Scores] = {}
    lines = [_tabulate(codec, name, kind, images, memory) for codec, name, kind in asked]
    return "\n".join(line for table in lines for line in table)


def _shape(card: CodecCard) -> str:
    return f"{card.factor}x{card.channels}"


def _tabulate(
    codec: str,
    name: str,
    kind: tuple[str, int],
    images: dict[str, list[Source]],
    memory: dict[str, Scores],
) -> list[str]:
    """The lines of one codec's table."""
    shape, dims = kind
    rows = [
        make_table(codec, shape, category, images[category.name], memory)
        for category in CATEGORIES
        if category.dims == dims
    ]
    head = (HEAD[0], HEAD[1].replace("compact", name.split("-")[0]), *HEAD[2:])
    rule = "| --- " + "| ---: " * (len(head) - 1) + "|"
    say("")
    return [f"### {name}\n", f"| {' | '.join(head)} |", rule, *rows, ""]


FACTS_HEAD = (
    "codec", "voxels per number", "parameters", "MB", "multiply-adds per voxel: encode", "decode",
    "reach in codes: encode", "decode", "steps", "patches per step",
)  # fmt: skip


def make_facts() -> str:
    """What the cards of the packaged codecs say, as a table."""
    rule = "| --- " + "| ---: " * (len(FACTS_HEAD) - 1) + "|"
    rows = []
    for card in catalogue.cards():
        if card.family != "compact":
            continue
        facts = card.extras
        costs = facts["multiply_adds_per_voxel"]
        cells = [
            f"`{card.name}`",
            f"{card.total_factor / card.channels:.4g}",
            f"{facts['parameters'] / 1e6:.2f} M",
            f"{card.weights.bytes / 1e6:.2f}",
            f"{costs['encode'] / 1e6:.3f} M",
            f"{costs['decode'] / 1e6:.3f} M",
            str(facts["encoder_reach_in_codes"]),
            str(facts["decoder_reach_in_codes"]),
            str(facts["training"]["steps"]),
            str(facts["training"]["batch"]),
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join([f"| {' | '.join(FACTS_HEAD)} |", rule, *rows])


def write_page(tables: str) -> None:
    """Put facts and tables between their marks in the page."""
    put_section(PAGE, FACTS, f"\n{make_facts().strip()}\n")
    put_section(PAGE, MARK, f"\n{tables.strip()}\n")


def add_to_page(tables: str) -> None:
    """Put tables behind those between the marks, each in the place of its codec's old one."""
    begin, end = f"<!-- {MARK} -->", f"<!-- /{MARK} -->"
    there = PAGE.read_text(encoding="utf-8").partition(begin)[2].partition(end)[0]
    heads = [line for line in tables.splitlines() if line.startswith("### ")]
    kept = [
        part for part in re.split(r"^(?=### )", there, flags=re.MULTILINE)
        if part.partition("\n")[0] not in heads
    ]  # fmt: skip
    put_section(PAGE, MARK, f"\n{''.join(kept).strip()}\n\n{tables.strip()}\n")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with MANIFEST.csv")
    parser.add_argument("--write", action="store_true", help=f"put the tables into {PAGE.name}")
    parser.add_argument(
        "--codec", type=Path, action="append", default=[], metavar="FOLDER",
        help="folder of an exported compact codec, called as the packaged one that it is judged "
        "instead of, such as runs/compact-4x3-2d",
    )  # fmt: skip
    parser.add_argument(
        "--add", action="append", default=[], metavar="CODEC",
        help="make the table of another codec alone: a name that `plica codecs` lists, or a folder",
    )  # fmt: skip
    asked = parser.parse_args()
    if asked.add and asked.codec:
        parser.error("--add makes the table of another codec alone: leave out --codec")
    if asked.add:
        tables = make_added(asked.add, asked.data)
    else:
        tables = make_page({folder.name: folder for folder in asked.codec}, asked.data)
    sys.stdout.write(tables + "\n")
    if asked.write:
        (add_to_page if asked.add else write_page)(tables)


if __name__ == "__main__":
    main()

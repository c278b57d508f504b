"""Small files under the names that the pages of the documentation use."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from tests.augmentation.made import write_nnunet
from tests.codecs.test_tiny import make_folder
from tests.evaluation.reports import make_report

import plica
from plica.evaluation.publish import publish
from plica.grid import Grid
from plica.image import Image, Unit

SERIES = "data/test_files/dicomdirtests/98892001/CT5N"


def lay_study(folder: Path) -> None:
    """A real CT series of five slices, as study/ct, ct/ and archive/ct."""
    packaged = Path(find_spec("pydicom").origin).parent / SERIES
    for place in ("study/ct", "ct", "archive/ct"):
        shutil.copytree(packaged, folder / place)


def lay_volume(folder: Path) -> None:
    """A made CT of 48×40×24 voxels."""
    grid = Grid.from_spacing((48, 40, 24), (0.8, 0.8, 2.0))
    waves = np.random.default_rng(0).normal(0, 30, grid.shape).cumsum(0).astype(np.int16)
    plica.write(Image(waves[None], grid, Unit.HU), folder / "ct.nii")


def lay_latent(folder: Path) -> None:
    """The latent of `lay_volume`."""
    latent = plica.load("linear-4x1-3d").encode(plica.read(folder / "ct.nii"))
    plica.write(latent, folder / "ct.latent")


def lay_pictures(folder: Path, count: int = 12, side: int = 96) -> None:
    """Pictures of soft shapes, a table of them with patients, splits and a finding."""
    rows = ["path,patient,split,fracture,category"]
    for number in range(count):
        split = ("train", "train", "dev-test")[number % 3]
        plica.write(draw(number, side), folder / "images" / f"{number}.png")
        rows.append(f"images/{number}.png,p{number},{split},{number // 3 % 2},cxr")
    (folder / "cases.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    own = [row.replace("images/", "", 1) for row in rows]
    (folder / "images" / "images.csv").write_text("\n".join(own) + "\n", encoding="utf-8")


def lay_reports(folder: Path) -> None:
    """Three reports: one before a change, one after it, and one of several codecs."""
    publish(make_report(), folder / "report")
    publish(make_report(), folder / "report-before")
    publish(make_report(shift=0.4), folder / "report-after")


def lay_segmented(folder: Path) -> None:
    """An nnU-Net data set of five made cases, and made weights of taef2."""
    write_nnunet(
        folder / "nnUNet_raw" / "Dataset009_Spleen", names=tuple(f"p{n}_a" for n in range(5))
    )
    make_folder(folder / "weights")


def draw(number: int, side: int) -> Image:
    """Discs on a slope, with noise."""
    chance = np.random.default_rng(number)
    x, y = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    pixels = 60 + x * 0.6 + chance.normal(0, 6, x.shape)
    for _ in range(5):
        (i, j), r = chance.integers(10, side - 10, 2), chance.integers(3, 12)
        pixels += 50 * (np.hypot(x - i, y - j) < r)
    grid = Grid.from_spacing((side, side, 1), calibrated=False)
    return Image(pixels.clip(0, 255).astype(np.uint8)[None, ..., None], grid, Unit.DISPLAY)

"""The files and the names that examples of docstrings use without saying where they come from."""

from __future__ import annotations

import csv
import re
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
from pydicom.data import get_testdata_file
from tests.augmentation.made import write_nnunet
from tests.cli.trainings import RECIPE, write_picture
from tests.codecs.test_tiny import make_folder
from tests.docs.scenes import draw, lay_study
from tests.evaluation.phantoms import body
from tests.evaluation.reports import make_report, make_results
from tests.evaluation.test_segmentation_report import make as make_arms
from tests.training.small import make_kl

import plica
from plica.augmentation.views import scaled
from plica.bulk.naming import name_key
from plica.evaluation.predictions import Predictions
from plica.evaluation.publish import publish
from plica.formats.store import Store
from plica.formats.store_writing import ShardWriter
from plica.image import Image, Unit
from plica.metrics.distribution import Features
from plica.metrics.pictures import Sample
from plica.settings import parse
from plica.training.assembly import Places, run_recipe
from plica.training.cohorts import read_cohort
from plica.training.export import export_run
from plica.training.recipe import Recipe
from plica.training.recipes import change

# -- files ---------------------------------------------------------------------------------------


def lay(folder: Path) -> Path:
    """Every file that an example opens, small; what is real travels with pydicom."""
    lay_study(folder)
    shutil.rmtree(folder / "archive")
    with zipfile.ZipFile(folder / "export.zip", "w") as archive:
        for file in sorted((folder / "ct").iterdir()):
            archive.write(file, f"export/{file.name}")
    shutil.copy(get_testdata_file("CT_small.dcm"), folder / "slice.dcm")
    for name in ("ct.nii.gz", "thorax.nii.gz", "ct.mha", "thorax.mha", "ct.npy"):
        plica.write(make_scan(), folder / name)
    plica.write(make_brain(), folder / "brain.nii.gz")
    plica.write(make_brain(), folder / "brain.nrrd")
    nibabel.save(nibabel.MGHImage(np.zeros((8, 8, 8), np.uint8), TURNED), folder / "orig.mgz")
    plica.write(draw(1, 96), folder / "thorax.png")
    write_picture(folder / "photo.png", seed=0, side=40)
    plica.write(make_latent(), folder / "ct.latent")
    lay_pictures(folder)
    lay_store(folder)
    lay_segmented(folder)
    (folder / "README.md").write_text("No image.\n")
    (folder / "recipe.toml").write_text(RECIPE)
    run_recipe(make_recipe(folder), Places(folder / "runs" / "small", device="cpu"))
    export_run(folder / "runs" / "small", folder / "my-codec")
    for name in ("sub-01/anat/sub-01_T1w.nii.gz", "sub-02/anat/sub-02_T1w.nii.gz"):
        plica.write(make_brain(), folder / "ds000001" / name)
    publish(make_report(charts=False), folder / "before")
    publish(make_report(charts=False, shift=0.4), folder / "after")
    return folder


OPENED = {
    "store": {"archive.store"},
    "cohort": {"images", "images.csv"},
    "recipe": {"images"},
    "data": {"images"},
}
"""What else is opened where these words stand."""


def bring(text: str, scene: Path, folder: Path) -> None:
    """Copy those of the files that the text says, for it to change."""
    also = {name for word, names in OPENED.items() if word in text for name in names}
    for place in scene.iterdir():
        if place.name in text or place.name in also:
            copy = shutil.copytree if place.is_dir() else shutil.copyfile
            copy(place, folder / place.name)


TURNED = np.array([[-1, 0, 0, 4], [0, 0, 1, -4], [0, -1, 0, 4], [0, 0, 0, 1.0]])
"""The affine of FreeSurfer's volumes."""


def lay_pictures(folder: Path, count: int = 6) -> None:
    """images/ with a table of patients, splits, views and findings; the same table at the top."""
    rows = [["path", "patient", "split", "view", "finding"]]
    for number in range(count):
        plica.write(draw(number, 32), folder / "images" / f"{number}.png")
        view, split = ("AP", "PA")[number % 2], ("train", "train", "dev-test")[number // 2]
        rows.append([f"{number}.png", f"p{number // 2}", split, view, str(number % 2)])
    write_rows(folder / "images" / "images.csv", rows)
    below = [[f"images/{row[0]}", *row[1:]] for row in rows[1:]]
    write_rows(folder / "images.csv", [rows[0], *below])
    (folder / "data").mkdir()
    manifest = [[f"../{path}", patient, split] for path, patient, split, *_ in below]
    write_rows(folder / "data" / "MANIFEST.csv", [["path", "group_id", "split"], *manifest])


def lay_store(folder: Path) -> None:
    """archive.store with a latent of each picture, and labels.csv by their paths."""
    codec = make_codec("linear-4x1-2d")
    latents = [codec.encode(draw(number, 32)) for number in range(6)]
    with ShardWriter(Store.create(folder / "archive.store", codec=latents[0].codec)) as writer:
        for number, latent in enumerate(latents):
            writer.add(name_key(f"file {number}.png"), latent, {"source": f"{number}.png"})
    shutil.copy(folder / "images" / "images.csv", folder / "labels.csv")


def lay_segmented(folder: Path) -> None:
    """A data set of nnU-Net, and random weights of taef2."""
    patients = [f"p{number}_a" for number in range(5)]
    write_nnunet(folder / "nnUNet_raw" / "Dataset009_Spleen", patients)
    make_folder(folder / "weights")


def write_rows(path: Path, rows: list[list[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


# -- names ---------------------------------------------------------------------------------------


def give(text: str) -> dict[str, Any]:
    """Those of the names that the text says; files are those of the folder one is in."""
    said = set(re.findall(r"\w+", text))
    return {name: make() for name, make in NAMES.items() if name in said}


@cache
def make_scan() -> Image:
    """A CT of 48×40×24 voxels, air around soft tissue and bone."""
    drawn = body((48, 40, 24), (0.8, 0.8, 2.0))
    return Image(np.rint(drawn.pixels).astype(np.int16), drawn.grid, Unit.HU)


@cache
def make_brain() -> Image:
    """An MR of 32×32×25 voxels."""
    grid = plica.Grid.from_spacing((32, 32, 25), (1, 1, 1))
    waves = np.random.default_rng(0).normal(500, 90, grid.shape).clip(0).astype(np.int16)
    return Image(waves[None], grid)


@cache
def make_labels(shift: int = 0) -> Image:
    """Two organs on the grid of `scan`, or the same drawn some voxels further."""
    pixels = np.zeros((1, *make_scan().grid.shape), np.uint8)
    pixels[0, 10 + shift : 20 + shift, 10:20, 5:15] = 1
    pixels[0, 28 : 36 + shift, 10:20, 5:15] = 2
    return Image(pixels, make_scan().grid, Unit.LABEL)


@cache
def make_codec(name: str = "linear-4x1-3d") -> Any:
    return plica.load(name, device="cpu")


@cache
def make_latent() -> Any:
    return make_codec().encode(make_scan())


@cache
def make_rows() -> Any:
    return np.random.default_rng(0).normal(size=(100, 8))


@cache
def make_samples() -> list[Sample]:
    return [Sample(draw(n, 32), f"p{n}", f"{n}.png") for n in range(6)]


@cache
def make_features(shift: float = 0.0) -> Features:
    rng = np.random.default_rng(0)
    return Features(
        rng.normal(size=(60, 4)) + shift,
        tuple(f"p{n}" for n in range(60)),
        tuple(f"{n}.png" for n in range(60)),
    )


@cache
def make_predictions() -> list[Predictions]:
    """What probes make of images and of what two codecs keep of them: nearly as much."""
    labels = (np.arange(40) % 2).astype(np.int64)
    cases = tuple((f"p{n}", "", str(n)) for n in range(40))
    found = []
    for codec, wrong in (("full-resolution", 4), ("bicubic-4x-2d", 8)):
        for seed in range(2):
            sure = np.random.default_rng(seed).uniform(0.6, 0.9, 40)
            sure[:wrong] = 1 - sure[:wrong]
            ill = np.where(labels == 1, sure, 1 - sure)
            scores = np.stack([1 - ill, ill], 1)
            found.append(Predictions(codec, seed, ("healthy", "ill"), cases, labels, scores))
    return found


def make_recipe(folder: Path = Path()) -> Recipe:
    return change(parse(Recipe, RECIPE), {"data.cohort": str(folder / "images" / "images.csv")})


def reconstruct(image: Image) -> Image:
    codec = make_codec()
    return codec.decode(codec.encode(image))


NAMES: dict[str, Callable[[], Any]] = {
    "Grid": lambda: plica.Grid,
    "Image": lambda: Image,
    "Path": lambda: Path,
    "Recipe": lambda: Recipe,
    "Unit": lambda: Unit,
    "brain": make_brain,
    "codec": make_codec,
    "arms": lambda: make_arms(lambda number, random: 0.02 + 0.001 * number),
    "cohort": lambda: read_cohort("images.csv"),
    "decoded": lambda: make_codec().decode(make_latent()),
    "found": lambda: make_labels(1),
    "drawn": make_labels,
    "generated": lambda: make_features(0.5),
    "image": make_scan,
    "latent": make_latent,
    "network": lambda: make_kl().eval(),
    "nn": lambda: torch.nn,
    "np": lambda: np,
    "plica": lambda: plica,
    "predictions": make_predictions,
    "radiograph": lambda: draw(1, 96),
    "real": make_features,
    "recipe": make_recipe,
    "reconstruct": lambda: reconstruct,
    "replace": lambda: replace,
    "report": lambda: make_report(charts=False),
    "results": lambda: make_results(hostile=False, failures=False),
    "rows": make_rows,
    "samples": make_samples,
    "scan": make_scan,
    "scaled": lambda: scaled,
    "Store": lambda: Store,
    "store": lambda: Store.open("archive.store"),
    "torch": lambda: torch,
}
"""What examples may speak of without saying where it comes from; `image` is a CT, as `scan` is."""

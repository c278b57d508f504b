"""Every recipe that comes with plica is read strictly, and its smoke scale walks the whole way.

The images are real; the networks recipes are judged by, or begin from, have their published
layouts and noise for weights.
"""

import csv
import dataclasses
import functools
import typing
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.contracts.small_cohorts import make_cohort
from tests.networks.published import make_biomedclip, make_kl, make_weights_dir

import plica
from plica.codecs import latentdiffusion, pretrained
from plica.codecs.directory import NETWORKS, PREPARATIONS, make_network
from plica.networks.vision import VisionTower
from plica.training import recipe as recipe_module
from plica.training.assembly import Places, run_recipe
from plica.training.export import export_run
from plica.training.recipe import Projection, Recipe
from plica.training.recipes import change, find_recipe, list_recipes, read_recipe, shrink

NAMES = [listed.name for listed in list_recipes()]
RUNS, COHORT = "runs/", "images.csv"
MEDVAE = {
    f"medvae-{size}-2d-stage{stage}" for size in ("4x1", "4x3", "8x1", "8x4") for stage in (1, 2)
}
VOLUMES = {"medvae-4x1-3d", "medvae-8x1-3d"}
DECODERS = {"medvae-4x1-2d-decoder-3d", "medvae-8x1-2d-decoder-3d"}
PRECURSOR = {f"precursor-{size}-2d" for size in ("4x1", "4x4", "8x1", "8x4", "16x1", "16x16")}
COMPACT = {
    f"compact-{size}"
    for size in ("4x1-2d", "4x3-2d", "8x1-2d", "8x4-2d", "4x1-3d", "8x1-3d", "4x4-3d")
}
# They begin from published weights of natural images, and walk from weights of the same layout and
# a quarter of the width.
NARROW = {"kl-f4": (32, 64, 128), "kl-f8": (32, 64, 128, 128)}
# They look through two layers of BiomedCLIP; tests/codecs/test_pretrained.py reads all twelve.
DEPTH = 2
BEGUN = {"medvae-4x3-2d": "kl-f4", "medvae-8x4-2d": "kl-f8"}


# -- what they say -------------------------------------------------------------------------------


def test_there_is_a_recipe_for_every_published_model_and_stage():
    assert set(NAMES) >= MEDVAE | VOLUMES | DECODERS | PRECURSOR | COMPACT | {"vq-4x3-2d"}


def test_preparations_of_recipes_are_those_of_codecs():
    assert set(typing.get_args(recipe_module.Preparation)) == set(PREPARATIONS)


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_is_named_like_its_file_and_describes_a_network(name):
    recipe = read_recipe(name)
    with torch.device("meta"):
        network = make_network(recipe.network, of=name)

    assert recipe.name == find_recipe(name).stem == name
    assert recipe.summary.endswith(".")
    assert recipe.network["kind"] in NETWORKS
    assert recipe.data.crop % network.factor == 0


@pytest.mark.parametrize("name", sorted(set(NAMES) & (MEDVAE | VOLUMES | DECODERS | PRECURSOR)))
def test_a_published_network_has_its_published_shape(name):
    recipe = read_recipe(name)
    factor, channels = name.split("-")[1].split("x")
    with torch.device("meta"):
        network = make_network(recipe.network, of=name)

    assert (network.factor, network.code_channels) == (int(factor), int(channels))
    assert network.dims == (3 if name.endswith("3d") else 2)


@pytest.mark.parametrize("size", BEGUN)
def test_at_its_full_width_it_takes_the_weights_it_begins_from(size):
    recipe, began = read_recipe(f"{size}-stage1"), BEGUN[size]
    with torch.device("meta"):
        network = make_network(recipe.network, of=size)
        theirs = latentdiffusion._make(latentdiffusion._MODELS[began])

    assert recipe.start.weights == began
    assert read_recipe(f"{size}-stage2").network == {**recipe.network, "projection": True}
    assert {key: value.shape for key, value in network.state_dict().items()} == {
        key: value.shape for key, value in theirs.state_dict().items()
    }


def test_the_published_numbers_stand_in_the_recipes():
    """Varma et al. 2025, appendix A.3; Varma et al. 2023, appendix."""
    steps = {name: read_recipe(name).steps for name in NAMES}
    batch = {name: read_recipe(name).batch for name in NAMES}

    assert [steps[f"medvae-{size}-2d-stage1"] for size in ("4x1", "4x3", "8x1", "8x4")] == [
        100_000, 50_000, 100_000, 50_000,
    ]  # fmt: skip
    assert [steps[f"medvae-{size}-2d-stage2"] for size in ("4x1", "4x3", "8x1", "8x4")] == [
        50_000, 50_000, 60_000, 50_000,
    ]  # fmt: skip
    assert (steps["medvae-4x1-3d"], batch["medvae-4x1-3d"]) == (35_000, 32)
    assert (steps["medvae-8x1-3d"], batch["medvae-8x1-3d"]) == (140_000, 8)
    assert {batch[name] for name in MEDVAE} == {32}
    assert {(steps[name], batch[name]) for name in PRECURSOR} == {(15_000, 64)}
    for name in ("medvae-4x1-2d-stage1", "medvae-8x1-2d-stage1"):
        assert read_recipe(name).objective.adversary.start == 3125
        assert read_recipe(name).start.adapters == 0
    for name in ("medvae-4x3-2d-stage1", "medvae-8x4-2d-stage1"):
        assert read_recipe(name).objective.adversary.start == 0
        assert read_recipe(name).start.adapters == 4
    for name in sorted(MEDVAE):
        objective = read_recipe(name).objective
        if isinstance(objective, Projection):
            assert objective.divisor == 4.6
        else:
            assert objective.kl == 1e-6
            assert objective.embedding > 0


@pytest.mark.parametrize("name", sorted(set(NAMES) - COMPACT))
def test_rates_are_the_published_ones_for_each_image_of_a_step(name):
    """The programs of MedVAE and of latent diffusion: base rate × images over all processes."""
    recipe = read_recipe(name)
    base = 1e-4 if isinstance(recipe.objective, Projection) else 4.5e-6

    assert recipe.optimiser.rate == pytest.approx(base * recipe.batch)
    assert recipe.optimiser.betas == (0.5, 0.9)


# -- the whole way -------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def weights_dir(once):
    def make(folder: Path) -> None:
        make_weights_dir(folder, ("vgg16", "lpips-vgg16"))
        make_biomedclip(folder, depth=DEPTH)
        for name, codes in (("kl-f4", 3), ("kl-f8", 4)):
            make_kl(folder / name / "model.ckpt", widths=NARROW[name], codes=codes)

    return once("pretrained-of-recipes", make)


@pytest.fixture(scope="session")
def smoke(once, shared, weights_dir):
    """Walks a recipe's smoke scale, and before it that of the run it starts from; each once."""

    def prepare(name: str, folder: Path) -> Recipe:
        recipe = shrink(read_recipe(name))
        changes = {"data.cohort": str(folder / COHORT)}
        if began := BEGUN.get(name.rpartition("-stage")[0]):
            changes["network.widths"] = list(NARROW[began])
        if recipe.start.weights.startswith(RUNS):
            changes["start.weights"] = str(walk(recipe.start.weights.removeprefix(RUNS))[1])
        return change(recipe, changes)

    def train(name: str, folder: Path) -> None:
        recipe = prepare(name, folder)
        dims = int(recipe.network.get("dims", 3))
        make_cohort(recipe, shared, folder / COHORT, dims=dims)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pretrained, "VisionTower", functools.partial(VisionTower, depth=DEPTH))
            run_recipe(recipe, Places(folder / "run", weights_dir=weights_dir, device="cpu"))

    def walk(name: str) -> tuple[Recipe, Path]:
        folder = once(f"smoke-{name}", lambda folder: train(name, folder))
        return prepare(name, folder), folder / "run"

    return walk


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_smoke_scale_trains_judges_keeps_and_exports(name, smoke, shared, tmp_path):
    recipe, run = smoke(name)

    exported = export_run(run, tmp_path / "codec", choice="last")
    codec = plica.load(tmp_path / "codec", device="cpu")
    image = read_a_part(run.parent / COHORT)
    latent = codec.encode(image)
    decoded = codec.decode(latent)

    assert exported.step == recipe.steps
    assert codec.card.name == recipe.name
    assert decoded.grid.agrees_with(image.grid, tolerance_mm=1e-3)
    assert np.isfinite(latent.codes).all()
    assert {one["metric"] for one in exported.metrics}
    if isinstance(recipe.objective, Projection):
        assert codec.encode(image, kind="projected").codes.shape == latent.codes.shape
    assert players_that_learned(run) == expected_players(recipe)
    assert (run / "results.json").is_file()
    assert sorted((run / "panels").glob("*.png")) or isinstance(recipe.objective, Projection)


def read_a_part(table: Path) -> plica.Image:
    """Part of the middle of a judged image: enough to see that it is folded and unfolded."""
    with table.open(newline="", encoding="utf-8") as file:
        judged = [row for row in csv.DictReader(file) if row["split"] != "train"]
    image = plica.read(judged[0]["path"])
    sides = [min(side, 40) for side in image.grid.shape]
    starts = [(whole - side) // 2 for whole, side in zip(image.grid.shape, sides, strict=True)]
    part = tuple(slice(start, start + side) for start, side in zip(starts, sides, strict=True))
    pixels = image.pixels[:1, *part]
    return dataclasses.replace(image, pixels=pixels, grid=image.grid.window(starts, sides))


def players_that_learned(run: Path) -> set[str]:
    with (run / "losses.csv").open(newline="", encoding="utf-8") as file:
        return {row["player"] for row in csv.DictReader(file) if row["kind"] == "term"}


def expected_players(recipe: Recipe) -> set[str]:
    adversary = getattr(recipe.objective, "adversary", None)
    return {"codec"} | ({"discriminator"} if adversary and adversary.weight else set())

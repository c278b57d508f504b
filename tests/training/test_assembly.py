"""A recipe, images and a folder become a training; what it began with is kept for the card."""

import shutil
from dataclasses import replace

import pytest
from tests.cli.trainings import RECIPE, write_cohort, write_table
from tests.networks.published import make_weights_dir

from plica import settings
from plica.cohort import Cohort
from plica.errors import OutputError, SettingsError
from plica.run import Run
from plica.training.assembly import (
    BEGUN,
    Places,
    describe_pretrained,
    read_given_cohort,
    recipe_of,
    run_recipe,
)
from plica.training.recipe import Classification, Recipe
from plica.training.recipes import change

SMALL = settings.parse(Recipe, RECIPE)


@pytest.fixture
def recipe(tmp_path):
    table = write_cohort(tmp_path / "images")
    return change(SMALL, {"data.cohort": str(table), "steps": 1})


def begun(folder):
    return next(event for event in Run.open(folder).events() if event["event"] == BEGUN)


def test_only_images_that_are_drawn_or_judged_are_on_the_card(recipe, tmp_path):
    rows = [
        (f"{number}.png", f"p{number}", split, source, licence)
        for number, (split, source, licence) in enumerate(
            [
                ("train", "north", "CC0-1.0"), ("train", "north", "CC BY 4.0"),
                ("train", "south", "secret"), ("dev-test", "north", "CC0-1.0"),
                ("dev-test", "north", "CC0-1.0"), ("held-out", "north", "secret"),
            ]
        )
    ]  # fmt: skip
    write_table(tmp_path / "images" / "images.csv", rows)
    only_north = {
        "data.sources": [{"name": "north", "where": {"source": ["north"]}}],
        "data.validation_cases": 1,
    }

    run_recipe(change(recipe, only_north), Places(tmp_path / "run", device="cpu"))

    sources = begun(tmp_path / "run")["sources"]
    told = [(one["split"], one["images"], one["licence"]) for one in sources]
    assert told == [("train", 2, "CC0-1.0, CC BY 4.0"), ("dev-test", 1, "CC0-1.0")]


def test_what_measures_mean_is_kept_with_the_run(recipe, tmp_path):
    run_recipe(recipe, Places(tmp_path / "run", device="cpu"))

    assert {"name": "psnr", "unit": "dB", "better": "higher"} in begun(tmp_path / "run")["measures"]


SPLITS = ("train", "train", "dev-test", "validation", "dev-test", "test")


def test_a_tables_own_validation_judges_and_what_is_not_used_is_said(recipe, tmp_path):
    rows = [(f"{n}.png", f"p{n}", split, "", "") for n, split in enumerate(SPLITS)]
    write_table(tmp_path / "images" / "images.csv", rows)
    watcher = Listener()

    run_recipe(recipe, Places(tmp_path / "run", device="cpu"), watcher=watcher)

    assert recipe_of(tmp_path / "run").data.validation == "validation"
    assert begun(tmp_path / "run")["unused"] == {"dev-test": 2, "test": 1}
    assert [one["split"] for one in begun(tmp_path / "run")["sources"]] == ["train", "validation"]
    assert watcher.heard[0] == (
        "trains on 2 images of the split 'train', and 1 of 'validation' choose the checkpoint; "
        "not used: 2 of 'dev-test', 1 of 'test'"
    )


def test_a_run_goes_on_with_the_split_that_it_began_to_be_judged_by(recipe, tmp_path):
    run_recipe(recipe, Places(tmp_path / "run", device="cpu"))
    (tmp_path / "run" / "results.json").unlink()
    with (tmp_path / "images" / "images.csv").open("a") as table:
        table.write("5.png,patient 9,validation,,\n")
    watcher = Listener()

    run_recipe(recipe, Places(tmp_path / "run", resume=True, device="cpu"), watcher=watcher)

    assert watcher.heard[0].endswith(
        "2 of 'dev-test' choose the checkpoint; not used: 1 of 'validation'"
    )


class Listener:
    """Keeps what is said, and nothing else."""

    def __init__(self):
        self.heard = []

    def advanced(self, progress): ...

    def logged(self, step, numbers): ...

    def judged(self, step, means, best): ...

    def said(self, sentence):
        self.heard.append(sentence)


def test_who_watches_is_told_of_every_image_and_step(recipe, tmp_path):
    told = []

    class Watcher(Listener):
        def advanced(self, progress):
            told.append(("step", progress.step))

    run_recipe(
        recipe, Places(tmp_path / "run", device="cpu"), watcher=Watcher(),
        preparing=lambda progress: told.append(("image", progress.done)),
    )  # fmt: skip

    assert told == [*(("image", number) for number in range(7)), ("step", 1)]


def test_a_run_goes_on_without_the_weights_it_began_from(recipe, tmp_path):
    recipe = change(recipe, {"steps": 2, "checkpoint_every": 1})
    run_recipe(recipe, Places(tmp_path / "first", device="cpu"))
    second = change(recipe, {"start.weights": str(tmp_path / "first"), "start.adapters": 2})
    whole = run_recipe(second, Places(tmp_path / "whole", device="cpu"))
    run_recipe(second, Places(tmp_path / "cut", device="cpu"))
    (tmp_path / "cut" / "results.json").unlink()  # as if the last step had never been taken
    shutil.rmtree(tmp_path / "cut" / "checkpoints" / "step-0000002")
    shutil.rmtree(tmp_path / "first")

    resumed = run_recipe(second, Places(tmp_path / "cut", resume=True, device="cpu"))

    assert (resumed.steps, resumed.last) == (2, whole.last)


@pytest.mark.parametrize(
    ("finished", "changes", "message"),
    [
        (True, {}, "is finished"),
        (
            False,
            {"optimiser.rate": 0.5},
            r"the run .* another recipe: optimiser.rate \(0.0001 there",
        ),
    ],
)
def test_a_run_that_cannot_go_on_is_refused_before_images_are_read(
    recipe, tmp_path, finished, changes, message
):
    run_recipe(recipe, Places(tmp_path / "run", device="cpu"))
    if not finished:
        (tmp_path / "run" / "results.json").unlink()
    seen = []

    with pytest.raises(SettingsError, match=message):
        run_recipe(
            change(recipe, changes), Places(tmp_path / "run", resume=True), preparing=seen.append
        )

    assert seen == []


def test_a_run_goes_on_with_the_images_it_began_with_and_no_others(recipe, tmp_path):
    run_recipe(recipe, Places(tmp_path / "run", device="cpu"))
    (tmp_path / "run" / "results.json").unlink()
    moved = tmp_path / "images" / "moved.csv"
    rows = (tmp_path / "images" / "images.csv").read_text().splitlines()
    again = Places(tmp_path / "run", resume=True, device="cpu")

    moved.write_text("\n".join([rows[0], *reversed(rows[1:])]))
    with pytest.raises(SettingsError, match="began with other images, or in another order"):
        run_recipe(change(recipe, {"data.cohort": str(moved)}), again)

    moved.write_text("\n".join(rows))
    assert run_recipe(change(recipe, {"data.cohort": str(moved)}), again).steps == 1


def test_prepared_images_lie_beside_the_run_unless_told_otherwise(tmp_path):
    assert Places(tmp_path / "runs" / "a").cache_folder == tmp_path / "runs" / "cache"
    assert Places(tmp_path / "a", cache=tmp_path / "b").cache_folder == tmp_path / "b"


def test_a_cohort_without_splits_is_split_by_patient(recipe, tmp_path):
    (tmp_path / "images" / "images.csv").unlink()

    cohort = read_given_cohort(change(recipe, {"data.cohort": str(tmp_path / "images")}))

    assert isinstance(cohort, Cohort)
    assert set(cohort.splits) == {"train", "dev-test"}


def test_a_recipe_without_images_asks_for_them():
    with pytest.raises(SettingsError, match="--data"):
        read_given_cohort(SMALL)


def test_a_folder_in_use_is_refused_before_images_are_read_with_an_advice_that_helps(
    recipe, tmp_path
):
    with pytest.raises(OutputError, match="holds no run: name another folder with -o"):
        run_recipe(recipe, Places(tmp_path / "images"))

    run_recipe(recipe, Places(tmp_path / "run", device="cpu"))
    with pytest.raises(
        OutputError, match=r"is finished\. Name another.*-o.* `plica export .*run -o"
    ):
        run_recipe(recipe, Places(tmp_path / "run"))

    (tmp_path / "run" / "results.json").unlink()
    with pytest.raises(OutputError, match=r"not finished\. Go on .*--resume -o .*run`.*with -o"):
        run_recipe(recipe, Places(tmp_path / "run"))


def test_files_of_networks_that_judge_are_named_with_their_hash(tmp_path):
    weights = make_weights_dir(tmp_path, ("vgg16", "lpips-vgg16"))
    told = describe_pretrained(change(SMALL, {"objective.perceptual": 1.0}), weights)

    assert set(told) == {"vgg16", "lpips-vgg16"}
    assert "sha256:" in told["vgg16"]
    assert "not the file that is known as published" in told["vgg16"]
    assert describe_pretrained(SMALL, None) == {}
    assert describe_pretrained(replace(SMALL, objective=Classification()), weights) == {}
